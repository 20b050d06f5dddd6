package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
)

// filled has n messages 1.a to n.a in cur/.
func filled(t testing.TB, n int) *fixture {
	t.Helper()
	f := testFixture(t)
	for i := range n {
		f.deliver(fmt.Sprintf("cur/%d.a:2,", i+1))
	}
	f.open()
	return f
}

// A STORE of more messages than the change log holds is not told again to the
// one that did it.
func TestStoreMany(t *testing.T) {
	const n = changeLogSize + 500
	mem, st := memStore(t, nil)
	for _, place := range []string{"cur", "new", "tmp"} {
		if err := mem.MkdirRoot(testRoot+"/"+place, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if err := mem.Plant(fmt.Sprintf("%s/cur/%d.a:2,", testRoot, i+1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := openTestAccount(t, st)
	defer a.Release()
	mb, err := a.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	var views [2]*View
	for i := range views {
		if views[i], err = mb.Open(t.Context(), false, &Barrier{}); err != nil {
			t.Fatal(err)
		}
		defer views[i].Close()
	}
	for round, mode := range []StoreMode{StoreAdd, StoreRemove} {
		res := store(t, views[0], mode, Seqs{{1, n}}, Flagged)
		if len(res.Stored) != n {
			t.Fatalf("%d stored", len(res.Stored))
		}
		for i, want := range []int{0, n} {
			c, err := views[i].Sync(SyncEverything)
			if err != nil || len(c.Flags) != want {
				t.Errorf("round %d: view %d hears of %d changes (%v), want %d", round, i, len(c.Flags), err, want)
			}
		}
	}
}

// TestStore: +, -, replace; merged per flag; in the names; told to others, not
// to oneself.
func TestStore(t *testing.T) {
	f := filled(t, 3)
	a, b := f.view(false), f.view(false)
	defer a.Close()
	defer b.Close()
	r := store(t, a, StoreAdd, Seqs{{1, 2}}, Seen, "Work", "$Forwarded")
	if !r.Changed || len(r.Stored) != 2 || r.Stored[0].ModSeq != r.Stored[1].ModSeq {
		t.Errorf("stored %+v", r)
	}
	store(t, b, StoreAdd, Seqs{{2, 3}}, Flagged)
	wantText(t, a, "1:1(S+$Forwarded+Work) 2:2(FS+$Forwarded+Work) 3:3(F)")
	if c := f.noop(a); !c.Keywords || len(c.Flags) != 2 || c.Flags[0].Seq != 2 || c.Flags[1].Seq != 3 {
		t.Errorf("a is told %+v", c)
	}
	if c := f.noop(b); len(c.Flags) != 2 || c.Flags[0].Seq != 1 || c.Flags[1].Seq != 2 {
		t.Errorf("b is told %+v", c)
	}
	if r := store(t, a, StoreAdd, one(1), Seen, "work"); r.Changed {
		t.Error("setting what is set is a change")
	}
	store(t, a, StoreRemove, one(2), Seen, "WORK")
	store(t, b, StoreReplace, one(3), Draft)
	wantText(t, b, "1:1(S+$Forwarded+Work) 2:2(F+$Forwarded) 3:3(X)")
	want := []string{"cur/1.a:2,PSa", "cur/2.a:2,FP", "cur/3.a:2,D"}
	f.eventually("names", func() bool { return slices.Equal(f.files(), want) })
	f.reopenView(&a)
	wantText(t, a, "1:1(S+$Forwarded+Work) 2:2(F+$Forwarded) 3:3(X)")
}

// TestUnchangedSince is RFC 7162 §3.1.3 and §3.1.12.
func TestUnchangedSince(t *testing.T) {
	f := filled(t, 3)
	a, b := f.view(false), f.view(false)
	defer a.Close()
	defer b.Close()
	since := a.HighestModSeq()
	store(t, b, StoreAdd, one(2), Flagged)
	cond := func(mode StoreMode, flags Flags) StoreResult {
		r, err := a.Store(context.Background(), Seqs{{1, 3}}, StoreOp{Mode: mode, Flags: flags, UnchangedSince: &since})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// \Seen of 2 did not change since, so it passes; \Flagged did.
	if r := cond(StoreAdd, Seen); len(r.Modified) != 0 || len(r.Stored) != 3 {
		t.Errorf("+\\Seen: %+v", r)
	}
	since = a.HighestModSeq()
	if r := cond(StoreRemove, Flagged); r.Modified.Len() != 1 || r.Modified[0].First != 2 {
		t.Errorf("-\\Flagged: %+v", r)
	}
	if r := cond(StoreReplace, 0); r.Modified.Len() != 3 {
		t.Errorf("replace: %+v", r)
	}
}

// TestOutsideMerge is the three-way merge (R22 to R24, K1).
func TestOutsideMerge(t *testing.T) {
	f := filled(t, 1)
	v := f.view(false)
	defer v.Close()
	store(t, v, StoreAdd, one(1), Seen, "Work")
	f.rename("cur/1.a:2,Sa", "cur/1.a:2,FS") // mutt: flags, and drops the keyword
	f.noop(v)
	wantText(t, v, "1:1(FS+Work)")
	f.eventually("the letter is put back", func() bool { return f.files()[0] == "cur/1.a:2,FSa" })
	f.rename("cur/1.a:2,FSa", "cur/1.a:2,PSa")
	f.noop(v)
	wantText(t, v, "1:1(S+$Forwarded+Work)")
	// Unknown letters and fields stay.
	f.rename("cur/1.a:2,PSa", "cur/1.a:2,PSaZ,x")
	f.noop(v)
	store(t, v, StoreAdd, one(1), Draft)
	if got := f.files()[0]; got != "cur/1.a:2,DPSZa,x" {
		t.Errorf("name %q", got)
	}
	wantText(t, v, "1:1(SX+$Forwarded+Work)")
}

// TestManyKeywords: those beyond the letters are in the index only.
func TestManyKeywords(t *testing.T) {
	f := filled(t, 1)
	v := f.view(false)
	for i := range 30 {
		store(t, v, StoreAdd, one(1), 0, fmt.Sprintf("key%02d", i))
	}
	if got := f.files()[0]; got != "cur/1.a:2,abcdefghijklmnopqrstuvwxyz" {
		t.Errorf("name %q", got)
	}
	f.reopenView(&v)
	defer v.Close()
	if n := len(v.KeywordNames(v.Message(1).Keywords)); n != 30 {
		t.Errorf("%d keywords", n)
	}
}

// TestViewNumbers: numbers change only as the policy allows, and HIGHESTMODSEQ
// stays below what is owed.
func TestViewNumbers(t *testing.T) {
	f := filled(t, 5)
	a, b := f.view(false), f.view(false)
	defer a.Close()
	defer b.Close()
	before := b.HighestModSeq()
	store(t, a, StoreAdd, Seqs{{2, 3}}, Deleted)
	if n, err := a.Expunge(context.Background(), nil); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	f.deliver("new/9.z")
	c := f.noop(a)
	if !slices.Equal(c.Expunged, []Expunged{{3, 3}, {2, 2}}) || !c.Exists {
		t.Errorf("a is told %+v", c)
	}
	wantText(t, a, "1:1 2:4 3:5 4:6")
	if c, err := b.Sync(SyncNothing); err != nil || len(c.Expunged) > 0 || c.Exists || b.Len() != 5 {
		t.Errorf("nothing: %+v %v", c, err)
	}
	c, err := b.Sync(SyncNoExpunge)
	if err != nil || len(c.Expunged) > 0 || !c.Exists || b.Len() != 6 || b.UID(6) != 6 {
		t.Errorf("no expunge: %+v %v, %d messages", c, err, b.Len())
	}
	if m := b.HighestModSeq(); m >= a.HighestModSeq() || m < before {
		t.Errorf("HIGHESTMODSEQ %d while an expunge is owed, %d before", m, before)
	}
	if !b.Expunged(2) || b.Expunged(1) {
		t.Error("Expunged is wrong")
	}
	if got := b.Vanished(before, imap.UIDSet{{Start: 1, Stop: 100}}); len(got) != 0 {
		t.Errorf("vanished %v of what the client still holds", got)
	}
	r := store(t, b, StoreAdd, Seqs{{1, 6}}, Seen)
	if r.Expunged.Len() != 2 || len(r.Stored) != 4 {
		t.Errorf("store %+v", r)
	}
	if _, err := b.Copy(context.Background(), Seqs{{1, 3}}, f.mb); !errors.Is(err, ErrExpunged) {
		t.Errorf("copy of expunged: %v", err)
	}
	c, err = b.Sync(SyncEverything)
	if err != nil || !slices.Equal(c.Expunged, []Expunged{{3, 3}, {2, 2}}) || c.Exists {
		t.Errorf("everything: %+v %v", c, err)
	}
	if b.HighestModSeq() <= before || b.Seq(6) != 4 || b.Seq(2) != 0 {
		t.Error("the view is not up to date")
	}
	if got := b.Vanished(before, imap.UIDSet{{Start: 1, Stop: 100}}); got.String() != "2:3" {
		t.Errorf("vanished %v", got)
	}
}

// TestNumberSets: RFC 9051 §6.4.9 and §9.
func TestNumberSets(t *testing.T) {
	f := filled(t, 5)
	v := f.view(false)
	defer v.Close()
	store(t, v, StoreAdd, one(3), Deleted)
	if _, err := v.Expunge(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	f.noop(v) // UIDs 1 2 4 5
	for _, tt := range []struct {
		set, want string
	}{
		{"1:*", "1:4"}, {"3", ""}, {"2:4", "2:3"}, {"9:*", "4"}, {"*", "4"}, {"5,1", "1,4"}, {"4:2", "2:3"}, {"1,2,2:4", "1:3"}, {"6:7", ""},
	} {
		var set imap.UIDSet
		for _, r := range strings.Split(tt.set, ",") {
			a, b, ranged := strings.Cut(r, ":")
			if !ranged {
				b = a
			}
			set = append(set, imap.UIDRange{Start: parseUID(a), Stop: parseUID(b)})
		}
		if got := seqText(v.UIDs(set)); got != tt.want {
			t.Errorf("%s is %q, want %q", tt.set, got, tt.want)
		}
	}
	if _, err := v.Numbers(imap.SeqSet{{Start: 1, Stop: 5}}); !errors.Is(err, ErrBadSet) {
		t.Errorf("beyond the end: %v", err)
	}
	if s, err := v.Numbers(imap.SeqSet{{Start: 0, Stop: 2}, {Start: 1, Stop: 1}}); err != nil || seqText(s) != "1:4" {
		t.Errorf("*:2,1 is %v %v", s, err)
	}
}

func parseUID(s string) (uid imap.UID) {
	if s != "*" {
		fmt.Sscan(s, &uid)
	}
	return uid
}

func seqText(s Seqs) string {
	var out []string
	for _, r := range s {
		if r.First == r.Last {
			out = append(out, fmt.Sprint(r.First))
		} else {
			out = append(out, fmt.Sprintf("%d:%d", r.First, r.Last))
		}
	}
	return strings.Join(out, ",")
}

// TestExpungedReadable: a session that was not told still reads the message;
// the file has left cur/, and goes when the last one was told.
func TestExpungedReadable(t *testing.T) {
	f := filled(t, 2)
	a, b := f.view(false), f.view(true)
	defer a.Close()
	defer b.Close()
	store(t, a, StoreAdd, one(1), Deleted)
	if _, err := a.Expunge(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	f.noop(a)
	f.eventually("the file leaves cur", func() bool { return len(f.files()) == 1 })
	if got := f.read(b, 1); got != testBody("1.a") {
		t.Errorf("read %q", got)
	}
	f.noop(b)
	f.eventually("the file goes", func() bool {
		list, err := os.ReadDir(filepath.Join(f.path, "tmp"))
		return err == nil && len(list) == 0
	})
	f.mb.syncDirs()
	if n := len(f.mb.index().ToUnlink()); n != 0 {
		t.Errorf("%d files to unlink", n)
	}
}

func (f *fixture) read(v *View, n SeqNum) string {
	f.t.Helper()
	c := v.Content(n)
	defer c.Close()
	r, size, err := c.Reader()
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// appendTo appends messages to a mailbox.
func appendTo(mb *Mailbox, meta AppendMeta, b *Barrier, bodies ...string) ([]imap.UID, error) {
	ap, err := mb.NewAppend(context.Background())
	if err != nil {
		return nil, err
	}
	defer ap.Abort()
	for _, body := range bodies {
		if err := ap.Add(meta, strings.NewReader(body), int64(len(body))); err != nil {
			return nil, err
		}
	}
	_, uids, err := ap.Commit(context.Background(), b)
	return uids, err
}

// TestAppendLines: what is stored and what its size is.
func TestAppendLines(t *testing.T) {
	long := strings.Repeat("x: 0123456789\r\n", 20000)
	for _, tt := range []struct{ in, stored string }{
		{"a: b\r\n\r\nc\r\n", "a: b\n\nc\n"},
		{"a: b\r\n\r\nno end", "a: b\n\nno end"},
		{"a: b\n\nc\n", "a: b\n\nc\n"},
		{"a: b\r\n\r\nc\nd\r\n", "a: b\r\n\r\nc\nd\r\n"},
		{"a: b\r\n\r\nc\rd\r\n", "a: b\r\n\r\nc\rd\r\n"},
		{"a: b\r\n\r\nc\r", "a: b\r\n\r\nc\r"},
		{"\n", "\n"}, {"\r", "\r"}, {"\r\n", "\n"}, {"\r\r\n", "\r\r\n"}, {"x\r\n\n", "x\r\n\n"},
		{long, strings.ReplaceAll(long, "\r\n", "\n")},
		{long + "x\ry", long + "x\ry"},
		{long + "x\n", long + "x\n"},
	} {
		f := testMailbox(t)
		date := time.Date(2001, 2, 3, 4, 5, 6, 0, time.FixedZone("", -7*3600))
		uids, err := appendTo(f.mb, AppendMeta{Flags: Seen, Keywords: []string{"Work"}, Date: &date}, &Barrier{}, tt.in)
		if err != nil || !slices.Equal(uids, []imap.UID{1}) {
			t.Fatal(uids, err)
		}
		v := f.view(false)
		wantText(t, v, "1:1(S+Work)")
		if got := f.read(v, 1); got != tt.stored {
			t.Errorf("%.40q is stored as %.40q", tt.in, got)
		}
		c := v.Content(1)
		served := strings.ReplaceAll(strings.ReplaceAll(tt.stored, "\r\n", "\n"), "\n", "\r\n")
		if size, err := c.Size(); err != nil || size != int64(len(served)) {
			t.Errorf("%.40q: size %d, want %d", tt.in, size, len(served))
		}
		if d, err := c.InternalDate(); err != nil || d.Format(time.RFC3339) != "2001-02-03T04:05:06-07:00" {
			t.Errorf("date %v %v", d, err)
		}
		c.Close()
		name := f.files()[0]
		if !strings.HasSuffix(name, fmt.Sprintf(",S=%d,W=%d:2,Sa", len(tt.stored), len(served))) {
			t.Errorf("name %q", name)
		}
		v.Close()
		f.close()
	}
}

// TestAppendShort: a message that ends early leaves nothing.
func TestAppendShort(t *testing.T) {
	f := testMailbox(t)
	ap, err := f.mb.NewAppend(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := ap.Add(AppendMeta{}, strings.NewReader("abc"), 5); err == nil {
		t.Error("no error")
	}
	ap.Abort()
	if list, _ := os.ReadDir(filepath.Join(f.path, "tmp")); len(list) != 0 || len(f.files()) != 0 {
		t.Error("something is left")
	}
}

// TestMultiAppend: in order, as a whole, without a scan or a second message.
func TestMultiAppend(t *testing.T) {
	f := testMailbox(t)
	v := f.view(false)
	defer v.Close()
	uids, err := appendTo(f.mb, AppendMeta{}, v.b, "a: 1\r\n\r\n", "a: 2\r\n\r\n", "a: 3\r\n\r\n")
	if err != nil || !slices.Equal(uids, []imap.UID{1, 2, 3}) {
		t.Fatal(uids, err)
	}
	if c := f.noop(v); !c.Exists || v.Len() != 3 {
		t.Errorf("%+v, %d messages", c, v.Len())
	}
	if got := f.read(v, 2); got != "a: 2\n\n" {
		t.Errorf("message 2 is %q", got)
	}
	if n := len(f.mb.index().Intents()); n != 0 {
		t.Errorf("%d intents left", n)
	}
}

// other opens a second mailbox beside f.
func (f *fixture) other() *fixture {
	g := testFixture(f.t)
	g.watch, g.fsys = f.watch, f.fsys
	g.open()
	return g
}

// TestChangedInPlace: another content is another message (R11); another time
// is not.
func TestChangedInPlace(t *testing.T) {
	f := filled(t, 2)
	v := f.view(false)
	defer v.Close()
	for n := range Seqs([]SeqRange{{1, 2}}).All() {
		c := v.Content(n)
		if _, err := c.Envelope(); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	p := filepath.Join(f.path, "cur/1.a:2,")
	if err := os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if got := f.read(v, 1); got != testBody("1.a") {
		t.Errorf("read %q", got)
	}
	if err := os.WriteFile(filepath.Join(f.path, "cur/2.a:2,"), []byte("Subject: other\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.eventually("a new UID", func() bool { f.noop(v); return text(v) == "1:1 2:3" })
	c := v.Content(2)
	defer c.Close()
	if env, err := c.Envelope(); err != nil || !bytes.Contains(env, []byte("other")) {
		t.Errorf("envelope %s %v", env, err)
	}
}

// TestContentFromCache: what was parsed once needs no file.
func TestContentFromCache(t *testing.T) {
	f := testFixture(t)
	rec := disktest.Wrap(disk.OS())
	f.fsys = rec
	f.deliver("cur/1.a:2,")
	f.open()
	v := f.view(false)
	defer v.Close()
	read := func() string {
		c := v.Content(1)
		defer c.Close()
		var out []string
		for _, get := range []func() ([]byte, error){c.Envelope, c.Body, c.BodyStructure, c.Header} {
			b, err := get()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(b))
		}
		size, err := c.Size()
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.Part()
		if err != nil || p.Size() != size {
			t.Fatal(p, size, err)
		}
		return fmt.Sprint(out, size)
	}
	first := read()
	opens := rec.Count(disktest.Open)
	if again := read(); again != first || !strings.Contains(first, "Subject: 1.a\n") {
		t.Errorf("%s\nthen\n%s", first, again)
	}
	if n := rec.Count(disktest.Open) - opens; n != 0 {
		t.Errorf("%d files opened", n)
	}
}

// TestReadOnlyView: nothing can be changed through it.
func TestReadOnlyView(t *testing.T) {
	f := filled(t, 1)
	v := f.view(true)
	defer v.Close()
	if _, err := v.Store(context.Background(), one(1), StoreOp{Flags: Seen}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("store: %v", err)
	}
	if _, err := v.Expunge(context.Background(), nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("expunge: %v", err)
	}
	if _, err := v.Move(context.Background(), one(1), f.mb); !errors.Is(err, ErrReadOnly) {
		t.Errorf("move: %v", err)
	}
}

// TestRecent: exactly one session gets it.
func TestRecent(t *testing.T) {
	f := testMailbox(t)
	ro, a, b := f.view(true), f.view(false), f.view(false)
	defer ro.Close()
	defer a.Close()
	defer b.Close()
	f.deliver("new/1.a")
	f.noop(ro)
	if ro.Recent() != 1 {
		t.Error("not recent in EXAMINE")
	}
	f.noop(b)
	f.noop(a)
	if a.Recent() != 0 || b.Recent() != 1 || !b.Message(1).Recent {
		t.Errorf("recent: %d and %d", a.Recent(), b.Recent())
	}
	f.eventually("the file moves", func() bool { return f.files()[0] == "cur/1.a:2," })
	f.deliver("new/2.a")
	f.noop(ro)
	ro.Close()
	a.Close()
	b.Close()
	f.reopen()
	a = f.view(false)
	defer a.Close()
	if a.Recent() != 1 || !a.Message(2).Recent {
		t.Errorf("after a restart: %d", a.Recent())
	}
}

// TestBigStore: more than 64 names take the watch off, and outside changes of
// that time are found.
func TestBigStore(t *testing.T) {
	f := filled(t, 300)
	a, b := f.view(false), f.view(false)
	defer a.Close()
	defer b.Close()
	store(t, a, StoreAdd, Seqs{{1, 300}}, Seen)
	f.deliver("new/999.z")
	if c := f.noop(b); len(c.Flags) != 300 || !c.Exists {
		t.Errorf("%d flag changes, exists %v", len(c.Flags), c.Exists)
	}
	store(t, a, StoreAdd, Seqs{{1, 300}}, Deleted)
	if n, err := a.Expunge(context.Background(), nil); n != 300 || err != nil {
		t.Fatal(n, err)
	}
	if c := f.noop(b); len(c.Expunged) != 300 || c.Expunged[299] != (Expunged{1, 1}) {
		t.Errorf("%d expunged", len(c.Expunged))
	}
	f.noop(a)
	f.eventually("files go", func() bool { return len(f.files()) == 1 })
	wantText(t, a, "1:301")
}

// TestIndexDeleted: what it said is lost, the messages are not.
func TestIndexLost(t *testing.T) {
	f := filled(t, 3)
	uidv := f.mb.UIDValidity()
	f.close()
	f.unlink("roost.index")
	f.open()
	if f.mb.UIDValidity() != uidv {
		t.Errorf("UIDVALIDITY %d, was %d", f.mb.UIDValidity(), uidv)
	}
	v := f.view(false)
	defer v.Close()
	if v.Len() != 3 || v.UID(1) <= 3 {
		t.Errorf("view %q", text(v))
	}
}
