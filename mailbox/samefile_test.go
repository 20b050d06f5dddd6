package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"roost/index"
)

// addFields renames every message as mbsync does on its first run.
func (f *fixture) addFields(n int) {
	f.t.Helper()
	for i := range n {
		f.rename(fmt.Sprintf("cur/%d.M%d.h:2,", 1000+i, i), fmt.Sprintf("cur/%d.M%d.h,U=%d:2,", 1000+i, i, i+1))
	}
}

func sameKeyFixture(t *testing.T, n int) *fixture {
	t.Helper()
	f := testFixture(t)
	for i := range n {
		p := filepath.Join(f.path, fmt.Sprintf("cur/%d.M%d.h:2,", 1000+i, i))
		if err := os.WriteFile(p, []byte("Subject: x\n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.open()
	return f
}

// wantAll checks that v still has the messages 1 to n and was told nothing.
func wantAll(t *testing.T, f *fixture, v *View, n int) {
	t.Helper()
	c := f.noop(v)
	if c.Exists || len(c.Expunged)+len(c.Flags) > 0 {
		t.Fatalf("told: exists %v, %d expunged, %d flags", c.Exists, len(c.Expunged), len(c.Flags))
	}
	if v.Len() != n || v.UIDNext() != 1+v.Message(SeqNum(n)).UID {
		t.Fatalf("%d messages, UIDNEXT %d", v.Len(), v.UIDNext())
	}
	for i := range n {
		if m := v.Message(SeqNum(i + 1)); int(m.UID) != i+1 {
			t.Fatalf("message %d has UID %d", i+1, m.UID)
		}
	}
}

func (f *fixture) wantBases(n int) {
	f.t.Helper()
	f.eventually("the new names are known", func() bool {
		f.mb.mu.Lock()
		defer f.mb.mu.Unlock()
		for i := range n {
			row := f.mb.basesLocked().find(f.mb.ix, fmt.Appendf(nil, "%d.M%d.h,U=%d", 1000+i, i, i+1))
			if row != index.Row(i) {
				return false
			}
		}
		return true
	})
}

// TestMbsyncLive: all files of a served mailbox get ",U=n" (R13). Nobody is told
// anything.
func TestMbsyncLive(t *testing.T) {
	const n = 2000
	f := sameKeyFixture(t, n)
	f.eventually("stamps are proved", func() bool {
		f.mb.syncing <- struct{}{}
		f.mb.prove(t.Context())
		<-f.mb.syncing
		return f.mb.index().Stamps() != index.Stamps{}
	})
	f.reopen() // without a scan: inodes are not known yet
	v := f.view(true)
	defer v.Close()
	scans := f.count.Scans.Load()
	f.addFields(n)
	wantAll(t, f, v, n)
	f.wantBases(n)
	wantAll(t, f, v, n)
	f.eventually("inodes are read", func() bool { return f.count.InodePasses.Load() == 1 })
	if n := f.count.Scans.Load() - scans; n != f.count.Overflows.Load() {
		t.Errorf("%d scans, %d overflows", n, f.count.Overflows.Load())
	}
}

// TestMbsyncScan: the same found by a scan, with many more than the queue of
// events can hold.
func TestMbsyncScan(t *testing.T) {
	const n = 5000
	f := sameKeyFixture(t, n)
	v := f.view(true)
	defer v.Close()
	f.mb.syncing <- struct{}{} // no event is followed before the last rename
	f.addFields(n)
	<-f.mb.syncing
	wantAll(t, f, v, n)
	f.wantBases(n)
	f.mb.syncing <- struct{}{}
	defer func() { <-f.mb.syncing }()
	if limbo := len(f.mb.files.limbo); limbo != 0 || f.count.Overflows.Load() == 0 {
		t.Errorf("%d messages are in doubt, %d overflows", limbo, f.count.Overflows.Load())
	}
}

// TestMbsyncWhileDown: the same while the server does not run.
func TestMbsyncWhileDown(t *testing.T) {
	for _, opened := range []bool{false, true} {
		const n = 2000
		f := sameKeyFixture(t, n)
		if opened { // some are in the cache
			v := f.view(true)
			for i := range 50 {
				c := v.Content(SeqNum(i*40 + 1))
				if _, err := c.Envelope(); err != nil {
					t.Fatal(err)
				}
				c.Close()
			}
			v.Close()
		}
		f.close()
		f.addFields(n)
		f.open()
		v := f.view(true)
		wantAll(t, f, v, n)
		f.wantBases(n)
		v.Close()
		f.close()
	}
}

// TestSameKeyOtherFile: the key alone is no proof where more is known.
func TestSameKeyOtherFile(t *testing.T) {
	f := sameKeyFixture(t, 3)
	v := f.view(true)
	defer v.Close()
	// Another inode, and one that still has its name.
	p := f.write("x", testBody("x"))
	f.unlink("cur/1000.M0.h:2,")
	if err := os.Rename(p, filepath.Join(f.path, "cur/1000.M0.h,Z:2,")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(f.path, "cur/1001.M1.h:2,"), filepath.Join(f.path, "cur/1001.M1.h,U=2:2,")); err != nil {
		t.Fatal(err)
	}
	f.eventually("two new messages for one", func() bool {
		f.noop(v)
		return text(v) == "1:2 2:3 3:4 4:5"
	})
}
