package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/message"
)

// What one search has read of headers the next one does not read again, nor
// does a search for another text, or one that asks for less.
func TestSearchReadsHeadersOnce(t *testing.T) {
	src := newTable(300)
	day := DayOf(time.Date(2024, 1, 5, 0, 0, 0, 0, time.UTC))
	subject := func(text string) *Criteria { return &Criteria{Kind: SearchHeader, Field: "SUBJECT", Text: text} }
	for _, tt := range []struct {
		name  string
		c     *Criteria
		reads int64
	}{
		{"the first", subject("report 3"), 300},
		{"the same", subject("report 3"), 0},
		{"another text", subject("5"), 0},
		{"the field in other letters", &Criteria{Kind: SearchHeader, Field: "subject", Text: "5"}, 0},
		{"whether it is there", subject(""), 0},
		{"not", Not(subject("")), 0},
		{"as addresses", &Criteria{Kind: SearchAddress, Field: "SUBJECT", Text: "5"}, 300},
		{"dates", Since(SearchSent, day), 300},
		{"all of these", And(subject("5"), Since(SearchSent, day)), 0},
		{"one more", &Criteria{Kind: SearchOr, Of: []*Criteria{subject("5"), {Kind: SearchHeader, Field: "FROM", Text: "77"}}}, 300},
		{"for some messages", And(HasFlags(Seen), &Criteria{Kind: SearchHeader, Field: "X-None"}), 148},
		{"for the others", &Criteria{Kind: SearchHeader, Field: "X-None"}, 152},
	} {
		src.headers.Store(0)
		want := search(t, src, tt.c)
		src.headers.Store(0)
		got, err := searchRemembering(t.Context(), src, tt.c, true)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, want)
		}
		if n := src.headers.Load(); n != tt.reads {
			t.Errorf("%s: %d headers read, want %d", tt.name, n, tt.reads)
		}
	}
}

// RFC 9051 §6.4.4: a message is sent before, on or since a day only if its Date
// field names one; what cannot be read is no date.
func TestSearchSentWithoutDate(t *testing.T) {
	src := &tableSource{}
	for i, date := range []string{
		"Date: Mon, 15 Jan 2024 23:30:00 -1200\r\n", "Date: 15 Jan 24 12:00\r\n", "", "Date:\r\n", "Date: yesterday at noon\r\n",
		"Date: 31 Feb 2024 12:00:00 +0000\r\n", "Date: 1 Jan 1970 00:00:00 +0000\r\n", "Date: 1 Jan 2024 12:00 +0000\r\nDate: 15 Jan 2024 12:00 +0000\r\n",
		"date: Mon, 15 Jan 2024\r\n 00:30:00 +1400 (LINT)\r\n",
	} {
		src.msgs = append(src.msgs, tableMessage{Message: Message{Seq: SeqNum(i + 1)}, raw: date + "Subject: x\r\n\r\nbody\r\n"})
	}
	day := DayOf(time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		c    *Criteria
		want []SeqNum
	}{
		{On(SearchSent, day), []SeqNum{1, 2, 8, 9}},
		{Before(SearchSent, day), []SeqNum{7}},
		{Since(SearchSent, day), []SeqNum{1, 2, 8, 9}},
		{Not(Before(SearchSent, day)), []SeqNum{1, 2, 3, 4, 5, 6, 8, 9}},
		{On(SearchSent, 0), []SeqNum{7}},
		{Not(On(SearchSent, 0)), []SeqNum{1, 2, 3, 4, 5, 6, 8, 9}},
	} {
		for _, remember := range []bool{false, true, true} {
			if got, err := searchRemembering(t.Context(), src, tt.c, remember); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%s: %v, %v, want %v", dumpCriteria(tt.c), got, err, tt.want)
			}
		}
	}
}

