package oracle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
)

// A Sum names a message: the hash of its octets as IMAP serves them.
type Sum [32]byte

// Served is the Sum of a message as it is in a file.
func Served(raw []byte) Sum {
	lf := bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	return sha256.Sum256(bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n")))
}

// A copyOf is what must be true of one message in one mailbox.
type copyOf struct {
	min, max int // how often it may be there
	uid      uint32
	flags    map[string]flagFact
}

// flagFact is what STORE said of one flag.
type flagFact struct {
	value, pending, isPending bool
	unknown                   bool // value was never told: it came with a copy
}

// A batch is a command under way, or one that was never answered.
type batch struct {
	sums     []Sum
	from, to string // mailboxes; from "": nothing is taken away
	whole    bool   // all or none (L3)
}

// A box is what was told of one mailbox.
type box struct {
	validity uint32
	uidNext  uint64
	modSeq   uint64
	told     map[uint32]Sum
	dates    map[uint32]string
	dead     map[uint32]bool   // expunged, acknowledged
	mirror   map[uint32]string // flags by UID: the picture of a client with QRESYNC
	copies   map[Sum]*copyOf
}

// A Ledger holds everything that must be true, across all crashes. It writes
// what it is told to a file too, line by line, so that a violation can be
// traced.
type Ledger struct {
	mu         sync.Mutex
	file       *os.File // may be nil
	boxes      map[string]*box
	batches    map[*batch]struct{}
	violations []string

	// User and Maildir are whose mailboxes these are; "": u, and that of the server.
	User, Maildir string
	// Renumbered allows a message another UID than it was told with, which
	// damage to an index may bring; never another message for a UID.
	Renumbered bool

	Acked, Delivered, Removed, Stored, Rounds int
}

// NewLedger makes an empty ledger; path "" writes no file.
func NewLedger(path string) (*Ledger, error) {
	l := &Ledger{boxes: map[string]*box{}, batches: map[*batch]struct{}{}}
	if path == "" {
		return l, nil
	}
	var err error
	l.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return l, err
}

// Close closes the file.
func (l *Ledger) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Violations are what was found so far.
func (l *Ledger) Violations() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.violations...)
}

func (l *Ledger) note(format string, args ...any) {
	if l.file != nil {
		fmt.Fprintf(l.file, format+"\n", args...)
	}
}

// bad records a violation; mu must be held.
func (l *Ledger) bad(format string, args ...any) {
	if len(l.violations) < 100 {
		l.violations = append(l.violations, fmt.Sprintf("round %d: ", l.Rounds)+fmt.Sprintf(format, args...))
	}
	l.note("VIOLATION in round %d: "+format, append([]any{l.Rounds}, args...)...)
}

func (l *Ledger) box(name string) *box {
	b := l.boxes[name]
	if b == nil {
		b = &box{
			told: map[uint32]Sum{}, dates: map[uint32]string{}, dead: map[uint32]bool{},
			mirror: map[uint32]string{}, copies: map[Sum]*copyOf{},
		}
		l.boxes[name] = b
	}
	return b
}

// Adding says that messages are about to be added to a mailbox; whole: all or
// none of them, if that is not acknowledged.
func (l *Ledger) Adding(name string, whole bool, sums ...Sum) *batch {
	return l.begin(&batch{sums: sums, to: name, whole: whole})
}

// Moving says that messages are about to be moved.
func (l *Ledger) Moving(from, to string, sums ...Sum) *batch {
	return l.begin(&batch{sums: sums, from: from, to: to})
}

// Removing says that messages are about to be expunged.
func (l *Ledger) Removing(name string, sums ...Sum) *batch {
	return l.begin(&batch{sums: sums, from: name})
}

func (l *Ledger) begin(b *batch) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range b.sums {
		if b.to != "" {
			l.box(b.to).copies[s] = &copyOf{max: 1, flags: map[string]flagFact{}}
		}
		if b.from != "" {
			l.box(b.from).copies[s].min = 0
		}
		l.note("intend %x %q -> %q", s[:6], b.from, b.to)
	}
	l.batches[b] = struct{}{}
	return b
}

// Done says that b was acknowledged, with these UIDs in the destination.
func (l *Ledger) Done(b *batch, uids []uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.batches, b)
	if b.to != "" && uids != nil && len(uids) != len(b.sums) {
		l.bad("%d messages were added and %d UIDs told", len(b.sums), len(uids))
		return
	}
	for i, s := range b.sums {
		if b.from != "" {
			src := l.box(b.from)
			c := src.copies[s]
			if c.uid != 0 {
				src.dead[c.uid] = true
			}
			c.min, c.max = 0, 0
			l.Removed++
		}
		if b.to == "" {
			l.note("removed %x from %q", s[:6], b.from)
			continue
		}
		dest := l.box(b.to)
		c := dest.copies[s]
		c.min, c.max = 1, 1
		if uids != nil {
			c.uid = uids[i]
			l.tellLocked(b.to, dest, uids[i], s)
		}
		l.Acked++
		l.note("added %x to %q as %d", s[:6], b.to, c.uid)
	}
}

// tellLocked notes that a client was told what a UID names (L2).
func (l *Ledger) tellLocked(name string, b *box, uid uint32, s Sum) {
	if was, ok := b.told[uid]; ok && was != s {
		l.bad("L2: %s: UID %d was %x and is %x", name, uid, was[:6], s[:6])
	}
	if b.dead[uid] {
		l.bad("L5: %s: UID %d was expunged and is back", name, uid)
	}
	b.told[uid] = s
	b.uidNext = max(b.uidNext, uint64(uid)+1)
}

// Storing says that a flag is about to be set or cleared; call the result when
// that was acknowledged.
func (l *Ledger) Storing(name, flag string, on bool, sums ...Sum) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range sums {
		c := l.box(name).copies[s]
		f, known := c.flags[flag]
		f.unknown = f.unknown || !known
		f.pending, f.isPending = on, true
		c.flags[flag] = f
		l.note("store %x in %q UID %d: %s %v", s[:6], name, c.uid, flag, on)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range sums {
			l.box(name).copies[s].flags[flag] = flagFact{value: on}
			l.note("stored %x in %q: %s %v", s[:6], name, flag, on)
		}
		l.Stored++
	}
}

// Renamed says that a mailbox has another name now.
func (l *Ledger) Renamed(from, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boxes[to] = l.box(from)
	delete(l.boxes, from)
}

// An Owned is a message that one worker may use until the next crash.
type Owned struct {
	Box string
	UID uint32
	Sum Sum
}

// Own gives the messages that are there for sure, share k of n.
func (l *Ledger) Own(k, n int) (out []Owned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, b := range l.boxes {
		for s, c := range b.copies {
			if c.min == 1 && c.max == 1 && c.uid != 0 && int(s[0])%n == k {
				out = append(out, Owned{name, c.uid, s})
			}
		}
	}
	return out
}

// Has reports whether a message may be in a mailbox.
func (l *Ledger) Has(name string, s Sum) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.box(name).copies[s]
	return c != nil && c.max > 0
}

// Count is the number of messages that are surely in a mailbox.
func (l *Ledger) Count(name string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.box(name).copies {
		n += c.min
	}
	return n
}
