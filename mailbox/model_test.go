package mailbox

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"roost/maildir"
)

// A model is what the mailbox must hold: the letters of each base.
type model struct {
	f       *fixture
	t       *testing.T
	rng     *rand.Rand
	flags   map[string]string // by base: sorted letters of system flags
	uids    map[string]imap.UID
	views   []*View
	next    int
	trace   []string
	removed map[string]bool
}

var modelLetters = map[byte]Flags{'D': Draft, 'F': Flagged, 'R': Answered, 'S': Seen, 'T': Deleted}

func lettersText(f Flags) string {
	s := ""
	for _, c := range "DFRST" {
		if f&modelLetters[byte(c)] != 0 {
			s += string(c)
		}
	}
	return s
}

// TestRandomOperations runs random commands of three sessions and an outside
// mover, and compares with the model whenever all has come to rest.
func TestRandomOperations(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			f := testMailbox(t)
			m := &model{
				f: f, t: t, rng: rand.New(rand.NewPCG(seed, 7)),
				flags: map[string]string{}, uids: map[string]imap.UID{}, removed: map[string]bool{},
			}
			m.openViews()
			for step := range 300 {
				m.step()
				if step%40 == 39 {
					m.settle()
				}
				if step%99 == 98 {
					m.closeViews()
					f.reopen()
					m.openViews()
				}
				if t.Failed() {
					t.Logf("seed %d, step %d; last operations:\n%s", seed, step, strings.Join(m.trace[max(0, len(m.trace)-50):], "\n"))
					break
				}
			}
			m.closeViews()
		})
	}
}

func (m *model) openViews() {
	for i := range 3 {
		m.views = append(m.views, m.f.view(i == 2))
	}
}

func (m *model) closeViews() {
	for _, v := range m.views {
		v.Close()
	}
	m.views = nil
}

