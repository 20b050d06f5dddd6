package mailbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/testmail"
)

// benchMail is how many messages a search goes through.
const benchMail = 2000

// mailFixture has n messages as people get them, with what FETCH makes of them
// in the cache.
func mailFixture(b *testing.B, n int) (*fixture, *View) {
	b.Helper()
	f := testFixture(b)
	i := 0
	for m := range testmail.Corpus(n, 1, time.Date(2024, 1, 1, 8, 0, 0, 0, time.UTC)) {
		i++
		p := filepath.Join(f.path, fmt.Sprintf("cur/%d.M%d.h:2,%s", 1700000000+i, i, m.Letters))
		check(b, os.WriteFile(p, m.Raw, 0o600))
		check(b, os.Chtimes(p, m.Received, m.Received))
	}
	f.open()
	v := f.view(true)
	b.Cleanup(v.Close)
	for n := SeqNum(1); int(n) <= v.Len(); n++ {
		c := v.Content(n)
		_, err := c.Envelope()
		c.Close()
		check(b, err)
	}
	return f, v
}

// BenchmarkSearchKeys is one search each of 2,000 messages; "us/message" is
// what a message costs. "first" has nothing in memory, only the cache on disk.
func BenchmarkSearchKeys(b *testing.B) {
	f, v := mailFixture(b, benchMail)
	feb := DayOf(time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		name string
		c    *Criteria
	}{
		{"SENTSINCE", Since(SearchSent, feb)},
		{"SUBJECT", &Criteria{Kind: SearchHeader, Field: "SUBJECT", Text: "roof"}},
		{"FROM", &Criteria{Kind: SearchHeader, Field: "FROM", Text: "Zoë"}},
		{"HEADER", &Criteria{Kind: SearchHeader, Field: "X-Trace-3", Text: "a1"}},
		{"BODY", &Criteria{Kind: SearchBody, Text: "invoice"}},
		{"TEXT", &Criteria{Kind: SearchText, Text: "nothing of that kind"}},
		{"UID", &Criteria{Kind: SearchUIDs, UIDs: imap.UIDSet{{Start: 5, Stop: 50}}}},
	} {
		for _, first := range []bool{true, false} {
			name := tt.name + "/again"
			if first {
				name = tt.name + "/first"
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if first {
						f.mb.forgetColumns()
					}
					_, err := v.Search(context.Background(), tt.c, SearchOptions{Now: time.Now()})
					check(b, err)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/benchMail, "us/message")
			})
		}
	}
}

// forgetColumns leaves the mailbox as after a load.
func (mb *Mailbox) forgetColumns() {
	mb.sorting.mu.Lock()
	mb.sorting.ix = nil
	mb.sorting.mu.Unlock()
}
