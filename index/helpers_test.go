package index

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
)

const testValidity = 1700000000

// testOptions are options for an index in dir.
func testOptions(fsys disk.FS, dir disk.Dir) Options {
	return Options{
		Dir: dir, Now: fsys.Now,
		NewUIDValidity: func() (uint32, error) { return testValidity, nil },
		NewID:          func() MailboxID { return MailboxID{1, 2, 3} },
	}
}

// memRoot gives an empty file system in memory and its root.
func memRoot(t testing.TB) (*disktest.Mem, disk.Dir) {
	t.Helper()
	m := disktest.NewMem()
	return m, rootOf(t, m)
}

func rootOf(t testing.TB, fsys disk.FS) disk.Dir {
	t.Helper()
	d, err := fsys.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mustOpen opens an index that is checked and closed at the end of the test.
func mustOpen(t testing.TB, o Options) (*Index, Recovery) {
	t.Helper()
	ix, rec, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !ix.isClosed() {
			mustCheck(t, ix)
			_ = ix.Close()
		}
	})
	return ix, rec
}

func (ix *Index) isClosed() bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.closed
}

func mustCheck(t testing.TB, ix *Index) {
	t.Helper()
	if err := ix.Check(); err != nil {
		t.Fatal(err)
	}
}

func mustApply(t testing.TB, ix *Index, b *Batch) Applied {
	t.Helper()
	a, err := ix.Apply(b)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustWait(t testing.TB, ix *Index) {
	t.Helper()
	if err := ix.Wait(ix.Pos()); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, ix *Index) {
	t.Helper()
	mustCheck(t, ix)
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
}

// adds gives n messages with bases from the given number on.
func adds(from, n int) []Add {
	out := make([]Add, n)
	for i := range out {
		out[i] = Add{
			Base: fmt.Sprintf("1700000000.M%06dP1.host,S=1234", from+i), Name: Name{Where: HasInfo, Letters: Letter('S')},
			Flags: Seen, Date: Date{Sec: 1700000000 + int64(from+i), Zone: 60, Known: true}, Size: int64(1000 + from + i),
		}
	}
	return out
}

// journalBytes gives the octets of the journal in dir.
func journalBytes(t testing.TB, dir disk.Dir) []byte {
	t.Helper()
	f, err := dir.Open(JournalName)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size)
	if ok, err := readFull(f, b, 0); !ok || err != nil {
		t.Fatal(err)
	}
	return b
}