// The columns are bounded: by number, and by what they take.
func TestFieldColumnsAreBounded(t *testing.T) {
	var sc sortColumns
	use := func(names ...string) *fieldMemory {
		p := &fieldPlan{}
		for _, n := range names {
			p.add(&searchNode{Criteria: &Criteria{Kind: SearchHeader, Field: n}})
		}
		return sc.remember(nil, p)
	}
	for i := range maxFieldColumns {
		use(fmt.Sprint("x-", i))
	}
	use("x-1", "x-new", "x-0") // 2 was not used for longest
	var names []string
	for _, fc := range sc.fields {
		names = append(names, fc.name)
	}
	if want := []string{"x-3", "x-4", "x-5", "x-6", "x-7", "x-1", "x-new", "x-0"}; !slices.Equal(names, want) {
		t.Errorf("columns %q, want %q", names, want)
	}
	many := make([]string, maxFieldColumns+1)
	for i := range many {
		many[i] = fmt.Sprint("y-", i)
	}
	if m := use(many...); m != nil {
		t.Error("a search for more fields than are kept is remembered")
	}

	m := use("x-big")
	if m.room != maxFieldOctets {
		t.Errorf("room for %d octets", m.room)
	}
	m.room = 64 << 10
	big := bytes.Repeat([]byte{'A'}, 4<<10)
	for row := range index.Row(20) {
		var l learnedFields
		l.add(row, &headerEntries{fields: [][]byte{big}})
		m.store(&l)
		if len(l.rows)+len(l.ends)+len(l.text) != 0 {
			t.Fatal("what was stored is still there")
		}
	}
	fc := m.columns[0]
	kept := 0
	for row := range index.Row(20) {
		if fc.has(row) {
			kept++
			if !bytes.Equal(fc.get(row), big) {
				t.Fatalf("row %d is not what was stored", row)
			}
		}
	}
	if kept != 15 {
		t.Errorf("%d entries of 4 KiB in 64 KiB", kept)
	}
	fc.text = slices.Grow(fc.text, maxFieldOctets)
	if use("x-big", "x-1"); len(sc.fields) < 2 {
		t.Error("a column that is there already must not drive out others")
	}
	use("x-other")
	if slices.ContainsFunc(sc.fields, func(fc *fieldColumn) bool { return fc.name == "x-big" }) {
		t.Error("a full column stays when there is need of another")
	}
}

// Searches, sorts and a mailbox that changes, all at a time: answers are right,
// also from columns that others give up meanwhile.
func TestSearchMemoryIsShared(t *testing.T) {
	f := sorting(t, "cherry", "Apple", "banana")
	v := f.view(true)
	defer v.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			w, err := f.mb.Open(context.Background(), true, &Barrier{})
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			for i := range 50 {
				c := &Criteria{Kind: SearchHeader, Field: "Subject", Text: "an"}
				want := []SeqNum{3}
				switch (i + g) % 4 {
				case 0:
					c = &Criteria{Kind: SearchHeader, Field: fmt.Sprint("X-", i%20)}
					want = nil
				case 1:
					c, want = Since(SearchSent, DayOf(time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC))), []SeqNum{2, 3}
				case 2:
					if _, err := w.Sort(context.Background(), Seqs{{1, 3}}, []SortCriterion{{Key: SortDate}}, SearchOptions{}); err != nil {
						t.Error(err)
					}
				}
				res, err := w.Search(context.Background(), c, SearchOptions{})
				if got := slices.Collect(res.Seqs.All()); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s: %v, %v", dumpCriteria(c), got, err)
				}
			}
		})
	}
	wg.Wait()
}

