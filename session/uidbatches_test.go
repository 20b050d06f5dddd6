package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestUIDBatches: batches hold all messages, none twice, and never more than was
// asked for (RFC 10022 §3.1.3).
func TestUIDBatches(t *testing.T) {
	const messages, size = 1803, 600
	h := newHarness(t, nil)
	for i := range messages {
		if err := os.WriteFile(filepath.Join(h.home, "cur", fmt.Sprintf("%d.x:2,", 1000+i)), []byte("a: b\n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := h.connect(false)
	c.login()
	c.ok("s", "SELECT INBOX")
	// Holes, and the last UID is no message.
	c.ok("d", `UID STORE 1:30,900:1000,%d +FLAGS.SILENT (\Deleted)`, messages)
	c.ok("e", "EXPUNGE")
	left := messages - 30 - 101 - 1
	ranges := func(args string) [][2]uint64 {
		t.Helper()
		lines := c.ok("b", "UIDBATCHES %s", args)
		list, ok := strings.CutPrefix(lines[0], `* UIDBATCHES (TAG "b")`)
		if !ok || len(lines) != 1 {
			t.Fatalf("%q", lines)
		}
		var out [][2]uint64
		for _, r := range strings.Split(strings.TrimSpace(list), ",") {
			a, b, _ := strings.Cut(r, ":")
			high, err1 := strconv.ParseUint(a, 10, 32)
			low, err2 := strconv.ParseUint(b, 10, 32)
			if err1 != nil || err2 != nil {
				t.Fatalf("%q", list)
			}
			out = append(out, [2]uint64{high, low})
		}
		return out
	}
	all := ranges(strconv.Itoa(size))
	if want := (left + size - 1) / size; len(all) != want {
		t.Fatalf("%d batches, want %d: %v", len(all), want, all)
	}
	total := 0
	for i, r := range all {
		if i > 0 && r[0] != all[i-1][1]-1 {
			t.Errorf("a gap before %v", r)
		}
		n := len(strings.Fields(c.ok("f", "UID SEARCH UID %d:%d", r[0], r[1])[0])) - 2
		if n > size || i < len(all)-1 && n != size {
			t.Errorf("%v has %d messages", r, n)
		}
		total += n
	}
	if total != left || all[len(all)-1][1] != 1 {
		t.Errorf("%d messages in %v, want %d", total, all, left)
	}
	if got := ranges(fmt.Sprintf("%d 2:9", size)); fmt.Sprint(got) != fmt.Sprint(all[1:]) {
		t.Errorf("batches 2 to 9 are %v of %v", got, all)
	}
}