// setJournal gives the journal in dir other octets; it stays the same file.
func setJournal(t testing.TB, dir disk.Dir, b []byte) {
	t.Helper()
	f, err := dir.OpenFile(JournalName, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(int64(len(b))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil && len(b) > 0 {
		t.Fatal(err)
	}
}

// A world is what an index should say, kept in the simplest way.
type world struct {
	rows     map[imap.UID]*worldRow
	next     imap.UID
	expunged map[imap.UID]ModSeq
	unlink   map[imap.UID]string
	intents  map[uint64]int
	recent   imap.UID
	stamps   Stamps
	serial   int    // of bases
	coming   *world // what step was about to make of it
}

type worldRow struct {
	base     string
	name     Name
	flags    Flags
	keywords []string
	modSeq   ModSeq
	size     int64
	date     Date
	ours     int // announced and not synced
}

func newWorld() *world {
	return &world{rows: map[imap.UID]*worldRow{}, next: 1, expunged: map[imap.UID]ModSeq{}, unlink: map[imap.UID]string{}, intents: map[uint64]int{}}
}

func (w *world) clone() *world {
	c := *w
	c.rows = map[imap.UID]*worldRow{}
	for uid, r := range w.rows {
		row := *r
		c.rows[uid] = &row
	}
	c.expunged = cloneMap(w.expunged)
	c.unlink = cloneMap(w.unlink)
	c.intents = cloneMap(w.intents)
	return &c
}

func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

var someKeywords = []string{"$Forwarded", "$Junk", "work", "later", "NonJunk"}

// step makes one random batch, applies it to ix and, if that accepts it, to w.
func (w *world) step(t testing.TB, ix *Index, rng *rand.Rand) (Applied, error) {
	t.Helper()
	var b Batch
	next := w.clone()
	uids := slices.Sorted(mapKeys(next.rows))
	pick := func() (imap.UID, Row) {
		uid := uids[rng.IntN(len(uids))]
		r := ix.RowOf(uid)
		if r == NoRow {
			t.Fatalf("UID %d has no row", uid)
		}
		return uid, r
	}
	var touched []*worldRow
	words := slices.DeleteFunc(slices.Clone(someKeywords), func(string) bool { return rng.IntN(2) == 0 })
	slices.SortFunc(words, func(a, b string) int { return int(lower(a[0])) - int(lower(b[0])) })
	set, err := ix.SetOf(words)
	if err != nil {
		t.Fatal(err)
	}
	words = ix.KeywordNames(set)
	kind := rng.IntN(12)
	if len(uids) == 0 {
		kind = 0
	}
	switch kind {
	case 0, 1, 2:
		for range 1 + rng.IntN(4) {
			w.serial++
			next.serial = w.serial
			a := Add{Base: fmt.Sprintf("%d.host", w.serial), Name: Name{Where: InNew}, Flags: Flags(rng.IntN(32)), Keywords: set, Size: UnknownSize}
			if rng.IntN(3) == 0 {
				a.Name = Name{Where: HasInfo | ExactInfo, Exact: "2,SX"}
			}
			uid := next.next
			if rng.IntN(4) == 0 {
				uid += imap.UID(rng.IntN(3))
				a.UID = uid
			}
			b.Adds = append(b.Adds, a)
			row := &worldRow{base: a.Base, name: a.Name, flags: a.Flags, keywords: words, size: UnknownSize}
			next.rows[uid], next.next = row, uid+1
			touched = append(touched, row)
		}
	case 3, 4, 5:
		for range 1 + rng.IntN(3) {
			uid, r := pick()
			f := Flags(rng.IntN(32))
			b.Flags = append(b.Flags, FlagChange{r, f, set})
			to := Name{Where: HasInfo, Letters: Letters(rng.Uint32())}
			b.Renames = append(b.Renames, Rename{r, to})
			row := next.rows[uid]
			row.flags, row.keywords, row.ours = f, words, 1
			touched = append(touched, row)
		}
	case 6:
		uid, r := pick()
		b.Agreed = append(b.Agreed, Agreed{Row: r, Name: Name{Where: HasInfo, Letters: Letter('T')}})
		next.rows[uid].name = b.Agreed[0].Name
		if rng.IntN(2) == 0 {
			w.serial++
			next.serial = w.serial
			b.Agreed[0].Base = fmt.Sprintf("%d.host,U=7", w.serial)
			next.rows[uid].base = b.Agreed[0].Base
		}
	case 7:
		uid, r := pick()
		m := Meta{Row: r, Size: int64(rng.IntN(10000)), Date: Date{Sec: int64(rng.IntN(1 << 30)), Zone: int16(rng.IntN(100) - 50), Known: true}}
		b.Meta = append(b.Meta, m)
		next.rows[uid].size, next.rows[uid].date = m.Size, m.Date
	case 8, 9:
		uid, r := pick()
		x := Expunge{Row: r, Unlink: rng.IntN(2) == 0, Size: 5, Mtime: time.Unix(1, 2)}
		b.Expunges = append(b.Expunges, x)
		if x.Unlink {
			next.unlink[uid] = next.rows[uid].base
		}
		delete(next.rows, uid)
		next.expunged[uid] = 0
	case 10:
		for uid := range next.unlink {
			b.Unlinked = append(b.Unlinked, uid)
			delete(next.unlink, uid)
		}
		b.RenamesSynced = ix.Pos()
		for _, row := range next.rows {
			row.ours = 0
		}
		for id := range next.intents {
			b.IntentsDone = append(b.IntentsDone, id)
		}
		clear(next.intents)
	case 11:
		id := ix.NewIntentID()
		b.Intents = append(b.Intents, Intent{ID: id, Kind: 1, From: "x", Entries: []IntentEntry{{Add: adds(9, 1)[0], Source: "tmp"}}})
		next.intents[id] = 1
		b.FirstRecent = imap.UID(rng.IntN(int(next.next)) + 1)
		next.recent = max(next.recent, b.FirstRecent)
		s := Stamps{New: Stamp{1, 2, int64(rng.IntN(100))}, Cur: Stamp{3, 4, 5}}
		b.Stamps = &s
		next.stamps = s
		next.next += 2
		b.UIDNext = next.next
	}
	m := ix.HighestModSeq() + 1
	for _, row := range touched {
		row.modSeq = m
	}
	for uid := range next.expunged {
		if next.expunged[uid] == 0 {
			next.expunged[uid] = m
		}
	}
	w.coming = next
	a, err := ix.Apply(&b)
	if err != nil {
		return a, err
	}
	if a.ModSeq != 0 && a.ModSeq != m {
		t.Fatalf("mod-sequence %d, want %d", a.ModSeq, m)
	}
	*w = *next
	return a, nil
}

func lower(c byte) byte { return c | 0x20 }

func mapKeys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// diff tells the first difference of ix from w; "" if there is none. After a
// jump UIDNEXT and the mod-sequences told are higher.
func (w *world) diff(ix *Index, jumped bool) string {
	if ix.Live() != len(w.rows) {
		return fmt.Sprintf("%d messages, want %d", ix.Live(), len(w.rows))
	}
	for uid, want := range w.rows {
		r := ix.RowOf(uid)
		if r == NoRow {
			return fmt.Sprintf("UID %d is missing", uid)
		}
		got := worldRow{ix.Base(r), ix.Name(r), ix.Flags(r), ix.KeywordNames(ix.Keywords(r)), ix.ModSeq(r), ix.Size(r), ix.Date(r), min(1, len(ix.Ours(r)))}
		if len(got.keywords) == 0 && len(want.keywords) == 0 {
			got.keywords = want.keywords
		}
		if !reflect.DeepEqual(got, *want) {
			return fmt.Sprintf("UID %d is %+v, want %+v", uid, got, *want)
		}
	}
	if ix.UIDNext() != w.next && !(jumped && ix.UIDNext() > w.next) {
		return fmt.Sprintf("UIDNEXT %d, want %d", ix.UIDNext(), w.next)
	}
	if got := ix.ToUnlink(); len(got) != len(w.unlink) {
		return fmt.Sprintf("%d to unlink, want %d", len(got), len(w.unlink))
	}
	for _, u := range ix.ToUnlink() {
		if w.unlink[u.UID] != u.Base {
			return fmt.Sprintf("to unlink %d is %q, want %q", u.UID, u.Base, w.unlink[u.UID])
		}
	}
	stamps := ix.Stamps()
	if jumped && stamps.New.Mtime == 0 && stamps.New.Ino == w.stamps.New.Ino {
		stamps = w.stamps // not trusted any more
	}
	if len(ix.Intents()) != len(w.intents) || ix.FirstRecent() != w.recent || stamps != w.stamps {
		return fmt.Sprintf("intents %d, recent %d, stamps %v; want %d, %d, %v", len(ix.Intents()), ix.FirstRecent(), ix.Stamps(), len(w.intents), w.recent, w.stamps)
	}
	for uid, m := range w.expunged {
		got := ix.Vanished(m-1, imap.UIDSet{{Start: uid, Stop: uid}})
		if len(got) != 1 || !got.Contains(uid) {
			return fmt.Sprintf("UID %d is not reported as expunged at %d", uid, m)
		}
		if !jumped && len(ix.Vanished(m, imap.UIDSet{{Start: uid, Stop: uid}})) > 0 && m >= ix.ExpungeFloor() {
			return fmt.Sprintf("UID %d is reported as expunged after %d", uid, m)
		}
	}
	return ""
}

// diffAny is diff with the most fitting of several worlds.
func diffAny(ix *Index, worlds []*world, jumped bool) string {
	var all string
	for i, w := range worlds {
		d := w.diff(ix, jumped)
		if d == "" {
			return ""
		}
		all += fmt.Sprintf("%d: %s\n", i, d)
	}
	return all
}

func dirEmpty(t testing.TB, dir disk.Dir) bool {
	t.Helper()
	empty := true
	if err := dir.ReadDir(func(disk.Entry) bool { empty = false; return false }); err != nil {
		t.Fatal(err)
	}
	return empty
}
