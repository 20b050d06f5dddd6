package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
	"roost/mailbox"
)

var damageAll = flag.Bool("damage.all", false, "TestDamage tries everything, not a sample")

// A damagedBox is what clients were told of one mailbox.
type damagedBox struct {
	uidValidity string
	modSeq      uint64
	uidNext     uint64
	told        map[uint32]string // every body that a UID ever named
	now         map[uint32]string // flags by UID
	bodies      map[string]string // flags by body, as they must be in the end
}

// A damageWorld is a tree of mailboxes, what was told of it, and the files that
// are about to be damaged.
type damageWorld struct {
	t     *testing.T
	mem   *disktest.Mem
	mo    mailbox.Options
	opt   Options
	home  string
	boxes map[string]*damagedBox
	old   map[string][]byte // the files an hour earlier, closed
	oldAt time.Time
	said  said
}

// said is what the server logged since the last damage.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// take gives it, and forgets it.
func (s *said) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

// damagedNames are the files that roost keeps.
var damagedNames = []string{index.JournalName, "roost.account"}

// newDamageWorld fills three mailboxes: flags, keywords, expunges, copies, a
// rename, a name that is used again. clean: the server was stopped, not killed.
func newDamageWorld(t *testing.T, clean bool) *damageWorld {
	w := &damageWorld{t: t, mem: disktest.NewMem(), boxes: map[string]*damagedBox{}, old: map[string][]byte{}}
	h := startHarness(&harness{t: t, poll: true}, func(mo *mailbox.Options, opt *Options) {
		opt.Log = slog.New(slog.NewTextHandler(&w.said, nil))
		mo.Log = opt.Log
		mo.FS, mo.Create, mo.Fsync = w.mem, mailbox.CreateAlways, index.FsyncAlways
		w.mo, w.opt = *mo, *opt
	})
	h.store.Close()
	w.home = h.home
	// Time passes at once, in a bubble.
	talk := func(commands ...string) {
		st, c := w.start(w.mem)
		for i, command := range commands {
			c.ok("t"+strconv.Itoa(i), "%s", command)
		}
		<-time.After(30 * time.Second) // files of expunged messages are removed
		for name := range strings.SplitSeq("INBOX A B", " ") {
			w.learn(c, name)
		}
		c.conn.Close()
		<-c.done
		if clean {
			st.Close()
			return
		}
		w.mem = w.mem.Clone() // killed
		st.Close()
	}
	add := func(box string, n int, flags string) string {
		body := fmt.Sprintf("Subject: %s %d\r\n\r\nbody %d\r\n", box, n, n)
		return fmt.Sprintf("APPEND %s (%s) {%d+}\r\n%s", box, flags, len(body), body)
	}
	first := []string{"CREATE A", "CREATE Gone", "DELETE Gone", "CREATE Old", "RENAME Old B"}
	batch := ""
	for n, flags := range []string{`\Seen`, `\Flagged $Forwarded`, `Work`, ``, `\Draft`, `\Answered`} {
		batch += strings.TrimPrefix(add("INBOX", n, flags), "APPEND INBOX")
		first = append(first, add("B", n, "Home"))
	}
	first = append(first, "APPEND INBOX"+batch)
	talk(append(first, "SELECT INBOX", `STORE 2 +FLAGS (\Deleted)`, "UID COPY 1:3 A", "EXPUNGE")...)
	if clean {
		for _, name := range damagedNames {
			w.old[name] = w.read(w.mem, name)
		}
		w.oldAt = time.Now()
		<-time.After(time.Hour)
	}
	talk("SELECT INBOX", add("INBOX", 10, ""), add("INBOX", 11, `\Seen Work`), `STORE 1 -FLAGS (\Seen)`, `STORE 2:3 +FLAGS (Later \Seen)`,
		`STORE 4 +FLAGS (\Deleted)`, "EXPUNGE", "UID MOVE 5 A", "DELETE B", "CREATE B", add("B", 20, ""), add("INBOX", 12, `\Flagged`),
		"SELECT INBOX", "SELECT A", "SELECT INBOX") // names follow
	for _, b := range w.boxes {
		for uid, flags := range b.now {
			b.bodies[b.told[uid]] = flags
		}
	}
	return w
}

