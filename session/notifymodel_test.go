package session

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
)

var (
	notifySteps = flag.Int("notify.steps", 100, "steps of TestNotifyModel")
	notifySeed  = flag.Uint64("notify.seed", 0, "seed of TestNotifyModel; 0: another each time")
)

// notifyBoxes is how many mailboxes the client of TestNotifyModel watches.
const notifyBoxes = 200

// A notifyModel is what a client knows that is only told, never asks.
type notifyModel struct {
	t     *testing.T
	boxes map[string]map[string]uint64 // by name, the items of STATUS
	subs  map[string]bool
	told  []string // everything, for a test that fails
}

var (
	modelStatus = regexp.MustCompile(`^\* STATUS (?:"(.*?)"|(\S+)) \((.*)\)$`)
	modelList   = regexp.MustCompile(`^\* LIST \((.*?)\) "/" (?:"(.*?)"|(\S+))(?: \("OLDNAME" \((?:"(.*?)"|(\S+))\)\))?$`)
)

// take is what the client does with a response.
func (m *notifyModel) take(line string) {
	m.told = append(m.told, line)
	if f := modelStatus.FindStringSubmatch(line); f != nil {
		items := m.boxes[f[1]+f[2]]
		if items == nil {
			m.t.Errorf("%q of a mailbox that was not told", line)
			return
		}
		words := strings.Fields(f[3])
		for i := 0; i+1 < len(words); i += 2 {
			n, err := strconv.ParseUint(words[i+1], 10, 64)
			if err != nil {
				m.t.Fatal(err)
			}
			items[words[i]] = n
		}
		return
	}
	f := modelList.FindStringSubmatch(line)
	if f == nil {
		m.t.Errorf("unexpected %q", line)
		return
	}
	name, old := f[2]+f[3], f[4]+f[5]
	if old != "" {
		for from, items := range m.boxes {
			if from == old || strings.HasPrefix(from, old+"/") {
				delete(m.boxes, from)
				m.boxes[name+from[len(old):]] = items
			}
		}
	}
	m.subs[name] = strings.Contains(f[1], `\Subscribed`)
	switch {
	case strings.Contains(f[1], `\NonExistent`):
		delete(m.boxes, name)
	case m.boxes[name] == nil:
		m.boxes[name] = map[string]uint64{"MESSAGES": 0, "UNSEEN": 0, "UIDNEXT": 1}
	}
}

// settled reads until nothing more comes for a moment and the picture is that
// of the mailbox tree now, as another session sees it.
func (m *notifyModel) settled(watcher, other *client) {
	m.t.Helper()
	deadline := time.Now().Add(patience)
	for n := 0; ; n++ {
		quiet := time.NewTimer(30 * time.Millisecond)
		for more := true; more; {
			select {
			case line, open := <-watcher.lines:
				if !open {
					m.t.Fatal("the connection of the watcher is closed")
				}
				m.take(line)
			case <-quiet.C:
				more = false
			}
		}
		truth := &notifyModel{t: m.t, boxes: map[string]map[string]uint64{}, subs: map[string]bool{}}
		for _, line := range other.ok(fmt.Sprint("q", n), `LIST "" * RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN UIDNEXT UIDVALIDITY HIGHESTMODSEQ))`) {
			if strings.HasPrefix(line, "* LIST") || strings.HasPrefix(line, "* STATUS") {
				truth.take(line)
			}
		}
		diff := m.differs(truth)
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			name, _, _ := strings.Cut(diff, " ")
			for _, line := range m.told {
				if strings.Contains(line, name) {
					m.t.Log(line)
				}
			}
			m.t.Fatalf("what was told is not what is: %s", diff)
		}
	}
}

func (m *notifyModel) differs(truth *notifyModel) string {
	for name, want := range truth.boxes {
		got := m.boxes[name]
		if got == nil {
			return name + " was not told"
		}
		for item, n := range want {
			known, told := got[item]
			if told && known != n || !told && item != "UIDVALIDITY" && item != "HIGHESTMODSEQ" {
				return fmt.Sprintf("%s %s is %d, told %d", name, item, n, known)
			}
		}
		if m.subs[name] != truth.subs[name] {
			return fmt.Sprintf("%s subscribed: %v, told %v", name, truth.subs[name], m.subs[name])
		}
	}
	for name := range m.boxes {
		if truth.boxes[name] == nil {
			return name + " is gone, and that was not told"
		}
	}
	return ""
}

