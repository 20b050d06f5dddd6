package session

import (
	"context"
	"strconv"

	"roost/mailbox"
	"roost/wire"
)

// runExpunge is EXPUNGE (RFC 9051 §6.4.3).
func runExpunge(ctx context.Context, s *Session) error { return s.expunge(ctx, nil) }

// uidExpungeCmd is UID EXPUNGE (RFC 9051 §6.4.9).
type uidExpungeCmd struct{ set msgSet }

// parseUIDExpunge reads
//
//	"EXPUNGE" SP sequence-set
func parseUIDExpunge(sc *wire.Scanner) (runner, error) {
	var c uidExpungeCmd
	sc.SP()
	c.set = scanMsgSet(sc, true)
	return &c, sc.End()
}

func (c *uidExpungeCmd) run(ctx context.Context, s *Session) error {
	set, err := s.resolve(c.set)
	if err != nil {
		return err
	}
	if len(set) == 0 {
		return nil // nil would mean every message
	}
	set, lowest := s.limited(s.deleted(set))
	if len(set) == 0 {
		return nil
	}
	return s.partly(s.expunge(ctx, set), lowest)
}

// deleted gives what of set is \Deleted, where that matters: the limit is one on
// those (RFC 9738 §3.1).
func (s *Session) deleted(set mailbox.Seqs) mailbox.Seqs {
	if s.messageLimit() == 0 {
		return set
	}
	var out mailbox.Seqs
	for n := range set.All() {
		if s.view.Message(n).Flags&mailbox.Deleted != 0 {
			out = out.Add(n)
		}
	}
	return out
}

func (s *Session) expunge(ctx context.Context, set mailbox.Seqs) error {
	if s.view.ReadOnly() {
		return mailbox.ErrReadOnly
	}
	n, err := s.view.Expunge(ctx, set)
	if err != nil {
		return err
	}
	if n > 0 && s.enabled.condstore { // RFC 7162 §3.2.7
		s.cmd.later = s.highestModSeq
	}
	return nil
}

// highestModSeq is the response code.
func (s *Session) highestModSeq() string {
	return "HIGHESTMODSEQ " + strconv.FormatUint(uint64(s.view.HighestModSeq()), 10)
}

// runClose is CLOSE (RFC 9051 §6.4.1): EXPUNGE without telling, then the
// authenticated state. HIGHESTMODSEQ must not be told (RFC 7162 §3.2.8).
func runClose(ctx context.Context, s *Session) error {
	if !s.view.ReadOnly() && s.view.Rights().Has(mailbox.RightExpunge) { // RFC 4314 §4: else ignored
		if _, err := s.view.Expunge(ctx, nil); err != nil {
			return err
		}
	}
	s.closeMailbox()
	return nil
}

// runUnselect is UNSELECT (RFC 9051 §6.4.2): nothing is expunged.
func runUnselect(_ context.Context, s *Session) error {
	s.closeMailbox()
	return nil
}

// runCheck is CHECK (RFC 3501 §6.4.1). All that was acknowledged is durable, so
// there is nothing to do but to tell the news.
func runCheck(context.Context, *Session) error { return nil }

// closeMailbox leaves the selected state.
func (s *Session) closeMailbox() {
	if s.view != nil {
		s.view.Close()
		s.view = nil
	}
	if s.mailbox != nil {
		s.mailbox.Release()
		s.mailbox = nil
	}
	s.fresh, s.saved, s.contexts = fresh{}, saved{}, nil
	if s.notify != nil {
		s.notify.own = nil
	}
	if s.state == selected {
		s.state = authenticated
	}
}
