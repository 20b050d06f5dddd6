package oracle

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A seen is one message as it is served.
type seen struct {
	uid    uint32
	sum    Sum
	flags  string
	date   string
	modSeq uint64
}

// Verify holds the mailboxes against the ledger and takes up what they tell.
// patience is how long messages may be unavailable: after a loss of power, the
// record of an addition that nobody was told of may have survived its file.
func (l *Ledger) Verify(s *Server, patience time.Duration, names ...string) error {
	user := "u"
	if l.User != "" {
		user = l.User
	}
	c, err := Login(s.Addr, user, "p")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Do("ENABLE QRESYNC"); err != nil {
		return err
	}
	found := map[string][]seen{}
	for _, name := range names {
		deadline := time.Now().Add(patience)
		for {
			found[name], err = l.read(c, name)
			if _, no := err.(*errNo); !no || time.Now().After(deadline) {
				break
			}
			pause := time.NewTimer(300 * time.Millisecond)
			<-pause.C
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Rounds++
	for _, name := range names {
		l.verifyBox(name, found[name])
	}
	l.verifyBatches(found)
	for _, name := range names {
		l.learn(name, found[name])
	}
	l.verifyFiles(s)
	return nil
}

// read selects a mailbox as a client that was there before, and reads all of it.
func (l *Ledger) read(c *Client, name string) ([]seen, error) {
	l.mu.Lock()
	b := l.box(name)
	mirror := map[uint32]string{}
	for uid, flags := range b.mirror {
		mirror[uid] = flags
	}
	validity, modSeq := b.validity, b.modSeq
	l.mu.Unlock()
	param := ""
	if validity != 0 && modSeq != 0 {
		param = fmt.Sprintf(" (QRESYNC (%d %d))", validity, modSeq)
	}
	lines, err := c.Do("SELECT %s%s", name, param)
	if err != nil {
		return nil, err
	}
	applyQresync(mirror, lines)
	got := code(lines, "UIDVALIDITY")
	next, highest := code(lines, "UIDNEXT"), code(lines, "HIGHESTMODSEQ")
	fetch, err := c.Do("UID FETCH 1:* (UID FLAGS INTERNALDATE MODSEQ BODY.PEEK[])")
	if err != nil {
		return nil, err
	}
	applyVanished(mirror, fetch) // what an old index knew is found to be gone
	var out []seen
	for _, r := range fetch {
		m := fetchUID.FindStringSubmatch(r.text)
		if !strings.HasPrefix(r.text, "* ") || m == nil || len(r.literals) != 1 {
			continue
		}
		uid, _ := strconv.ParseUint(m[1], 10, 32)
		x := seen{uid: uint32(uid), sum: sha256.Sum256(r.literals[0]), flags: flagsOf(r.text)}
		if m := fetchDate.FindStringSubmatch(r.text); m != nil {
			x.date = m[1]
		}
		if m := fetchMod.FindStringSubmatch(r.text); m != nil {
			x.modSeq, _ = strconv.ParseUint(m[1], 10, 64)
		}
		out = append(out, x)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if validity != 0 && got != uint64(validity) {
		l.bad("L2: %s: UIDVALIDITY was %d, is %d", name, validity, got)
	}
	if next < b.uidNext || highest < b.modSeq {
		l.bad("L6: %s: UIDNEXT %d, HIGHESTMODSEQ %d; told were %d, %d", name, next, highest, b.uidNext, b.modSeq)
	}
	b.validity, b.uidNext = uint32(got), max(next, b.uidNext)
	if param != "" {
		l.compareMirror(name, mirror, out)
	}
	b.modSeq = max(highest, b.modSeq)
	b.mirror = map[uint32]string{}
	for _, x := range out {
		b.mirror[x.uid] = x.flags
		if x.modSeq > b.modSeq { // it changed since the SELECT
			b.modSeq = x.modSeq
		}
	}
	return out, nil
}

var fetchDate = regexp.MustCompile(`INTERNALDATE "([^"]*)"`)

// flagsOf gives the flags of a FETCH, sorted, without \Recent.
func flagsOf(text string) string {
	m := fetchFlag.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	list := strings.Fields(strings.ToLower(m[1]))
	list = slices.DeleteFunc(list, func(f string) bool { return f == `\recent` })
	slices.Sort(list)
	return strings.Join(list, " ")
}

// applyQresync brings a mirror up to date with what SELECT told (RFC 7162
// §3.2.5).
func applyQresync(mirror map[uint32]string, lines []line) {
	applyVanished(mirror, lines)
	for _, r := range lines {
		if m := fetchUID.FindStringSubmatch(r.text); m != nil && strings.Contains(r.text, " FETCH ") {
			uid, _ := strconv.ParseUint(m[1], 10, 32)
			mirror[uint32(uid)] = flagsOf(r.text)
		}
	}
}

func applyVanished(mirror map[uint32]string, lines []line) {
	for _, r := range lines {
		if rest, ok := strings.CutPrefix(r.text, "* VANISHED "); ok {
			for _, uid := range expandBelow(strings.TrimPrefix(rest, "(EARLIER) "), mirror) {
				delete(mirror, uid)
			}
		}
	}
}

// expandBelow gives the members of a set that a mirror has; the set may be
// large.
func expandBelow(set string, mirror map[uint32]string) (out []uint32) {
	for part := range strings.SplitSeq(set, ",") {
		lo, hi, ranged := strings.Cut(part, ":")
		a, _ := strconv.ParseUint(lo, 10, 32)
		b := a
		if ranged {
			b, _ = strconv.ParseUint(hi, 10, 32)
		}
		for uid := range mirror {
			if uint64(uid) >= a && uint64(uid) <= b {
				out = append(out, uid)
			}
		}
	}
	return out
}

// compareMirror: a client that comes back sees what a new one sees (L6).
func (l *Ledger) compareMirror(name string, mirror map[uint32]string, now []seen) {
	have := map[uint32]bool{}
	for _, x := range now {
		have[x.uid] = true
		if flags, ok := mirror[x.uid]; !ok || flags != x.flags {
			l.bad("L6: %s: a client with QRESYNC has UID %d with (%s) %v, a new one with (%s)", name, x.uid, flags, ok, x.flags)
		}
	}
	for uid := range mirror {
		if !have[uid] {
			l.bad("L6: %s: a client with QRESYNC still has UID %d", name, uid)
		}
	}
}

func (l *Ledger) verifyBox(name string, now []seen) {
	b := l.box(name)
	count := map[Sum]int{}
	for _, x := range now {
		count[x.sum]++
		l.tellLocked(name, b, x.uid, x.sum)
		if was, ok := b.dates[x.uid]; ok && was != x.date {
			l.bad("L1: %s: UID %d: INTERNALDATE was %s, is %s", name, x.uid, was, x.date)
		}
		b.dates[x.uid] = x.date
		c := b.copies[x.sum]
		if c == nil {
			l.bad("L1: %s: UID %d: %x was never added", name, x.uid, x.sum[:6])
			continue
		}
		if c.uid != 0 && c.uid != x.uid && !l.Renumbered {
			l.bad("L2: %s: %x had UID %d and has %d", name, x.sum[:6], c.uid, x.uid)
		}
		for flag, f := range c.flags {
			on := slices.Contains(strings.Fields(x.flags), strings.ToLower(flag))
			if on != f.value && !f.unknown && !(f.isPending && on == f.pending) {
				l.bad("L4: %s: UID %d: %s is %v, acknowledged was %v", name, x.uid, flag, on, f.value)
			}
		}
	}
	for s, c := range b.copies {
		if n := count[s]; n < c.min || n > c.max {
			l.bad("L1: %s: %x (UID %d) is there %d times, allowed are %d to %d", name, s[:6], c.uid, n, c.min, c.max)
		}
	}
}

// verifyBatches is L3.
func (l *Ledger) verifyBatches(found map[string][]seen) {
	count := map[string]map[Sum]int{}
	for name, list := range found {
		count[name] = map[Sum]int{}
		for _, x := range list {
			count[name][x.sum]++
		}
	}
	for b := range l.batches {
		there := 0
		for _, s := range b.sums {
			there += count[b.to][s]
			if b.from != "" && b.to != "" && count[b.from][s]+count[b.to][s] == 0 {
				l.bad("L3: %x is neither in %s nor in %s", s[:6], b.from, b.to)
			}
		}
		if b.whole && there != 0 && there != len(b.sums) {
			l.bad("L3: %d of %d messages were added to %s", there, len(b.sums), b.to)
		}
	}
	clear(l.batches)
}

// learn makes what is there what must be there.
func (l *Ledger) learn(name string, now []seen) {
	b := l.box(name)
	there := map[Sum]seen{}
	for _, x := range now {
		there[x.sum] = x
	}
	for s, c := range b.copies {
		x, ok := there[s]
		if !ok {
			if c.uid != 0 {
				b.dead[c.uid] = true
			}
			delete(b.copies, s)
			continue
		}
		c.min, c.max, c.uid = 1, 1, x.uid
		for flag := range c.flags {
			c.flags[flag] = flagFact{value: slices.Contains(strings.Fields(x.flags), strings.ToLower(flag))}
		}
	}
}

// verifyFiles is L8, and the part of L7 about tmp/.
func (l *Ledger) verifyFiles(s *Server) {
	maildir := s.Maildir
	if l.Maildir != "" {
		maildir = l.Maildir
	}
	for _, place := range []string{"new", "cur"} {
		list, err := os.ReadDir(filepath.Join(maildir, place))
		if err != nil {
			l.bad("L8: %v", err)
		}
		for _, e := range list {
			base, info, _ := strings.Cut(e.Name(), ":")
			if base == "" || strings.HasPrefix(base, ".") || info != "" && !strings.HasPrefix(info, "2,") {
				l.bad("L8: %s/%s is no name of a message", place, e.Name())
			}
			if in, err := e.Info(); err == nil && in.Size() == 0 {
				l.bad("L1: %s/%s is empty", place, e.Name())
			}
		}
	}
}
