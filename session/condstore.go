package session

import (
	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// enableCondstore is what the first CONDSTORE enabling command does: from now
// on FETCH responses tell mod-sequences, and the client learns where the
// selected mailbox stands (RFC 7162 §3.1).
func (s *Session) enableCondstore() {
	if s.enabled.condstore {
		return
	}
	s.enabled.condstore = true
	if s.view != nil {
		s.writeNumberCode("HIGHESTMODSEQ", uint64(s.view.HighestModSeq()), "highest mod-sequence")
	}
}

// changedSince gives the mod-sequence to compare with for a client that knows
// all changes up to since. A value that this mailbox has not reached cannot be
// true of it: then everything is told.
func (s *Session) changedSince(since mailbox.ModSeq) mailbox.ModSeq {
	if since <= s.view.HighestModSeq() {
		return since
	}
	// While an expunge is owed, single messages may have been told with more.
	for n := range s.view.Len() {
		if s.view.Message(mailbox.SeqNum(n+1)).ModSeq >= since {
			return since
		}
	}
	return 0
}

// writeVanishedEarlier answers the VANISHED modifier of UID FETCH
// (RFC 7162 §3.2.6): what of set was expunged after since.
func (s *Session) writeVanishedEarlier(since mailbox.ModSeq, set msgSet) {
	uids := set.uids
	if set.saved {
		uids = s.saved.uids
	}
	gone := s.view.Vanished(since, clampToKnown(uids, s.view.UIDNext()))
	if len(gone) == 0 {
		return
	}
	s.w.Untagged()
	s.w.Raw("VANISHED (EARLIER) ")
	s.w.UIDSet(gone)
	s.w.CRLF()
}

// clampToKnown gives set with `*` as the last UID that may exist, below next.
func clampToKnown(set imap.UIDSet, next imap.UID) imap.UIDSet {
	last := max(next-1, 1)
	var out imap.UIDSet
	for _, r := range set {
		if r.Start == 0 {
			r.Start = last
		}
		if r.Stop == 0 {
			r.Stop = last
		}
		if r.Start > r.Stop {
			r.Start, r.Stop = r.Stop, r.Start
		}
		if r.Start <= last {
			out.AddRange(r.Start, min(r.Stop, last))
		}
	}
	return out
}
