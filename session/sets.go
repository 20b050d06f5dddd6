package session

import (
	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// saved is the result of the last SEARCH with RETURN (SAVE), `$`
// (RFC 9051 §6.4.4.1). UIDs stay true when message numbers move.
type saved struct{ uids imap.UIDSet }

// resolve gives the messages of set in the View. A number beyond the mailbox is
// mailbox.ErrBadSet, UIDs that do not exist are left out.
func (s *Session) resolve(set msgSet) (mailbox.Seqs, error) {
	switch {
	case set.saved, set.uid && imap.IsSearchRes(set.uids):
		if s.saved.uids == nil {
			return nil, nil
		}
		return s.view.UIDs(s.saved.uids), nil
	case set.uid:
		return s.view.UIDs(set.uids), nil
	}
	return s.view.Numbers(set.seqs)
}
