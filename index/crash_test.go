package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"

	"roost/disk/disktest"
)

// errPower is what every call answers once the power is gone.
var errPower = errors.New("power lost")

// A trial is one run of random batches on a file system that may fail.
type trial struct {
	o      Options
	worlds []*world // after each batch
	acked  int      // the last one known durable, an index into worlds
	told   imap.UID // UIDNEXT and HIGHESTMODSEQ when it was
	toldM  ModSeq
	known  Known // ceilings, durable
	failed error
}

// run works until something fails.
func (tr *trial) run(t *testing.T, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 3))
	w := newWorld()
	tr.worlds = []*world{w.clone()}
	tr.o.Raise = func(next imap.UID, m ModSeq) error {
		tr.known = Known{UIDValidity: testValidity, ID: MailboxID{1, 2, 3}, UIDNext: next, ModSeq: m}
		return nil
	}
	ix, _, err := Open(tr.o)
	if tr.failed = err; err != nil {
		return
	}
	for range steps {
		_, err := w.step(t, ix, rng)
		if err != nil {
			tr.failed = err
			return
		}
		tr.worlds = append(tr.worlds, w.clone())
		if rng.IntN(3) == 0 {
			if tr.failed = ix.Wait(ix.Pos()); tr.failed != nil {
				return
			}
			tr.acked, tr.told, tr.toldM = len(tr.worlds)-1, ix.UIDNext(), ix.HighestModSeq()
		}
		if rng.IntN(8) == 0 {
			if err := ix.Compact(); err != nil && ix.Err() != nil {
				tr.failed = err
				return
			}
		}
		w.coming = nil
	}
	if tr.failed = ix.Close(); tr.failed == nil {
		tr.acked, tr.told, tr.toldM = len(tr.worlds)-1, ix.UIDNext(), ix.HighestModSeq()
	}
}

