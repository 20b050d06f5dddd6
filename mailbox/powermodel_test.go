package mailbox

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
)

// A powerMessage is what must be true of one message; its body names it.
type powerMessage struct {
	uid   imap.UID // 0: not told yet
	flags string
}

// A powerBox is what must be true of one mailbox.
type powerBox struct {
	uidValidity uint32
	uidNext     imap.UID
	modSeq      ModSeq
	msgs        map[string]powerMessage // by body
	told        map[imap.UID]string     // never forgotten
}

func (b *powerBox) clone() *powerBox {
	c := *b
	c.msgs, c.told = maps.Clone(b.msgs), maps.Clone(b.told)
	return &c
}

type powerState map[string]*powerBox // by name of the mailbox

func (s powerState) clone() powerState {
	c := powerState{}
	for name, b := range s {
		c[name] = b.clone()
	}
	return c
}

// A powerLedger is what was acknowledged, and what is under way.
type powerLedger struct {
	mu     sync.Mutex
	now    powerState
	after  powerState // what the command under way leads to; nil: none
	parts  bool       // each message by itself (MOVE), not all or none
	moved  [2]string  // the mailbox that is being renamed, and where to
	op     string
	nTaken int
}

// begin says what op is about to lead to.
func (l *powerLedger) begin(op string, parts bool, change func(powerState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.op, l.parts, l.after = op, parts, l.now.clone()
	l.moved = [2]string{}
	change(l.after)
}

// end says that op was acknowledged.
func (l *powerLedger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.after = l.after, nil
}

// settle changes what is true without a command.
func (l *powerLedger) settle(change func(powerState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.now)
}

// A powerFound is a mailbox as it is found after a crash.
type powerFound struct {
	uidValidity uint32
	uidNext     imap.UID
	modSeq      ModSeq
	msgs        map[string][]powerMessage
	lost        []imap.UID // UIDs without a file
}

// readAccount reads everything there is.
func readAccount(t testing.TB, fsys disk.FS) (found map[string]*powerFound, err error) {
	st, err := NewStore(Options{FS: fsys, Escape: "%"})
	if err != nil {
		return nil, err
	}
	a, err := st.Open(t.Context(), User{Name: "alice", Path: testRoot})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	found = map[string]*powerFound{}
	list, err := a.List(t.Context())
	for _, l := range list {
		if err == nil && l.Exists {
			found[l.Name], err = readMailbox(t, a, l.Name)
		}
	}
	a.Release()
	return found, errors.Join(err, st.Close())
}

func readMailbox(t testing.TB, a *Account, name string) (*powerFound, error) {
	mb, err := a.Mailbox(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer mb.Release()
	v, err := mb.Open(t.Context(), true, &Barrier{})
	if err != nil {
		return nil, err
	}
	defer v.Close()
	f := &powerFound{uidValidity: mb.UIDValidity(), uidNext: v.UIDNext(), modSeq: v.HighestModSeq(), msgs: map[string][]powerMessage{}}
	for n := SeqNum(1); int(n) <= v.Len(); n++ {
		m := v.Message(n)
		c := v.Content(n)
		r, size, err := c.Reader()
		if errors.Is(err, ErrUnavailable) {
			f.lost = append(f.lost, m.UID) // two scans will expunge it
			c.Close()
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: UID %d: %w", name, m.UID, err)
		}
		b, err := io.ReadAll(io.NewSectionReader(r, 0, size))
		c.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: UID %d: %w", name, m.UID, err)
		}
		body := strings.ReplaceAll(string(b), "\r\n", "\n")
		f.msgs[body] = append(f.msgs[body], powerMessage{m.UID, flagText(v, m)})
	}
	if err := v.b.Wait(); err != nil {
		return nil, err
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	return f, errors.Join(mb.ix.Check(), mb.checkRowsLocked())
}

// verify holds what was found against the ledger.
func (l *powerLedger) verify(found map[string]*powerFound) error {
	after := l.after
	if after == nil {
		after = l.now
	}
	var errs []error
	names := maps.Clone(l.now)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, will := l.now[name], after[name]
		f := found[name]
		if name == l.moved[0] || name == l.moved[1] {
			if f != nil {
				continue // verified below
			}
			if found[l.moved[0]] == nil && found[l.moved[1]] == nil {
				errs = append(errs, fmt.Errorf("%s and %s are both missing", l.moved[0], l.moved[1]))
			}
			continue
		}
		if f == nil {
			if was != nil && will != nil {
				errs = append(errs, fmt.Errorf("%s is missing", name))
			}
			continue
		}
		if was == nil && len(will.msgs) == 0 || was == nil {
			was = &powerBox{}
		}
		if will == nil {
			continue // being deleted: what is left of it does not matter
		}
		errs = append(errs, l.verifyBox(name, was, will, f))
	}
	for i, name := range l.moved {
		if f := found[name]; f != nil {
			b := l.now[l.moved[0]]
			errs = append(errs, l.verifyBox(name, b, b, f))
			if i == 1 && found[l.moved[0]] != nil {
				errs = append(errs, fmt.Errorf("both %s and %s are there", l.moved[0], name))
			}
		}
	}
	if l.parts {
		errs = append(errs, l.verifyMoved(after, found))
	}
	return errors.Join(errs...)
}

func (l *powerLedger) verifyBox(name string, was, will *powerBox, f *powerFound) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(name+": "+format, args...))
	}
	if was.uidValidity != 0 && f.uidValidity != was.uidValidity {
		bad("UIDVALIDITY was %d, is %d", was.uidValidity, f.uidValidity)
	}
	if f.uidNext < was.uidNext || f.modSeq < was.modSeq {
		bad("UIDNEXT %d, HIGHESTMODSEQ %d; told were %d, %d", f.uidNext, f.modSeq, was.uidNext, was.modSeq)
	}
	for _, uid := range f.lost {
		if body, ok := was.told[uid]; ok {
			if _, still := will.msgs[body]; still {
				bad("the file of UID %d (%q) is missing", uid, body)
			}
		}
	}
	added, missing := 0, 0
	for body, list := range f.msgs {
		m, had := was.msgs[body]
		m2, has := will.msgs[body]
		if len(list) != 1 {
			bad("%q is there %d times", body, len(list))
		}
		got := list[0]
		if told, ok := was.told[got.uid]; ok && told != body {
			bad("UID %d was %q, is %q", got.uid, told, body)
		}
		switch {
		case !had && !has:
			bad("%q is back, or from nowhere", body)
		case had && m.uid != 0 && got.uid != m.uid:
			bad("%q had UID %d, has %d", body, m.uid, got.uid)
		case !had:
			added++
			if got.uid < was.uidNext {
				bad("new %q has UID %d below UIDNEXT %d", body, got.uid, was.uidNext)
			}
		}
		if !(had && got.flags == m.flags) && !(has && got.flags == m2.flags) && !(had && has && between(got.flags, m.flags, m2.flags)) {
			bad("%q has flags %q, allowed are %q and %q", body, got.flags, m.flags, m2.flags)
		}
	}
	for body, m := range was.msgs {
		if _, stays := will.msgs[body]; stays && f.msgs[body] == nil {
			bad("%q (UID %d) is missing", body, m.uid)
		}
	}
	for body := range will.msgs {
		if _, had := was.msgs[body]; !had && f.msgs[body] == nil {
			missing++
		}
	}
	if added > 0 && missing > 0 && !l.parts {
		bad("%d of %d new messages are there", added, added+missing)
	}
	return errors.Join(errs...)
}

