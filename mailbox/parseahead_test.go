package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// aheadFixture is a mailbox of n messages that nobody has read, with one view.
func aheadFixture(t testing.TB, n int) (*fixture, *View) {
	t.Helper()
	f := testFixture(t)
	for i := range n {
		body := fmt.Sprintf("From: a@example.org\nSubject: number %d\nMIME-Version: 1.0\nContent-Type: text/plain\n\nbody %d\n", i+1, i+1)
		if err := os.WriteFile(filepath.Join(f.path, "cur", fmt.Sprintf("%d.a:2,", i+1)), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.open()
	return f, f.view(false)
}

func envelopeOf(t testing.TB, v *View, n SeqNum) string {
	t.Helper()
	c := v.Content(n)
	defer c.Close()
	env, err := c.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	return string(env)
}

// Who reads messages in order gets what is in them, and the background worker
// has parsed some of them; who jumps about is left alone.
func TestParseAhead(t *testing.T) {
	const n = 10 * aheadRows
	f, v := aheadFixture(t, n)
	defer v.Close()
	before := f.count.CacheFills.Load()
	for i := range SeqNum(40) { // each the eighth before the last
		envelopeOf(t, v, n-8*i)
	}
	if got := f.count.CacheFills.Load() - before; got != 40 {
		t.Errorf("40 messages here and there: %d were parsed", got)
	}
	for i := SeqNum(1); i <= n; i++ {
		if got, want := envelopeOf(t, v, i), fmt.Sprintf(`"number %d"`, i); !strings.Contains(got, want) {
			t.Fatalf("message %d: envelope %s", i, got)
		}
		if i == aheadAfter+4 {
			f.eventually("something is parsed ahead", func() bool { return v.ix.Cache().Has(v.row(aheadRows - 4)) })
		}
	}
}

// BenchmarkReadFirst is a session that reads messages in order, which nobody has
// read before: alone, and with the worker's help.
func BenchmarkReadFirst(b *testing.B) {
	const n = 2000
	for b.Loop() {
		b.StopTimer()
		f, v := aheadFixture(b, n)
		b.StartTimer()
		for i := SeqNum(1); i <= n; i++ {
			envelopeOf(b, v, i)
		}
		b.StopTimer()
		v.Close()
		f.close()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "us/message")
}
