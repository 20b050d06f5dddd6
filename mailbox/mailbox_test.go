package mailbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// testSlot is an account for one mailbox.
type testSlot struct {
	mu     sync.Mutex
	record index.Known
	last   uint32
	gone   bool
}

func (s *testSlot) known() index.Known {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record
}

func (s *testSlot) claim(id index.MailboxID, uidValidity uint32) (claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record.ID == id {
		return claim{Known: true, UIDNext: s.record.UIDNext, ModSeq: s.record.ModSeq}, nil
	}
	return claim{}, nil
}

func (s *testSlot) newUIDValidity(seen uint32) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, seen, 1000) + 1
	return s.last, nil
}

func (s *testSlot) register(k index.Known, adopted []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.UIDNext, k.ModSeq = max(k.UIDNext, s.record.UIDNext), max(k.ModSeq, s.record.ModSeq)
	s.record = k
	return nil
}

func (s *testSlot) sync() error { return nil }

func (s *testSlot) raise(id index.MailboxID, uidNext imap.UID, modSeq ModSeq) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.UIDNext, s.record.ModSeq = max(s.record.UIDNext, uidNext), max(s.record.ModSeq, modSeq)
	return nil
}

func (s *testSlot) inPlace(disk.Dir) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.gone, nil
}

func (s *testSlot) name() string { return "test" }

// A fixture is a mailbox on some file system, and the hands of other programs.
type fixture struct {
	t     testing.TB
	fsys  disk.FS
	path  string
	slot  *testSlot
	watch *maildir.Watcher
	count *Counters
	opts  func(*mailboxOptions)
	mb    *Mailbox
}

// testMailbox opens a mailbox on the real disk with real events. It is checked
// and closed at the end of the test.
func testMailbox(t testing.TB) *fixture {
	t.Helper()
	f := testFixture(t)
	f.open()
	return f
}

// testFixture is testMailbox before the mailbox is opened.
func testFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, fsys: disk.OS(), path: filepath.Join(t.TempDir(), "Maildir"), slot: &testSlot{}, count: &Counters{}}
	for _, d := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(f.path, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w, err := maildir.NewWatcher(maildir.WatchOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	f.watch = w
	t.Cleanup(f.close)
	return f
}

func (f *fixture) open() *Mailbox {
	f.t.Helper()
	mb, err := f.tryOpen()
	if err != nil {
		f.t.Fatal(err)
	}
	return mb
}

func (f *fixture) tryOpen() (*Mailbox, error) {
	root, err := f.fsys.OpenRoot(f.path)
	if err != nil {
		return nil, err
	}
	at, err := f.fsys.OpenRoot(f.path)
	if err != nil {
		return nil, err
	}
	dir, err := maildir.Open(f.fsys, root, maildir.Colon)
	if err != nil {
		return nil, err
	}
	o := mailboxOptions{FS: f.fsys, Dir: dir, IndexDir: at, Slot: f.slot, Watcher: f.watch, Owner: "u", Counters: f.count}
	if f.opts != nil {
		f.opts(&o)
	}
	f.mb, err = openMailbox(context.Background(), o)
	return f.mb, err
}

// close checks the mailbox and closes it, if it is open.
func (f *fixture) close() {
	f.t.Helper()
	if f.mb == nil {
		return
	}
	if err := checkAtRest(f.mb); err != nil {
		f.t.Error(err)
	}
	mb := f.mb
	f.mb = nil
	if err := mb.close(); err != nil {
		f.t.Error(err)
	}
}

// checkAtRest gives what Check says once the syncer and the watcher are done:
// what is only under way passes, what is wrong stays wrong.
func checkAtRest(mb *Mailbox) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := mb.Check()
		mb.mu.Lock()
		ended := mb.ended != nil
		mb.mu.Unlock()
		if err == nil || ended || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

func (f *fixture) reopen() {
	f.t.Helper()
	f.close()
	f.open()
}

// view opens a View with a Barrier of its own.
func (f *fixture) view(readOnly bool) *View {
	f.t.Helper()
	v, err := f.mb.Open(context.Background(), readOnly, &Barrier{})
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// noop is the command: what it tells.
func (f *fixture) noop(v *View) Changes {
	f.t.Helper()
	if err := v.Refresh(context.Background()); err != nil {
		f.t.Fatal(err)
	}
	c, err := v.Sync(SyncEverything)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := v.b.Wait(); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// eventually polls until ok is true, within bounds.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("never: %s", what)
		}
		pause := time.NewTimer(2 * time.Millisecond)
		<-pause.C
	}
}

// write makes a file in tmp/ with the body.
func (f *fixture) write(name, body string) string {
	f.t.Helper()
	p := filepath.Join(f.path, "tmp", name)
	if err := os.WriteFile(p, []byte(body), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return p
}

func testBody(name string) string {
	return "From: a@example.org\nSubject: " + name + "\nMessage-ID: <" + name + "@example.org>\n\nhello " + name + "\n"
}

// deliver renames a message into place: "new/x" or "cur/x:2,S".
func (f *fixture) deliver(at string) {
	f.t.Helper()
	base, _, _ := strings.Cut(filepath.Base(at), ":")
	p := f.write(base, testBody(base))
	if err := os.Rename(p, filepath.Join(f.path, at)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) rename(from, to string) {
	f.t.Helper()
	if err := os.Rename(filepath.Join(f.path, from), filepath.Join(f.path, to)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) unlink(name string) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.path, name)); err != nil {
		f.t.Fatal(err)
	}
}

// files lists new and cur, sorted by readdir's order of os.ReadDir.
func (f *fixture) files() []string {
	f.t.Helper()
	var out []string
	for _, d := range []string{"new", "cur"} {
		list, err := os.ReadDir(filepath.Join(f.path, d))
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range list {
			out = append(out, d+"/"+e.Name())
		}
	}
	return out
}

// text is a View as a line a message: UID and flags.
func text(v *View) string {
	var b strings.Builder
	for n := SeqNum(1); int(n) <= v.Len(); n++ {
		m := v.Message(n)
		fmt.Fprintf(&b, "%d:%d%s ", n, m.UID, flagText(v, m))
	}
	return strings.TrimSpace(b.String())
}

func flagText(v *View, m Message) string {
	s := ""
	for i, c := range "AFDSX" { // \Answered \Flagged \Deleted \Seen \Draft
		if m.Flags&(1<<i) != 0 {
			s += string(c)
		}
	}
	for _, w := range v.KeywordNames(m.Keywords) {
		s += "+" + w
	}
	if s != "" {
		return "(" + s + ")"
	}
	return ""
}

func wantText(t testing.TB, v *View, want string) {
	t.Helper()
	if got := text(v); got != want {
		t.Fatalf("view is %q, want %q", got, want)
	}
}

func store(t testing.TB, v *View, mode StoreMode, msgs Seqs, flags Flags, words ...string) StoreResult {
	t.Helper()
	r, err := v.Store(context.Background(), msgs, StoreOp{Mode: mode, Flags: flags, Keywords: words})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func one(n SeqNum) Seqs { return Seqs{{n, n}} }