// start runs a server on mem and logs a client in.
func (w *damageWorld) start(mem *disktest.Mem) (*mailbox.Store, *client) {
	w.t.Helper()
	mo, opt := w.mo, w.opt
	mo.FS = mem
	st, err := mailbox.NewStore(mo)
	if err != nil {
		w.t.Fatal(err)
	}
	opt.Store = st
	h := &harness{t: w.t, srv: NewServer(opt), store: st, home: w.home}
	c := h.connect(false)
	c.login()
	c.ok("e", "ENABLE QRESYNC")
	return st, c
}

var (
	damagedFetch = regexp.MustCompile(`(?s)^\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) MODSEQ \((\d+)\) BODY\[\] \{\d+\}\r\n(.*)\)$`)
	codeNumber   = regexp.MustCompile(`^\* OK \[(UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ) (\d+)\]`)
)

// A damagedView is a mailbox as a client sees it.
type damagedView struct {
	codes map[string]uint64
	body  map[uint32]string
	flags map[uint32]string
}

func viewOf(c *client, name, param string) (v damagedView, told []string) {
	c.t.Helper()
	var selected, fetched []string
	tagged := ""
	// Files that an old index knows are missed before they are believed to be gone.
	for range 90 {
		v = damagedView{map[string]uint64{}, map[uint32]string{}, map[uint32]string{}}
		selected = c.ok("s", "SELECT %s%s", name, param)
		fetched, tagged = c.command("f", "UID FETCH 1:* (UID FLAGS MODSEQ BODY.PEEK[])")
		if strings.HasPrefix(tagged, "OK ") {
			break
		}
		<-time.After(time.Second)
	}
	if !strings.HasPrefix(tagged, "OK ") {
		c.t.Fatalf("%s: %s", name, tagged)
	}
	for _, line := range selected {
		if m := codeNumber.FindStringSubmatch(line); m != nil {
			v.codes[m[1]], _ = strconv.ParseUint(m[2], 10, 64)
		}
	}
	for _, line := range fetched {
		m := damagedFetch.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		uid, _ := strconv.ParseUint(m[1], 10, 32)
		modSeq, _ := strconv.ParseUint(m[3], 10, 64)
		v.body[uint32(uid)], v.flags[uint32(uid)] = m[4], plainFlags(m[2])
		v.codes["HIGHESTMODSEQ"] = max(v.codes["HIGHESTMODSEQ"], modSeq)
	}
	return v, append(selected, fetched...) // a message may vanish in between
}

// plainFlags sorts flags and leaves \Recent out.
func plainFlags(s string) string {
	list := slices.DeleteFunc(strings.Fields(s), func(f string) bool { return f == `\Recent` })
	slices.Sort(list)
	return strings.Join(list, " ")
}

// learn notes what a mailbox tells.
func (w *damageWorld) learn(c *client, name string) {
	w.t.Helper()
	v, _ := viewOf(c, name, "")
	b := w.boxes[name]
	validity := strconv.FormatUint(v.codes["UIDVALIDITY"], 10)
	if b == nil || b.uidValidity != validity {
		b = &damagedBox{uidValidity: validity, told: map[uint32]string{}}
		w.boxes[name] = b
	}
	b.now, b.bodies = v.flags, map[string]string{}
	maps.Copy(b.told, v.body)
	b.uidNext, b.modSeq = max(b.uidNext, v.codes["UIDNEXT"]), max(b.modSeq, v.codes["HIGHESTMODSEQ"])
}

// open opens a file in the root of the tree.
func (w *damageWorld) open(mem *disktest.Mem, name string) (disk.Dir, disk.File) {
	w.t.Helper()
	root, err := mem.OpenRoot(w.home)
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return root, f
}

