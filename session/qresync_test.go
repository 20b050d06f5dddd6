package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
	"roost/mailbox"
)

// A syncWorld is a server, a QRESYNC client that comes and goes, another
// session, other programs, restarts and losses of power, as in the histories of
// package mailbox, but through the protocol, with message numbers, known UIDs
// and sequence match data (RFC 7162 §3.2.5).
type syncWorld struct {
	t   *testing.T
	rng *rand.Rand
	mem *disktest.Mem
	mo  mailbox.Options
	opt Options
	h   *harness

	client, other *client // nil: away
	tag           int
	known         syncState
	past          []syncState
	next          int
	trace         []string
}

// syncState is what the client remembers.
type syncState struct {
	uidValidity string
	modSeq      uint64
	uids        []uint32 // by message number
	flags       map[uint32]string
}

func (s syncState) clone() syncState {
	s.uids, s.flags = slices.Clone(s.uids), maps.Clone(s.flags)
	return s
}

func (w *syncWorld) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *syncWorld) failed(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"))
}

func (w *syncWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.failed("%v", err)
	}
}

// mustOrGone is must where the server may have been faster: an expunged file.
func (w *syncWorld) mustOrGone(err error) {
	w.t.Helper()
	if !errors.Is(err, fs.ErrNotExist) {
		w.must(err)
	}
}

func (w *syncWorld) start() {
	var err error
	w.h.store, err = mailbox.NewStore(w.mo)
	w.must(err)
	w.opt.Store = w.h.store
	w.h.srv = NewServer(w.opt)
	w.other = w.h.connect(false)
	w.other.login()
	w.other.ok("o", "SELECT INBOX")
}

func (w *syncWorld) hangUp(c **client) {
	if *c != nil {
		(*c).conn.Close()
		<-(*c).done
		*c = nil
	}
}

func (w *syncWorld) stop() {
	w.hangUp(&w.client)
	w.hangUp(&w.other)
	_ = w.h.store.Close() // after a loss of power nothing can be written
}

var (
	vanishedLine = regexp.MustCompile(`^\* VANISHED (\(EARLIER\) )?([\d:,]+)$`)
	fetchLineOf  = regexp.MustCompile(`^\* (\d+) FETCH \(UID (\d+) FLAGS \(([^)]*)\) MODSEQ \((\d+)\)\)$`)
	existsLine   = regexp.MustCompile(`^\* (\d+) EXISTS$`)
	modSeqCode   = regexp.MustCompile(`OK \[HIGHESTMODSEQ (\d+)\]`)
	validityCode = regexp.MustCompile(`^\* OK \[UIDVALIDITY (\d+)\]`)
)

// run sends a command of the client and takes what is answered.
func (w *syncWorld) run(format string, args ...any) {
	w.t.Helper()
	w.tag++
	tag := "c" + strconv.Itoa(w.tag)
	w.log(format, args...)
	lines, tagged := w.client.command(tag, format, args...)
	for _, line := range append(lines, tagged) {
		w.log("  %s", line)
		w.take(line)
	}
	if strings.HasPrefix(tagged, "BAD") {
		w.failed("%s", tagged)
	}
}

func (w *syncWorld) take(line string) {
	w.t.Helper()
	k := &w.known
	if m := modSeqCode.FindStringSubmatch(line); m != nil {
		k.modSeq, _ = strconv.ParseUint(m[1], 10, 63)
	}
	switch {
	case vanishedLine.MatchString(line):
		m := vanishedLine.FindStringSubmatch(line)
		for _, r := range strings.Split(m[2], ",") {
			a, b, ok := strings.Cut(r, ":")
			first, _ := strconv.ParseUint(a, 10, 32)
			last := first
			if ok {
				last, _ = strconv.ParseUint(b, 10, 32)
			}
			for uid := uint32(first); uid <= uint32(last); uid++ {
				if i := slices.Index(k.uids, uid); i >= 0 {
					if m[1] != "" {
						w.failed("VANISHED (EARLIER) tells of UID %d, which is there", uid)
					}
					k.uids = slices.Delete(k.uids, i, i+1)
				} else if m[1] == "" {
					w.failed("UID %d vanished and was never told", uid)
				}
				delete(k.flags, uid)
			}
		}
	case fetchLineOf.MatchString(line):
		m := fetchLineOf.FindStringSubmatch(line)
		n, _ := strconv.Atoi(m[1])
		uid, _ := strconv.ParseUint(m[2], 10, 32)
		if n > len(k.uids) || k.uids[n-1] != 0 && k.uids[n-1] != uint32(uid) {
			w.failed("message %d is UID %d, the client has %v", n, uid, k.uids)
		}
		k.uids[n-1] = uint32(uid)
		flags := strings.Fields(strings.ReplaceAll(m[3], `\Recent`, ""))
		slices.Sort(flags)
		k.flags[uint32(uid)] = strings.Join(flags, " ")
	case existsLine.MatchString(line):
		n, _ := strconv.Atoi(existsLine.FindStringSubmatch(line)[1])
		if n < len(k.uids) {
			w.failed("EXISTS %d after %d", n, len(k.uids))
		}
		k.uids = append(k.uids, make([]uint32, n-len(k.uids))...) // 0: not known yet
	}
}