// TestNotifyModel: a client watches 200 mailboxes while another session and
// other programs do what they like; whenever they pause, its picture is that of
// a fresh LIST and STATUS. Names are changed by others between pauses only: a
// name that goes and comes while nobody looks is a story of its own.
func TestNotifyModel(t *testing.T) {
	seed := *notifySeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	h := newHarness(t, func(mo *mailbox.Options, opt *Options) {
		mo.Descriptors = 100_000
		opt.Limits.NotifyMailboxes = 2 * notifyBoxes
	})
	w := notifyWorld{t: t, h: h, rng: rng}
	for i := range notifyBoxes - 1 {
		w.mkdir(fmt.Sprintf(".m%d", i))
	}
	watcher, other := h.connect(false), h.connect(false)
	watcher.login()
	other.login()
	m := &notifyModel{t: t, boxes: map[string]map[string]uint64{}, subs: map[string]bool{}}
	watcher.ok("a", "ENABLE CONDSTORE")
	for _, line := range watcher.ok("b", `LIST "" * RETURN (SUBSCRIBED)`) {
		m.take(line)
	}
	for _, line := range watcher.ok("c", "NOTIFY SET STATUS (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))") {
		m.take(line)
	}
	w.other = other
	for range *notifySteps {
		w.step()
		if rng.IntN(50) == 0 {
			m.settled(watcher, other)
		}
	}
	m.settled(watcher, other)
}

// A notifyWorld is everybody else.
type notifyWorld struct {
	t     *testing.T
	h     *harness
	rng   *rand.Rand
	other *client
	n     int
}

func (w *notifyWorld) mkdir(dir string) {
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(w.h.home, dir, sub), 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
}

// dirs are the directories of the mailboxes.
func (w *notifyWorld) dirs() []string {
	all, err := filepath.Glob(filepath.Join(w.h.home, ".*"))
	if err != nil {
		w.t.Fatal(err)
	}
	dirs := []string{""}
	for _, path := range all {
		dirs = append(dirs, filepath.Base(path))
	}
	return dirs
}

func nameOfDir(dir string) string {
	if dir == "" {
		return "INBOX"
	}
	return strings.ReplaceAll(dir[1:], ".", "/")
}

func (w *notifyWorld) step() {
	w.n++
	dirs := w.dirs()
	dir := dirs[w.rng.IntN(len(dirs))]
	if w.rng.IntN(2) == 0 {
		dir = dirs[w.rng.IntN(min(5, len(dirs)))] // some in which much happens
	}
	name, fresh := nameOfDir(dir), fmt.Sprintf("n%d", w.n)
	switch w.rng.IntN(16) {
	case 0, 1, 2, 3:
		w.h.deliver(dir, fmt.Sprintf("1999999999.M%d.test", w.n), "Subject: x\n\nbody\n")
	case 4:
		w.other.ok("s", "APPEND %q {14+}\r\nSubject: x\r\n\r\n", name)
	case 5, 6:
		w.other.ok("s", "SELECT %q", name)
		w.other.command("t", "UID STORE 1:* %sFLAGS.SILENT (\\Seen)", []string{"+", "-"}[w.rng.IntN(2)])
		w.other.ok("u", "UNSELECT")
	case 7:
		w.other.ok("s", "SELECT %q", name)
		w.other.command("t", "UID STORE %d:* +FLAGS.SILENT (\\Deleted)", 1+w.rng.IntN(10))
		w.other.ok("u", "CLOSE")
	case 8:
		w.other.ok("s", "SELECT %q", name)
		w.other.command("t", "UID COPY 1:* %q", nameOfDir(dirs[w.rng.IntN(len(dirs))]))
		w.other.ok("u", "UNSELECT")
	case 9, 10: // another program sets a flag, or removes a message
		if files, _ := filepath.Glob(filepath.Join(w.h.home, dir, "cur", "*")); len(files) > 0 {
			file := files[w.rng.IntN(len(files))]
			if base, flags, _ := strings.Cut(file, ":2,"); w.rng.IntN(2) == 0 && !strings.Contains(flags, "F") {
				if os.Rename(file, base+":2,F"+flags) != nil {
					return // somebody else was faster
				}
			} else {
				os.Remove(file)
			}
		}
	case 11:
		w.other.ok("s", "CREATE %q", fresh)
		if w.rng.IntN(2) == 0 {
			w.other.ok("s", "CREATE %q", fresh+"/kid")
		}
	case 12:
		if dir != "" {
			w.other.ok("s", "DELETE %q", name)
		}
	case 13:
		if dir != "" {
			w.other.ok("s", "RENAME %q %q", name, fresh)
		}
	case 14:
		w.other.ok("s", "%s %q", []string{"SUBSCRIBE", "UNSUBSCRIBE"}[w.rng.IntN(2)], name)
	case 15: // another program makes a mailbox, with mail in it
		w.mkdir("." + fresh)
		w.h.deliver("."+fresh, fmt.Sprintf("1999999999.M%d.test", w.n), "Subject: x\n\nbody\n")
	}
}
