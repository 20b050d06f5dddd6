package session

import (
	"context"

	"roost/mailbox"
	"roost/wire"
)

// DEVIATION: the quota counts the whole new message, not the difference
// (RFC 8508 §3.4).

// replaceCmd is REPLACE or UID REPLACE (RFC 8508): one message takes the place
// of another. Its arguments from the flags on are read while it runs.
type replaceCmd struct {
	set  msgSet // one message
	dest string
}

func parseReplace(sc *wire.Scanner) (runner, error)    { return scanReplace(sc, false) }
func parseUIDReplace(sc *wire.Scanner) (runner, error) { return scanReplace(sc, true) }

// scanReplace reads all before the message.
//
//	replace = "REPLACE" SP seq-number SP mailbox append-message
func scanReplace(sc *wire.Scanner, uid bool) (runner, error) {
	var c replaceCmd
	sc.SP()
	c.set = scanMsgSet(sc, uid)
	if !c.single() {
		sc.Fail("expected one message")
	}
	sc.SP()
	c.dest = sc.Mailbox()
	sc.SP()
	return &c, sc.Err()
}

// single says that the set is one number, `*` too.
func (c *replaceCmd) single() bool {
	switch {
	case c.set.saved:
		return false
	case c.set.uid:
		return len(c.set.uids) == 1 && c.set.uids[0].Start == c.set.uids[0].Stop
	}
	return len(c.set.seqs) == 1 && c.set.seqs[0].Start == c.set.seqs[0].Stop
}

func (c *replaceCmd) run(ctx context.Context, s *Session) error {
	old, err := s.resolve(c.set)
	if err != nil {
		return err
	}
	switch {
	case s.view.ReadOnly():
		return mailbox.ErrReadOnly
	case len(old) == 0:
		return no("NONEXISTENT", "no such message")
	case s.view.Expunged(old[0].First):
		return mailbox.ErrExpunged
	}
	m, err := scanAppendMessage(s.sc, s.opt.Limits.Append)
	if err != nil {
		return err
	}
	mb, err := s.reach(ctx, c.dest)
	if err != nil {
		return tryCreate(err)
	}
	defer mb.Release()
	ap, err := mb.NewAppend(ctx)
	if err != nil {
		return tryCreate(err)
	}
	defer ap.Abort()
	if err := s.appendOne(ctx, ap, m); err != nil {
		return err
	}
	if err := s.sc.End(); err != nil {
		return err
	}
	return c.replace(ctx, s, ap, old)
}

// replace makes the new message durable before the old one goes, so that a
// crash in between leaves both, never none.
func (c *replaceCmd) replace(ctx context.Context, s *Session, ap *mailbox.Append, old mailbox.Seqs) error {
	var made mailbox.Barrier
	uidValidity, uids, err := ap.Commit(ctx, &made)
	if err != nil {
		return tryCreate(err)
	}
	if err := made.Wait(); err != nil {
		return err
	}
	// Before the EXPUNGE (RFC 8508 §4.3), which comes at the end of the command.
	s.w.Status("", "OK", appendUID(uidValidity, uids), "replacement message ready")
	n, err := s.view.Remove(ctx, old)
	if err != nil {
		return err
	}
	if n > 0 && s.enabled.condstore { // as of UID EXPUNGE: RFC 8508 §4.5, RFC 7162 §3.2.7
		s.cmd.later = s.highestModSeq
	}
	return nil
}
