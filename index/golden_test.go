package index

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var writeGolden = flag.Bool("write-golden", false, "write testdata of a new format version; never over an old one")

const goldenFile = "testdata/v1.index"

// goldenIndex makes what the golden file of version 1 holds.
func goldenIndex(t *testing.T, o Options) *Index {
	t.Helper()
	ix, _, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ix.SetOf([]string{"$Forwarded", "work"})
	if err != nil {
		t.Fatal(err)
	}
	saved := time.Unix(1700000100, 0)
	mustApply(t, ix, &Batch{Adds: []Add{
		{Base: "1700000000.M1P1.host,S=10", Name: Name{Where: HasInfo, Letters: Letter('S')}, Flags: Seen, Date: Date{Sec: 1700000000, Zone: -330, Known: true}, Size: 10, SaveDate: saved},
		{Base: "1700000001.M2P1.host", Name: Name{Where: InNew}, Keywords: k, Size: UnknownSize},
		{UID: 10, Base: "1700000002.M3P1.host", Name: Name{Where: HasInfo | ExactInfo, Letters: Letter('F'), Exact: "2,FX"}, Flags: Flagged, Size: 30, SaveDate: saved},
		{Base: "1700000003.M4P1.host", Size: 40},
	}})
	mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: 3, Unlink: true, Size: 40, Mtime: time.Unix(1700000003, 7)}}})
	mustApply(t, ix, &Batch{Stamps: &Stamps{New: Stamp{1, 2, 3}, Cur: Stamp{4, 5, 6}}, FirstRecent: 2})
	mustWait(t, ix)
	later, err := ix.SetOf([]string{"later"})
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, ix, &Batch{
		Flags:   []FlagChange{{Row: 1, Flags: Seen | Answered, Keywords: later}},
		Renames: []Rename{{Row: 1, To: Name{Where: HasInfo, Letters: Letter('S') | Letter('R')}}},
	})
	mustApply(t, ix, &Batch{
		Intents: []Intent{{ID: ix.NewIntentID(), Kind: 2, From: "abc", Entries: []IntentEntry{{Add: Add{Base: "new.base", Size: 7}, Source: "old.base"}}}},
		Meta:    []Meta{{Row: 1, Size: 22}},
	})
	mustApply(t, ix, &Batch{Agreed: []Agreed{{Row: 0, Name: Name{Where: HasInfo}, Base: "1700000000.M1P1.host,U=1,S=10"}}})
	mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: 2}}})
	return ix
}

// The journal of version 1 opens for ever, and says what it always said.
func TestGolden(t *testing.T) {
	m, dir := memRoot(t)
	now := time.Unix(1700000200, 0)
	o := testOptions(m, dir)
	o.Now = func() time.Time { return now }
	if *writeGolden {
		if _, err := os.Stat(goldenFile); err == nil {
			t.Fatal("the golden file is there: it is never written again")
		}
		other := o
		_, other.Dir = memRoot(t)
		ix := goldenIndex(t, other)
		if err := ix.Close(); err != nil {
			t.Fatal(err)
		}
		b := bytes.TrimRight(journalBytes(t, other.Dir), "\x00")
		b = append(b, make([]byte, 64-len(b)%8)...)
		if err := os.WriteFile(goldenFile, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.FromSlash(goldenFile))
	if err != nil {
		t.Fatal(err)
	}
	f, err := dir.OpenFile(JournalName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	setJournal(t, dir, b)
	ix, rec := mustOpen(t, o)
	if len(rec.Damaged) > 0 || rec.Torn != 0 || rec.NewUIDValidity || rec.Jumped != "the journal is a copy of another file" {
		t.Fatalf("%+v", rec)
	}
	var dump strings.Builder
	if err := ix.Dump(&dump); err != nil {
		t.Fatal(err)
	}
	const dumpFile = "testdata/v1.dump"
	got := dump.String()[strings.Index(dump.String(), "messages "):] // not what random numbers and the jump make
	if *writeGolden {
		if err := os.WriteFile(dumpFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(dumpFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("dump:\n%s\nwant:\n%s", got, want)
	}
	if ix.UIDValidity() != testValidity || ix.UIDNext() != 12+1<<16 || ix.FirstRecent() != 2 || ix.Stamps() != (Stamps{Stamp{1, 0, 0}, Stamp{4, 0, 0}}) {
		t.Errorf("UIDVALIDITY %d, UIDNEXT %d, first recent %d, %v", ix.UIDValidity(), ix.UIDNext(), ix.FirstRecent(), ix.Stamps())
	}
	if ix.HighestModSeq() != 1700000200<<20+4+1<<32 {
		t.Errorf("HIGHESTMODSEQ %d is %d above the first", ix.HighestModSeq(), ix.HighestModSeq()-1700000200<<20)
	}
}