func (m *model) log(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

// pick gives a file of the mailbox: directory, base, letters.
func (m *model) pick() (name, base, letters string, ok bool) {
	files := m.f.files()
	if len(files) == 0 {
		return "", "", "", false
	}
	name = files[m.rng.IntN(len(files))]
	base, letters, _ = strings.Cut(filepath.Base(name), ":2,")
	_, ok = m.flags[base]
	return name, base, letters, ok
}

func (m *model) step() {
	v := m.views[m.rng.IntN(2)]
	switch m.rng.IntN(13) {
	case 0, 1:
		m.next++
		base := fmt.Sprintf("%d.M%d.h", 1000+m.rng.IntN(3), m.next)
		at := "new/" + base
		letters := ""
		if m.rng.IntN(2) == 0 {
			letters = []string{"", "S", "FS", "T"}[m.rng.IntN(4)]
			at = "cur/" + base + ":2," + letters
		}
		m.log("deliver %s", at)
		m.flags[base] = letters
		m.f.deliver(at)
	case 2, 3:
		m.outsideFlag()
	case 4:
		m.outsideMove()
	case 5:
		if name, base, _, ok := m.pick(); ok && m.rng.IntN(2) == 0 {
			if os.Remove(filepath.Join(m.f.path, name)) == nil {
				m.log("unlink %s", name)
				delete(m.flags, base)
				m.removed[base] = true
			}
		}
	case 6, 7, 8:
		m.store(v)
	case 9:
		m.expunge(v)
	case 10:
		uids, err := appendTo(m.f.mb, AppendMeta{Flags: Seen}, v.b, "a: b\r\n\r\n")
		m.took(uids, err, "S")
	case 11:
		m.copy(v)
	default:
		w := m.views[m.rng.IntN(3)]
		if _, err := w.Sync(Policy(m.rng.IntN(3))); err != nil {
			m.t.Error(err)
		}
	}
}

func (m *model) took(uids []imap.UID, err error, letters string) {
	if err != nil {
		m.t.Errorf("add: %v", err)
		return
	}
	ix := m.f.mb.index()
	for _, uid := range uids {
		base := ix.Base(ix.RowOf(uid))
		m.log("added %s as %d", base, uid)
		m.flags[base] = letters
		m.uids[base] = uid
	}
}

func (m *model) outsideFlag() {
	name, base, letters, ok := m.pick()
	if !ok {
		return
	}
	c := "DFRST"[m.rng.IntN(5)]
	var now maildir.Letters
	n, err := maildir.ParseName([]byte(filepath.Base(name)), maildir.Colon)
	if err != nil {
		m.t.Fatal(err)
	}
	bit, _ := maildir.ParseName([]byte("x:2,"+string(c)), maildir.Colon)
	now = n.Letters ^ bit.Letters
	to := "cur/" + n.With(now, maildir.Colon)
	if os.Rename(filepath.Join(m.f.path, name), filepath.Join(m.f.path, to)) != nil {
		return
	}
	m.log("rename %s to %s", name, to)
	m.flags[base] = toggled(m.flags[base], c, !strings.Contains(letters, string(c)))
}

func toggled(letters string, c byte, on bool) string {
	letters = strings.ReplaceAll(letters, string(c), "")
	if on {
		letters += string(c)
	}
	b := []byte(letters)
	slices.Sort(b)
	return string(b)
}

func (m *model) outsideMove() {
	name, _, _, ok := m.pick()
	if !ok {
		return
	}
	dir, file, _ := strings.Cut(name, "/")
	to := map[string]string{"new": "cur", "cur": "new"}[dir] + "/" + file
	if os.Rename(filepath.Join(m.f.path, name), filepath.Join(m.f.path, to)) == nil {
		m.log("rename %s to %s", name, to)
	}
}

// fresh brings the View up to date, as the command before would have.
func (m *model) fresh(v *View) {
	m.f.noop(v)
	m.check(v, false)
}

func (m *model) base(v *View, n SeqNum) string { return v.ix.Base(v.row(n)) }

func (m *model) store(v *View) {
	m.fresh(v)
	if v.Len() == 0 {
		return
	}
	first := SeqNum(1 + m.rng.IntN(v.Len()))
	last := min(first+SeqNum(m.rng.IntN(3)), SeqNum(v.Len()))
	c := "DFRST"[m.rng.IntN(5)]
	mode := StoreMode(m.rng.IntN(3))
	r, err := v.Store(context.Background(), Seqs{{first, last}}, StoreOp{Mode: mode, Flags: modelLetters[c]})
	if err != nil {
		m.t.Errorf("store: %v", err)
		return
	}
	for _, s := range r.Stored {
		base := m.base(v, s.Seq)
		m.log("store %d %c on %s", mode, c, base)
		if _, ok := m.flags[base]; !ok {
			continue // unlinked outside, not yet known
		}
		switch mode {
		case StoreReplace:
			m.flags[base] = string(c)
		default:
			m.flags[base] = toggled(m.flags[base], c, mode == StoreAdd)
		}
	}
}

func (m *model) expunge(v *View) {
	m.fresh(v)
	var bases []string
	for n := SeqNum(1); int(n) <= v.Len(); n++ {
		if v.Message(n).Flags&Deleted != 0 && !v.Expunged(n) {
			bases = append(bases, m.base(v, n))
		}
	}
	n, err := v.Expunge(context.Background(), nil)
	if err != nil || n > len(bases) {
		m.t.Errorf("expunge: %d of %d: %v", n, len(bases), err)
	}
	for _, b := range bases {
		m.log("expunge %s", b)
		delete(m.flags, b)
		m.removed[b] = true
	}
}

func (m *model) copy(v *View) {
	m.fresh(v)
	if v.Len() == 0 {
		return
	}
	n := SeqNum(1 + m.rng.IntN(v.Len()))
	base := m.base(v, n)
	letters, ok := m.flags[base]
	if !ok || v.Expunged(n) {
		return
	}
	r, err := v.Copy(context.Background(), one(n), m.f.mb)
	m.took(r.Dest, err, letters)
}

// check compares a View with the model: messages that the model does not have
// any more may still be there, unless all has come to rest.
func (m *model) check(v *View, rest bool) {
	m.t.Helper()
	seen := map[string]string{}
	var last imap.UID
	for n := SeqNum(1); int(n) <= v.Len(); n++ {
		msg := v.Message(n)
		if msg.UID <= last || v.Seq(msg.UID) != n {
			m.t.Errorf("message %d has UID %d after %d, back %d", n, msg.UID, last, v.Seq(msg.UID))
		}
		last = msg.UID
		if v.Expunged(n) {
			continue
		}
		base := m.base(v, n)
		if _, ok := m.flags[base]; !ok {
			if rest {
				m.t.Errorf("%s should be gone", base)
			}
			continue
		}
		if uid, ok := m.uids[base]; ok && uid != msg.UID {
			m.t.Errorf("%s had UID %d and has %d", base, uid, msg.UID)
		}
		m.uids[base] = msg.UID
		seen[base] = lettersText(msg.Flags)
	}
	if !maps.Equal(seen, m.flags) {
		for base, want := range m.flags {
			if got, ok := seen[base]; !ok || got != want {
				m.t.Errorf("%s has %q (there: %v), want %q", base, got, ok, want)
			}
		}
	}
}

// settle waits until removals are told, and compares everything.
func (m *model) settle() {
	m.t.Helper()
	for _, v := range m.views {
		m.f.eventually("removals are told", func() bool { m.f.noop(v); return v.Len() == len(m.flags) })
		m.check(v, true)
	}
	want := func() []string {
		var out []string
		for base, letters := range m.flags {
			out = append(out, base+" "+letters)
		}
		slices.Sort(out)
		return out
	}()
	m.f.eventually("names are as the flags", func() bool {
		var got []string
		for _, name := range m.f.files() {
			base, letters, _ := strings.Cut(filepath.Base(name), ":2,")
			got = append(got, base+" "+letters)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
	if err := checkAtRest(m.f.mb); err != nil {
		m.t.Error(err)
	}
}