// between: each flag is as before or as after. The rename of a STORE does not
// wait for its record, and a keyword letter that is gone takes nothing away.
func between(got, was, will string) bool {
	g, a, b := flagSet(got), flagSet(was), flagSet(will)
	for f := range g {
		if !a[f] && !b[f] {
			return false
		}
	}
	for f := range a {
		if b[f] && !g[f] {
			return false
		}
	}
	return true
}

// flagSet takes what flagText made apart.
func flagSet(text string) map[string]bool {
	sys, words, _ := strings.Cut(strings.Trim(text, "()"), "+")
	set := map[string]bool{}
	for _, c := range sys {
		set[string(c)] = true
	}
	for w := range strings.SplitSeq(words, "+") {
		if w != "" {
			set["+"+w] = true
		}
	}
	return set
}

// verifyMoved: what is being moved is in the source or in the destination.
func (l *powerLedger) verifyMoved(after powerState, found map[string]*powerFound) error {
	for name, was := range l.now {
		for body := range was.msgs {
			if _, stays := after[name].msgs[body]; stays {
				continue
			}
			n := 0
			for _, f := range found {
				n += len(f.msgs[body])
			}
			if n == 0 {
				return fmt.Errorf("%q is in no mailbox", body)
			}
		}
	}
	return nil
}
