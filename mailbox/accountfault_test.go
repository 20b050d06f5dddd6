package mailbox

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
)

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	user := User{Name: "alice", Path: filepath.Join(dir, "Maildir")}
	first, second := newTestStore(t, disk.OS(), nil), newTestStore(t, disk.OS(), nil)
	a, err := first.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Open(t.Context(), user); !errors.Is(err, ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
	// The same Maildir by another name and another path is the same account.
	if err := os.Symlink(user.Path, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	same, err := first.Open(t.Context(), User{Name: "alias", Path: filepath.Join(dir, "link")})
	if err != nil || same != a {
		t.Errorf("another account for the same Maildir: %v", err)
	}
	same.Release()
	a.Release()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := second.Open(t.Context(), user)
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	b.Release()
}

// Where a directory cannot be locked the file roost.lock is.
func TestLockFile(t *testing.T) {
	user := User{Name: "alice", Path: filepath.Join(t.TempDir(), "Maildir")}
	refusing := func() *Store {
		rec := disktest.Wrap(disk.OS())
		rec.Fail(disktest.Rule{
			Op: disktest.Lock, Nth: 1, Sticky: true, Err: syscall.EOPNOTSUPP,
			Match: func(c disktest.Call) bool { return c.Name == "" },
		})
		return newTestStore(t, rec, nil)
	}
	first, second := refusing(), refusing()
	a, err := first.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Open(t.Context(), user); !errors.Is(err, ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
	a.Release()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := second.Open(t.Context(), user)
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	b.Release()
}

// A crash takes back nothing of the tree that was acknowledged.
func TestTreeAfterCrash(t *testing.T) {
	for _, layout := range []string{"maildir++", "fs"} {
		for how := disktest.Random; how <= disktest.Everything; how++ {
			mem, st := memStore(t, func(o *Options) { o.Layout = layout })
			a := openTestAccount(t, st)
			ctx := t.Context()
			mustCreate(t, a, "a/b", "gone", "c/d/e")
			if _, err := a.Create(ctx, "mine", []imap.MailboxAttr{imap.MailboxAttrSent}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(a.Delete(ctx, "gone"), a.Rename(ctx, "c", "x/c"), a.Subscribe(ctx, "a", true)); err != nil {
				t.Fatal(err)
			}
			want, id := listText(t, a), identityOf(t, a, "x/c/d/e")
			mem.Crash(rand.New(rand.NewPCG(uint64(how), 5)), how)
			// The old process is gone with its descriptors.
			after := newTestStore(t, mem, func(o *Options) { o.Layout = layout })
			b, err := after.Open(ctx, User{Name: "alice", Path: testRoot})
			if err != nil {
				t.Fatal(err)
			}
			wantList(t, b, want)
			if got := identityOf(t, b, "x/c/d/e"); got != id {
				t.Errorf("%s, %v: mailbox is %v, was %v", layout, how, got, id)
			}
			b.Release()
			a.Release()
			st.Close() // its files are dead
		}
	}
}

// Whatever call fails, an operation on the tree is done or not, and what is
// listed can be opened.
func TestTreeFaults(t *testing.T) {
	for nth := 1; nth <= 200; nth += disktest.Stride {
		mem, _ := memStore(t, nil)
		rec := disktest.Wrap(mem)
		st := newTestStore(t, rec, nil)
		a := openTestAccount(t, st)
		mustCreate(t, a, "a/b", "c")
		ids := map[string]string{"a": identityOf(t, a, "a").id, "a/b": identityOf(t, a, "a/b").id}
		rec.Fail(disktest.Rule{Nth: nth, Err: syscall.ENOSPC})
		ctx := t.Context()
		_, err := a.Create(ctx, "new", nil)
		created := err == nil
		err = a.Rename(ctx, "a", "x")
		renamed := err == nil
		err = a.Delete(ctx, "c")
		deleted := err == nil
		rec.Clear()
		all, err := a.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, l := range all {
			if names[l.Name] = l.Exists; l.Exists {
				if id := identityOf(t, a, l.Name).id; strings.HasPrefix(l.Name, "x") && id != ids["a"+l.Name[1:]] {
					t.Errorf("call %d: %q is another mailbox", nth, l.Name)
				}
			}
		}
		if created && !names["new"] || renamed && (!names["x/b"] || names["a"]) || deleted && names["c"] {
			t.Errorf("call %d: created %v, renamed %v, deleted %v; listed %v", nth, created, renamed, deleted, names)
		}
		if !names["a/b"] && !names["x/b"] {
			t.Errorf("call %d: a/b is lost; listed %v", nth, names)
		}
		a.Release()
	}
}

// An account is kept for its time after the last use, then the lock is free.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, st := memStore(t, nil)
		other := newTestStore(t, mem, nil)
		a := openTestAccount(t, st)
		mb, err := a.Mailbox(t.Context(), "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		mb.Release()
		again, err := a.Mailbox(t.Context(), "INBOX")
		if err != nil || again != mb {
			t.Errorf("not the same live mailbox: %v", err)
		}
		<-time.After(time.Hour)
		again.Release()
		a.Release()
		<-time.After(9 * time.Minute)
		if b := openTestAccount(t, st); b != a {
			t.Error("dropped too early")
		}
		a.Release()
		<-time.After(9 * time.Minute)
		if _, err := other.Open(t.Context(), User{Path: testRoot}); !errors.Is(err, ErrLocked) {
			t.Errorf("dropped too early: %v", err)
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		b, err := other.Open(t.Context(), User{Path: testRoot})
		if err != nil {
			t.Fatalf("not dropped: %v", err)
		}
		b.Release()
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Unused live mailboxes go when descriptors get scarce, the oldest first; used
// ones never.
func TestLiveLimit(t *testing.T) {
	_, st := memStore(t, func(o *Options) { o.Descriptors = 5 * liveDescriptors * 100 / liveShare })
	a := openTestAccount(t, st)
	defer a.Release()
	var held []*Mailbox
	for i := range 4 {
		name := fmt.Sprintf("held%d", i)
		mustCreate(t, a, name)
		mb, err := a.Mailbox(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, mb)
	}
	for i := range 20 {
		mustCreate(t, a, fmt.Sprintf("free%d", i))
	}
	st.mu.Lock()
	n := st.live.n
	st.mu.Unlock()
	if n > 5 {
		t.Errorf("%d live mailboxes", n)
	}
	for i, mb := range held {
		again, err := a.Mailbox(t.Context(), fmt.Sprintf("held%d", i))
		if err != nil || again != mb {
			t.Errorf("a used mailbox was closed: %v", err)
		}
		again.Release()
		mb.Release()
	}
}

func TestMissingMaildir(t *testing.T) {
	user := User{Name: "alice", Path: "/srv/mail/alice"}
	for _, tt := range []struct {
		create Create
		parent bool // /srv/mail exists
		want   error
	}{
		{CreateParent, false, ErrUnavailable}, {CreateParent, true, nil}, {CreateAlways, false, nil},
		{CreateNever, true, ErrUnavailable}, {CreateNever, false, ErrUnavailable},
	} {
		mem := disktest.NewMem()
		if tt.parent {
			for _, dir := range []string{"/srv", "/srv/mail"} {
				if err := mem.MkdirRoot(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		st := newTestStore(t, mem, func(o *Options) { o.Create = tt.create })
		a, err := st.Open(t.Context(), user)
		if !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
		if a != nil {
			wantList(t, a, "INBOX")
			a.Release()
		} else if _, err := mem.OpenRoot("/srv/mail/alice"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v: made all the same", tt)
		}
	}
}

// Where something may not be read the answer is an error, never a smaller list.
func TestNoPermission(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EIO, syscall.ESTALE} {
		want := ErrUnavailable
		if errno == syscall.EACCES {
			want = ErrPermission
		}
		mem, _ := memStore(t, nil)
		rec := disktest.Wrap(mem)
		st := newTestStore(t, rec, nil)
		rec.Fail(disktest.Rule{Op: disktest.OpenRoot, Nth: 1, Err: errno})
		if _, err := st.Open(t.Context(), User{Path: testRoot}); !errors.Is(err, want) {
			t.Errorf("%v at the root: %v", errno, err)
		}
		a := openTestAccount(t, st)
		rec.Fail(disktest.Rule{Op: disktest.ReadDir, Nth: 1, Err: errno, Short: true})
		if _, err := a.List(t.Context()); !errors.Is(err, want) {
			t.Errorf("%v while listing: %v", errno, err)
		}
		a.Release()
	}
}
