package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"roost/disk"
	"roost/disk/disktest"
)

// What guests write belongs to whom the Maildir belongs, also if the server is root
// and every user has a uid: then this test gives the Maildirs to others.
func TestFilesOfGuestsBelongToTheOwner(t *testing.T) {
	dir := t.TempDir()
	users := []string{"alice", "bob"}
	tn := newTown(t, disk.OS(disk.GiveToOwner()), dir, users, nil)
	uid := map[string]int{"alice": os.Getuid(), "bob": os.Getuid()}
	for i, name := range users {
		if os.Getuid() == 0 {
			uid[name] = 23450 + i
			if err := os.Chown(tn.user(name).Path, uid[name], uid[name]); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, alice := tn.open("alice")
	b, bob := tn.open("bob")
	mustCreate(t, a, "Work")
	mustCreate(t, b, "Mine")
	alice.mustSet(t, "Work", "bob", "lrswipkxte")
	var bar Barrier
	reach := func(name string) *Reach {
		t.Helper()
		r, err := bob.Mailbox(t.Context(), name, Need{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Release)
		return r
	}
	work, mine := reach("shared/alice/Work"), reach("Mine")
	for _, r := range []*Reach{work, mine} {
		ap, err := r.NewAppend(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := ap.Add(AppendMeta{Flags: Seen, Keywords: []string{"Word"}}, strings.NewReader("text"), 4); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ap.Commit(t.Context(), &bar); err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range [][2]*Reach{{mine, work}, {work, mine}} {
		v, err := way[0].Open(t.Context(), false, &bar)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.CopyTo(t.Context(), Seqs{{1, 1}}, way[1], nil); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Store(t.Context(), Seqs{{1, 1}}, StoreOp{Mode: StoreAdd, Flags: Flagged, Keywords: []string{"More"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := v.MoveTo(t.Context(), Seqs{{1, 1}}, way[1], nil); err != nil {
			t.Fatal(err)
		}
		v.Close()
	}
	if _, err := bob.Create(t.Context(), "shared/alice/Work/New", Need{All: RightCreate}, nil); err != nil {
		t.Fatal(err)
	}
	if err := bar.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, name := range users {
		files := 0
		err := filepath.WalkDir(tn.user(name).Path, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			if int(st.Uid) != uid[name] {
				t.Errorf("%s belongs to uid %d, not %d", path, st.Uid, uid[name])
			}
			if info.Mode().IsRegular() {
				files++
				if strings.Contains(path, "/cur/") && st.Nlink != 1 {
					t.Errorf("%s has %d links", path, st.Nlink)
				}
			}
			return nil
		})
		if err != nil || files < 5 {
			t.Errorf("%d files, %v", files, err)
		}
	}
}

// An owner gives and takes rights while guests work: a guest does nothing without
// a right, and both see the same mailbox.
func TestRightsWhileOthersWork(t *testing.T) {
	tn := newTown(t, disktest.NewMem(), "/mail", []string{"alice", "bob", "carol"}, nil)
	a, alice := tn.open("alice")
	mustCreate(t, a, "Work")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	guest := func(user string) {
		_, access := tn.open(user)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := access.work(t.Context()); err != nil {
					t.Errorf("%s: %v", user, err)
					return
				}
			}
		})
	}
	guest("bob")
	guest("carol")
	for i := range 300 {
		rights := Rights(uint32(i)*2654435761>>5) & AllRights
		for _, user := range []string{"bob", Anyone} {
			if err := alice.SetACL(t.Context(), "Work", Need{}, user, RightsReplace, rights); err != nil {
				t.Fatal(err)
			}
			rights ^= RightRead | RightExpunge | RightInsert
		}
	}
	close(stop)
	wg.Wait()
	tn.check()
	alice.mustSet(t, "Work", "bob", "")
	alice.mustSet(t, "Work", Anyone, "")
	_, bob := tn.open("bob")
	if got := bob.names(t); got != "" {
		t.Errorf("bob sees %s", got)
	}
	mb, err := a.Mailbox(t.Context(), "Work")
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	if err := mb.Check(); err != nil {
		t.Error(err)
	}
}

// work does a few things in the shared mailbox. An error is one that no guest may
// get.
func (x *Access) work(ctx context.Context) error {
	fine := func(err error) error {
		for _, known := range []error{ErrNotExist, ErrPermission, ErrGone, ErrReadOnly, ErrExpunged} {
			if errors.Is(err, known) {
				return nil
			}
		}
		return err
	}
	var b Barrier
	if r, err := x.Mailbox(ctx, "shared/alice/Work", Need{All: RightInsert}); err == nil {
		ap, err := r.NewAppend(ctx)
		if err == nil {
			if err = ap.Add(AppendMeta{Flags: Deleted | Seen, Keywords: []string{"Word"}}, strings.NewReader("text"), 4); err == nil {
				_, _, err = ap.Commit(ctx, &b)
			}
			ap.Abort()
		}
		r.Release()
		if err != nil {
			return fine(err)
		}
	} else if fine(err) != nil {
		return err
	}
	r, err := x.Mailbox(ctx, "shared/alice/Work", Need{All: RightRead})
	if err != nil {
		return fine(err)
	}
	defer r.Release()
	v, err := r.Open(ctx, false, &b)
	if err != nil {
		return fine(err)
	}
	defer v.Close()
	if n := v.Len(); n > 0 {
		if _, err := v.Store(ctx, Seqs{{1, SeqNum(n)}}, StoreOp{Mode: StoreAdd, Flags: Flagged | Deleted}); fine(err) != nil {
			return err
		}
		if _, err := v.Expunge(ctx, nil); fine(err) != nil {
			return err
		}
	}
	if _, err := v.Sync(SyncEverything); fine(err) != nil {
		return err
	}
	return b.Wait()
}

// Two thousand Maildirs are looked at once; after that LIST costs what the sharers
// have.
func BenchmarkLookAtAll(b *testing.B) {
	dir := b.TempDir()
	users := make([]string, 2000)
	for i := range users {
		users[i] = fmt.Sprintf("user%04d", i)
	}
	tn := newTown(b, disk.OS(), dir, users, func(o *Options) { o.Linger = 1 })
	for _, name := range users {
		a, err := tn.st.Open(b.Context(), tn.user(name))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.Status(b.Context(), "INBOX", StatusItems{}, &Barrier{}); err != nil {
			b.Fatal(err)
		}
		if name == "user0007" {
			a.Access(name).mustSet(b, "INBOX", Anyone, "lr")
		}
		a.Release()
	}
	_, bob := tn.open("user0001")
	tn.open("user0007") // as it stays for a while after somebody has looked into it
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			s, err := newSharing(tn.st, tn.st.o.Shared)
			if err != nil {
				b.Fatal(err)
			}
			s.start()
			if err := s.look(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if list, err := bob.List(b.Context(), nil); err != nil || len(list) != 3 {
				b.Fatalf("%v, %v", list, err)
			}
		}
	})
}
