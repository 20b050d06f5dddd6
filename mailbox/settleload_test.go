package mailbox

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What was deleted and renamed between two runs is known when a mailbox is
// opened, and no second scan is needed.
func TestLoadAfterOutsideChanges(t *testing.T) {
	f := filled(t, 10)
	v := f.view(true)
	uid := v.Message(5).UID
	v.Close()
	f.close()
	f.unlink("cur/3.a:2,")
	f.unlink("cur/7.a:2,")
	f.rename("cur/5.a:2,", "cur/5.a:2,F")
	scans := f.count.Scans.Load()
	f.open()
	v = f.view(true)
	defer v.Close()
	if v.Len() != 8 || v.Message(4).UID != uid || v.Message(4).Flags&Flagged == 0 {
		t.Errorf("%d messages, message 4 is %+v, want UID %d flagged", v.Len(), v.Message(4), uid)
	}
	f.mb.syncing <- struct{}{}
	next := f.mb.files.scanAt
	<-f.mb.syncing
	if n := f.count.Scans.Load() - scans; n != 1 || !next.IsZero() {
		t.Errorf("%d scans, the next at %v", n, next)
	}
}

// A file that the scan of the load did not see and that comes back meanwhile is
// the message that it was.
func TestLoadWhileFileIsAway(t *testing.T) {
	f := filled(t, 10)
	v := f.view(true)
	uid, next := v.Message(3).UID, v.UIDNext()
	v.Close()
	f.close()
	f.rename("cur/3.a:2,", "away")
	scans := f.count.Scans.Load()
	back := make(chan error, 1)
	go func() {
		tick := time.NewTicker(settleTime / 5)
		defer tick.Stop()
		for range 1000 {
			<-tick.C
			if f.count.Scans.Load() != scans {
				break
			}
		}
		<-tick.C // by now the scan has seen that it is away
		back <- os.Rename(filepath.Join(f.path, "away"), filepath.Join(f.path, "cur/3.a:2,S"))
	}()
	f.open()
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	v = f.view(true)
	defer v.Close()
	f.eventually("the message is back", func() bool {
		f.noop(v)
		return v.Len() == 10 && v.Message(3).UID == uid && v.Message(3).Flags&Seen != 0
	})
	if v.UIDNext() != next {
		t.Errorf("UIDNEXT is %d, was %d: it came as another message", v.UIDNext(), next)
	}
}
