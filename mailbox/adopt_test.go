package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
	"roost/maildir"
)

// foreignFixture unpacks files that a real server made, see package maildir.
func foreignFixture(t testing.TB, name string) (files map[string]string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "maildir", "testdata", "foreign", name))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	at := ""
	for line := range strings.Lines(string(data)) {
		if file, ok := strings.CutPrefix(line, "-- "); ok {
			at = strings.TrimSuffix(file, " --\n")
			files[at] = ""
		} else if at != "" {
			files[at] += line
		}
	}
	return files
}

// An adopted is a Maildir that another server left, and stores on it.
type adopted struct {
	t     testing.TB
	path  string
	watch *maildir.Watcher
	st    *Store
	a     *Account
}

func newAdopted(t testing.TB, files map[string]string) *adopted {
	t.Helper()
	f := &adopted{t: t, path: filepath.Join(t.TempDir(), "Maildir")}
	for _, d := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(f.path, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		f.write(name, text)
	}
	w, err := maildir.NewWatcher(maildir.WatchOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.close()
		w.Close()
	})
	f.watch = w
	return f
}

func (f *adopted) write(name, text string) {
	f.t.Helper()
	p := filepath.Join(f.path, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		f.t.Fatal(err)
	}
	// Messages appear as a whole, as an MTA lets them.
	tmp := filepath.Join(f.path, "tmp", "x")
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(tmp, p); err != nil {
		f.t.Fatal(err)
	}
}

func (f *adopted) read(name string) string {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.path, name))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(data)
}

// open gives a mailbox of the account, which it opens if need be.
func (f *adopted) open(name string) *Mailbox {
	f.t.Helper()
	if f.a == nil {
		st, err := NewStore(Options{FS: disk.OS(), Escape: "%", Watcher: f.watch})
		if err != nil {
			f.t.Fatal(err)
		}
		if f.a, err = st.Open(context.Background(), User{Name: "u", Path: f.path}); err != nil {
			f.t.Fatal(err)
		}
		f.st = st
	}
	mb, err := f.a.Mailbox(context.Background(), name)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(mb.Release)
	return mb
}

// close ends roost.
func (f *adopted) close() {
	f.t.Helper()
	if f.st == nil {
		return
	}
	if err := f.st.Close(); err != nil {
		f.t.Error(err)
	}
	f.st, f.a = nil, nil
}

// foreignTold is what clients hear of a mailbox, as the fixtures have it.
func foreignTold(mb *Mailbox) string {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	out := fmt.Sprintf("%d %d\n", mb.ix.UIDValidity(), mb.ix.UIDNext())
	mb.live.each(0, index.Row(mb.live.rows), func(row index.Row) bool {
		words := slices.Clone(mb.ix.KeywordNames(mb.ix.Keywords(row)))
		for name, flag := range map[string]index.Flags{
			`\Answered`: index.Answered, `\Seen`: index.Seen, `\Flagged`: index.Flagged, `\Draft`: index.Draft, `\Deleted`: index.Deleted,
		} {
			if mb.ix.Flags(row)&flag != 0 {
				words = append(words, name)
			}
		}
		slices.Sort(words)
		out += strings.TrimSpace(fmt.Sprintf("%d %s", mb.ix.UID(row), strings.Join(words, " "))) + "\n"
		return true
	})
	return out
}

// foreignUIDs gives the UIDs by the key of the base, and UIDNEXT under "".
func foreignUIDs(mb *Mailbox) map[string]imap.UID {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	m := map[string]imap.UID{"": mb.ix.UIDNext()}
	mb.live.each(0, index.Row(mb.live.rows), func(row index.Row) bool {
		m[mb.ix.Base(row)] = mb.ix.UID(row)
		return true
	})
	return m
}

func (f *adopted) wantUIDs(mb *Mailbox, want map[string]imap.UID) {
	f.t.Helper()
	if got := foreignUIDs(mb); fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("UIDs %v, want %v", got, want)
	}
}