// verify opens what is left and checks that nothing acknowledged is lost.
func (tr *trial) verify(t *testing.T, m *disktest.Mem, what string) {
	t.Helper()
	o := testOptions(m, rootOf(t, m))
	o.Known = tr.known
	ix, rec, err := Open(o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer abandon(ix)
	if len(rec.Damaged) > 0 || tr.told > 0 && rec.NewUIDValidity {
		t.Fatalf("%s: %+v", what, rec)
	}
	worlds := tr.worlds[tr.acked:]
	if last := worlds[len(worlds)-1]; last.coming != nil {
		worlds = append(worlds, last.coming)
	}
	if d := diffAny(ix, worlds, rec.Jumped != ""); d != "" {
		t.Fatalf("%s: acked %d of %d, %+v:\n%s", what, tr.acked, len(tr.worlds), rec, d)
	}
	if ix.UIDNext() < tr.told || ix.HighestModSeq() < tr.toldM {
		t.Fatalf("%s: UIDNEXT %d below %d, or HIGHESTMODSEQ %d below %d", what, ix.UIDNext(), tr.told, ix.HighestModSeq(), tr.toldM)
	}
	a, err := ix.Apply(&Batch{Adds: []Add{{Base: "new", Size: UnknownSize}}})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := ix.Wait(a.Pos); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := ix.Check(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// The power fails before every single call, and any subset of what was not
// synced is lost.
func TestPowerLossEverywhere(t *testing.T) {
	const steps = 24
	for seed := range uint64(max(3/disktest.Stride, 1)) {
		for _, how := range []disktest.Survival{disktest.Random, disktest.Ordered, disktest.Nothing, disktest.Everything} {
			for at := 1; ; at++ {
				m := disktest.NewMem()
				r := disktest.Wrap(m)
				tr := &trial{o: testOptions(m, rootOf(t, r))}
				r.Reset()
				r.Fail(disktest.Rule{Nth: at, Sticky: true, Err: errPower})
				tr.run(t, seed, steps)
				done := r.Count() < at
				m.Crash(rand.New(rand.NewPCG(seed, uint64(at))), how)
				tr.verify(t, m, fmt.Sprintf("seed %d, survival %d, call %d (run: %v)", seed, how, at, tr.failed))
				if done {
					break
				}
			}
		}
	}
}

// The n-th call of each kind fails, for every n: the error is told, nothing
// acknowledged is lost, and after Rebuild or Open all goes on.
func TestEveryCallFails(t *testing.T) {
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		for _, op := range []disktest.Op{disktest.Write, disktest.Sync, disktest.SyncDir, disktest.Create, disktest.Open,
			disktest.Rename, disktest.Unlink, disktest.Lstat, disktest.Stat, disktest.Read, disktest.Truncate} {
			for nth := 1; nth < 500; nth++ {
				m := disktest.NewMem()
				r := disktest.Wrap(m)
				tr := &trial{o: testOptions(m, rootOf(t, r))}
				r.Fail(disktest.Rule{Op: op, Nth: nth, Err: err, Short: op == disktest.Write})
				before := r.Count(op)
				tr.run(t, 5, 30)
				fired := r.Count(op)-before >= nth
				r.Clear()
				m.Crash(rand.New(rand.NewPCG(uint64(nth), 9)), disktest.Everything)
				tr.verify(t, m, fmt.Sprintf("%s number %d: %v (run: %v)", op, nth, err, tr.failed))
				if !fired {
					break
				}
			}
		}
	}
}

// A failed sync poisons; Rebuild goes back to what was durable, jumped.
func TestRebuild(t *testing.T) {
	for _, evict := range []bool{false, true} {
		for seed := range uint64(10) {
			m, dir := memRoot(t)
			o := testOptions(m, dir)
			ix, _, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(seed, 4))
			w := newWorld()
			for range 20 + rng.IntN(20) {
				if _, err := w.step(t, ix, rng); err != nil {
					t.Fatal(err)
				}
			}
			mustWait(t, ix)
			acked := w.clone()
			for range 5 {
				if _, err := w.step(t, ix, rng); err != nil {
					t.Fatal(err)
				}
			}
			m.FailSync(1, evict)
			next, highest := ix.UIDNext(), ix.HighestModSeq()
			if err := ix.Wait(ix.Pos()); !errors.Is(err, ErrPoisoned) || !errors.Is(err, syscall.EIO) {
				t.Fatalf("Wait after a failed sync: %v", err)
			}
			if _, err := ix.Apply(&Batch{Heartbeat: true}); !errors.Is(err, ErrPoisoned) {
				t.Fatalf("Apply after a failed sync: %v", err)
			}
			if err := ix.Wait(1); !errors.Is(err, ErrPoisoned) {
				t.Fatalf("Wait for what was durable: %v", err)
			}
			fresh, rec, err := ix.Rebuild()
			if err != nil {
				t.Fatal(err)
			}
			if rec.Jumped == "" || fresh.UIDNext() < next+1<<16 || fresh.HighestModSeq() < highest+1<<32 {
				t.Fatalf("%+v: UIDNEXT %d from %d, HIGHESTMODSEQ %d from %d", rec, fresh.UIDNext(), next, fresh.HighestModSeq(), highest)
			}
			if d := acked.diff(fresh, true); d != "" {
				t.Fatalf("seed %d evict %v: %s", seed, evict, d)
			}
			if fresh.Synced() < fresh.Pos() {
				t.Fatal("Rebuild is not durable")
			}
			m.Crash(rng, disktest.Nothing)
			o.Dir = rootOf(t, m)
			again, rec := mustOpen(t, o)
			if d := acked.diff(again, true); d != "" || len(rec.Damaged) > 0 {
				t.Fatalf("%s %+v", d, rec)
			}
			if _, err := ix.Apply(&Batch{Heartbeat: true}); !errors.Is(err, ErrClosed) {
				t.Fatalf("the old Index still takes batches: %v", err)
			}
		}
	}
}

// On a full disk expunges, removed flags and the to-unlink list still work,
// after the cache gave its room, and everything works again with room.
func TestDiskFull(t *testing.T) {
	m, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(m, dir))
	mustApply(t, ix, &Batch{Adds: adds(0, 1000)})
	mustWait(t, ix)
	for r := range Row(50) {
		if err := ix.Cache().Put(r, CacheEntry{Payload: make([]byte, 4000)}); err != nil {
			t.Fatal(err)
		}
	}
	cached := ix.Cache().size
	m.SetCapacity(ix.alloc + cached + 1000)
	n := 0
	var err error
	for ; err == nil && n < 100000; n++ {
		_, err = ix.Apply(&Batch{Adds: adds(2000+n, 1)})
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a full disk gives %v after %d", err, n)
	}
	if ix.Cache().Has(0) {
		t.Fatal("the cache was not truncated")
	}
	if ix.Live() != 1000+n-1 {
		t.Fatalf("%d messages after %d were added", ix.Live(), n-1)
	}
	mustCheck(t, ix)
	for r := range Row(200) {
		mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: r, Flags: Seen | Deleted}}})
		mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: r, Unlink: true}}})
	}
	mustWait(t, ix)
	if _, err := ix.Apply(&Batch{Flags: []FlagChange{{Row: 500, Flags: Seen | Flagged}}}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the reserve is for everyone: %v", err)
	}
	m.SetCapacity(-1)
	mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: 500, Flags: Seen | Flagged}}})
	mustWait(t, ix)
}

