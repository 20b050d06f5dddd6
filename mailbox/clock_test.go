package mailbox

import (
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"roost/disk"
	"roost/disk/disktest"
)

// TestClockJumps turns the clock while mail comes in: UIDs, mod-sequences and
// UIDVALIDITY only rise, every delivery is told within a minute, and what
// others write in tmp/ meanwhile is not taken for left over (F12).
func TestClockJumps(t *testing.T) {
	year := 365 * 24 * time.Hour
	for _, jump := range []time.Duration{-time.Hour, -10 * year, 10 * year} {
		t.Run(fmt.Sprint(jump), func(t *testing.T) {
			inMemory(t, 3, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
				clockJump(t, box, rec, jump)
			})
		})
	}
}

func clockJump(t *testing.T, box *crashBox, rec *disktest.Recorder, jump time.Duration) {
	validity := box.mb.UIDValidity()
	var next, modSeq uint64
	v, err := box.mb.Open(context.Background(), false, &Barrier{})
	if err != nil {
		t.Fatal(err)
	}
	look := func(when string, want int) {
		t.Helper()
		for range 60 {
			synctest.Wait()
			timer := time.NewTimer(time.Second)
			<-timer.C
			if err := v.Refresh(context.Background()); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Sync(SyncEverything); err != nil {
				t.Fatal(err)
			}
			if v.Len() == want {
				break
			}
		}
		if v.Len() != want {
			t.Fatalf("%s: %d messages after a minute, want %d", when, v.Len(), want)
		}
		if uint64(v.UIDNext()) <= next || uint64(v.HighestModSeq()) <= modSeq || box.mb.UIDValidity() != validity {
			t.Errorf("%s: UIDNEXT %d after %d, HIGHESTMODSEQ %d after %d, UIDVALIDITY %d after %d", when,
				v.UIDNext(), next, v.HighestModSeq(), modSeq, box.mb.UIDValidity(), validity)
		}
		next, modSeq = uint64(v.UIDNext()), uint64(v.HighestModSeq())
	}
	look("before", 3)
	inTmp(t, rec, "/a", "unfinished")
	rec.Turn(jump)
	memDeliver(t, rec, "/a", "100.m:2,")
	look("a delivery after the jump", 4)
	if _, err := appendTo(box.mb, AppendMeta{}, v.b, "x: y\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	store(t, v, StoreAdd, one(1), Flagged)
	look("APPEND after the jump", 5)
	v.Close()
	box.mb.purge()
	if !hasTmp(t, rec, "/a", "unfinished") {
		t.Error("a file in tmp/ that is minutes old was removed")
	}
	if err := box.mb.close(); err != nil {
		t.Fatal(err)
	}
	rec.Turn(0) // and back again
	if err := box.open(rec); err != nil {
		t.Fatal(err)
	}
	if v, err = box.mb.Open(context.Background(), false, &Barrier{}); err != nil {
		t.Fatal(err)
	}
	memDeliver(t, rec, "/a", "101.m:2,")
	look("a delivery after the clock was set right", 6)
	v.Close()
}

// inTmp makes a file in tmp/ as an MTA does.
func inTmp(t *testing.T, fsys disk.FS, path, name string) {
	t.Helper()
	root, err := fsys.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tmp, err := root.OpenDir("tmp")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	f, err := tmp.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func hasTmp(t *testing.T, fsys disk.FS, path, name string) bool {
	t.Helper()
	root, err := fsys.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tmp, err := root.OpenDir("tmp")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	_, err = tmp.Lstat(name)
	return err == nil
}
