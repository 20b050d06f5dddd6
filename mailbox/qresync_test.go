package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
)

// A syncClient is what a client with QRESYNC remembers of a mailbox
// (RFC 7162 §3.2.5): after it has come back it must know what a client knows
// that asks for everything.
type syncClient struct {
	uidValidity uint32
	modSeq      ModSeq              // the last HIGHESTMODSEQ that it was told
	flags       map[imap.UID]string // of the messages that it knows
}

func (c syncClient) clone() syncClient {
	c.flags = maps.Clone(c.flags)
	return c
}

// A syncWorld is a mailbox, a client that comes and goes, and all that happens
// meanwhile: another session, other programs, restarts and losses of power.
type syncWorld struct {
	t   testing.TB
	rng *rand.Rand
	mem *disktest.Mem
	box *crashBox

	client syncClient
	view   *View // of the client; nil: it is away
	other  *View // of another session
	past   []syncClient
	next   int

	highest ModSeq              // that was told
	told    map[imap.UID]ModSeq // of the messages
	trace   []string
}

func (w *syncWorld) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *syncWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, strings.Join(w.trace, "\n"))
	}
}

// mustOrGone is must where the server may have been faster: an expunged file.
func (w *syncWorld) mustOrGone(err error) {
	w.t.Helper()
	if !errors.Is(err, fs.ErrNotExist) {
		w.must(err)
	}
}

func (w *syncWorld) failed(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"))
}

func (w *syncWorld) open() *View {
	w.t.Helper()
	v, err := w.box.mb.Open(context.Background(), false, &Barrier{})
	w.must(err)
	w.must(v.b.Wait())
	return v
}

func (w *syncWorld) start() {
	w.t.Helper()
	w.must(w.box.open(w.mem))
	w.other = w.open()
}

// stop ends the server; the client is cut off.
func (w *syncWorld) stop() {
	if w.view != nil {
		w.view.Close()
		w.view = nil
	}
	w.other.Close()
	_ = w.box.mb.close() // after a loss of power nothing can be written
}

// learn is what any response with MODSEQ means: they never shrink.
func (w *syncWorld) learn(v *View, m Message) {
	w.t.Helper()
	if m.ModSeq < w.told[m.UID] {
		w.failed("MODSEQ of UID %d was %d and is %d", m.UID, w.told[m.UID], m.ModSeq)
	}
	w.told[m.UID] = m.ModSeq
	w.client.flags[m.UID] = flagText(v, m)
}

// remember is what HIGHESTMODSEQ means.
func (w *syncWorld) remember() {
	w.t.Helper()
	n := w.view.HighestModSeq()
	if n < w.highest {
		w.failed("HIGHESTMODSEQ was %d and is %d", w.highest, n)
	}
	w.highest, w.client.modSeq = n, n
}

// connect is SELECT with QRESYNC, or without if the client knows nothing.
func (w *syncWorld) connect() {
	w.t.Helper()
	v := w.open()
	w.view = v
	c := &w.client
	if c.uidValidity != v.Mailbox().UIDValidity() {
		w.log("client knows nothing")
		*c = syncClient{uidValidity: v.Mailbox().UIDValidity(), flags: map[imap.UID]string{}}
		clear(w.told)
	} else {
		w.log("client comes with %d, HIGHESTMODSEQ %d", c.modSeq, v.HighestModSeq())
	}
	if c.modSeq > v.HighestModSeq() {
		w.failed("client knows %d, HIGHESTMODSEQ is %d", c.modSeq, v.HighestModSeq())
	}
	w.resync(v)
	w.remember()
	w.must(v.b.Wait())
	w.compare()
}

// resync takes VANISHED (EARLIER) and what changed.
func (w *syncWorld) resync(v *View) {
	w.t.Helper()
	since := w.client.modSeq
	known := imap.UIDSet{{Start: 1, Stop: max(v.UIDNext()-1, 1)}}
	if w.rng.IntN(2) == 0 && len(w.client.flags) > 0 { // it says what it knows
		known = nil
		for uid := range w.client.flags {
			known.AddNum(uid)
		}
	}
	for _, r := range v.Vanished(since, known) {
		if r.Stop >= v.UIDNext() {
			w.failed("VANISHED %v, UIDNEXT %d", r, v.UIDNext())
		}
		for uid := r.Start; uid <= r.Stop; uid++ {
			if v.Seq(uid) != 0 {
				w.failed("UID %d is told as vanished and is there", uid)
			}
			delete(w.client.flags, uid)
		}
	}
	for n := SeqNum(1); int(n) <= v.Len(); n++ {
		if m := v.Message(n); m.ModSeq > since {
			w.learn(v, m)
		}
	}
}

