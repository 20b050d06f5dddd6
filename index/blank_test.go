package index

import (
	"math/rand/v2"
	"testing"

	"github.com/emersion/go-imap/v2"

	"roost/disk/disktest"
)

// A process is killed before its sync, the next one reads what it wrote and
// tells it: then that must outlast a loss of power too.
func TestKilledBeforeSync(t *testing.T) {
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	ix, _, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, ix, &Batch{Adds: namesOnly(0, 3)})
	if err := ix.Wait(ix.Pos()); err != nil {
		t.Fatal(err)
	}
	mustApply(t, ix, &Batch{Adds: namesOnly(3, 2)}) // not waited for
	next, _ := mustOpen(t, o)                       // ix is never used again
	if next.Len() != 5 {
		t.Fatalf("%d rows after the kill", next.Len())
	}
	if err := next.Wait(next.Pos()); err != nil {
		t.Fatal(err)
	}
	lost := m.Clone()
	lost.Crash(rand.New(rand.NewPCG(1, 2)), disktest.Nothing)
	at, err := lost.OpenRoot(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	last, _ := mustOpen(t, testOptions(lost, at))
	if last.Len() != 5 || last.UIDNext() != next.UIDNext() {
		t.Errorf("%d rows, UIDNEXT %d: told were 5 and %d", last.Len(), last.UIDNext(), next.UIDNext())
	}
}

// A blank index writes nothing, and raises what it tells; what Known says of it
// is enough for the next Open.
func TestBlank(t *testing.T) {
	m, dir := memRoot(t)
	rec := disktest.Wrap(m)
	at, err := rec.OpenRoot(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(rec, at)
	var known Known
	o.Raise = func(uidNext imap.UID, modSeq ModSeq) error {
		known.UIDNext, known.ModSeq = uidNext, modSeq
		return nil
	}
	ix, _ := mustOpen(t, o)
	if !ix.Blank() {
		t.Fatal("not blank")
	}
	rec.Reset()
	if err := ix.Wait(ix.Pos()); err != nil {
		t.Fatal(err)
	}
	if known.UIDNext != 1 || known.ModSeq != ix.HighestModSeq() {
		t.Errorf("raised to %+v, HIGHESTMODSEQ is %d", known, ix.HighestModSeq())
	}
	known.UIDValidity, known.ID = ix.UIDValidity(), ix.ID()
	told := known
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	if n := rec.Count(); n > 0 {
		t.Errorf("%d calls: %v", n, rec.Counts())
	}
	rec.Turn(1e12)
	for _, begin := range []bool{false, true} {
		o.Known = told
		ix, _ = mustOpen(t, o)
		if begin {
			ix.Begin()
		} else {
			mustApply(t, ix, &Batch{Adds: namesOnly(0, 1)})
		}
		if ix.Blank() {
			t.Error("still blank")
		}
		if err := ix.Wait(ix.Pos()); err != nil {
			t.Fatal(err)
		}
		if known.UIDNext <= ix.UIDNext() || known.ModSeq <= ix.HighestModSeq() {
			t.Errorf("ceilings %+v", known)
		}
		if ix.UIDValidity() != told.UIDValidity || ix.ID() != told.ID || begin && (ix.UIDNext() != 1 || ix.HighestModSeq() != told.ModSeq) {
			t.Errorf("another mailbox than %+v", told)
		}
		if err := ix.Close(); err != nil {
			t.Fatal(err)
		}
		again, _ := mustOpen(t, o)
		if again.Blank() || again.Len() != ix.Len() {
			t.Errorf("%d rows", again.Len())
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if err := at.Unlink(JournalName); err != nil {
			t.Fatal(err)
		}
	}
}