// settle asks for the UIDs that the client does not know.
func (w *syncWorld) settle() {
	w.t.Helper()
	if i := slices.Index(w.known.uids, 0); i >= 0 {
		w.run("FETCH %d:%d (UID FLAGS MODSEQ)", i+1, len(w.known.uids))
	}
}

// connect comes back with what the client knows.
func (w *syncWorld) connect() {
	w.t.Helper()
	w.client = w.h.connect(false)
	w.client.login()
	w.client.ok("e", "ENABLE QRESYNC")
	k := &w.known
	param := ""
	if k.uidValidity != "" && k.modSeq > 0 {
		param = fmt.Sprintf(" (QRESYNC (%s %d%s))", k.uidValidity, k.modSeq, w.match())
	}
	old := k.uidValidity
	k.uids = nil // what is told now are the numbers of now
	w.run("SELECT INBOX%s", param)
	for _, line := range w.trace[max(0, len(w.trace)-200):] {
		if m := validityCode.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			k.uidValidity = m[1]
		}
	}
	if k.uidValidity != old {
		k.flags = map[uint32]string{}
		w.settle()
	}
	w.compare()
}

// match gives what a client may add: the UIDs that it knows, and message numbers
// with their UIDs.
func (w *syncWorld) match() (s string) {
	k := &w.known
	uids := slices.Clone(k.uids)
	uids = slices.DeleteFunc(uids, func(uid uint32) bool { return uid == 0 })
	if len(uids) == 0 || len(uids) != len(k.uids) {
		return ""
	}
	if w.rng.IntN(2) == 0 {
		all := slices.Sorted(maps.Keys(k.flags))
		if len(all) > 0 {
			s = fmt.Sprintf(" %s,%d:4294967295", joined(all), all[len(all)-1]+1) // and what came since
		}
	}
	if w.rng.IntN(2) == 0 {
		var seqs, at []uint32
		for i, uid := range uids {
			if w.rng.IntN(2) == 0 {
				seqs, at = append(seqs, uint32(i+1)), append(at, uid)
			}
		}
		if len(seqs) > 0 {
			s += " (" + joined(seqs) + " " + joined(at) + ")"
		}
	}
	return s
}

func joined(nums []uint32) string {
	out := make([]string, len(nums))
	for i, n := range nums {
		out[i] = strconv.FormatUint(uint64(n), 10)
	}
	return strings.Join(out, ",")
}

// compare holds what the client knows against what a fresh client is told.
func (w *syncWorld) compare() {
	w.t.Helper()
	known := maps.Clone(w.known.flags)
	w.known.flags = map[uint32]string{}
	if len(w.known.uids) > 0 {
		w.run("FETCH 1:* (UID FLAGS MODSEQ)")
	}
	if !maps.Equal(known, w.known.flags) {
		w.failed("the client has %v, a fresh one %v", known, w.known.flags)
	}
}

// files runs f in cur/.
func (w *syncWorld) files(f func(cur disk.Dir, names []string)) {
	root, err := w.mem.OpenRoot(w.h.home)
	w.must(err)
	defer root.Close()
	cur, err := root.OpenDir("cur")
	w.must(err)
	defer cur.Close()
	var names []string
	w.must(cur.ReadDir(func(e disk.Entry) bool {
		names = append(names, string(e.Name))
		return true
	}))
	slices.Sort(names)
	f(cur, names)
}

