package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"roost/disk/disktest"
)

// wantRebuilt lets the syncer rebuild a mailbox whose journal is poisoned, and
// opens a View of it.
func wantRebuilt(t *testing.T, mb *Mailbox) *View {
	t.Helper()
	for range 60 {
		synctest.Wait()
		v, err := mb.Open(context.Background(), false, &Barrier{})
		if err == nil {
			return v
		}
		if !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		timer := time.NewTimer(time.Second)
		<-timer.C
	}
	t.Fatal("the mailbox does not come back")
	return nil
}

// TestBarrierOutlivesRebuild: what a session was about to tell when a sync of
// somebody else failed is not acknowledged by the journal that is written
// afterwards, however far that has come.
func TestBarrierOutlivesRebuild(t *testing.T) {
	inMemory(t, 4, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
		a, err := box.mb.Open(context.Background(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.b.Wait(); err != nil {
			t.Fatal(err)
		}
		store(t, a, StoreAdd, one(2), Flagged)
		rec.Fail(disktest.Rule{Op: disktest.Sync, Nth: 1, Err: syscall.EIO})
		if err := box.mb.waitDurable(box.mb.index(), position(box.mb.index().Pos())); err == nil {
			t.Fatal("the sync did not fail")
		}
		b := wantRebuilt(t, box.mb)
		defer b.Close()
		for range 20 { // far beyond the position that a waits for
			store(t, b, StoreAdd, one(1), Seen)
			store(t, b, StoreRemove, one(1), Seen)
		}
		if err := b.b.Wait(); err != nil {
			t.Fatal(err)
		}
		if err := a.b.Wait(); err == nil {
			t.Error("a STORE of before the failed sync is acknowledged")
		}
		a.Close()
	})
}

// TestSyncFailsAnywhere fails each sync of a workload once, with the old octets
// back in the page cache: nothing that was acknowledged depends on it, and the
// mailbox comes back without a restart (F8).
func TestSyncFailsAnywhere(t *testing.T) {
	for n := 1; n < 200; n++ {
		reached := true
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inMemory(t, 4, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
				reached = syncFailsOnce(t, box, rec, n)
			})
		})
		if t.Failed() {
			return
		}
		if !reached {
			return
		}
	}
	t.Error("the workload never got by without a failure")
}

// syncFailsOnce runs commands while the n-th sync of a file fails; false if
// there were fewer.
func syncFailsOnce(t *testing.T, box *crashBox, rec *disktest.Recorder, n int) bool {
	var syncs atomic.Int64
	rec.Fail(disktest.Rule{Op: disktest.Sync, Nth: n, Err: syscall.EIO})
	rec.Before(func(c disktest.Call) {
		if c.Op == disktest.Sync {
			syncs.Add(1)
		}
	})
	acked := map[int]bool{}
	flags := map[string][]Flags{} // what is allowed, by body
	rng := rand.New(rand.NewPCG(uint64(n), 8))
	for i := range 8 {
		v := wantRebuilt(t, box.mb)
		if v.b.Wait() != nil {
			v.Close()
			continue
		}
		two := []string{fmt.Sprintf("a: %d\r\n\r\n", i), fmt.Sprintf("b: %d\r\n\r\n", i)}
		if _, err := appendTo(box.mb, AppendMeta{}, v.b, two...); err == nil && v.b.Wait() == nil {
			acked[i] = true
		}
		seq := SeqNum(1 + rng.IntN(4))
		want := Flags(1) << rng.IntN(3)
		name := crashBody(int(seq))
		if _, err := v.Store(context.Background(), one(seq), StoreOp{Mode: StoreReplace, Flags: want}); err == nil && v.b.Wait() == nil {
			flags[name] = []Flags{want}
		} else {
			if len(flags[name]) == 0 {
				flags[name] = []Flags{0}
			}
			flags[name] = append(flags[name], want)
		}
		v.Close()
	}
	rec.Clear()
	for again := range 2 {
		v := wantRebuilt(t, box.mb)
		for num := SeqNum(1); num <= 4; num++ {
			name := crashBody(int(num))
			got := v.Message(num).Flags
			some, all := Flags(0), ^Flags(0) // each flag is as before or as after
			for _, f := range flags[name] {
				some, all = some|f, all&f
			}
			if len(flags[name]) > 0 && (got&^some != 0 || all&^got != 0) {
				t.Errorf("sync %d failed: message %d has flags %v, allowed %v (restart %d)", n, num, got, flags[name], again)
			}
		}
		v.Close()
		all := bodies(t, box.mb)
		for i := range 8 {
			a, b := countBody(all, fmt.Sprintf("a: %d\n\n", i)), countBody(all, fmt.Sprintf("b: %d\n\n", i))
			if a > 1 || a != b || acked[i] && a != 1 {
				t.Errorf("sync %d failed: MULTIAPPEND, acknowledged %v, is there %d and %d times (restart %d)", n, acked[i], a, b, again)
			}
		}
		if err := checkAtRest(box.mb); err != nil {
			t.Errorf("sync %d failed: %v", n, err)
		}
		if again == 0 {
			if err := box.mb.close(); err != nil {
				t.Error(err)
			}
			if err := box.open(rec); err != nil {
				t.Fatal(err)
			}
		}
	}
	rec.Before(nil)
	return syncs.Load() >= int64(n)
}