// What roost tells is what the server told that made the files, also after a
// restart, and its files say the same in the end.
func TestAdoptFixtures(t *testing.T) {
	for _, name := range []string{"dovecot.txtar", "courier.txtar"} {
		t.Run(name, func(t *testing.T) {
			files := foreignFixture(t, name)
			f := newAdopted(t, files)
			f.write(".Work/cur/1.a:2,", "a")
			mb := f.open("INBOX")
			if got := foreignTold(mb); got != files["told"] {
				t.Errorf("told\n%swant\n%s", got, files["told"])
			}
			if a := mb.Adoption(); a.Problem != nil || a.Fresh != 0 || a.Messages != strings.Count(files["told"], "\n")-1 {
				t.Errorf("adoption %+v", a)
			}
			if m := mb.ix.HighestModSeq(); m < 1600000000<<20 {
				t.Errorf("HIGHESTMODSEQ %d is not above that of the other server", m)
			}
			if list := listText(t, f.a); !strings.Contains(list, "Works") {
				t.Errorf("list %q lacks the subscription", list)
			}
			f.close()
			mb = f.open("INBOX")
			if got := foreignTold(mb); got != files["told"] {
				t.Errorf("told after a restart\n%swant\n%s", got, files["told"])
			}
			if mb.foreign.jump || mb.Adoption().From != "" {
				t.Errorf("nobody served it meanwhile, but %+v", mb.Adoption())
			}
		})
	}
}

func listOf(uidValidity, uidNext int64, entries ...string) string {
	return fmt.Sprintf("3 V%d N%d\n", uidValidity, uidNext) + strings.Join(append(entries, ""), "\n")
}

// Messages without an entry get UIDs above all that were given, in the order
// of their names; of a name with two UIDs the later counts.
func TestAdoptNewMessages(t *testing.T) {
	f := newAdopted(t, map[string]string{
		"cur/20.a:2,S": "a", "cur/10.b:2,": "b", "new/5.c": "c", "new/7.d": "d",
		"dovecot-uidlist": listOf(77, 40, "3 :20.a:2,", "5 :10.b", "8 :gone", "9 :20.a") + "12 :7.d", // torn
	})
	mb := f.open("INBOX")
	f.wantUIDs(mb, map[string]imap.UID{"": 42, "20.a": 9, "10.b": 5, "5.c": 40, "7.d": 41})
	f.close()
	if got, want := f.read("dovecot-uidlist"), " G"+mb.ID()+"\n5 :10.b\n9 :20.a\n40 :5.c\n41 :7.d\n"; got != "3 V77 N42"+want {
		t.Errorf("list %q, want %q", got, want)
	}
}

// A malformed list gives nothing: the mailbox gets a UIDVALIDITY above all that
// the files have.
func TestAdoptMalformed(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"order":     {"dovecot-uidlist": listOf(4000000000, 9, "3 :a", "2 :b")},
		"UIDs left": {"dovecot-uidlist": listOf(4000000000, 4294967000, "3 :a")},
		"Courier":   {"courierimapuiddb": "1 4000000000 9\nx\n"},
		"younger":   {"dovecot-uidvalidity": "ee6b2800", "dovecot-uidlist": "3 V7 N8\nx\n", "courierimapuiddb": "1 4000000000 9\n1 a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAdopted(t, files)
			f.write("cur/a:2,S", "a")
			if name == "younger" {
				old := time.Now().Add(-time.Hour)
				if err := os.Chtimes(filepath.Join(f.path, "courierimapuiddb"), old, old); err != nil {
					t.Fatal(err)
				}
			}
			mb := f.open("INBOX")
			if mb.Adoption().Problem == nil || mb.UIDValidity() <= 4000000000 {
				t.Errorf("UIDVALIDITY %d, problem %v", mb.UIDValidity(), mb.Adoption().Problem)
			}
			f.wantUIDs(mb, map[string]imap.UID{"": 2, "a": 1})
		})
	}
}

