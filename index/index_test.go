package index

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk/disktest"
)

func TestRowOf(t *testing.T) {
	m, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(m, dir))
	if ix.RowOf(1) != NoRow || ix.RowFrom(1) != 0 {
		t.Fatal("an empty table has rows")
	}
	a := adds(0, 10000)
	for i := range a {
		a[i].UID = imap.UID(10 + 3*i)
	}
	mustApply(t, ix, &Batch{Adds: a})
	for i := range a {
		uid := imap.UID(10 + 3*i)
		if ix.RowOf(uid) != Row(i) || ix.RowOf(uid+1) != NoRow || ix.RowFrom(uid-1) != Row(i) || ix.RowFrom(uid+1) != Row(i+1) {
			t.Fatalf("UID %d: row %d, want %d", uid, ix.RowOf(uid), i)
		}
	}
	mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: 5}}})
	if ix.RowOf(ix.UID(5)) != NoRow || !ix.Gone(5) || ix.Live() != 9999 || ix.Len() != 10000 {
		t.Fatal("an expunged row is still a message")
	}
}

func TestBadBatches(t *testing.T) {
	m, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(m, dir))
	mustApply(t, ix, &Batch{Adds: adds(0, 3)})
	mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: 1}}})
	pos, highest := ix.Pos(), ix.HighestModSeq()
	for name, tt := range map[string]struct {
		b   Batch
		err error
	}{
		"row beyond":   {Batch{Flags: []FlagChange{{Row: 3}}}, ErrBatch},
		"row below":    {Batch{Meta: []Meta{{Row: -1}}}, ErrBatch},
		"gone":         {Batch{Expunges: []Expunge{{Row: 1}}}, ErrBatch},
		"no base":      {Batch{Adds: []Add{{}}}, ErrBatch},
		"slash":        {Batch{Adds: []Add{{Base: "a/b"}}}, ErrBatch},
		"long":         {Batch{Adds: []Add{{Base: strings.Repeat("x", 256)}}}, ErrBatch},
		"set":          {Batch{Adds: []Add{{Base: "x", Keywords: 7}}}, ErrBatch},
		"UID used":     {Batch{Adds: []Add{{Base: "x", UID: 3}}}, ErrUIDOrder},
		"UIDs mixed":   {Batch{Adds: []Add{{Base: "x", UID: 9}, {Base: "y", UID: 9}}}, ErrUIDOrder},
		"UIDs run out": {Batch{Adds: []Add{{Base: "x", UID: 1<<32 - 2}, {Base: "y"}}}, ErrNoUIDs},
	} {
		if _, err := ix.Apply(&tt.b); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ix.Pos() != pos || ix.HighestModSeq() != highest || ix.Len() != 3 {
		t.Error("a bad batch left something")
	}
}