func (w *damageWorld) read(mem *disktest.Mem, name string) []byte {
	w.t.Helper()
	root, f := w.open(mem, name)
	defer root.Close()
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// write puts data into the file that is there. stamped keeps its mtime.
func (w *damageWorld) write(mem *disktest.Mem, name string, data []byte, stamp time.Time) {
	w.t.Helper()
	root, f := w.open(mem, name)
	defer root.Close()
	defer f.Close()
	must := func(err error) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	must(f.Truncate(0))
	_, err := f.WriteAt(data, 0)
	must(err)
	if !stamp.IsZero() {
		must(f.Chtimes(stamp))
	}
}

func (w *damageWorld) remove(mem *disktest.Mem, names ...string) {
	w.t.Helper()
	root, err := mem.OpenRoot(w.home)
	if err != nil {
		w.t.Fatal(err)
	}
	defer root.Close()
	for _, name := range names {
		if err := root.Unlink(name); err != nil {
			w.t.Fatal(err)
		}
	}
}

// boundaries gives where the records of a file begin and end.
func boundaries(name string, data []byte) (at []int) {
	if name == "roost.account" {
		for off := 4160; off+16 <= len(data); {
			n := int(binary.LittleEndian.Uint32(data[off:]))
			at = append(at, off)
			if n == 0 {
				break
			}
			off += 16 + n
		}
		return append(at, 0, 28, 4096, 4124)
	}
	for off := int(binary.LittleEndian.Uint64(data[80:])); off+56 <= len(data); {
		n := int(binary.LittleEndian.Uint32(data[off+8:]))
		at = append(at, off)
		if n == 0 {
			break
		}
		off += (56 + n + 7) &^ 7
	}
	return append(at, 0, 128, 4096, 4224, 8192)
}

// A damage changes the files of a tree.
type damage struct {
	what  string
	do    func(mem *disktest.Mem)
	fresh bool // UIDVALIDITY may change: no copy of it is left
}

// damages are all that are tried on one file.
func (w *damageWorld) damages(name string, rng *rand.Rand) (out []damage) {
	data := w.read(w.mem, name)
	marks := boundaries(name, data)
	used := slices.Max(marks) + 64
	alter := func(what string, change func(b []byte) []byte) {
		out = append(out, damage{what: name + " " + what, do: func(mem *disktest.Mem) {
			w.write(mem, name, change(slices.Clone(data)), time.Time{})
		}})
	}
	cut := func(n int) {
		if n >= 0 && n < len(data) {
			alter(fmt.Sprintf("cut at %d", n), func(b []byte) []byte { return b[:n] })
		}
	}
	flip := func(n int) {
		bit := byte(1) << rng.IntN(8)
		if n >= 0 && n < len(data) {
			alter(fmt.Sprintf("octet %d flipped by %d", n, bit), func(b []byte) []byte { b[n] ^= bit; return b })
		}
	}
	for _, m := range marks {
		for _, n := range []int{m - 1, m, m + 1} {
			cut(n)
			flip(n)
		}
		flip(m + 9)
		flip(m + 20 + rng.IntN(40))
	}
	for range 300 {
		cut(rng.IntN(used))
		flip(rng.IntN(used))
	}
	const page = 4096
	for i := range (used + page - 1) / page {
		for j := range i {
			alter(fmt.Sprintf("pages %d and %d exchanged", j, i), func(b []byte) []byte {
				var p [page]byte
				b = append(b, make([]byte, max(0, (i+1)*page-len(b)))...)
				copy(p[:], b[i*page:])
				copy(b[i*page:(i+1)*page], b[j*page:])
				copy(b[j*page:], p[:])
				return b
			})
		}
		alter(fmt.Sprintf("page %d zeroed", i), func(b []byte) []byte { clear(b[i*page : min((i+1)*page, len(b))]); return b })
	}
	alter("zeroed", func(b []byte) []byte { clear(b); return b })
	return out
}

// wholes are the damages of whole files.
func (w *damageWorld) wholes() (out []damage) {
	add := func(what string, fresh bool, do func(mem *disktest.Mem)) {
		out = append(out, damage{what, do, fresh})
	}
	for _, name := range damagedNames {
		add(name+" removed", false, func(mem *disktest.Mem) { w.remove(mem, name) })
	}
	add("both removed", true, func(mem *disktest.Mem) { <-time.After(time.Minute); w.remove(mem, damagedNames...) })
	add("both emptied", true, func(mem *disktest.Mem) {
		<-time.After(time.Minute)
		for _, name := range damagedNames {
			w.write(mem, name, nil, time.Time{})
		}
	})
	if len(w.old) == 0 {
		return out
	}
	for _, stamp := range []time.Time{{}, w.oldAt} {
		for n := 1; n < 4; n++ {
			names := damagedNames
			if n < 3 {
				names = damagedNames[n-1 : n]
			}
			add(fmt.Sprintf("old copy of %v, stamp %v", names, !stamp.IsZero()), false, func(mem *disktest.Mem) {
				for _, name := range names {
					w.write(mem, name, w.old[name], stamp)
				}
			})
			add(fmt.Sprintf("old copy of %v, a new file, stamp %v", names, !stamp.IsZero()), false, func(mem *disktest.Mem) {
				for _, name := range names {
					w.remove(mem, name)
					root, err := mem.OpenRoot(w.home)
					if err != nil {
						w.t.Fatal(err)
					}
					f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
					if err != nil {
						w.t.Fatal(err)
					}
					f.Close()
					root.Close()
					w.write(mem, name, w.old[name], stamp)
				}
			})
		}
	}
	return out
}

// try damages a copy of the tree, starts a server on it, and holds what a client
// sees against what clients were told.
func (w *damageWorld) try(d damage, again bool) {
	w.t.Helper()
	mem := w.mem.Clone()
	d.do(mem)
	before := w.boxes
	w.said.take()
	defer func() {
		if w.t.Failed() {
			w.t.Logf("%s: the server says\n%s", d.what, w.said.take())
		}
	}()
	for range 2 {
		st, c := w.start(mem)
		for name, b := range before {
			w.compare(c, d, name, b)
		}
		if again { // what is added gets a UID that nothing had
			w.added(c, d)
		}
		w.settled(st, d)
		c.conn.Close()
		<-c.done
		mem = mem.Clone()
		st.Close()
		if !again {
			return
		}
		again = false
	}
}

func (w *damageWorld) compare(c *client, d damage, name string, b *damagedBox) {
	t := w.t
	t.Helper()
	v, lines := viewOf(c, name, fmt.Sprintf(" (QRESYNC (%s %d))", b.uidValidity, b.modSeq))
	same := strconv.FormatUint(v.codes["UIDVALIDITY"], 10) == b.uidValidity
	if old, _ := strconv.ParseUint(b.uidValidity, 10, 32); !same && (!d.fresh || v.codes["UIDVALIDITY"] <= old) {
		t.Errorf("%s: %s: UIDVALIDITY was %s, is %d", d.what, name, b.uidValidity, v.codes["UIDVALIDITY"])
	}
	if same && (v.codes["UIDNEXT"] < b.uidNext || v.codes["HIGHESTMODSEQ"] < b.modSeq) {
		t.Errorf("%s: %s: told were UIDNEXT %d and HIGHESTMODSEQ %d, now %v", d.what, name, b.uidNext, b.modSeq, v.codes)
	}
	bodies := map[string]string{}
	for uid, body := range v.body {
		if _, twice := bodies[body]; twice {
			t.Errorf("%s: %s: %q is there twice", d.what, name, body)
		}
		bodies[body] = v.flags[uid]
		was, told := b.told[uid]
		if same && (told && was != body || !told && uint64(uid) < b.uidNext) {
			t.Errorf("%s: %s: UID %d was %q and is %q", d.what, name, uid, was, body)
		}
	}
	if !maps.Equal(bodies, b.bodies) {
		t.Errorf("%s: %s: there are\n%q, want\n%q", d.what, name, bodies, b.bodies)
	}
	if !same {
		return
	}
	mirror := maps.Clone(b.now)
	for _, line := range lines {
		if m := vanishedLine.FindStringSubmatch(line); m != nil {
			maps.DeleteFunc(mirror, func(uid uint32, _ string) bool { return inSet(m[2], uid) })
		}
		if m := fetchLineOf.FindStringSubmatch(line); m != nil {
			uid, _ := strconv.ParseUint(m[2], 10, 32)
			mirror[uint32(uid)] = plainFlags(m[3])
		}
	}
	if !maps.Equal(mirror, v.flags) {
		t.Errorf("%s: %s: a client that comes back has %v, a new one %v", d.what, name, mirror, v.flags)
	}
}

// inSet reports whether a set of UIDs has uid.
func inSet(set string, uid uint32) bool {
	for part := range strings.SplitSeq(set, ",") {
		lo, hi, ranged := strings.Cut(part, ":")
		a, _ := strconv.ParseUint(lo, 10, 32)
		b := a
		if ranged {
			b, _ = strconv.ParseUint(hi, 10, 32)
		}
		if uint64(uid) >= a && uint64(uid) <= b {
			return true
		}
	}
	return false
}

// added appends a message to each mailbox and expunges it.
func (w *damageWorld) added(c *client, d damage) {
	w.t.Helper()
	for name, b := range w.boxes {
		c.ok("n", "SELECT %s", name)
		c.send(fmt.Sprintf("a APPEND %s {4+}\r\n\r\n\r\n\r\n", name))
		_, tagged := c.until("a")
		var validity string
		var uid uint64
		if _, err := fmt.Sscanf(strings.ReplaceAll(tagged, "]", " "), "OK [APPENDUID %s %d", &validity, &uid); err != nil {
			w.t.Errorf("%s: %s: %s", d.what, name, tagged)
		}
		if validity == b.uidValidity && uid < b.uidNext {
			w.t.Errorf("%s: %s: a new message got UID %d, told was UIDNEXT %d", d.what, name, uid, b.uidNext)
		}
		c.ok("d", `UID STORE %d +FLAGS (\Deleted)`, uid)
		c.ok("x", "UID EXPUNGE %d", uid)
	}
}

// settled checks the mailboxes in memory.
func (w *damageWorld) settled(st *mailbox.Store, d damage) {
	w.t.Helper()
	a, err := st.Open(context.Background(), mailbox.User{Name: testUser, Path: w.home})
	if err != nil {
		w.t.Fatalf("%s: %v", d.what, err)
	}
	defer a.Release()
	for name := range w.boxes {
		if err := a.Repair(context.Background(), name); err != nil {
			w.t.Errorf("%s: %s: %v", d.what, name, err)
		}
	}
}

// TestDamage damages roost.index and roost.account between two runs of the
// server: it always starts, no UID names another message than before, UIDVALIDITY
// stays as long as a copy of it is left, and every message has its flags (F9,
// F10). Package index damages the journal at every octet.
func TestDamage(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean=%v", clean), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testDamage(t, clean) })
		})
	}
}

func testDamage(t *testing.T, clean bool) {
	w := newDamageWorld(t, clean)
	w.try(damage{what: "nothing", do: func(*disktest.Mem) {}}, true)
	rng := rand.New(rand.NewPCG(9, 10))
	for i, d := range w.wholes() {
		if i%3 == 0 || !raceEnabled {
			w.try(d, true)
		}
	}
	var list []damage
	for _, name := range damagedNames {
		list = append(list, w.damages(name, rng)...)
	}
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	switch {
	case *damageAll:
	case raceEnabled:
		list = list[:8]
	default:
		list = list[:60]
	}
	for i, d := range list {
		if w.try(d, i%4 == 0); t.Failed() {
			break
		}
	}
	t.Logf("%d damages", len(list))
}