// The journal removed or replaced under a running index is written anew
// before anything is acknowledged.
func TestUnlinkedWhileOpen(t *testing.T) {
	for name, remove := range map[string]func(t *testing.T, m *disktest.Mem){
		"removed": func(t *testing.T, m *disktest.Mem) {
			if err := rootOf(t, m).Unlink(JournalName); err != nil {
				t.Fatal(err)
			}
		},
		"replaced": func(t *testing.T, m *disktest.Mem) {
			d := rootOf(t, m)
			other, _, err := Open(Options{Dir: d, NewUIDValidity: func() (uint32, error) { return 9, nil }, NewID: func() MailboxID { return MailboxID{9} }})
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Compact(); err != nil {
				t.Fatal(err)
			}
			abandon(other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, dir := memRoot(t)
			o := testOptions(m, dir)
			ix, _ := mustOpen(t, o)
			mustApply(t, ix, &Batch{Adds: adds(0, 10)})
			mustWait(t, ix)
			remove(t, m)
			mustApply(t, ix, &Batch{Adds: adds(10, 1)})
			mustWait(t, ix)
			mustApply(t, ix, &Batch{Adds: adds(11, 1)})
			mustWait(t, ix)
			mustCheck(t, ix)
			abandon(ix)
			m.Crash(rand.New(rand.NewPCG(1, 1)), disktest.Nothing)
			o.Dir = rootOf(t, m)
			again, rec := mustOpen(t, o)
			if again.Live() != 12 || again.UIDValidity() != testValidity || rec.Jumped != "" {
				t.Fatalf("%d messages, %+v", again.Live(), rec)
			}
		})
	}
}

// Batches that come while a new file is written are in it, durably.
func TestApplyWhileCompacting(t *testing.T) {
	m := disktest.NewMem()
	r := disktest.Wrap(m)
	o := testOptions(m, rootOf(t, r))
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, 10)})
	mustWait(t, ix)
	n := 0
	r.Before(func(c disktest.Call) {
		if c.Op != disktest.Write || c.Name != newName || n > 0 {
			return
		}
		n++
		a := mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: 3, Flags: Draft}}, Expunges: []Expunge{{Row: 4, Unlink: true}}})
		mustApply(t, ix, &Batch{Adds: adds(10, 5000)})
		if err := ix.Wait(a.Pos); err != nil {
			t.Error(err)
		}
	})
	if err := ix.Compact(); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	r.Before(nil)
	if ix.Synced() != ix.Pos() {
		t.Fatal("a new file is durable as a whole")
	}
	mustCheck(t, ix)
	abandon(ix)
	m.Crash(rand.New(rand.NewPCG(1, 1)), disktest.Nothing)
	o.Dir = rootOf(t, m)
	ix, rec := mustOpen(t, o)
	if ix.Live() != 5009 || ix.Flags(3) != Draft || ix.RowOf(5) != NoRow || len(ix.ToUnlink()) != 1 || rec.Jumped != "" {
		t.Fatalf("%d messages, %+v", ix.Live(), rec)
	}
}

// A torn tail on a disk that is full: the index opens all the same.
func TestTornOnFullDisk(t *testing.T) {
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, 10)})
	mustWait(t, ix)
	end := ix.end
	abandon(ix)
	setJournal(t, dir, append(journalBytes(t, dir)[:end], "garbage"...))
	m.SetCapacity(end + 10)
	ix, rec := mustOpen(t, o)
	if ix.Live() != 10 || rec.Torn == 0 || rec.Jumped == "" {
		t.Fatalf("%d messages, %+v", ix.Live(), rec)
	}
	if err := ix.Wait(ix.Pos()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a jump that could not be written: %v", err)
	}
	m.SetCapacity(-1)
	fresh, _, err := ix.Rebuild()
	if err != nil || fresh.Live() != 10 {
		t.Fatal(err)
	}
	mustClose(t, fresh)
}