func TestKeywords(t *testing.T) {
	m, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(m, dir))
	a, err := ix.SetOf([]string{"work", "$Junk"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := ix.SetOf([]string{"$junk", "WORK", "work"})
	if err != nil || a != b || !slices.Equal(ix.KeywordNames(a), []string{"$Junk", "work"}) {
		t.Fatalf("%v %v %v %v", a, b, ix.KeywordNames(a), err)
	}
	for _, bad := range []string{"", "a b", "x(", "\\Seen", strings.Repeat("k", 51), "ü", "a]"} {
		if _, err := ix.SetOf([]string{bad}); !errors.Is(err, ErrKeyword) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for i := range MaxKeywords - 2 {
		if _, err := ix.SetOf([]string{fmt.Sprint("k", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if !ix.KeywordsFull() || len(ix.AllKeywords()) != MaxKeywords {
		t.Fatal("not full")
	}
	if _, err := ix.SetOf([]string{"more"}); !errors.Is(err, ErrKeywords) {
		t.Fatal(err)
	}
	// Only one is used: the others make room after the next load.
	mustApply(t, ix, &Batch{Adds: []Add{{Base: "x", Keywords: a}}})
	mustClose(t, ix)
	ix, _ = mustOpen(t, testOptions(m, dir))
	if ix.KeywordsFull() || !slices.Equal(ix.KeywordNames(ix.Keywords(0)), []string{"$Junk", "work"}) {
		t.Fatalf("%v", ix.AllKeywords())
	}
	c, _ := ix.SetOf([]string{"fresh"})
	mustApply(t, ix, &Batch{Adds: []Add{{Base: "y", Keywords: c}}})
	mustWait(t, ix)
	mustCheck(t, ix)
}

// Until RenamesSynced, the names before and after are ours, also after a crash.
func TestOurs(t *testing.T) {
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: []Add{{Base: "a", Name: Name{Where: InNew}}, {Base: "b"}}})
	seen, flagged := Name{Where: HasInfo, Letters: Letter('S')}, Name{Where: HasInfo, Letters: Letter('S') | Letter('F')}
	a := mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: 0, Flags: Seen}}, Renames: []Rename{{0, seen}}})
	ix.SetName(0, seen)
	b := mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: 0, Flags: Seen | Flagged}}, Renames: []Rename{{0, flagged}}})
	want := []Name{{Where: InNew}, seen, flagged}
	check := func(ix *Index, agreed Name) {
		t.Helper()
		got := ix.Ours(0)
		for _, n := range want {
			if n != agreed && !slices.Contains(got, n) {
				t.Fatalf("ours %v, want %v", got, want)
			}
		}
		if ix.Name(0) != agreed || !slices.Equal(ix.Pending(), []Row{0}) {
			t.Fatalf("agreed %v, pending %v", ix.Name(0), ix.Pending())
		}
	}
	check(ix, seen)
	mustApply(t, ix, &Batch{RenamesSynced: a.Pos}) // the second is younger
	check(ix, seen)
	mustWait(t, ix)
	abandon(ix)
	ix, _ = mustOpen(t, o)
	check(ix, seen) // a new file holds the name as it was then
	ix.SetName(0, flagged)
	mustApply(t, ix, &Batch{RenamesSynced: max(b.Pos, ix.Pos())})
	if ix.Ours(0) != nil || len(ix.Pending()) != 0 {
		t.Fatal("still pending")
	}
	mustClose(t, ix)
	ix, _ = mustOpen(t, o)
	if ix.Name(0) != flagged || ix.Ours(0) != nil {
		t.Fatalf("agreed %v, ours %v", ix.Name(0), ix.Ours(0))
	}
}

func TestVanished(t *testing.T) {
	m, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(m, dir))
	a := mustApply(t, ix, &Batch{Adds: adds(0, 100)})
	b := mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: 10}, {Row: 11}, {Row: 12}, {Row: 50}}})
	c := mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: 13}, {Row: 99}}})
	set := func(s string) imap.UIDSet {
		var out imap.UIDSet
		for part := range strings.SplitSeq(s, ",") {
			if part == "" {
				continue
			}
			var from, to imap.UID
			if n, _ := fmt.Sscanf(part, "%d:%d", &from, &to); n == 1 {
				to = from
			}
			out = append(out, imap.UIDRange{Start: from, Stop: to})
		}
		return out
	}
	for _, tt := range []struct {
		since ModSeq
		asked string
		want  string
	}{
		{a.ModSeq, "1:4294967295", "11:14,51,100"},
		{a.ModSeq, "12:13,60:40", "12:13,51"},
		{b.ModSeq, "1:1000", "14,100"},
		{c.ModSeq, "1:1000", ""},
		{a.ModSeq, "50:0", "51"}, // to "*", which is 99 now
		{a.ModSeq, "200:300", ""},
	} {
		if got := ix.Vanished(tt.since, set(tt.asked)); !slices.Equal(got, set(tt.want)) {
			t.Errorf("since %d of %s: %v, want %s", tt.since, tt.asked, got, tt.want)
		}
	}
	if _, err := ix.Jump("test"); err != nil {
		t.Fatal(err)
	}
	mustApply(t, ix, &Batch{UIDNext: ix.UIDNext() + 10})
	// Below the floor: everything that is no message, up to UIDNEXT.
	want := imap.UIDSet{{Start: 11, Stop: 14}, {Start: 51, Stop: 51}, {Start: 100, Stop: ix.UIDNext() - 1}}
	if got := ix.Vanished(b.ModSeq, set("1:4294967295")); !slices.Equal(got, want) {
		t.Errorf("below the floor: %v, want %v", got, want)
	}
	if got := ix.Vanished(ix.HighestModSeq(), set("1:4294967295")); len(got) != 0 {
		t.Errorf("nothing happened since: %v", got)
	}
}

