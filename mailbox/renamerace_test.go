package mailbox

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
	"roost/maildir"
)

// inView is inMemory with a View of the mailbox.
func inView(t *testing.T, n int, f func(t *testing.T, box *crashBox, rec *disktest.Recorder, v *View)) {
	inMemory(t, n, func(t *testing.T, box *crashBox, rec *disktest.Recorder) {
		v, err := box.mb.Open(t.Context(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		f(t, box, rec, v)
	})
}

// wantTold brings v up to date and compares it.
func wantTold(t *testing.T, v *View, want string) {
	t.Helper()
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Sync(SyncEverything); err != nil {
		t.Fatal(err)
	}
	wantText(t, v, want)
}

// A look at the files that STORE overtakes twice, so that the message has the
// name again that it had when the look began, and another one in between. What
// was seen in between is ours, and no other program's.
func TestOursIsNotOutside(t *testing.T) {
	inView(t, 2, func(t *testing.T, box *crashBox, rec *disktest.Recorder, v *View) {
		mb := box.mb
		store(t, v, StoreAdd, one(1), Flagged)
		steps := 0
		rec.Before(func(c disktest.Call) {
			switch {
			case c.Op != disktest.Lstat:
			case steps == 0 && c.Name == "1.m:2,":
				steps++
				store(t, v, StoreRemove, one(1), Flagged)
			case steps == 1 && strings.HasPrefix(c.Name, "2.m"):
				steps++
				store(t, v, StoreAdd, one(1), Flagged)
			}
		})
		mb.syncing <- struct{}{}
		err := mb.follow(t.Context(), []hint{{place: maildir.Cur, name: "1.m:2,"}, {place: maildir.Cur, name: "2.m:2,S"}})
		<-mb.syncing
		rec.Before(nil)
		if err != nil || steps != 2 {
			t.Fatalf("followed with %v, %d STOREs on the way", err, steps)
		}
		for _, when := range []string{"after the look", "after the next one"} {
			wantText(t, v, "1:1(F) 2:2")
			if n := mb.count.FlagDeltas.Load(); n != 0 {
				t.Errorf("%s: %d flag changes were taken for another program's", when, n)
			}
			if err := v.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRebasedAsFlagged: mbsync has written its UID into the name of a message,
// and between the look that finds that and what is made of it a rename of ours
// fails, for the file is gone. It stays one message with its UID and its flag.
func TestRebasedAsFlagged(t *testing.T) {
	inView(t, 1, func(t *testing.T, box *crashBox, rec *disktest.Recorder, v *View) {
		mb := box.mb
		inCur(t, mb.o.FS, box.path, func(cur disk.Dir) {
			if err := cur.Rename("1.m:2,", cur, "1.m,U=7:2,"); err != nil {
				t.Fatal(err)
			}
		})
		looks := 0
		rec.Before(func(c disktest.Call) {
			if c.Op == disktest.Lstat && c.Name == "1.m:2," {
				looks++
				if looks == 1 {
					store(t, v, StoreAdd, one(1), Flagged)
				}
			}
		})
		mb.syncing <- struct{}{}
		err := mb.follow(t.Context(), []hint{
			{place: maildir.Cur, name: "1.m:2,", gone: true}, {place: maildir.Cur, name: "1.m,U=7:2,"},
		})
		<-mb.syncing
		rec.Before(nil)
		if err != nil || looks == 0 {
			t.Fatalf("followed with %v, %d looks at the old name", err, looks)
		}
		waitFor(10 * time.Second)
		wantTold(t, v, "1:1(F)")
		inCur(t, mb.o.FS, box.path, func(cur disk.Dir) {
			if _, err := cur.Lstat("1.m,U=7:2,F"); err != nil {
				t.Error(err)
			}
		})
	})
}

// A hint that was put off may be older than the one that a name is gone: the name
// is looked for before the message counts as back.
func TestStaleHintIsNoReturn(t *testing.T) {
	inView(t, 1, func(t *testing.T, box *crashBox, _ *disktest.Recorder, v *View) {
		mb := box.mb
		inCur(t, mb.o.FS, box.path, func(cur disk.Dir) {
			if err := cur.Rename("1.m:2,", cur, "1.m,U=7:2,"); err != nil {
				t.Fatal(err)
			}
		})
		mb.syncing <- struct{}{}
		err := mb.follow(t.Context(), []hint{
			{place: maildir.Cur, name: "1.m:2,", gone: true},
			{place: maildir.Cur, name: "1.m:2,"}, // put off by a rename of ours
			{place: maildir.Cur, name: "1.m,U=7:2,"},
		})
		<-mb.syncing
		if err != nil {
			t.Fatal(err)
		}
		wantTold(t, v, "1:1")
	})
}

// TestRebasedWhileListed: the listing of a scan has both names of a file that was
// renamed between two reads of the directory. It is one message, the old one.
func TestRebasedWhileListed(t *testing.T) {
	inView(t, 3, func(t *testing.T, box *crashBox, _ *disktest.Recorder, v *View) {
		mb := box.mb
		mb.syncing <- struct{}{}
		st := &mb.files
		inCur(t, mb.o.FS, box.path, func(cur disk.Dir) {
			if err := errors.Join(cur.Link("2.m:2,", cur, "2.m,U=7:2,"), mb.dir.Scan(&st.listing), cur.Unlink("2.m:2,")); err != nil {
				t.Fatal(err)
			}
		})
		if st.listing.Stable() {
			t.Error("a listing of a moment ago counts as stable")
		}
		rows := index.Row(mb.live.rows)
		seen, unknown, moved := mb.match(rows)
		err := mb.followScan(t.Context(), unknown, moved, mb.unseen(seen, rows))
		st.gone = nil
		<-mb.syncing
		if err != nil || len(unknown) != 1 {
			t.Fatalf("%v, %d unknown names", err, len(unknown))
		}
		wantTold(t, v, "1:1 2:2 3:3")
	})
}

// TestExpungedUnderAnotherBase: the file of a message that is to be expunged gets
// another base at each look for it. It goes all the same.
func TestExpungedUnderAnotherBase(t *testing.T) {
	inView(t, 1, func(t *testing.T, box *crashBox, rec *disktest.Recorder, v *View) {
		mb := box.mb
		store(t, v, StoreAdd, one(1), Deleted)
		uid := 7
		rebase := func(name string) {
			inCur(t, mb.o.FS, box.path, func(cur disk.Dir) {
				if cur.Rename(name, cur, fmt.Sprintf("1.m,U=%d:2,T", uid+1)) == nil {
					uid++
				}
			})
		}
		rec.Before(func(c disktest.Call) {
			if c.Op == disktest.Lstat && strings.HasPrefix(c.Name, "1.m") && uid < 10 {
				rebase(c.Name)
			}
		})
		n, err := v.Expunge(t.Context(), nil)
		rec.Before(nil)
		if err != nil || n != 1 {
			t.Fatal(n, err)
		}
		waitFor(time.Minute)
		wantTold(t, v, "")
	})
}

// TestLostFileTurnsUp: the file of an expunged message is in no listing while it
// is to be removed, for another program renames it just then. It goes when it
// turns up, also after what was removed was written down.
func TestLostFileTurnsUp(t *testing.T) {
	inView(t, 1, func(t *testing.T, box *crashBox, rec *disktest.Recorder, v *View) {
		mb := box.mb
		root, err := mb.o.FS.OpenRoot(box.path)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		store(t, v, StoreAdd, one(1), Deleted)
		between := false
		rec.Before(func(c disktest.Call) {
			if c.Op == disktest.Unlink && strings.HasPrefix(c.Name, "1.m") && !between {
				between = true
				inCur(t, mb.o.FS, box.path, func(cur disk.Dir) {
					if err := cur.Rename("1.m:2,T", root, "between"); err != nil {
						t.Error(err)
					}
				})
			}
		})
		if n, err := v.Expunge(t.Context(), nil); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		wantTold(t, v, "")
		waitFor(2 * dirSyncTime)
		rec.Before(nil)
		if !between {
			t.Fatal("no file was removed")
		}
		inCur(t, mb.o.FS, box.path, func(cur disk.Dir) {
			if err := root.Rename("between", cur, "1.m,U=7:2,T"); err != nil {
				t.Fatal(err)
			}
			wantTold(t, v, "")
			if _, err := cur.Lstat("1.m,U=7:2,T"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
		})
	})
}
