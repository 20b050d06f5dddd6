package mailbox

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"roost/disk"
	"roost/disk/disktest"
)

// inMemory runs f with a mailbox of n messages on a file system in memory, with
// the clock of the test.
func inMemory(t *testing.T, n int, f func(t *testing.T, box *crashBox, rec *disktest.Recorder)) {
	synctest.Test(t, func(t *testing.T) {
		mem := disktest.NewMem()
		if err := mem.MkdirRoot("/a", 0o700); err != nil {
			t.Fatal(err)
		}
		rec := disktest.Wrap(mem)
		box := &crashBox{path: "/a", slot: &testSlot{}}
		if err := box.open(rec); err != nil {
			t.Fatal(err)
		}
		if err := box.mb.close(); err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= n; i++ {
			memDeliver(t, mem, "/a", fmt.Sprintf("%d.m:2,", i))
		}
		if err := box.open(rec); err != nil {
			t.Fatal(err)
		}
		f(t, box, rec)
		if err := box.mb.close(); err != nil {
			t.Error(err)
		}
	})
}

// inCur gives the directory cur/ of a mailbox to the hands of others.
func inCur(t *testing.T, fsys disk.FS, path string, f func(cur disk.Dir)) {
	t.Helper()
	root, err := fsys.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	cur, err := root.OpenDir("cur")
	if err != nil {
		t.Fatal(err)
	}
	defer cur.Close()
	f(cur)
}

// pass lets d go by, in steps in which a client sends NOOP.
func pass(t *testing.T, v *View, d time.Duration) (expunged int) {
	t.Helper()
	for ; d > 0; d -= time.Second {
		timer := time.NewTimer(time.Second)
		<-timer.C
		if err := v.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		c, err := v.Sync(SyncEverything)
		if err != nil {
			t.Fatal(err)
		}
		expunged += len(c.Expunged)
	}
	return expunged
}

