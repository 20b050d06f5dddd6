package mailbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
)

// statusNumbers is what SELECT tells of the numbers of a mailbox.
type statusNumbers struct {
	uidValidity uint32
	uidNext     imap.UID
	modSeq      ModSeq
}

func statusOf(t testing.TB, a *Account, name string) statusNumbers {
	t.Helper()
	s, err := a.Status(t.Context(), name, StatusItems{}, &Barrier{})
	if err != nil {
		t.Fatal(err)
	}
	return statusNumbers{s.UIDValidity, s.UIDNext, s.HighestModSeq}
}

// openOnce selects a mailbox, so that it has an index.
func openOnce(t testing.TB, a *Account, name string) {
	t.Helper()
	mb, err := a.Mailbox(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	v, err := mb.Open(t.Context(), true, &Barrier{})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
}

// wantJump checks that numbers went on far above what was told before.
func wantJump(t *testing.T, what string, before, after statusNumbers) {
	t.Helper()
	if after.uidValidity != before.uidValidity || after.uidNext < before.uidNext+1000 || after.modSeq < before.modSeq+1<<20 {
		t.Errorf("%s: %+v after %+v", what, after, before)
	}
}

// diskAccount is an account on the real disk, with n messages in INBOX.
func diskAccount(t *testing.T, n int) (*Store, *Account, User) {
	t.Helper()
	u := User{Name: "u", Path: filepath.Join(t.TempDir(), "Maildir")}
	st := newTestStore(t, disk.OS(), nil)
	a, err := st.Open(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	openOnce(t, a, "INBOX")
	closeLive(t, a)
	for i := range n {
		deliverFile(t, u.Path, "cur", fmt.Sprintf("%d.x:2,", i+1))
	}
	return st, a, u
}

func deliverFile(t testing.TB, path, place, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path, place, name), []byte("a: b\n\n"+name), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestClientProof: what a client remembers and the mailbox never gave makes it
// jump, once an hour.
func TestClientProof(t *testing.T) {
	mem, st := memStore(t, nil)
	a := openTestAccount(t, st)
	defer a.Release()
	rec := disktest.Wrap(mem)
	st.o.FS = rec
	mb, err := a.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	before := statusOf(t, a, "INBOX")
	if mb.ClientKnows(before.uidNext, before.modSeq) || mb.ClientKnows(0, 0) {
		t.Error("jumped for what it told")
	}
	if !mb.ClientKnows(0, before.modSeq+1) {
		t.Fatal("a higher mod-sequence is no proof")
	}
	after := statusOf(t, a, "INBOX")
	wantJump(t, "mod-sequence", before, after)
	if mb.index().FlagFloor() != after.modSeq || mb.index().ExpungeFloor() != after.modSeq {
		t.Errorf("floors %d %d, HIGHESTMODSEQ %d", mb.index().FlagFloor(), mb.index().ExpungeFloor(), after.modSeq)
	}
	if mb.ClientKnows(after.uidNext+1, 0) {
		t.Error("jumped twice within an hour")
	}
	rec.Turn(61 * time.Minute)
	if !mb.ClientKnows(after.uidNext+1, 0) {
		t.Error("does not jump an hour later")
	}
	wantJump(t, "UID", after, statusOf(t, a, "INBOX"))
	if err := mb.Check(); err != nil {
		t.Error(err)
	}
}

// TestOldIndexRestored: an old roost.index, in the place of the new one or
// written into it, never leads to a UID that is given twice.
func TestOldIndexRestored(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		t.Run(fmt.Sprint("inPlace=", inPlace), func(t *testing.T) {
			st, a, u := diskAccount(t, 3)
			defer a.Release()
			statusOf(t, a, "INBOX")
			closeLive(t, a)
			journal := filepath.Join(u.Path, index.JournalName)
			old, err := os.ReadFile(journal)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 50 {
				deliverFile(t, u.Path, "cur", fmt.Sprintf("%d.y:2,", 100+i))
			}
			before := statusOf(t, a, "INBOX")
			closeLive(t, a)
			for i := range 50 { // the order of the rest is not that of their UIDs any more
				if i != 20 {
					os.Remove(filepath.Join(u.Path, "cur", fmt.Sprintf("%d.y:2,", 100+i)))
				}
			}
			if !inPlace {
				if err := os.Remove(journal); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(journal, old, 0o600); err != nil {
				t.Fatal(err)
			}
			later := time.Now().Add(time.Minute)
			if err := os.Chtimes(journal, later, later); err != nil {
				t.Fatal(err)
			}
			wantJump(t, "restored", before, statusOf(t, a, "INBOX"))
			mb, err := a.Mailbox(t.Context(), "INBOX")
			if err != nil {
				t.Fatal(err)
			}
			defer mb.Release()
			if row := index.Row(mb.index().Len() - 1); mb.index().UID(row) < before.uidNext {
				t.Errorf("%s has UID %d, which another message had", mb.index().Base(row), mb.index().UID(row))
			}
			_ = st
		})
	}
}

// TestCeilings: values below the ceilings of roost.account make a journal that
// looks sound jump.
func TestCeilings(t *testing.T) {
	_, a, _ := diskAccount(t, 1)
	defer a.Release()
	before := statusOf(t, a, "INBOX")
	mb, err := a.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	id := mb.index().ID()
	mb.Release()
	closeLive(t, a)
	s := &slot{a: a}
	if err := s.raise(id, before.uidNext+5000, before.modSeq+1<<30); err != nil {
		t.Fatal(err)
	}
	after := statusOf(t, a, "INBOX")
	if after.uidNext < before.uidNext+5000 || after.modSeq < before.modSeq+1<<30 {
		t.Errorf("%+v after %+v", after, before)
	}
}

// TestRestored is roost fsck --restored.
func TestRestored(t *testing.T) {
	_, a, _ := diskAccount(t, 2)
	defer a.Release()
	before := statusOf(t, a, "INBOX")
	if err := a.Restored(t.Context(), "INBOX"); err != nil {
		t.Fatal(err)
	}
	wantJump(t, "restored", before, statusOf(t, a, "INBOX"))
	if err := a.Restored(t.Context(), "nothing"); !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
}

// TestAcceptLoss: the operator's word ends the wait, and also where the index
// went with the messages.
func TestAcceptLoss(t *testing.T) {
	for _, withIndex := range []bool{false, true} {
		t.Run(fmt.Sprint("withIndex=", withIndex), func(t *testing.T) {
			_, a, u := diskAccount(t, 20)
			defer a.Release()
			before := statusOf(t, a, "INBOX")
			mb, err := a.Mailbox(t.Context(), "INBOX")
			if err != nil {
				t.Fatal(err)
			}
			defer mb.Release()
			for i := range 20 {
				if err := os.Remove(filepath.Join(u.Path, "cur", fmt.Sprintf("%d.x:2,", i+1))); err != nil {
					t.Fatal(err)
				}
			}
			if withIndex {
				if err := os.Remove(filepath.Join(u.Path, index.JournalName)); err != nil {
					t.Fatal(err)
				}
			}
			err = mb.refresh(t.Context())
			if _, openErr := mb.Open(t.Context(), true, &Barrier{}); withIndex != errors.Is(openErr, ErrUnavailable) {
				t.Errorf("before: refresh %v, open %v", err, openErr)
			}
			n, err := a.AcceptLoss(t.Context(), "INBOX")
			if err != nil || n != 20 {
				t.Fatalf("%d expunged, %v", n, err)
			}
			after := statusOf(t, a, "INBOX")
			if after.uidValidity != before.uidValidity || after.uidNext < before.uidNext || after.modSeq <= before.modSeq {
				t.Errorf("%+v after %+v", after, before)
			}
			if s, err := a.Status(t.Context(), "INBOX", StatusItems{}, &Barrier{}); err != nil || s.Messages != 0 {
				t.Errorf("%d messages, %v", s.Messages, err)
			}
			if _, err := os.Stat(filepath.Join(u.Path, index.JournalName)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNotMounted: with the index elsewhere, an empty directory in the place of
// the mail is not believed, also not after a restart and a long time.
func TestNotMounted(t *testing.T) {
	inMemoryElsewhere(t, func(t *testing.T, mem *disktest.Mem, st *Store, u User) {
		a, err := st.Open(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Release()
		statusOf(t, a, "INBOX")
		closeLive(t, a)
		for i := range 5 {
			memDeliver(t, mem, testRoot, fmt.Sprintf("%d.m:2,", i+1))
		}
		statusOf(t, a, "INBOX")
		waitFor(3 * time.Second) // the stamps settle
		closeLive(t, a)
		root, err := mem.OpenRoot(testRoot)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := root.Rename("cur", root, "away"); err != nil {
			t.Fatal(err)
		}
		mb, err := a.Mailbox(t.Context(), "INBOX")
		if err != nil && !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		if err == nil {
			waitFor(5 * time.Minute)
			if _, err := mb.Open(context.Background(), true, &Barrier{}); !errors.Is(err, ErrUnavailable) {
				t.Errorf("open: %v", err)
			}
			mb.Release()
		}
		closeLive(t, a)
		if err := root.Rmdir("cur"); err != nil {
			t.Fatal(err)
		}
		if err := root.Rename("away", root, "cur"); err != nil {
			t.Fatal(err)
		}
		if s, err := a.Status(t.Context(), "INBOX", StatusItems{}, &Barrier{}); err != nil || s.Messages != 5 || s.UIDNext != 6 {
			t.Errorf("back: %d messages, UIDNEXT %d, %v", s.Messages, s.UIDNext, err)
		}
	})
}

// inMemoryElsewhere runs f in a bubble with a Store in memory whose indexes are
// not beside the mail.
func inMemoryElsewhere(t *testing.T, f func(t *testing.T, mem *disktest.Mem, st *Store, u User)) {
	synctest.Test(t, func(t *testing.T) {
		mem, st := memStore(t, nil)
		f(t, mem, st, User{Name: "alice", Path: testRoot, Index: "/var/index/alice"})
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}

func waitFor(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}
