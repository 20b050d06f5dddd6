package maildir

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/disk"
	"roost/disk/disktest"
)

// eachTree is each for both layouts.
func eachTree(t *testing.T, f func(t *testing.T, r *disktest.Recorder, tree *Tree)) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		for _, l := range []Layout{plain, nested} {
			t.Run(map[bool]string{true: "fs", false: "maildir++"}[l.Nested], func(t *testing.T) {
				sub := at + "/" + t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
				must(t, r.MkdirRoot(sub, 0o750))
				tree := openTree(t, r, sub, l)
				f(t, r, tree)
			})
		}
	})
}

func openTree(t testing.TB, fsys disk.FS, at string, l Layout) *Tree {
	t.Helper()
	tree, err := OpenTree(fsys, at, l, Colon)
	must(t, err)
	t.Cleanup(func() { tree.Close() })
	return tree
}

func box(t testing.TB, name string) Mailbox {
	t.Helper()
	m, err := ParseMailbox(name, '/')
	must(t, err)
	return m
}

// listedNames gives the names; "(x)" is not selectable.
func listedNames(t testing.TB, tree *Tree) []string {
	t.Helper()
	all, err := tree.List()
	must(t, err)
	var names []string
	for _, l := range all {
		name := l.Name.String()
		if !l.Selectable {
			name = "(" + name + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func wantList(t testing.TB, tree *Tree, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := listedNames(t, tree); !slices.Equal(got, want) {
		t.Errorf("list %q, want %q", got, want)
	}
}

func TestTreeCreate(t *testing.T) {
	eachTree(t, func(t *testing.T, r *disktest.Recorder, tree *Tree) {
		must(t, tree.Create(box(t, "A/B.x")))
		must(t, tree.Create(box(t, "Entwürfe")))
		if tree.Layout().Nested {
			wantList(t, tree, "INBOX", "(A)", "A/B.x", "Entwürfe")
			if _, err := tree.Open(box(t, "A")); !errors.Is(err, ErrNotExist) {
				t.Errorf("a level is no mailbox: %v", err)
			}
		} else {
			wantList(t, tree, "INBOX", "A/B.x", "Entwürfe")
		}
		for name, want := range map[string]error{"inbox": ErrExist, "A/B.x": ErrExist, "Entwu\u0308rfe": ErrExist} {
			if err := tree.Create(box(t, name)); !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, tree.Create(box(t, "A")))
		d, err := tree.Open(box(t, "A/B.x"))
		must(t, err)
		defer d.Close()
		want := []string{"cur", "maildirfolder", "new", "tmp"}
		if tree.Layout().Nested {
			want = []string{"cur", "new", "tmp"}
		}
		if got := namesOf(t, d.Root()); !slices.Equal(got, want) {
			t.Errorf("made %q", got)
		}
		if in, err := d.Root().Stat(); err != nil || in.Mode.Perm() != 0o750 {
			t.Errorf("mode %v %v", in.Mode, err)
		}
		if _, err := tree.Open(box(t, "none")); !errors.Is(err, ErrNotExist) {
			t.Errorf("none: %v", err)
		}
		inbox, err := tree.Open(box(t, "Inbox"))
		must(t, err)
		inbox.Close()
	})
}

// TestMakeRoot: a new Maildir survives a crash, with all above it.
func TestMakeRoot(t *testing.T) {
	for seed := range uint64(20) {
		m := disktest.NewMem()
		if err := MakeRoot(m, "/a/b/c", 0o700, false); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("without parents: %v", err)
		}
		must(t, MakeRoot(m, "/a/b/c", 0o700, true))
		must(t, MakeRoot(m, "/a/b/c", 0o700, true))
		d := openBox(t, m, "/a/b/c")
		tmp, err := d.Create(NewNamer("h", nil, nil))
		must(t, err)
		must(t, tmp.Commit(time.Now(), New, "1.a"))
		must(t, d.Sync(New))
		m.Crash(rand.New(rand.NewPCG(seed, 3)), disktest.Random)
		d = openBox(t, m, "/a/b/c")
		if got := namesOf(t, d.Place(New)); !slices.Equal(got, []string{"1.a"}) {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
}

// TestTreeCreateFails: at whatever call it fails, it is all there or nothing.
func TestTreeCreateFails(t *testing.T) {
	eachTree(t, func(t *testing.T, r *disktest.Recorder, tree *Tree) {
		for n := 1; ; n++ {
			if n > 100 {
				t.Fatal("still failing")
			}
			r.Fail(disktest.Rule{Nth: n, Err: syscall.ENOSPC})
			err := tree.Create(box(t, "A"))
			r.Clear()
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("call %d: %v", n, err)
			}
			names := listedNames(t, tree)
			if slices.Contains(names, "A") {
				must(t, tree.Delete(box(t, "A"))) // only its durability failed
			}
		}
		wantList(t, tree, "INBOX", "A")
	})
}

// TestTreeCreateDurable: after Create no crash takes the mailbox away.
func TestTreeCreateDurable(t *testing.T) {
	for _, l := range []Layout{plain, nested} {
		for seed := range uint64(30) {
			m := disktest.NewMem()
			tree := openTree(t, m, "/", l)
			must(t, tree.Create(box(t, "A/B")))
			if seed%3 == 1 {
				_, err := tree.Rename(box(t, "A/B"), box(t, "C/D"))
				must(t, err)
			}
			if seed%3 == 2 {
				must(t, tree.Delete(box(t, "A/B")))
			}
			m.Crash(rand.New(rand.NewPCG(seed, 1)), disktest.Random)
			tree = openTree(t, m, "/", l)
			names := listedNames(t, tree)
			for i, name := range []string{"A/B", "C/D"} {
				if slices.Contains(names, name) != (uint64(i) == seed%3) {
					t.Fatalf("seed %d: %q", seed, names)
				}
			}
			if seed%3 == 0 {
				d, err := tree.Open(box(t, "A/B"))
				must(t, err)
				if got := namesOf(t, d.Root()); len(got) < 3 {
					t.Errorf("left %q", got)
				}
			}
		}
	}
}

func TestTreeDelete(t *testing.T) {
	eachTree(t, func(t *testing.T, r *disktest.Recorder, tree *Tree) {
		for _, name := range []string{"A", "A/B", "C"} {
			must(t, tree.Create(box(t, name)))
		}
		a, err := tree.Open(box(t, "A"))
		must(t, err)
		defer a.Close()
		put(t, a.Place(Cur), "1.a:2,", "text")
		put(t, a.Root(), "roost.index", "index")
		path, err := tree.Find(box(t, "A"))
		must(t, err)
		must(t, tree.Check(path, a))
		must(t, tree.Delete(box(t, "A")))
		if tree.Layout().Nested {
			wantList(t, tree, "INBOX", "(A)", "A/B", "C")
			if got := namesOf(t, a.Root()); !slices.Equal(got, []string{"B"}) {
				t.Errorf("left %q", got)
			}
		} else {
			wantList(t, tree, "INBOX", "A/B", "C")
		}
		if err := tree.Check(path, a); !errors.Is(err, ErrGone) {
			t.Errorf("check: %v", err)
		}
		if got := get(t, a.Place(Cur), "1.a:2,"); got != "text" {
			t.Errorf("an open mailbox is still readable: %q", got)
		}
		for _, name := range []string{"A", "none"} {
			if err := tree.Delete(box(t, name)); !errors.Is(err, ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := tree.Delete(box(t, "INBOX")); !errors.Is(err, ErrName) {
			t.Errorf("INBOX: %v", err)
		}
		must(t, tree.Create(box(t, "A"))) // the name is free
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := tree.EmptyTrash(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		must(t, tree.EmptyTrash(context.Background()))
		trash, err := tree.Root().OpenDir(TrashName)
		must(t, err)
		if got := namesOf(t, trash); len(got) != 0 {
			t.Errorf("trash %q", got)
		}
		wantList(t, tree, "INBOX", "A", "A/B", "C")
	})
}

// Without a block for the trash, the mailbox becomes the trash.
func TestTreeDeleteOnFullDisk(t *testing.T) {
	eachTree(t, func(t *testing.T, r *disktest.Recorder, tree *Tree) {
		for _, name := range []string{"A", "A/B", "C"} {
			must(t, tree.Create(box(t, name)))
		}
		b, err := tree.Open(box(t, "A/B"))
		must(t, err)
		defer b.Close()
		put(t, b.Place(Cur), "1.b:2,", "text")
		noTrash := disktest.Rule{
			Op: disktest.Mkdir, Nth: 1, Sticky: true, Err: syscall.ENOSPC,
			Match: func(c disktest.Call) bool { return c.Name == TrashName },
		}
		r.Fail(noTrash)
		if tree.Layout().Nested {
			if err := tree.Delete(box(t, "A")); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("with one below it: %v", err)
			}
		}
		must(t, tree.Delete(box(t, "A/B")))
		wantList(t, tree, "INBOX", "A", "C")
		must(t, tree.Delete(box(t, "C"))) // there is a trash now
		wantList(t, tree, "INBOX", "A")
		r.Clear()
		must(t, tree.EmptyTrash(context.Background()))
		trash, err := tree.Root().OpenDir(TrashName)
		must(t, err)
		if got := namesOf(t, trash); len(got) != 0 {
			t.Errorf("trash %q", got)
		}
	})
}

func TestTreeRename(t *testing.T) {
	eachTree(t, func(t *testing.T, r *disktest.Recorder, tree *Tree) {
		for _, name := range []string{"A", "A/B", "A/B/C", "AB", "X"} {
			must(t, tree.Create(box(t, name)))
		}
		b, err := tree.Open(box(t, "A/B"))
		must(t, err)
		defer b.Close()
		put(t, b.Place(Cur), "1.b:2,", "text")
		for _, tt := range []struct {
			from, to string
			want     error
		}{
			{"INBOX", "Z", ErrName},
			{"A", "A/Z", ErrName},
			{"none", "Z", ErrNotExist},
			{"A", "X", ErrExist},
			{"A", "INBOX", ErrExist},
		} {
			if _, err := tree.Rename(box(t, tt.from), box(t, tt.to)); !errors.Is(err, tt.want) {
				t.Errorf("%s to %s: %v", tt.from, tt.to, err)
			}
		}
		moves, err := tree.Rename(box(t, "A"), box(t, "N/M"))
		must(t, err)
		var got []string
		for _, mv := range moves {
			got = append(got, mv.From.Name.String()+">"+mv.To.Name.String())
			d, err := tree.OpenAt(mv.To.Dir)
			must(t, err)
			must(t, tree.Check(mv.To.Dir, d))
			d.Close()
		}
		if want := []string{"A>N/M", "A/B>N/M/B", "A/B/C>N/M/B/C"}; !slices.Equal(got, want) {
			t.Errorf("moves %q", got)
		}
		if tree.Layout().Nested {
			wantList(t, tree, "INBOX", "(N)", "N/M", "N/M/B", "N/M/B/C", "AB", "X")
		} else {
			wantList(t, tree, "INBOX", "N/M", "N/M/B", "N/M/B/C", "AB", "X")
		}
		moved, err := tree.Open(box(t, "N/M/B"))
		must(t, err)
		defer moved.Close()
		if got := get(t, moved.Place(Cur), "1.b:2,"); got != "text" {
			t.Errorf("moved message %q", got)
		}
	})
}

// TestTreeRenameFails: a rename that fails in the middle is undone.
func TestTreeRenameFails(t *testing.T) {
	eachTree(t, func(t *testing.T, r *disktest.Recorder, tree *Tree) {
		for _, name := range []string{"A", "A/B", "A/C"} {
			must(t, tree.Create(box(t, name)))
		}
		for n := 1; n <= 3; n++ {
			r.Fail(disktest.Rule{Op: disktest.Rename, Nth: n, Err: syscall.EIO})
			_, err := tree.Rename(box(t, "A"), box(t, "Z"))
			r.Clear()
			if err == nil { // fs: one rename
				_, err = tree.Rename(box(t, "Z"), box(t, "A"))
				must(t, err)
			} else if !errors.Is(err, syscall.EIO) {
				t.Errorf("rename %d: %v", n, err)
			}
			wantList(t, tree, "INBOX", "A", "A/B", "A/C")
		}
	})
}

// TestTreeForeign lists what other programs leave in a Maildir.
func TestTreeForeign(t *testing.T) {
	at := t.TempDir()
	outside := t.TempDir()
	must(t, os.MkdirAll(outside+"/cur", 0o700))
	for _, dir := range []string{
		"cur", "new", "tmp", ".A", ".A.Entwürfe", ".A.Entw&APw-rfe", ".INBOX", ".inbox", ".INBOX.sub", ".bad&name", ".\xff",
		"..DOVECOT-TRASHED", ".nfs00000000000012345678", ".notmuch", "roost.trash", "plain", ".a..b", ".trailing.",
	} {
		must(t, os.Mkdir(at+"/"+dir, 0o700))
	}
	must(t, os.WriteFile(at+"/.uidvalidity", nil, 0o600))
	must(t, os.Symlink(outside, at+"/.link"))
	must(t, os.Symlink("nowhere", at+"/.dangling"))
	tree := openTree(t, disk.OS(), at, plain)
	want := []string{
		"INBOX", "A", "A/Entwürfe", "A/Entw%c3%bcrfe", "%49NBOX", "%69nbox", "INBOX/sub", "bad%26name", "%ff", "a/%/b", "trailing/%",
	}
	wantList(t, tree, want...)
	for _, name := range want {
		d, err := tree.Open(box(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d.Close()
	}
	for _, name := range []string{"link", "dangling", "notmuch"} {
		if _, err := tree.Open(box(t, name)); !errors.Is(err, ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := tree.Find(box(t, "A/Entwürfe")); err != nil || got[0] != ".A.Entw&APw-rfe" {
		t.Errorf("canonical form first: %q %v", got, err)
	}
}

func TestTreeForeignNested(t *testing.T) {
	at := t.TempDir()
	for _, dir := range []string{
		"cur", "new", "tmp", "A/cur", "A/inbox/cur", "A/INBOX/cur", "INBOX/B/cur", "inbox/cur", "cur/evil/cur", ".git/cur",
		"A/dovecot.d", "A/Entwürfe/new", "deep/x/y/z/cur", "roost.trash/x/cur",
	} {
		must(t, os.MkdirAll(at+"/"+dir, 0o700))
	}
	must(t, os.Symlink("..", at+"/A/loop"))
	tree := openTree(t, disk.OS(), at, nested)
	wantList(t, tree, "INBOX", "A", "A/inbox", "A/INBOX", "INBOX/B", "%69nbox", "A/Entwürfe", "(deep)", "(deep/x)", "(deep/x/y)", "deep/x/y/z")
	for _, l := range listedNames(t, tree) {
		if l[0] == '(' {
			continue
		}
		if d, err := tree.Open(box(t, l)); err != nil {
			t.Errorf("%s: %v", l, err)
		} else {
			d.Close()
		}
	}
}

// TestTreeMoved: another directory at the path of the Maildir is noticed.
func TestTreeMoved(t *testing.T) {
	at := t.TempDir() + "/Maildir"
	must(t, os.Mkdir(at, 0o700))
	tree := openTree(t, disk.OS(), at, plain)
	must(t, tree.Create(box(t, "A")))
	path, err := tree.Find(box(t, "A"))
	must(t, err)
	a, err := tree.Open(box(t, "A"))
	must(t, err)
	defer a.Close()
	inbox, err := tree.Open(box(t, "INBOX"))
	must(t, err)
	defer inbox.Close()
	must(t, tree.Check(path, a))
	must(t, tree.Check(nil, inbox))
	must(t, os.Rename(at, at+".old"))
	for range 2 { // first nothing, then another one
		if err := tree.Check(path, a); !errors.Is(err, ErrGone) {
			t.Errorf("A: %v", err)
		}
		if err := tree.Check(nil, inbox); !errors.Is(err, ErrGone) {
			t.Errorf("INBOX: %v", err)
		}
		must(t, os.MkdirAll(at+"/.A/cur", 0o700))
	}
}

// TestTreeMany plants many folders: they are listed, and fast enough not to
// be noticed in a test.
func TestTreeMany(t *testing.T) {
	m := disktest.NewMem()
	tree := openTree(t, m, "/", plain)
	for i := range 20_000 {
		must(t, tree.Root().Mkdir(fmt.Sprintf(".f%05d.x", i), 0o700))
	}
	all, err := tree.List()
	must(t, err)
	if len(all) != 20_001 || all[0].Name.String() != "INBOX" || all[20_000].Name.String() != "f19999/x" {
		t.Errorf("%d mailboxes", len(all))
	}
}