// TestPollingStrikes: without events a missing file is expunged after two
// counting scans, not before.
func TestPollingStrikes(t *testing.T) {
	inMemory(t, 5, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
		v, err := box.mb.Open(context.Background(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		inCur(t, rec, "/a", func(cur disk.Dir) {
			if err := cur.Unlink("2.m:2,"); err != nil {
				t.Fatal(err)
			}
		})
		if err := v.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		if c, err := v.Sync(SyncEverything); err != nil || len(c.Expunged) != 0 {
			t.Fatalf("expunged at once: %+v %v", c, err)
		}
		if n := pass(t, v, 10*time.Second); n != 1 {
			t.Errorf("%d expunged", n)
		}
		wantText(t, v, "1:1 2:3 3:4 4:5")
	})
}

// TestMassDisappearance: it is believed after 30 seconds, if the directory is
// the one that holds our index (R17).
func TestMassDisappearance(t *testing.T) {
	inMemory(t, 30, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
		v, err := box.mb.Open(context.Background(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		inCur(t, rec, "/a", func(cur disk.Dir) {
			for i := 1; i <= 30; i++ {
				if err := cur.Unlink(fmt.Sprintf("%d.m:2,", i)); err != nil {
					t.Fatal(err)
				}
			}
		})
		if n := pass(t, v, 25*time.Second); n != 0 {
			t.Errorf("%d expunged within 25 s", n)
		}
		if n := pass(t, v, 60*time.Second); n != 30 {
			t.Errorf("%d expunged after 85 s", n)
		}
	})
}

// TestLossWithoutIndex: if our index is gone too, nothing is expunged and the
// mailbox is offline until it is back.
func TestLossWithoutIndex(t *testing.T) {
	inMemory(t, 5, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
		v, err := box.mb.Open(context.Background(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if err := v.b.Wait(); err != nil {
			t.Fatal(err)
		}
		rec.Fail(disktest.Rule{Op: disktest.ReadDir, Nth: 1, Sticky: true, Err: syscall.EIO})
		inCur(t, rec, "/a", func(cur disk.Dir) {
			if err := cur.Unlink("1.m:2,"); err != nil {
				t.Fatal(err)
			}
		})
		if err := v.Refresh(context.Background()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("refresh: %v", err)
		}
		if _, err := box.mb.Open(context.Background(), false, &Barrier{}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("open: %v", err)
		}
		if c, err := v.Sync(SyncEverything); err != nil || len(c.Expunged) > 0 {
			t.Errorf("expunged by an error: %+v %v", c, err)
		}
		rec.Clear()
		if n := pass(t, v, 10*time.Second); n != 1 {
			t.Errorf("%d expunged when it is back", n)
		}
	})
}

// TestSyncFails: no session goes on, the mailbox is rebuilt from what is on the
// disk, and a client sees a jump and no lost message.
func TestSyncFails(t *testing.T) {
	inMemory(t, 4, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
		v, err := box.mb.Open(context.Background(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.b.Wait(); err != nil {
			t.Fatal(err)
		}
		uidNext, modSeq, uidv := v.UIDNext(), v.HighestModSeq(), box.mb.UIDValidity()
		rec.Fail(disktest.Rule{Op: disktest.Sync, Nth: 1, Err: syscall.EIO})
		store(t, v, StoreAdd, one(2), Seen)
		if err := v.b.Wait(); err == nil {
			t.Fatal("the sync did not fail")
		}
		if _, err := v.Sync(SyncEverything); !errors.Is(err, ErrGone) {
			t.Errorf("sync of the old view: %v", err)
		}
		if _, err := v.Store(context.Background(), one(1), StoreOp{Flags: Seen}); err == nil {
			t.Error("the old view can store")
		}
		v.Close()
		timer := time.NewTimer(time.Second)
		<-timer.C
		synctest.Wait()
		v, err = box.mb.Open(context.Background(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if err := v.b.Wait(); err != nil {
			t.Fatal(err)
		}
		if v.Len() != 4 || v.UID(4) != 4 || v.UIDNext() <= uidNext || v.HighestModSeq() <= modSeq || box.mb.UIDValidity() != uidv {
			t.Errorf("view %q, UIDNEXT %d, HIGHESTMODSEQ %d", text(v), v.UIDNext(), v.HighestModSeq())
		}
		if err := box.mb.Check(); err != nil {
			t.Error(err)
		}
	})
}

// TestRemovedFromOutside: its sessions end (R16).
func TestRemovedFromOutside(t *testing.T) {
	inMemory(t, 1, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
		v, err := box.mb.Open(context.Background(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		woken := make(chan struct{}, 1)
		v.OnChange(func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
		box.slot.mu.Lock()
		box.slot.gone = true
		box.slot.mu.Unlock()
		timer := time.NewTimer(2 * pollTime)
		<-timer.C
		select {
		case <-woken:
		default:
			t.Error("the session is not woken")
		}
		if _, err := v.Sync(SyncEverything); !errors.Is(err, ErrGone) {
			t.Errorf("sync: %v", err)
		}
	})
}

// TestReloadWithoutScan: directories that look as they were proved to be are
// not read again; another look is.
func TestReloadWithoutScan(t *testing.T) {
	inMemory(t, 3, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
		v, err := box.mb.Open(context.Background(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		store(t, v, StoreAdd, one(1), Seen)
		pass(t, v, 5*time.Second)
		v.Close()
		again := func(want uint64, list string) {
			t.Helper()
			if err := box.mb.close(); err != nil {
				t.Fatal(err)
			}
			if err := box.open(rec); err != nil {
				t.Fatal(err)
			}
			if n := box.mb.count.Scans.Load(); n != want {
				t.Errorf("%d scans, want %d", n, want)
			}
			v, err := box.mb.Open(context.Background(), true, &Barrier{})
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			wantText(t, v, list)
			pass(t, v, 5*time.Second)
		}
		again(0, "1:1(S) 2:2 3:3")
		if err := box.mb.close(); err != nil {
			t.Fatal(err)
		}
		memDeliver(t, rec, "/a", "9.z:2,F")
		if err := box.open(rec); err != nil {
			t.Fatal(err)
		}
		again(1, "1:1(S) 2:2 3:3 4:4(F)")
	})
}
