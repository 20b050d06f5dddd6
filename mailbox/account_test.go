package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
)

const testRoot = "/mail/alice"

// memStore is a file system in memory with a Maildir, and a Store on it.
func memStore(t testing.TB, change func(*Options)) (*disktest.Mem, *Store) {
	t.Helper()
	mem := disktest.NewMem()
	if err := makeRoot(mem, testRoot, CreateAlways); err != nil {
		t.Fatal(err)
	}
	return mem, newTestStore(t, mem, change)
}

func newTestStore(t testing.TB, fsys disk.FS, change func(*Options)) *Store {
	t.Helper()
	o := Options{FS: fsys, Escape: "%"}
	if change != nil {
		change(&o)
	}
	st, err := NewStore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return st
}

func openTestAccount(t testing.TB, st *Store) *Account {
	t.Helper()
	a, err := st.Open(t.Context(), User{Name: "alice", Path: testRoot})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustCreate(t testing.TB, a *Account, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := a.Create(t.Context(), name, nil); err != nil {
			t.Fatalf("create %q: %v", name, err)
		}
	}
}

// identity is what a client knows a mailbox by.
type identity struct {
	id          string
	uidValidity uint32
}

func identityOf(t testing.TB, a *Account, name string) identity {
	t.Helper()
	mb, err := a.Mailbox(t.Context(), name)
	if err != nil {
		t.Fatalf("open %q: %v", name, err)
	}
	defer mb.Release()
	return identity{mb.ID(), mb.UIDValidity()}
}