// A view finds what its columns know of messages by row, whatever their numbers
// have become, and new messages too.
func TestSearchMemoryFollowsChanges(t *testing.T) {
	f := sorting(t, "cherry", "Apple", "banana")
	v := f.view(false)
	defer v.Close()
	want := func(text string, seqs ...SeqNum) {
		t.Helper()
		res, err := v.Search(context.Background(), &Criteria{Kind: SearchHeader, Field: "Subject", Text: text}, SearchOptions{})
		if got := slices.Collect(res.Seqs.All()); err != nil || !slices.Equal(got, seqs) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, seqs)
		}
	}
	before := f.mb.memory()
	want("a", 2, 3)
	if f.mb.memory() <= before {
		t.Error("the columns count for nothing")
	}
	f.deliverSubject(4, "aa")
	f.eventually("the delivery", func() bool { f.noop(v); return v.Len() == 4 })
	want("a", 2, 3, 4)
	f.unlink("cur/2.a:2,")
	f.eventually("the removal", func() bool { f.noop(v); return v.Len() == 3 })
	want("a", 2, 3)
	want("cherry", 1)
	res, err := v.Search(context.Background(), &Criteria{Kind: SearchHeader, Field: "Subject", Text: "A"}, SearchOptions{Comparator: message.Octet})
	if err != nil || len(res.Seqs) != 0 {
		t.Errorf("by octets: %v, %v", res, err)
	}
}

// Keys about header fields that SORT reads too need no file that is in the
// cache, not even as a brief record; a change in place is another message.
func TestSearchFromBriefRecords(t *testing.T) {
	f := sorting(t, "cherry", "Apple", "banana")
	v := f.view(true)
	f.wantSorted(v, SortSubject, 2, 3, 1)
	v.Close()
	f.reopen()
	v = f.view(true)
	defer v.Close()
	for i := range 3 { // gone, though nobody knows yet
		if err := os.Remove(filepath.Join(f.path, fmt.Sprintf("cur/%d.a:2,", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	c := And(&Criteria{Kind: SearchHeader, Field: "Subject", Text: "an"}, Since(SearchSent, DayOf(time.Date(2024, 1, 3, 0, 0, 0, 0, time.UTC))))
	res, err := v.Search(context.Background(), c, SearchOptions{})
	if got := slices.Collect(res.Seqs.All()); err != nil || !slices.Equal(got, []SeqNum{3}) {
		t.Errorf("%v, %v", got, err)
	}
	for n := SeqNum(1); n <= 3; n++ {
		if got := recordKind(v, n); got != briefVersion {
			t.Errorf("message %d has a record of kind %d", n, got)
		}
	}
}

// Numbers and UIDs say where to look.
func TestSearchSpan(t *testing.T) {
	src := newTable(2000)
	seqs := func(from, to uint32) *Criteria {
		return &Criteria{Kind: SearchSeqs, Seqs: imap.SeqSet{{Start: from, Stop: to}}}
	}
	uids := func(from, to imap.UID) *Criteria {
		return &Criteria{Kind: SearchUIDs, UIDs: imap.UIDSet{{Start: from, Stop: to}}}
	}
	for _, tt := range []struct {
		c           *Criteria
		first, last SeqNum
	}{
		{&Criteria{Kind: SearchAll}, 1, 2000},
		{seqs(600, 602), 600, 602},
		{And(seqs(600, 1700), seqs(1500, 1900), HasFlags(Seen)), 1500, 1700},
		{And(seqs(1, 5), seqs(7, 9)), 7, 5},
		{Not(seqs(600, 602)), 1, 2000},
		{uids(8, 16), 2, 4}, // UIDs 10, 13, 16
		{uids(8, 9), 2, 2},  // none, but that is not known yet
		{uids(9000, 9001), 2001, 2000},
		{uids(1, 9001), 1, 2000},
		{&Criteria{Kind: SearchNone}, 1, 0},
	} {
		plan, err := newSearchPlan(tt.c, 2000, 6004)
		if err != nil {
			t.Fatal(err)
		}
		if first, last := plan.root.span(src, 2000); first != tt.first || last != tt.last {
			t.Errorf("%s: %d to %d, want %d to %d", dumpCriteria(tt.c), first, last, tt.first, tt.last)
		}
	}
}