// compare holds what the client knows against what there is.
func (w *syncWorld) compare() {
	w.t.Helper()
	want := map[imap.UID]string{}
	for n := SeqNum(1); int(n) <= w.view.Len(); n++ {
		m := w.view.Message(n)
		want[m.UID] = flagText(w.view, m)
	}
	if !maps.Equal(want, w.client.flags) {
		w.failed("the client has %v, a fresh one %v", w.client.flags, want)
	}
}

// sync is the end of a command of the client.
func (w *syncWorld) sync(p Policy) {
	w.t.Helper()
	v := w.view
	before := v.Len()
	c, err := v.Sync(p)
	w.must(err)
	for _, m := range c.Flags {
		w.learn(v, m)
	}
	for _, e := range c.Expunged {
		if _, ok := w.client.flags[e.UID]; !ok {
			w.failed("UID %d vanished and was never told", e.UID)
		}
		delete(w.client.flags, e.UID)
	}
	for n := before - len(c.Expunged) + 1; n <= v.Len(); n++ { // EXISTS, FETCH
		w.learn(v, v.Message(SeqNum(n)))
	}
	w.remember()
	w.must(v.b.Wait())
	if p == SyncEverything {
		w.compare()
	}
}

// dir runs f in new/ or cur/ as another program does.
func (w *syncWorld) dir(name string, f func(d disk.Dir)) {
	root, err := w.mem.OpenRoot(w.box.path)
	w.must(err)
	defer root.Close()
	d, err := root.OpenDir(name)
	w.must(err)
	defer d.Close()
	f(d)
}

// pick gives a file of cur/, "" if there is none.
func (w *syncWorld) pick() (name string) {
	w.dir("cur", func(d disk.Dir) {
		var names []string
		w.must(d.ReadDir(func(e disk.Entry) bool {
			names = append(names, string(e.Name))
			return true
		}))
		slices.Sort(names)
		if len(names) > 0 {
			name = names[w.rng.IntN(len(names))]
		}
	})
	return name
}

var syncFlags = []StoreOp{
	{Mode: StoreAdd, Flags: Seen}, {Mode: StoreRemove, Flags: Seen}, {Mode: StoreAdd, Flags: Deleted},
	{Mode: StoreReplace, Flags: Flagged}, {Mode: StoreAdd, Keywords: []string{"Work"}}, {Mode: StoreRemove, Flags: Deleted},
}

// act is one command of a session: the client's if v is its View.
func (w *syncWorld) act(v *View) {
	ctx := context.Background()
	w.must(v.Refresh(ctx))
	who := map[bool]string{true: "client", false: "other"}[v == w.view]
	policy := SyncEverything
	switch w.rng.IntN(6) {
	case 0:
		w.next++
		w.log("%s appends", who)
		_, err := appendTo(w.box.mb, AppendMeta{}, v.b, fmt.Sprintf("a: %d\r\n\r\n", w.next))
		w.must(err)
	case 1:
		n, err := v.Expunge(ctx, nil)
		w.must(err)
		w.log("%s expunges %d", who, n)
	case 2:
		if v.Len() == 0 {
			return
		}
		n := SeqNum(1 + w.rng.IntN(v.Len()))
		w.log("%s copies %d", who, n)
		if !v.Expunged(n) {
			if _, err := v.Copy(ctx, one(n), w.box.mb); !errors.Is(err, ErrExpunged) && !errors.Is(err, ErrUnavailable) {
				w.must(err) // the file may be unlinked, and that not be believed yet
			}
		}
	default:
		policy = Policy(w.rng.IntN(3))
		if v.Len() == 0 {
			break
		}
		first := SeqNum(1 + w.rng.IntN(v.Len()))
		last := min(first+SeqNum(w.rng.IntN(3)), SeqNum(v.Len()))
		op := syncFlags[w.rng.IntN(len(syncFlags))]
		w.log("%s stores %v on %d:%d", who, op, first, last)
		r, err := v.Store(ctx, Seqs{{first, last}}, op)
		w.must(err)
		for _, m := range r.Stored {
			if v == w.view {
				w.learn(v, m)
			}
		}
	}
	if v == w.view {
		w.log("client syncs %d", policy)
		w.sync(policy)
		return
	}
	_, err := v.Sync(policy)
	w.must(err)
	w.must(v.b.Wait())
}

