package session

import (
	"iter"
	"math"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// qresync is what a client remembers of a mailbox that it selects again
// (RFC 7162 §3.2.5).
type qresync struct {
	uidValidity uint32
	modSeq      mailbox.ModSeq
	known       imap.UIDSet // nil: all
	// Message numbers and UIDs that were true together when the client was
	// here last: they spare it expunges that it has heard of.
	seqs, uids imap.UIDSet
}

// scanQResync reads
//
//	SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"
//	seq-match-data = "(" known-sequence-set SP known-uid-set ")"
func scanQResync(sc *wire.Scanner) *qresync {
	var q qresync
	sc.SP()
	sc.Open()
	q.uidValidity = sc.NZNumber()
	sc.SP()
	q.modSeq = mailbox.ModSeq(sc.Number64()) // COMPAT: 0 means that nothing is known
	more := sc.Take(' ')
	if more && sc.Peek() != '(' {
		q.known = sc.KnownUIDs()
		more = sc.Take(' ')
	}
	if more {
		sc.Open()
		q.seqs = sc.KnownUIDs()
		sc.SP()
		q.uids = sc.KnownUIDs()
		if !sc.Close() {
			sc.Fail("missing parenthesis")
		}
	}
	if !sc.Close() {
		sc.Fail("missing parenthesis")
	}
	return &q
}

// highestUID is the highest UID that the client says it has seen; 0 if it does
// not say. A range without an end in sight is no memory of a message.
func (q *qresync) highestUID() (highest imap.UID) {
	for _, set := range []imap.UIDSet{q.known, q.uids} {
		for _, r := range set {
			if r.Stop != math.MaxUint32 {
				highest = max(highest, r.Stop)
			}
		}
	}
	return highest
}

// resynchronize tells what happened since q: VANISHED (EARLIER), then the flags
// that changed (RFC 7162 §3.2.5.1).
func (s *Session) resynchronize(q *qresync) {
	v := s.view
	known := q.known
	if known == nil {
		known = imap.UIDSet{{Start: 1, Stop: 0}}
	}
	if v.UIDNext() <= 1 {
		return // never had a message
	}
	known = clampToKnown(known, v.UIDNext())
	since := s.changedSince(q.modSeq)
	if gone := above(v.Vanished(since, known), s.lastMatch(q)); len(gone) > 0 {
		s.w.Untagged()
		s.w.Raw("VANISHED (EARLIER) ")
		s.w.UIDSet(gone)
		s.w.CRLF()
	}
	if since == v.HighestModSeq() {
		return
	}
	for n := range v.UIDs(known).All() {
		if m := v.Message(n); m.ModSeq > since {
			s.writeFetchFlags(m)
		}
	}
}

// lastMatch is the highest UID of which the client knows the number: of what
// was expunged up to there it has heard (RFC 7162 §3.2.5.2).
func (s *Session) lastMatch(q *qresync) (last imap.UID) {
	next, stop := iter.Pull(each(q.uids))
	defer stop()
	for n := range each(q.seqs) {
		uid, ok := next()
		if !ok || int64(n) > int64(s.view.Len()) {
			break
		}
		if s.view.UID(mailbox.SeqNum(n)) == uid {
			last = uid
		}
	}
	return last
}

// each yields the members of a set without `*`.
func each(set imap.UIDSet) iter.Seq[imap.UID] {
	return func(yield func(imap.UID) bool) {
		for _, r := range set {
			for n := uint64(r.Start); n <= uint64(r.Stop); n++ {
				if !yield(imap.UID(n)) {
					return
				}
			}
		}
	}
}

// above gives what of set is above last.
func above(set imap.UIDSet, last imap.UID) imap.UIDSet {
	var out imap.UIDSet
	for _, r := range set {
		if r.Stop > last {
			out = append(out, imap.UIDRange{Start: max(r.Start, last+1), Stop: r.Stop})
		}
	}
	return out
}