// A lock that another program holds is waited for, and nothing is numbered
// before it is free.
func TestAdoptLocked(t *testing.T) {
	f := newAdopted(t, map[string]string{"dovecot-uidlist": listOf(7, 3, "2 :a"), "dovecot-uidlist.lock": ""})
	root, err := disk.OS().OpenRoot(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	if _, err := readForeign(ctx, &mailboxOptions{FS: disk.OS()}, root); !errors.Is(err, ErrUnavailable) {
		t.Errorf("with a lock: %v", err)
	}
	f.write("dovecot-uidlist.lock", "roost 1\n") // of a roost that was killed
	if _, err := readForeign(t.Context(), &mailboxOptions{FS: disk.OS()}, root); err != nil {
		t.Errorf("with a lock of a process of ours that is no more: %v", err)
	}
	f.write("dovecot-uidlist.lock", "")
	old := time.Now().Add(-3 * time.Minute)
	if err := os.Chtimes(filepath.Join(f.path, "dovecot-uidlist.lock"), old, old); err != nil {
		t.Fatal(err)
	}
	files, err := readForeign(t.Context(), &mailboxOptions{FS: disk.OS()}, root)
	if err != nil || files.dovecot == nil || files.dovecot.UIDValidity != 7 {
		t.Errorf("with a lock that nobody holds: %+v, %v", files, err)
	}
}

// Another server served the mailbox meanwhile (design §8).
func TestAnotherServerMeanwhile(t *testing.T) {
	begin := map[string]string{
		"cur/1.a:2,": "a", "cur/2.b:2,": "b", "cur/3.c:2,S": "c",
		"dovecot-uidlist": listOf(77, 4, "1 :1.a", "2 :2.b", "3 :3.c"),
	}
	start := func(t *testing.T) *adopted {
		f := newAdopted(t, begin)
		f.open("INBOX")
		f.close()
		return f
	}
	t.Run("new messages keep its UIDs", func(t *testing.T) {
		f := start(t)
		f.write("cur/9.x:2,", "x")
		f.write("cur/8.y:2,F", "y")
		f.write("new/7.z", "z")
		f.write("dovecot-uidlist", listOf(77, 30, "1 :1.a", "2 :2.b", "3 :3.c", "12 :9.x", "15 :8.y"))
		before := f.read("dovecot-uidlist")
		mb := f.open("INBOX")
		f.wantUIDs(mb, map[string]imap.UID{"": 31, "1.a": 1, "2.b": 2, "3.c": 3, "9.x": 12, "8.y": 15, "7.z": 30})
		if a := mb.Adoption(); a.Messages != 2 || a.Fresh != 1 || a.Retired != 0 {
			t.Errorf("adoption %+v", a)
		}
		if mb.ix.FlagFloor() != mb.ix.ExpungeFloor() || mb.ix.FlagFloor() < 1600000000<<20 {
			t.Errorf("floors %d and %d: clients must read all flags again", mb.ix.FlagFloor(), mb.ix.ExpungeFloor())
		}
		f.close()
		if f.read("dovecot-uidlist") == before {
			t.Error("the list was not brought up to date")
		}
	})
	t.Run("a UID of ours names another message there", func(t *testing.T) {
		f := start(t)
		mb := f.open("INBOX")
		f.write("cur/5.ours:2,", "o")
		if err := mb.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.wantUIDs(mb, map[string]imap.UID{"": 5, "1.a": 1, "2.b": 2, "3.c": 3, "5.ours": 4})
		f.close()
		// A crash kept that from the list: the other server gave 4 to another
		// one, and 5 to ours.
		f.write("cur/4.theirs:2,", "t")
		f.write("dovecot-uidlist", listOf(77, 6, "1 :1.a", "2 :2.b", "3 :3.c", "4 :4.theirs", "5 :5.ours"))
		mb = f.open("INBOX")
		// 4 is nobody's any more, 5 is not below our UIDNEXT.
		f.wantUIDs(mb, map[string]imap.UID{"": 7, "1.a": 1, "2.b": 2, "3.c": 3, "5.ours": 5, "4.theirs": 6})
		if a := mb.Adoption(); a.Retired != 1 {
			t.Errorf("adoption %+v", a)
		}
	})
	t.Run("retired messages keep their keywords", func(t *testing.T) {
		f := start(t)
		mb := f.open("INBOX")
		mb.mu.Lock()
		set, err := mb.ix.SetOf([]string{"OnlyInTheIndex"})
		if err == nil {
			_, err = mb.applyLocked(&index.Batch{Flags: []index.FlagChange{{Row: 1, Flags: index.Seen, Keywords: set}}})
		}
		mb.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		f.close()
		f.write("dovecot-uidlist", listOf(77, 9, "1 :1.a", "3 :3.c", "8 :2.b"))
		mb = f.open("INBOX")
		if got, want := foreignTold(mb), "77 9\n1\n3 \\Seen\n8 OnlyInTheIndex \\Seen\n"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
	t.Run("what it expunged is not told", func(t *testing.T) {
		f := start(t)
		if err := os.Remove(filepath.Join(f.path, "cur/2.b:2,")); err != nil {
			t.Fatal(err)
		}
		f.write("dovecot-uidlist", listOf(77, 4, "1 :1.a", "3 :3.c"))
		f.wantUIDs(f.open("INBOX"), map[string]imap.UID{"": 4, "1.a": 1, "3.c": 3})
	})
	t.Run("fields behind the comma are no other message", func(t *testing.T) {
		f := start(t)
		f.write("dovecot-uidlist", listOf(77, 9, "1 :1.a", "2 :2.b,U=5", "3 :3.c"))
		mb := f.open("INBOX")
		f.wantUIDs(mb, map[string]imap.UID{"": 9, "1.a": 1, "2.b": 2, "3.c": 3})
	})
	t.Run("a larger UIDVALIDITY", func(t *testing.T) {
		f := start(t)
		f.write("dovecot-uidlist", listOf(4000000000, 3, "1 :3.c", "2 :1.a"))
		mb := f.open("INBOX")
		if v := mb.UIDValidity(); v <= 4000000000 {
			t.Errorf("UIDVALIDITY %d", v)
		}
		f.close()
		if !strings.HasPrefix(f.read("dovecot-uidlist"), fmt.Sprintf("3 V%d N4 ", mb.UIDValidity())) {
			t.Errorf("list %q", f.read("dovecot-uidlist"))
		}
	})
	t.Run("a smaller UIDVALIDITY", func(t *testing.T) {
		f := start(t)
		f.write("dovecot-uidlist", listOf(5, 3, "1 :3.c", "2 :1.a"))
		mb := f.open("INBOX")
		if v := mb.UIDValidity(); v != 77 {
			t.Errorf("UIDVALIDITY %d", v)
		}
		f.wantUIDs(mb, map[string]imap.UID{"": 4, "1.a": 1, "2.b": 2, "3.c": 3})
	})
	t.Run("a malformed list leaves a gap", func(t *testing.T) {
		f := start(t)
		f.write("cur/9.x:2,", "x")
		f.write("dovecot-uidlist", listOf(77, 4, "1 :1.a", "0 :9.x"))
		mb := f.open("INBOX")
		if got := foreignUIDs(mb); got["9.x"] < 1<<16 || got["1.a"] != 1 || mb.Adoption().Problem == nil {
			t.Errorf("UIDs %v, %+v", got, mb.Adoption())
		}
	})
	t.Run("only flags changed", func(t *testing.T) {
		f := start(t)
		f.write("dovecot.index.log", "x")
		if err := os.Rename(filepath.Join(f.path, "cur/1.a:2,"), filepath.Join(f.path, "cur/1.a:2,F")); err != nil {
			t.Fatal(err)
		}
		mb := f.open("INBOX")
		if got, want := foreignTold(mb), "77 4\n1 \\Flagged\n2\n3 \\Seen\n"; got != want || mb.ix.FlagFloor() < 1600000000<<20 {
			t.Errorf("told %q, want %q; flag floor %d", got, want, mb.ix.FlagFloor())
		}
	})
	t.Run("it wrote while roost served", func(t *testing.T) {
		f := start(t)
		mb := f.open("INBOX")
		f.write("cur/5.ours:2,", "o")
		if err := mb.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		other := listOf(77, 5, "1 :1.a", "2 :2.b", "3 :3.c", "4 :4.theirs")
		f.write("dovecot-uidlist", other)
		f.close()
		if got := f.read("dovecot-uidlist"); got != other {
			t.Errorf("its list was written over: %q", got)
		}
		f.write("cur/4.theirs:2,", "t")
		f.wantUIDs(f.open("INBOX"), map[string]imap.UID{"": 7, "1.a": 1, "2.b": 2, "3.c": 3, "4.theirs": 5, "5.ours": 6})
	})
	t.Run("Courier's list", func(t *testing.T) {
		f := newAdopted(t, map[string]string{"cur/1.a:2,": "a", "courierimapuiddb": "1 9 3\n2 1.a\n"})
		f.open("INBOX")
		f.write("new/2.b", "b")
		f.close()
		f.open("INBOX")
		f.close()
		if got := f.read("courierimapuiddb"); got != "1 9 4\n2 1.a\n3 2.b\n" {
			t.Errorf("list %q", got)
		}
		f.write("cur/3.c:2,", "c")
		f.write("courierimapuiddb", "1 9 8\n2 1.a\n3 2.b\n7 3.c\n")
		f.wantUIDs(f.open("INBOX"), map[string]imap.UID{"": 8, "1.a": 2, "2.b": 3, "3.c": 7})
	})
}

// Whatever call fails while a mailbox is taken over, and whatever a crash
// leaves of it: in the end it is taken over as a whole.
func TestAdoptFaults(t *testing.T) {
	files := foreignFixture(t, "dovecot.txtar")
	failed := 0
	for nth := 1; nth <= 120; nth++ {
		mem := disktest.NewMem()
		if err := makeRoot(mem, testRoot, CreateAlways); err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{"cur", "new", "tmp"} {
			if err := makeRoot(mem, path.Join(testRoot, d), CreateAlways); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range files {
			if !strings.HasPrefix(name, ".") && name != "told" {
				plantFile(t, mem, path.Join(testRoot, path.Dir(name)), path.Base(name), text)
			}
		}
		rec := disktest.Wrap(mem)
		st, err := NewStore(Options{FS: rec, Escape: "%"})
		if err != nil {
			t.Fatal(err)
		}
		a, err := st.Open(t.Context(), User{Name: "alice", Path: testRoot})
		if err != nil {
			t.Fatal(err)
		}
		rec.Fail(disktest.Rule{Nth: nth, Err: syscall.EIO})
		mb, err := a.Mailbox(t.Context(), "INBOX")
		if err != nil {
			failed++
		} else {
			if got := foreignTold(mb); got != files["told"] {
				t.Fatalf("call %d fails: told\n%swant\n%s", nth, got, files["told"])
			}
			mb.Release()
		}
		how := disktest.Survival(nth % 3)
		mem.Crash(rand.New(rand.NewPCG(uint64(nth), 7)), how)
		removeLock(t, mem) // the next process is another one and would know
		after := newTestStore(t, mem, nil)
		b := openTestAccount(t, after)
		if mb, err = b.Mailbox(t.Context(), "INBOX"); err != nil {
			t.Fatalf("call %d failed: %v", nth, err)
		}
		// UIDNEXT may have jumped: that is how a torn journal is dealt with.
		got := foreignTold(mb)
		head, list, _ := strings.Cut(got, "\n")
		wantHead, wantList, _ := strings.Cut(files["told"], "\n")
		if uidNext := uint64(mb.ix.UIDNext()); list != wantList || uidNext < 9 ||
			strings.TrimSuffix(head, fmt.Sprint(uidNext)) != strings.TrimSuffix(wantHead, "9") {
			t.Fatalf("call %d failed, crash %v: told\n%swant\n%s", nth, how, got, files["told"])
		}
		mb.Release()
		b.Release()
		a.Release()
		st.Close() // its files are dead
	}
	if failed < 5 {
		t.Errorf("only %d loads failed: the faults were elsewhere", failed)
	}
}

// removeLock takes away a lock of ours that a crash left.
func removeLock(t testing.TB, fsys disk.FS) {
	t.Helper()
	d, err := fsys.OpenRoot(testRoot)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Unlink(maildir.UidlistLock); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// plantFile writes a durable file.
func plantFile(t testing.TB, fsys disk.FS, dir, name, text string) {
	t.Helper()
	d, err := fsys.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	file, err := d.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte(text), 0)
	if err = errors.Join(err, file.Sync(), file.Close(), d.Sync()); err != nil {
		t.Fatal(err)
	}
}
