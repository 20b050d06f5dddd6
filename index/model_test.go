package index

import (
	"math/rand/v2"
	"testing"
	"time"

	"roost/disk/disktest"
)

// Random batches against the simplest model; now and then the index is closed,
// left without closing, or compacted, and must say the same afterwards.
func TestModel(t *testing.T) {
	for seed := range uint64(max(20/disktest.Stride, 4)) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fsys, dir := memRoot(t)
		o := testOptions(fsys, dir)
		ix, _ := mustOpen(t, o)
		w := newWorld()
		for n := range 300 {
			if _, err := w.step(t, ix, rng); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, n, err)
			}
			switch rng.IntN(20) {
			case 0:
				mustClose(t, ix)
				var rec Recovery
				if ix, rec = mustOpen(t, o); !rec.Clean || rec.Jumped != "" {
					t.Fatalf("seed %d step %d: %+v", seed, n, rec)
				}
			case 1: // the process dies
				mustWait(t, ix)
				mustCheck(t, ix)
				abandon(ix)
				var rec Recovery
				if ix, rec = mustOpen(t, o); rec.Clean || rec.Jumped != "" || rec.Torn != 0 {
					t.Fatalf("seed %d step %d: %+v", seed, n, rec)
				}
			case 2:
				if err := ix.Compact(); err != nil {
					t.Fatal(err)
				}
			}
			if d := w.diff(ix, false); d != "" {
				t.Fatalf("seed %d step %d: %s", seed, n, d)
			}
		}
		mustClose(t, ix)
	}
}

// abandon closes the files as the end of a process does.
func abandon(ix *Index) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.file != nil {
		_ = ix.file.Close()
	}
	ix.file, ix.closed = nil, true
	ix.cache.mu.Lock()
	defer ix.cache.mu.Unlock()
	if ix.cache.file != nil {
		_ = ix.cache.file.Close()
	}
	ix.cache.file, ix.cache.broken, ix.cache.loaded = nil, true, true
}

func TestFirstModSeqIsTheTime(t *testing.T) {
	fsys, dir := memRoot(t)
	ix, rec := mustOpen(t, testOptions(fsys, dir))
	if !rec.Created || !rec.NewUIDValidity || rec.Jumped != "" {
		t.Fatalf("%+v", rec)
	}
	got := uint64(ix.HighestModSeq()) >> 20
	if now := uint64(time.Now().Unix()); got > now || got+100 < now {
		t.Fatalf("first mod-sequence is of %d, now is %d", got, now)
	}
	if !dirEmpty(t, dir) {
		t.Fatal("Open wrote something")
	}
	mustWait(t, ix)
	if dirEmpty(t, dir) {
		t.Fatal("Wait wrote nothing")
	}
}

// One mod-sequence for a batch, a higher one for the next.
func TestModSeqOrder(t *testing.T) {
	fsys, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(fsys, dir))
	a := mustApply(t, ix, &Batch{Adds: adds(0, 3)})
	b := mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: 0, Flags: Flagged}, {Row: 2}}})
	c := mustApply(t, ix, &Batch{Meta: []Meta{{Row: 1, Size: 5}}})
	if b.ModSeq <= a.ModSeq || c.ModSeq != 0 || c.Pos <= b.Pos || b.Pos <= a.Pos {
		t.Fatalf("%+v %+v %+v", a, b, c)
	}
	if ix.ModSeq(0) != b.ModSeq || ix.ModSeq(2) != b.ModSeq || ix.ModSeq(1) != a.ModSeq || ix.HighestModSeq() != b.ModSeq {
		t.Fatal("rows have other mod-sequences than the batches")
	}
	if d := mustApply(t, ix, &Batch{}); d.Pos != c.Pos {
		t.Fatal("an empty batch was written")
	}
}