func (w *syncWorld) outside() {
	w.files(func(cur disk.Dir, names []string) {
		k := w.rng.IntN(4)
		if k == 0 || len(names) == 0 {
			w.next++
			name := strconv.Itoa(w.next) + ".m:2,"
			w.log("# deliver %s", name)
			f, err := cur.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
			w.must(err)
			_, err = io.WriteString(f, "Subject: "+name+"\n\n")
			w.must(err)
			w.must(f.Sync())
			w.must(f.Close())
			w.must(cur.Sync())
			return
		}
		name := names[w.rng.IntN(len(names))]
		if k == 1 {
			w.log("# unlink %s", name)
			w.mustOrGone(cur.Unlink(name))
			return
		}
		base, letters, _ := strings.Cut(name, ":2,")
		c := string("DFRST"[w.rng.IntN(5)])
		if strings.Contains(letters, c) {
			letters = strings.ReplaceAll(letters, c, "")
		} else {
			l := strings.Split(letters+c, "")
			slices.Sort(l)
			letters = strings.Join(l, "")
		}
		w.log("# rename %s to %s:2,%s", name, base, letters)
		w.mustOrGone(cur.Rename(name, cur, base+":2,"+letters))
	})
}

var syncCommands = []string{
	`STORE %d +FLAGS (\Seen)`, `STORE %d -FLAGS (\Seen)`, `STORE %d +FLAGS (\Deleted)`, `STORE %d FLAGS (\Flagged Work)`, `UID SEARCH ALL`, `NOOP`,
	`EXPUNGE`, `COPY %d INBOX`, `FETCH %d (FLAGS UID MODSEQ)`, `UID FETCH 1:* (FLAGS MODSEQ)`, "APPEND INBOX {14+}\r\nSubject: a\r\n\r\n",
}

func (w *syncWorld) pickCommand(size int) string {
	c := syncCommands[w.rng.IntN(len(syncCommands))]
	if strings.Contains(c, "%d") {
		if size == 0 {
			return "NOOP"
		}
		return fmt.Sprintf(c, 1+w.rng.IntN(size))
	}
	return c
}

func (w *syncWorld) step() {
	switch k := w.rng.IntN(16); {
	case k < 4:
		lines := w.other.ok("s", "UID SEARCH ALL")
		size := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "* SEARCH") {
				size = len(strings.Fields(line)) - 2
			}
		}
		c := w.pickCommand(size)
		_, tagged := w.other.command("t", "%s", c)
		w.log("other: %s: %s", c, tagged)
	case k < 8:
		if w.client == nil {
			w.connect()
		}
		c := w.pickCommand(len(w.known.uids))
		if strings.HasPrefix(c, "UID FETCH") && len(w.known.uids) == 0 {
			c = "NOOP"
		}
		w.run("%s", c)
		w.settle()
	case k < 11:
		w.outside()
	case k == 11:
		<-time.After(time.Duration(1+w.rng.IntN(3000)) * time.Millisecond)
	case k < 14:
		w.past = append(w.past, w.known.clone())
		w.hangUp(&w.client)
		if w.rng.IntN(2) == 0 {
			w.known = w.past[w.rng.IntN(len(w.past))].clone()
			w.log("# another device, at %d", w.known.modSeq)
		}
		w.connect()
	case k == 14:
		w.log("# restart")
		w.stop()
		w.start()
	default:
		how := disktest.Survival(w.rng.IntN(int(disktest.Everything) + 1))
		w.log("# loss of power, %d", how)
		w.mem.Crash(w.rng, how)
		w.stop()
		w.start()
	}
}

func syncHistory(t *testing.T, seed uint64, steps int) {
	synctest.Test(t, func(t *testing.T) {
		w := &syncWorld{t: t, rng: rand.New(rand.NewPCG(seed, 7162)), mem: disktest.NewMem(), known: syncState{flags: map[uint32]string{}}}
		w.log("# seed %d", seed)
		w.h = startHarness(&harness{t: t, poll: true}, func(mo *mailbox.Options, opt *Options) {
			opt.Log, mo.Log = nil, nil
			mo.FS, mo.Create, mo.Fsync = w.mem, mailbox.CreateAlways, index.FsyncAlways
			w.mo, w.opt = *mo, *opt
		})
		w.h.store.Close()
		w.start()
		defer w.stop()
		for range steps {
			w.step()
		}
		if w.client == nil {
			w.connect()
		}
	})
}

// TestQResyncHistories: a client that comes back with what it knew knows what a
// fresh client does.
func TestQResyncHistories(t *testing.T) {
	for part := range 2 {
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < 60 && !t.Failed(); seed += 2 {
				syncHistory(t, uint64(seed), 25)
			}
		})
	}
}

// FuzzQResync is the same without end.
func FuzzQResync(f *testing.F) {
	f.Add(uint64(1), uint8(40))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint8) { syncHistory(t, seed, int(steps)) })
}