// outside is what another program does to the files.
func (w *syncWorld) outside() {
	name := w.pick()
	base, letters, _ := strings.Cut(name, ":2,")
	switch k := w.rng.IntN(4); {
	case k == 0 || name == "":
		w.next++
		name := fmt.Sprintf("%d.m", w.next)
		w.log("deliver %s", name)
		memDeliver(w.t, w.mem, w.box.path, name+":2,")
	case k == 1:
		w.log("unlink %s", name)
		w.dir("cur", func(d disk.Dir) { w.mustOrGone(d.Unlink(name)) })
	default:
		c := "DFRST"[w.rng.IntN(5)]
		to := base + ":2," + toggled(letters, c, !strings.Contains(letters, string(c)))
		w.log("rename %s to %s", name, to)
		w.dir("cur", func(d disk.Dir) { w.mustOrGone(d.Rename(name, d, to)) })
	}
}

// command is a command of one of the sessions; they are more frequent than
// restarts, which cost most of the time.
func (w *syncWorld) command(k int) {
	switch {
	case k < 26:
		w.outside()
	case k < 32 && w.view != nil:
		w.act(w.view)
	default:
		w.act(w.other)
	}
}

// step is one thing that happens.
func (w *syncWorld) step() {
	switch k := w.rng.IntN(40); {
	case k >= 20:
		w.command(k)
	case k < 5:
		w.act(w.other)
	case k < 9:
		if w.view == nil {
			w.connect()
		}
		w.act(w.view)
	case k < 13:
		w.outside()
	case k < 15:
		<-time.After(time.Duration(1+w.rng.IntN(3000)) * time.Millisecond)
	case k < 17: // the client goes, perhaps another of its devices comes
		w.past = append(w.past, w.client.clone())
		if w.view != nil {
			w.view.Close()
			w.view = nil
		}
		if w.rng.IntN(2) == 0 {
			w.client = w.past[w.rng.IntN(len(w.past))].clone()
			w.log("another device, at %d", w.client.modSeq)
		}
		w.connect()
	case k == 17:
		w.log("restart")
		w.stop()
		w.start()
	case k == 18:
		how := disktest.Survival(w.rng.IntN(int(disktest.Everything) + 1))
		w.log("loss of power, %d", how)
		w.mem.Crash(w.rng, how)
		w.stop()
		w.start()
	case w.view != nil && w.rng.IntN(2) == 0: // UID FETCH (CHANGEDSINCE VANISHED)
		w.must(w.view.Refresh(context.Background()))
		w.log("client asks what changed since %d", w.client.modSeq)
		w.resync(w.view)
		w.must(w.view.b.Wait())
	default:
		if w.view != nil {
			w.must(w.view.Refresh(context.Background()))
			w.log("client syncs")
			w.sync(Policy(w.rng.IntN(3)))
		}
	}
}

// syncHistories runs random histories, one after the other in one mailbox, each
// with a client that knows nothing at first.
func syncHistories(t *testing.T, seed uint64, histories, steps int) {
	synctest.Test(t, func(t *testing.T) {
		w := &syncWorld{
			t: t, rng: rand.New(rand.NewPCG(seed, 7162)), mem: disktest.NewMem(),
			box:    &crashBox{path: "/a", slot: &testSlot{}},
			client: syncClient{flags: map[imap.UID]string{}}, told: map[imap.UID]ModSeq{},
		}
		w.log("seed %d", seed)
		w.must(w.mem.MkdirRoot(w.box.path, 0o700))
		w.start()
		defer w.stop()
		for range histories {
			for range steps {
				w.step()
			}
			if w.view == nil {
				w.connect()
			}
			w.view.Close()
			w.view, w.client, w.past, w.trace = nil, syncClient{flags: map[imap.UID]string{}}, nil, w.trace[:1]
		}
	})
}

// The lengths of histories: most are short, so that there can be many.
const (
	syncSteps     = 10
	longSyncSteps = 60
	sharedWorld   = 20 // so many in one mailbox
)

// TestQResyncHistories: wherever a client was, and whatever happened since, it
// knows after SELECT (QRESYNC ...) what a fresh client knows (RFC 7162 §3.2.5).
func TestQResyncHistories(t *testing.T) {
	const histories = 2000
	for part := range 4 {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < histories/sharedWorld && !t.Failed(); seed += 4 {
				syncHistories(t, uint64(seed), sharedWorld, syncSteps)
			}
			syncHistories(t, uint64(part), 1, longSyncSteps)
		})
	}
}

// FuzzQResync is the same without end.
func FuzzQResync(f *testing.F) {
	f.Add(uint64(1), uint8(longSyncSteps))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint8) { syncHistories(t, seed, 1, int(steps)) })
}