func TestTrimVanished(t *testing.T) {
	const day = 24 * 3600
	now := int64(1000 * day)
	list := make([]vanished, 0, maxRanges+10)
	for i := range keepRanges + 100 {
		list = append(list, vanished{imap.UID(2 * i), imap.UID(2 * i), ModSeq(i + 1), now - 91*day})
	}
	kept, floor := trimVanished(list, now)
	if len(kept) != keepRanges || floor != 100 {
		t.Fatalf("old: %d kept, floor %d", len(kept), floor)
	}
	for i := range list {
		list[i].sec = now - 89*day
	}
	if kept, floor = trimVanished(list, now); len(kept) != len(list) || floor != 0 {
		t.Fatalf("young: %d kept, floor %d", len(kept), floor)
	}
	for len(list) < maxRanges+10 {
		list = append(list, vanished{1, 1, ModSeq(len(list) + 1), now})
	}
	if kept, floor = trimVanished(list, now); len(kept) != maxRanges || floor != 10 {
		t.Fatalf("many: %d kept, floor %d", len(kept), floor)
	}
}

func TestRenew(t *testing.T) {
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, 5000)})
	mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: 3, Unlink: true}}})
	mustWait(t, ix)
	pos, err := ix.Renew(testValidity+5, MailboxID{7})
	if err != nil {
		t.Fatal(err)
	}
	if ix.Synced() >= pos {
		t.Fatal("durable before it was written")
	}
	mustWait(t, ix)
	mustClose(t, ix)
	ix, rec := mustOpen(t, o)
	if ix.UIDValidity() != testValidity+5 || ix.ID() != (MailboxID{7}) || ix.RowOf(5000) != 4998 || !rec.Clean || rec.Jumped != "" {
		t.Fatalf("%d %v %d %+v", ix.UIDValidity(), ix.ID(), ix.RowOf(5000), rec)
	}
	mustApply(t, ix, &Batch{UIDNext: 1<<32 - 2})
	mustApply(t, ix, &Batch{Adds: adds(6000, 1)})
	if _, err := ix.Apply(&Batch{Adds: adds(6001, 1)}); !errors.Is(err, ErrNoUIDs) {
		t.Fatalf("UIDs have no end: %v", err)
	}
	if _, err := ix.Renew(testValidity+6, MailboxID{}); err != nil {
		t.Fatal(err)
	}
	mustWait(t, ix)
	mustApply(t, ix, &Batch{Adds: adds(6001, 1)})
	mustWait(t, ix)
	if uid := ix.UID(Row(ix.Len() - 1)); uid > 6000 {
		t.Fatalf("UID %d after a new UIDVALIDITY", uid)
	}
	if u := ix.ToUnlink(); len(u) != 1 || ix.RowOf(u[0].UID) != NoRow {
		t.Fatalf("%v", u)
	}
}

// With FsyncMessages flags are not waited for, all else is.
func TestFsyncMessages(t *testing.T) {
	m := disktest.NewMem()
	r := disktest.Wrap(m)
	o := testOptions(m, rootOf(t, r))
	o.Fsync = FsyncMessages
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, 5)})
	mustWait(t, ix)
	r.Reset()
	a := mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: 1, Flags: Seen}}})
	mustWait(t, ix)
	if n := r.Count(disktest.Sync); n != 0 || ix.Synced() >= a.Pos {
		t.Fatalf("%d syncs for flags", n)
	}
	b := mustApply(t, ix, &Batch{Adds: adds(5, 1)})
	mustWait(t, ix)
	if n := r.Count(disktest.Sync); n != 1 || ix.Synced() < b.Pos {
		t.Fatalf("%d syncs for a message", n)
	}
}

// One system call writes a batch, two make it durable, whatever its size.
func TestCalls(t *testing.T) {
	m := disktest.NewMem()
	r := disktest.Wrap(m)
	ix, _ := mustOpen(t, testOptions(m, rootOf(t, r)))
	mustApply(t, ix, &Batch{Adds: adds(0, 1000)})
	mustWait(t, ix)
	b := Batch{}
	for i := range Row(1000) {
		b.Flags = append(b.Flags, FlagChange{Row: i, Flags: Seen})
	}
	r.Reset()
	mustApply(t, ix, &b)
	if got := r.Counts(); !reflect.DeepEqual(got, map[disktest.Op]int{disktest.Write: 1}) {
		t.Fatalf("Apply: %v", got)
	}
	r.Reset()
	mustWait(t, ix)
	if got := r.Counts(); !reflect.DeepEqual(got, map[disktest.Op]int{disktest.Lstat: 1, disktest.Sync: 1}) {
		t.Fatalf("Wait: %v", got)
	}
	r.Reset()
	mustWait(t, ix)
	if r.Count() != 0 {
		t.Fatalf("Wait for what is durable: %v", r.Counts())
	}
}

