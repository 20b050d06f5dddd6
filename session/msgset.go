package session

import (
	"github.com/emersion/go-imap/v2"

	"roost/wire"
)

// msgSet is the set of messages that a command names: message numbers, UIDs, or
// the saved search result `$` (RFC 9051 §6.4.4.1).
type msgSet struct {
	uid   bool
	saved bool
	seqs  imap.SeqSet // if not uid
	uids  imap.UIDSet // if uid
}

// scanMsgSet reads a set of message numbers, or of UIDs.
func scanMsgSet(sc *wire.Scanner, uid bool) msgSet {
	s := msgSet{uid: uid}
	if sc.Peek() == '$' || !uid {
		s.seqs, s.saved = sc.SeqSet()
		return s
	}
	s.uids = sc.UIDSet()
	return s
}
