package mailbox

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/emersion/go-imap/v2"

	"roost/index"
)

// SeqNum is a message sequence number as one client knows it, from 1.
type SeqNum uint32

// A SeqRange is the messages First to Last, both included.
type SeqRange struct{ First, Last SeqNum }

// Seqs is a set of messages of one View: ranges ascending, apart, not empty.
type Seqs []SeqRange

// Len is the number of messages in the set.
func (s Seqs) Len() int {
	n := 0
	for _, r := range s {
		n += int(r.Last-r.First) + 1
	}
	return n
}

// All yields the members in ascending order.
func (s Seqs) All() iter.Seq[SeqNum] {
	return func(yield func(SeqNum) bool) {
		for _, r := range s {
			for n := r.First; n <= r.Last; n++ {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// Add appends n, which must be above every member.
func (s Seqs) Add(n SeqNum) Seqs {
	if k := len(s); k > 0 && s[k-1].Last+1 == n {
		s[k-1].Last = n
		return s
	}
	return append(s, SeqRange{n, n})
}

// Policy says what Sync may report, by the command that it ends
// (RFC 9051 §5.5, §7.5.1).
type Policy uint8

// The policies.
const (
	SyncNothing    Policy = iota // message numbers and flags stay as they are
	SyncNoExpunge                // flags and new messages, no EXPUNGE
	SyncEverything               // also EXPUNGE
)

// Message is the state of one message, copied out of the table.
type Message struct {
	Seq      SeqNum
	UID      imap.UID
	Flags    index.Flags
	Keywords index.KeywordSet // names: View.KeywordNames
	Recent   bool             // \Recent for this session (RFC 3501 §2.3.2)
	ModSeq   index.ModSeq     // max(own, flag floor): what a client is told
}

// Changes is what a client must be told, in this order: Keywords (FLAGS and
// PERMANENTFLAGS), Flags (FETCH, numbers from before the expunges), Expunged
// (EXPUNGE with numbers as they are when sent one after the other in the given
// order, or VANISHED), Exists, Recent.
type Changes struct {
	Keywords bool       // the keywords in use grew, or the rights of the user changed
	Flags    []Message  // messages whose flags changed, ascending
	Expunged []Expunged // descending
	Exists   bool       // Len grew
	Recent   bool       // the count of \Recent changed

	// Filled only if the View asks for it (NOTIFY, CONTEXT).
	New  []Message  // the new messages
	Own  []Message  // whose flags the View's own Store changed
	Gone []imap.UID // expunged, to be told later
}

// Expunged names a message that is gone.
type Expunged struct {
	Seq SeqNum
	UID imap.UID
}

// StoreMode is how STORE combines flags (RFC 9051 §6.4.6).
type StoreMode uint8

// The modes.
const (
	StoreReplace StoreMode = iota
	StoreAdd
	StoreRemove
)

// StoreOp is what STORE asks for.
type StoreOp struct {
	Mode     StoreMode
	Flags    index.Flags
	Keywords []string // as given by the client, without duplicates
	// UnchangedSince is RFC 7162 §3.1.3; nil if absent.
	UnchangedSince *index.ModSeq

	// What StoreReplace must leave as it is, see View.permitted.
	kept      index.Flags
	keepWords bool
}

// StoreResult says what STORE did.
type StoreResult struct {
	Stored   []Message // every message of the set that passed, with its state now, ascending (also those that did not change)
	Modified Seqs      // failed UNCHANGEDSINCE
	Expunged Seqs      // gone, not yet told to this session
	Changed  bool      // at least one message really changed
}

// CopyResult is what COPYUID tells (RFC 4315 §3); Source and Dest have the
// same length and order.
type CopyResult struct {
	UIDValidity  uint32
	Source, Dest []imap.UID
}

// A View is one session's picture of a mailbox: message numbers as its client
// knows them. They change only in Sync (RFC 9051 §2.3.1.2). It is used by one
// goroutine; during a command the methods that only read may be called by
// several. Whatever a method tells is added to the Barrier of the session.
type View struct {
	mb       *Mailbox
	ix       *index.Index // the one that the rows belong to
	b        *Barrier
	readOnly bool
	wantNew  bool
	onChange func()        // nil: nobody waits; mb.mu guards it
	guest    string        // whose View it is; "": the owner's
	rights   atomic.Uint32 // of the guest, now
	told     Rights        // that the session knows

	noted atomic.Uint64 // position that b has already
	last  atomic.Uint64 // number and row of the message looked at last: see row
	ahead index.CacheCursor
	parse parseAhead

	bits    *liveBits    // message numbers
	modSeq  index.ModSeq // everything up to it was told
	owed    index.ModSeq // lowest of the expunges still owed; 0: none
	uidNext imap.UID
	cursor  uint64 // place in the change log
	version uint64 // of the mailbox, at the last Sync
	words   int    // keywords told
	recent  uidRanges
	ended   bool        // Close was called
	dropped atomic.Bool // the mailbox ended it: ErrGone
}

// A uidRange is the UIDs from From to below To.
type uidRange struct{ From, To imap.UID }

type uidRanges []uidRange

// add appends what comes after everything in r.
func (r uidRanges) add(u uidRange) uidRanges {
	if u.From >= u.To {
		return r
	}
	if k := len(r); k > 0 && r[k-1].To >= u.From {
		r[k-1].To = max(r[k-1].To, u.To)
		return r
	}
	return append(r, u)
}

func (r uidRanges) has(uid imap.UID) bool {
	for i := len(r) - 1; i >= 0; i-- {
		if uid >= r[i].From {
			return uid < r[i].To
		}
	}
	return false
}

// Open gives a session its View: registered for changes and filled in one
// step. It brings the mailbox up to date first. Everything the View tells and
// does is added to b. Errors: ErrUnavailable, ErrGone, and those of the disk.
func (mb *Mailbox) Open(ctx context.Context, readOnly bool, b *Barrier) (*View, error) {
	return mb.openView(ctx, readOnly, b, "", nil)
}

// openView is Open for a guest, whose rights are asked for once changes of them
// reach the View; "" is the owner.
func (mb *Mailbox) openView(ctx context.Context, readOnly bool, b *Barrier, guest string, rights func() Rights) (*View, error) {
	mb.index().Begin()
	return mb.glance(ctx, readOnly, b, guest, rights)
}

// glance is openView for a look that makes no journal for a mailbox without
// messages: with thousands of them, STATUS would make as many files.
func (mb *Mailbox) glance(ctx context.Context, readOnly bool, b *Barrier, guest string, rights func() Rights) (*View, error) {
	if err := mb.refresh(ctx); err != nil {
		return nil, err
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if err := mb.stateLocked(); err != nil {
		return nil, err
	}
	v := &View{
		mb: mb, ix: mb.ix, b: b, readOnly: readOnly || mb.readOnly,
		words: -1, // not told yet
		guest: guest, told: AllRights,
	}
	v.rights.Store(uint32(AllRights))
	mb.views[v] = struct{}{}
	if guest != "" {
		v.setRights(rights())
		v.told = v.Rights()
	}
	v.moveLocked(mb.live)
	v.recent = v.recent.add(uidRange{}) // none
	v.takeRecentLocked()
	mb.touch()
	mb.toldLocked(v)
	return v, nil
}

// Close ends the View; its mailbox must be released beside.
func (v *View) Close() {
	if v.ended {
		return
	}
	v.ended = true
	v.ahead.Release()
	v.mb.mu.Lock()
	defer v.mb.mu.Unlock()
	delete(v.mb.views, v)
	v.mb.sweepLocked()
	v.mb.touch()
}

// Mailbox is what the View looks at.
func (v *View) Mailbox() *Mailbox { return v.mb }

// ReadOnly reports whether nothing may be changed through v: asked for, or the
// files cannot be written.
func (v *View) ReadOnly() bool { return v.readOnly }

// Rights are what the user may do here, now. They change while the View is open.
func (v *View) Rights() Rights { return Rights(v.rights.Load()) }

// Dropped reports whether the View has ended: whatever it is asked for, the
// session must end with BYE.
func (v *View) Dropped() bool { return v.dropped.Load() }

// leaves reports whether what is new stays new for others: \Recent, and the place
// of files.
func (v *View) leaves() bool { return v.readOnly || !v.Rights().Has(RightSeen) }

// WantNew makes Sync fill Changes.New, Own and Gone.
func (v *View) WantNew(on bool) { v.wantNew = on }

// Len is the number of messages.
func (v *View) Len() int { return v.bits.Len() }

// Recent is the number of messages with \Recent for this session.
func (v *View) Recent() int {
	n := 0
	for _, r := range v.recent {
		n += v.bits.Before(v.ix.RowFrom(r.To)) - v.bits.Before(v.ix.RowFrom(r.From))
	}
	return n
}

// UIDNext is above the UID of every message of the View, and at most what the
// next message gets.
func (v *View) UIDNext() imap.UID {
	v.note()
	return v.uidNext
}

// FirstUnseen is the number of the first message without \Seen; 0: none.
func (v *View) FirstUnseen() SeqNum {
	var found SeqNum
	v.bits.each(0, index.Row(v.bits.rows), func(row index.Row) bool {
		if v.ix.Flags(row)&index.Seen == 0 {
			found = v.bits.Seq(row)
		}
		return found == 0
	})
	v.note()
	return found
}

// HighestModSeq is what the client may remember: below any expunge still owed
// (RFC 7162 §3.2).
func (v *View) HighestModSeq() index.ModSeq {
	v.note()
	if v.owed != 0 && v.owed <= v.modSeq {
		return v.owed - 1
	}
	return v.modSeq
}

// UID is the UID of message n; 0 if there is none.
func (v *View) UID(n SeqNum) imap.UID {
	row := v.row(n)
	if row < 0 {
		return 0
	}
	v.note()
	return v.ix.UID(row)
}

// Seq is the number of the message with that UID; 0: not in the View.
func (v *View) Seq(uid imap.UID) SeqNum {
	row := v.ix.RowFrom(uid)
	if !v.bits.Has(row) || v.ix.UID(row) != uid {
		return 0
	}
	v.note()
	return v.bits.Seq(row)
}

// Message is the state of message n now; the zero Message if there is none.
func (v *View) Message(n SeqNum) Message {
	row := v.row(n)
	if row < 0 {
		return Message{}
	}
	m := v.message(n, row)
	v.note()
	return m
}

func (v *View) message(n SeqNum, row index.Row) Message {
	m := Message{Seq: n, UID: v.ix.UID(row)}
	m.ModSeq, m.Flags, m.Keywords = v.ix.State(row)
	m.Recent = len(v.recent) > 0 && v.recent.has(m.UID)
	return m
}

// KeywordNames gives the names of a set of keywords, sorted; shared, do not change.
func (v *View) KeywordNames(k index.KeywordSet) []string { return v.ix.KeywordNames(k) }

// Keywords are the keywords known in the mailbox, for FLAGS; shared.
func (v *View) Keywords() []string {
	v.note()
	return v.ix.AllKeywords()
}

// KeywordsFull reports that no keyword can be added (no \* in PERMANENTFLAGS).
func (v *View) KeywordsFull() bool { return v.ix.KeywordsFull() }

// Expunged reports that message n is gone, but this session was not told.
func (v *View) Expunged(n SeqNum) bool {
	row := v.row(n)
	return row >= 0 && v.ix.Gone(row)
}

// Vanished gives the UIDs of set that were expunged after since and that this
// session does not hold any more (RFC 7162 §3.2.5, §3.2.6).
func (v *View) Vanished(since index.ModSeq, set imap.UIDSet) imap.UIDSet {
	v.mb.mu.Lock()
	gone := v.ix.Vanished(since, set)
	v.mb.mu.Unlock()
	v.note()
	if v.owed == 0 && v.version == v.mb.version.Load() {
		return gone
	}
	return v.withoutHeld(gone)
}

// withoutHeld takes out of gone what the client still has a number for, and
// what it was never told of.
func (v *View) withoutHeld(gone imap.UIDSet) imap.UIDSet {
	var out imap.UIDSet
	for _, r := range gone {
		lo, hi := r.Start, min(r.Stop, v.uidNext-1)
		v.bits.each(v.ix.RowFrom(r.Start), v.ix.RowFrom(r.Stop+1), func(row index.Row) bool {
			uid := v.ix.UID(row)
			if lo < uid && uid <= hi {
				out.AddRange(lo, uid-1)
			}
			lo = uid + 1
			return true
		})
		if lo <= hi {
			out.AddRange(lo, hi)
		}
	}
	return out
}

// Numbers resolves a sequence set: a number beyond Len is ErrBadSet; `*` in an
// empty mailbox too (RFC 9051 §9 seq-number).
func (v *View) Numbers(set imap.SeqSet) (Seqs, error) {
	last := uint32(v.Len())
	out := make(Seqs, 0, len(set))
	for _, r := range set {
		lo, hi := r.Start, r.Stop
		if lo == 0 {
			lo = last
		}
		if hi == 0 {
			hi = last
		}
		if lo > hi {
			lo, hi = hi, lo
		}
		if lo == 0 || hi > last {
			return nil, fmt.Errorf("%w: %d of %d", ErrBadSet, hi, last)
		}
		out = append(out, SeqRange{SeqNum(lo), SeqNum(hi)})
	}
	return out.normal(), nil
}

// UIDs resolves a UID set; `n:*` holds the last message (RFC 9051 §6.4.9).
func (v *View) UIDs(set imap.UIDSet) Seqs {
	n := v.Len()
	if n == 0 {
		return nil
	}
	last := v.UID(SeqNum(n))
	out := make(Seqs, 0, len(set))
	for _, r := range set {
		lo, hi := r.Start, r.Stop
		if lo == 0 {
			lo = last
		}
		if hi == 0 {
			hi = last
		}
		if lo > hi {
			lo, hi = hi, lo
		}
		first := SeqNum(v.bits.Before(v.ix.RowFrom(lo)) + 1)
		end := SeqNum(n)
		if hi < last {
			end = SeqNum(v.bits.Before(v.ix.RowFrom(hi + 1)))
		}
		if first <= end {
			out = append(out, SeqRange{first, end})
		}
	}
	return out.normal()
}

// normal sorts and joins ranges.
func (s Seqs) normal() Seqs {
	slices.SortFunc(s, func(a, b SeqRange) int { return int(int64(a.First) - int64(b.First)) })
	out := s[:0]
	for _, r := range s {
		if k := len(out); k > 0 && r.First <= out[k-1].Last+1 {
			out[k-1].Last = max(out[k-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// row is the row of message n, -1 if there is none. Going through the messages
// in order costs next to nothing.
func (v *View) row(n SeqNum) index.Row {
	last := v.last.Load()
	if at := SeqNum(last >> 32); at != 0 && n == at+1 && int(n) <= v.Len() {
		row := index.Row(uint32(last)) + 1
		v.bits.each(row, index.Row(v.bits.rows), func(r index.Row) bool {
			row = r
			return false
		})
		v.last.Store(uint64(n)<<32 | uint64(uint32(row)))
		return row
	}
	row := v.bits.Row(n)
	if row >= 0 {
		v.last.Store(uint64(n)<<32 | uint64(uint32(row)))
	}
	return row
}

// note makes the session's next flush wait for everything published so far. It
// is called after the columns were read, so that what they said is in.
func (v *View) note() {
	pos := uint64(v.ix.Pos())
	if v.noted.Load() < pos {
		v.noted.Store(pos)
		v.b.add(barrierWait{v.mb, v.ix, pos})
	}
}