// Many wait, few syncs; and a compaction runs beside.
func TestGroupCommit(t *testing.T) {
	m := disktest.NewMem()
	r := disktest.Wrap(m)
	ix, _ := mustOpen(t, testOptions(m, rootOf(t, r)))
	mustApply(t, ix, &Batch{Adds: adds(0, 100)})
	mustWait(t, ix)
	var mailbox sync.Mutex
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 200 {
				mailbox.Lock()
				a, err := ix.Apply(&Batch{Flags: []FlagChange{{Row: Row(g), Flags: Flags(n % 32)}}})
				mailbox.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				if err := ix.Wait(a.Pos); err != nil {
					t.Error(err)
					return
				}
				if ix.Synced() < a.Pos {
					t.Error("Wait came back too early")
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := ix.Compact(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if n := r.Count(disktest.Sync); n > 8*200+60 {
		t.Errorf("%d syncs", n)
	}
}

// Readers without a lock beside a writer: flags are at least as new as the
// mod-sequence read before them.
func TestReadersBesideWriter(t *testing.T) {
	m, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(m, dir))
	first := mustApply(t, ix, &Batch{Adds: adds(0, 10)})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				n := Row(ix.Len())
				for r := range min(n, 20) {
					m, f, _ := ix.State(r)
					// The writer gives the row the flags of its mod-sequence, counted from the first.
					if r < 10 && m > first.ModSeq {
						// Flags are stored first: they may be those of the row's next change, ten later.
						if now := ix.ModSeq(r); now == m && f != Flags(m%32) && f != Flags((m+10)%32) {
							t.Errorf("row %d: flags %v at %d", r, f, m)
							return
						}
					}
					_, _, _, _ = ix.Base(r), ix.Name(r), ix.Size(r), ix.Date(r)
				}
				if n > 0 && (ix.Base(n-1) == "" || ix.UID(n-1) == 0 || ix.UID(n-1) >= ix.UIDNext()) {
					t.Error("the last row is not whole")
					return
				}
				_ = ix.RowOf(ix.UIDNext() - 1)
			}
		})
	}
	for n := range 6000 {
		var b Batch
		if n%2 == 0 {
			next := ix.HighestModSeq() + 1
			b.Flags = []FlagChange{{Row: Row(n % 10), Flags: Flags(next % 32)}}
		} else {
			b.Adds = adds(100+n, 1)
			b.Agreed = []Agreed{{Row: Row(n % 10), Name: Name{Where: HasInfo | ExactInfo, Exact: "2,x"}, Base: fmt.Sprint("b", n)}}
		}
		mustApply(t, ix, &b)
	}
	close(done)
	wg.Wait()
}

// Names renamed over and over do not fill the block of a segment.
func TestBlockRepacked(t *testing.T) {
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	o.Fsync = FsyncNever
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, 2)})
	long := strings.Repeat("x", 240)
	for n := range 80000 {
		ix.setBase(0, fmt.Sprint(long, n))
	}
	if got := ix.Base(0); got != fmt.Sprint(long, 79999) || ix.Base(1) != adds(1, 1)[0].Base {
		t.Fatalf("%q %q", got, ix.Base(1))
	}
	s, _ := ix.seg(0)
	if len(s.block) > 1<<24 {
		t.Fatal("the block has no bound")
	}
	mustApply(t, ix, &Batch{Agreed: []Agreed{{Row: 0, Base: "short"}}})
}

func TestDump(t *testing.T) {
	v := newVictim(t, 1, 60)
	v.again(t)
	setJournal(t, v.dir, v.bytes)
	ix, _ := mustOpen(t, v.o)
	var b strings.Builder
	if err := ix.Dump(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"uidvalidity 1700000000\n", "messages ", "keyword 0 ", "message ", "expunged ", "modseq "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

func TestDate(t *testing.T) {
	for _, s := range []string{"2024-02-29T12:00:00+05:45", "1969-12-31T23:59:59-11:30", "2100-01-01T00:00:00Z"} {
		want, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		got := unpackDate(packDate(DateOf(want))).Time()
		if !got.Equal(want) || got.Format(time.RFC3339) != s {
			t.Errorf("%s became %s", s, got.Format(time.RFC3339))
		}
	}
	if (unpackDate(packDate(Date{}))) != (Date{}) {
		t.Error("an unknown date became known")
	}
}

func TestLetters(t *testing.T) {
	var all Letters
	for _, c := range "zaTSRPFDm" {
		all |= Letter(byte(c))
	}
	if got := all.String(); got != "DFPRSTamz" {
		t.Errorf("%q", got)
	}
	if Letter('X') != 0 || Letter(',') != 0 {
		t.Error("other letters count")
	}
}