// listText is a listing in one line: ! is not selectable, ? does not exist, +
// has children, s is subscribed.
func listText(t testing.TB, a *Account) string {
	t.Helper()
	all, err := a.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range all {
		s := l.Name
		switch {
		case l.NonExistent:
			s += "?"
		case !l.Exists:
			s += "!"
		}
		if l.HasChildren {
			s += "+"
		}
		if l.Subscribed {
			s += "s"
		}
		for _, u := range l.SpecialUse {
			s += string(u)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func wantList(t testing.TB, a *Account, want string) {
	t.Helper()
	if got := listText(t, a); got != want {
		t.Errorf("list\n got %s\nwant %s", got, want)
	}
}

func TestAccountList(t *testing.T) {
	for _, layout := range []string{"maildir++", "fs"} {
		t.Run(layout, func(t *testing.T) {
			_, st := memStore(t, func(o *Options) { o.Layout = layout })
			a := openTestAccount(t, st)
			defer a.Release()
			wantList(t, a, "INBOX")
			mustCreate(t, a, "Work/2026/May", "Archive/", "INBOX/Sub", "a-b", "a", "a/x", "Entwürfe", "v1.0", ".dot")
			wantList(t, a, "INBOX+ INBOX/Sub .dot Archive Entwürfe Work+ Work/2026+ Work/2026/May a+ a/x a-b v1.0")
			if err := a.Delete(t.Context(), "Work"); err != nil {
				t.Fatal(err)
			}
			level := map[string]string{"maildir++": "Work?+", "fs": "Work!+"}[layout]
			wantList(t, a, "INBOX+ INBOX/Sub .dot Archive Entwürfe "+level+" Work/2026+ Work/2026/May a+ a/x a-b v1.0")
			if err := a.Delete(t.Context(), "Work"); !errors.Is(err, ErrHasChildren) {
				t.Errorf("delete a level: %v", err)
			}
			if _, err := a.Mailbox(t.Context(), "Work"); !errors.Is(err, ErrNotExist) && !errors.Is(err, ErrNotSelectable) {
				t.Errorf("open a level: %v", err)
			}
			// INBOX in any case, also as a level.
			mustCreate(t, a, "inBox/Other")
			if got := identityOf(t, a, "InBoX/Other"); got != identityOf(t, a, "INBOX/Other") || got.id == "" {
				t.Error("INBOX is not the same in any case")
			}
		})
	}
}

// The names of the table of attacks: refused, and nothing outside the Maildir
// is touched.
func TestAttackNames(t *testing.T) {
	names := []string{
		"..", "../x", "../bob/Secret", "a/../b", "/etc", "/etc/passwd", "a//b", ".", "./x", "x/.", "/", "//", "", "a/..",
		"\x00", "a\x00b", "a\nb", "a\rb", "\x7f", "\u0080", "\u2028x", "\ufeffx", "\xff", "a\xc3",
		strings.Repeat("x", 256), strings.Repeat("x/", 65) + "x", strings.Repeat("é", 5000),
	}
	forFS := []string{"cur", "new", "tmp", "INBOX/cur", "roost.trash", "roost.x", "dovecot-uidlist", "courierimapuiddb"}
	for _, layout := range []string{"maildir++", "fs"} {
		t.Run(layout, func(t *testing.T) {
			mem := disktest.NewMem()
			for _, dir := range []string{"/mail", testRoot, "/mail/bob", "/mail/bob/Secret", "/mail/bob/Secret/cur"} {
				if err := mem.MkdirRoot(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			rec := disktest.Wrap(mem)
			st := newTestStore(t, rec, func(o *Options) { o.Layout = layout })
			a := openTestAccount(t, st)
			defer a.Release()
			mustCreate(t, a, "good")
			rec.Before(func(c disktest.Call) {
				at := path.Clean(c.Dir)
				if at != testRoot && !strings.HasPrefix(at, testRoot+"/") || strings.Contains(c.Dir+"/"+c.Name+"/"+c.NewName, "..") {
					t.Errorf("call outside the Maildir: %+v", c)
				}
			})
			bad := names
			if layout == "fs" {
				bad = slices.Concat(names, forFS)
			}
			for _, name := range bad {
				ctx := t.Context()
				_, cerr := a.Create(ctx, name, nil)
				_, merr := a.Mailbox(ctx, name)
				_, serr := a.Status(ctx, name, StatusItems{}, &Barrier{})
				for what, err := range map[string]error{
					"create": cerr, "open": merr, "status": serr, "delete": a.Delete(ctx, name),
					"rename from": a.Rename(ctx, name, "other"), "rename to": a.Rename(ctx, "good", name),
					"rename below": a.Rename(ctx, "good", "x/"+name+"/y"), "subscribe": a.Subscribe(ctx, name, true),
				} {
					// One separator at the end is allowed for what is made.
					if err == nil || !errors.Is(err, ErrName) && !errors.Is(err, ErrNotExist) {
						t.Errorf("%s %.60q: %v", what, name, err)
					}
				}
			}
			wantList(t, a, "INBOX good")
		})
	}
}

// What the client may mean by names that mean something elsewhere.
func TestHarmlessNames(t *testing.T) {
	for _, layout := range []string{"maildir++", "fs"} {
		_, st := memStore(t, func(o *Options) { o.Layout = layout })
		a := openTestAccount(t, st)
		names := []string{"~root", "a&b", "50% off", "%2e", "a:b", "a*b", "日本語/メール", "e\u0301", " ", "INBOXES", "#news", "c.u.r", "\\"}
		for _, name := range names {
			mustCreate(t, a, name)
			want := identityOf(t, a, name)
			if name == "e\u0301" {
				if got := identityOf(t, a, "é"); got != want {
					t.Error("a denormalized name is another mailbox")
				}
				name = "é"
			}
			if !strings.Contains(" "+listText(t, a)+" ", " "+name) {
				t.Errorf("%s: %q is not listed", layout, name)
			}
		}
		a.Release()
	}
}

// Names that the layout cannot hold are refused without an escape.
func TestNoEscape(t *testing.T) {
	_, st := memStore(t, func(o *Options) { o.Escape = "" })
	a := openTestAccount(t, st)
	defer a.Release()
	if _, err := a.Create(t.Context(), "v1.0", nil); !errors.Is(err, ErrName) {
		t.Errorf("got %v", err)
	}
}

// A separator that is a dot, and directories that hold one.
func TestDotSeparator(t *testing.T) {
	mem, st := memStore(t, func(o *Options) { o.Separator, o.Layout = '.', "fs" })
	for _, dir := range []string{"/v1.0", "/v1.0/cur"} {
		if err := mem.MkdirRoot(testRoot+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a := openTestAccount(t, st)
	defer a.Release()
	mustCreate(t, a, "a.b")
	wantList(t, a, "INBOX a+ a.b v1%2e0")
	if identityOf(t, a, "v1%2e0").id == "" {
		t.Error("cannot be opened by the name that is listed")
	}
}

func TestPrefix(t *testing.T) {
	_, st := memStore(t, func(o *Options) { o.Prefix = "inbox/"; o.SpecialUse = map[string]string{"Sent": `\Sent`} })
	a := openTestAccount(t, st)
	defer a.Release()
	if a.Prefix() != "INBOX/" {
		t.Errorf("prefix %q", a.Prefix())
	}
	mustCreate(t, a, "INBOX/Sent", "Inbox/a/b")
	wantList(t, a, `INBOX+ INBOX/Sent\Sent INBOX/a+ INBOX/a/b`)
	ctx := t.Context()
	if _, err := a.Mailbox(ctx, "Sent"); !errors.Is(err, ErrNotExist) {
		t.Errorf("a name outside the prefix: %v", err)
	}
	if _, err := a.Create(ctx, "Other", nil); !errors.Is(err, ErrName) {
		t.Errorf("create outside the prefix: %v", err)
	}
	if err := a.Rename(ctx, "INBOX/a", "a"); !errors.Is(err, ErrName) {
		t.Errorf("rename out of the prefix: %v", err)
	}
	if _, err := a.Create(ctx, "INBOX/INBOX", nil); !errors.Is(err, ErrName) {
		t.Errorf("a second INBOX: %v", err)
	}
	if err := a.Subscribe(ctx, "INBOX/a", true); err != nil {
		t.Fatal(err)
	}
	subs, _, err := a.tree.ReadSubscriptions()
	if err != nil || len(subs.Names()) != 1 || subs.Names()[0].String() != "a" {
		t.Errorf("the file holds the prefix: %v, %v", subs.Names(), err)
	}
}

func TestSpecialUse(t *testing.T) {
	_, st := memStore(t, func(o *Options) {
		o.SpecialUse = map[string]string{"Sent": `\Sent`, "Sent Items": `\Sent`, "Trash": `\Trash`, "Deleted Items": `\Trash`}
	})
	a := openTestAccount(t, st)
	defer a.Release()
	mustCreate(t, a, "sent items", "x/Sent", "Deleted Items")
	wantList(t, a, `INBOX Deleted Items\Trash sent items\Sent x+ x/Sent`)
	mustCreate(t, a, "Sent", "Trash")
	wantList(t, a, `INBOX Deleted Items Sent\Sent Trash\Trash sent items x+ x/Sent`)
	ctx := t.Context()
	if _, err := a.Create(ctx, "Mine", []imap.MailboxAttr{`\SENT`, `\Drafts`}); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, `INBOX Deleted Items Mine\Drafts\Sent Sent Trash\Trash sent items x+ x/Sent`)
	if _, err := a.Create(ctx, "All", []imap.MailboxAttr{imap.MailboxAttrAll}); !errors.Is(err, ErrUseAttr) {
		t.Errorf(`\All: %v`, err)
	}
	if _, err := a.Mailbox(ctx, "All"); !errors.Is(err, ErrNotExist) {
		t.Errorf("created all the same: %v", err)
	}
	// It follows the mailbox, moves to a newer one, and goes with it.
	if err := a.Rename(ctx, "Mine", "Yours"); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, `INBOX Deleted Items Sent Trash\Trash Yours\Drafts\Sent sent items x+ x/Sent`)
	if _, err := a.Create(ctx, "New", []imap.MailboxAttr{imap.MailboxAttrSent}); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, `INBOX Deleted Items New\Sent Sent Trash\Trash Yours\Drafts sent items x+ x/Sent`)
	if err := a.Delete(ctx, "New"); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, `INBOX Deleted Items Sent\Sent Trash\Trash Yours\Drafts sent items x+ x/Sent`)
}

func TestSubscriptions(t *testing.T) {
	_, st := memStore(t, nil)
	a := openTestAccount(t, st)
	defer a.Release()
	ctx := t.Context()
	mustCreate(t, a, "a/b", "Entwürfe")
	for _, name := range []string{"inbox", "a/b", "Entwürfe", "a/b"} {
		if err := a.Subscribe(ctx, name, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Subscribe(ctx, "none", true); !errors.Is(err, ErrNotExist) {
		t.Errorf("subscribe to nothing: %v", err)
	}
	if err := a.Subscribe(ctx, "none", false); err != nil {
		t.Errorf("unsubscribe from nothing: %v", err)
	}
	// DELETE and RENAME leave subscriptions alone (RFC 9051 §6.3.5, §6.3.6).
	if err := a.Delete(ctx, "a/b"); err != nil {
		t.Fatal(err)
	}
	if err := a.Rename(ctx, "Entwürfe", "Drafts"); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, "INBOXs Drafts Entwürfe?s a a/b?s")
	file, err := a.tree.Root().Open("subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got := make([]byte, 100)
	n, _ := file.ReadAt(got, 0)
	if want := "V\t2\n\nINBOX\na\tb\nEntw&APw-rfe\n"; string(got[:n]) != want {
		t.Errorf("file %q, want %q", got[:n], want)
	}
	if err := a.Subscribe(ctx, "a/b", false); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, "INBOXs Drafts Entwürfe?s a")
}

// RFC 9051 §6.3.4, §6.3.6: what was deleted or renamed away never comes back
// under the same UIDVALIDITY.
func TestUIDValidityOfNames(t *testing.T) {
	_, st := memStore(t, nil)
	a := openTestAccount(t, st)
	defer a.Release()
	ctx := t.Context()
	mustCreate(t, a, "old")
	old := identityOf(t, a, "old")
	mustCreate(t, a, "new")
	first := identityOf(t, a, "new")
	if first.uidValidity <= old.uidValidity {
		t.Fatalf("%v after %v", first, old)
	}
	if err := a.Delete(ctx, "new"); err != nil {
		t.Fatal(err)
	}
	// old has a smaller UIDVALIDITY than what was called new.
	if err := a.Rename(ctx, "old", "new"); err != nil {
		t.Fatal(err)
	}
	renamed := identityOf(t, a, "new")
	if renamed.uidValidity <= first.uidValidity || renamed.id != old.id {
		t.Errorf("renamed %v over the name of %v: %v", old, first, renamed)
	}
	// And back: the name old had a smaller one, so nothing changes.
	if err := a.Rename(ctx, "new", "old"); err != nil {
		t.Fatal(err)
	}
	if back := identityOf(t, a, "old"); back != renamed {
		t.Errorf("renamed back: %v, want %v", back, renamed)
	}
	mustCreate(t, a, "new")
	if again := identityOf(t, a, "new"); again.uidValidity <= renamed.uidValidity || again.id == renamed.id {
		t.Errorf("created again: %v", again)
	}
}

// A mailbox directory that another program copied, moved or made.
func TestOutsideChanges(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Maildir")
	st := newTestStore(t, disk.OS(), nil)
	a, err := st.Open(t.Context(), User{Name: "alice", Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	mustCreate(t, a, "one")
	one := identityOf(t, a, "one")
	openOnce(t, a, "one")
	wantList(t, a, "INBOX one")
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, ".Work", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	wantList(t, a, "INBOX Work one")
	closeLive(t, a)
	if err := os.CopyFS(filepath.Join(dir, ".copy"), os.DirFS(filepath.Join(dir, ".one"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, ".copy", "roost.index"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, "INBOX Work copy one")
	copied := identityOf(t, a, "copy")
	if copied.id == one.id || copied.uidValidity <= one.uidValidity {
		t.Errorf("copy of %v: %v", one, copied)
	}
	if got := identityOf(t, a, "one"); got != one {
		t.Errorf("copied: %v, was %v", got, one)
	}
	closeLive(t, a)
	if err := os.Rename(filepath.Join(dir, ".one"), filepath.Join(dir, ".moved")); err != nil {
		t.Fatal(err)
	}
	if got := identityOf(t, a, "moved"); got != one {
		t.Errorf("moved: %v, was %v", got, one)
	}
	if _, err := a.Mailbox(t.Context(), "one"); !errors.Is(err, ErrNotExist) {
		t.Errorf("moved away: %v", err)
	}
	// A symbolic link is no mailbox.
	if err := os.Symlink(filepath.Join(dir, ".moved"), filepath.Join(dir, ".link")); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, "INBOX Work copy moved")
	if _, err := a.Mailbox(t.Context(), "link"); !errors.Is(err, ErrNotExist) {
		t.Errorf("a symbolic link: %v", err)
	}
}

// closeLive closes what no session uses.
func closeLive(t testing.TB, a *Account) {
	t.Helper()
	if err := a.closeAll(); err != nil {
		t.Fatal(err)
	}
}

func TestIndexElsewhere(t *testing.T) {
	for _, layout := range []string{"maildir++", "fs"} {
		t.Run(layout, func(t *testing.T) {
			mem, st := memStore(t, func(o *Options) { o.Layout = layout })
			user := User{Name: "alice", Path: testRoot, Index: "/var/index/alice"}
			a, err := st.Open(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Release()
			mustCreate(t, a, "a/b")
			identityOf(t, a, "INBOX")
			before := identityOf(t, a, "a/b")
			if err := a.Rename(t.Context(), "a", "x/y"); err != nil {
				t.Fatal(err)
			}
			closeLive(t, a)
			if got := identityOf(t, a, "x/y/b"); got != before {
				t.Errorf("renamed: %v, was %v", got, before)
			}
			if err := a.Delete(t.Context(), "x/y/b"); err != nil {
				t.Fatal(err)
			}
			mustCreate(t, a, "x/y/b")
			if got := identityOf(t, a, "x/y/b"); got.id == before.id || got.uidValidity <= before.uidValidity {
				t.Errorf("made again: %v, was %v", got, before)
			}
			eachFile(t, mem, testRoot, func(name string) {
				if strings.Contains(name, "roost.") && !strings.Contains(name, "roost.trash") {
					t.Errorf("%s is in the mail", name)
				}
			})
		})
	}
}

// eachFile visits everything below dir; what is removed meanwhile (the trash is
// emptied in the background) is left out.
func eachFile(t testing.TB, fsys disk.FS, dir string, visit func(name string)) {
	t.Helper()
	d, err := fsys.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var subs []string
	if err := d.ReadDir(func(e disk.Entry) bool {
		visit(dir + "/" + string(e.Name))
		if e.Type.IsDir() {
			subs = append(subs, dir+"/"+string(e.Name))
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	for _, sub := range subs {
		eachFile(t, fsys, sub, visit)
	}
}

// A listing of a tree in which nothing changed reads no directory.
func TestListCost(t *testing.T) {
	mem, _ := memStore(t, nil)
	const n = 10000
	for i := range n {
		if err := mem.MkdirRoot(fmt.Sprintf("%s/.box.%05d", testRoot, i), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	rec := disktest.Wrap(mem)
	rec.Turn(2 * time.Second) // the directory is still for long
	st := newTestStore(t, rec, nil)
	a := openTestAccount(t, st)
	defer a.Release()
	start := time.Now()
	if all, err := a.List(t.Context()); err != nil || len(all) != n+2 {
		t.Fatalf("%d names, %v", len(all), err)
	}
	t.Logf("first listing of %d: %v", n, time.Since(start))
	calls, start := rec.Count(), time.Now()
	if all, err := a.List(t.Context()); err != nil || len(all) != n+2 {
		t.Fatalf("%d names, %v", len(all), err)
	}
	t.Logf("again: %v", time.Since(start))
	if used := rec.Count() - calls; used > 3 {
		t.Errorf("%d system calls", used)
	}
	if err := mem.MkdirRoot(testRoot+"/.new", 0o700); err != nil {
		t.Fatal(err)
	}
	if all, err := a.List(t.Context()); err != nil || len(all) != n+3 {
		t.Fatalf("after a change: %d names, %v", len(all), err)
	}
}

func TestAutocreate(t *testing.T) {
	change := func(o *Options) {
		o.SpecialUse = map[string]string{"Sent": `\Sent`, "Sent Items": `\Sent`, "Trash": `\Trash`}
		o.Autocreate, o.Autosubscribe = []string{"Sent", "Trash"}, []string{"Sent", "Trash"}
	}
	mem, st := memStore(t, change)
	if err := mem.MkdirRoot(testRoot+"/.Sent Items", 0o700); err != nil {
		t.Fatal(err)
	}
	a := openTestAccount(t, st)
	wantList(t, a, `INBOX Sent Items\Sent Trashs\Trash`)
	if err := a.Delete(t.Context(), "Trash"); err != nil {
		t.Fatal(err)
	}
	a.Release()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	// Who deletes it does not get it again.
	a = openTestAccount(t, newTestStore(t, mem, change))
	wantList(t, a, `INBOX Sent Items\Sent Trash?s`)
	a.Release()
}

func TestOpenIsCancelled(t *testing.T) {
	_, st := memStore(t, nil)
	a := openTestAccount(t, st)
	defer a.Release()
	if err := a.takeTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Create(ctx, "x", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	a.giveTurn()
}
