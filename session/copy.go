package session

import (
	"context"
	"strconv"

	"roost/mailbox"
	"roost/wire"
)

// This file is COPY, MOVE and their UID forms (RFC 9051 §6.4.7 to §6.4.9,
// RFC 6851; COPYUID: RFC 4315 §3).

// copyCmd is COPY, UID COPY, MOVE or UID MOVE.
type copyCmd struct {
	set  msgSet
	dest string
	move bool
}

func parseCopy(sc *wire.Scanner) (runner, error)    { return scanCopy(sc, false, false) }
func parseUIDCopy(sc *wire.Scanner) (runner, error) { return scanCopy(sc, true, false) }
func parseMove(sc *wire.Scanner) (runner, error)    { return scanCopy(sc, false, true) }
func parseUIDMove(sc *wire.Scanner) (runner, error) { return scanCopy(sc, true, true) }

// scanCopy reads
//
//	copy = "COPY" SP sequence-set SP mailbox
//	move = "MOVE" SP sequence-set SP mailbox
func scanCopy(sc *wire.Scanner, uid, move bool) (*copyCmd, error) {
	c := copyCmd{move: move}
	sc.SP()
	c.set = scanMsgSet(sc, uid)
	sc.SP()
	c.dest = sc.Mailbox()
	return &c, sc.End()
}

func (c *copyCmd) run(ctx context.Context, s *Session) error {
	msgs, err := s.resolve(c.set)
	if err != nil {
		return err
	}
	if c.move && s.view.ReadOnly() {
		return mailbox.ErrReadOnly
	}
	dest, err := s.reach(ctx, c.dest)
	if err != nil {
		return tryCreate(err)
	}
	defer dest.Release()
	if len(msgs) == 0 {
		return nil // a UID set without messages, or an empty `$`
	}
	if c.move {
		return c.moveTo(ctx, s, msgs, dest)
	}
	if limit := s.saveLimit(); limit != 0 && msgs.Len() > limit {
		n := msgs.Len()
		lowest := s.view.UID(slice(msgs, n-limit, n)[0].First)
		return tooMany(limit, lowest, "too many messages to copy, try a smaller subset")
	}
	res, err := s.view.CopyTo(ctx, msgs, dest, s.progress("still copying"))
	if err != nil {
		return tryCreate(err)
	}
	s.ownMessages(dest.Mailbox, res.Dest)
	return s.ok(copyUID(&res), "")
}

// moveTo moves. What was moved is told before the EXPUNGEs, also when a part
// had to stay (RFC 6851 §3.3, §4.3).
func (c *copyCmd) moveTo(ctx context.Context, s *Session, msgs mailbox.Seqs, dest *mailbox.Reach) error {
	msgs, lowest := s.limited(msgs)
	res, err := s.view.MoveTo(ctx, msgs, dest, s.progress("still moving"))
	if len(res.Source) > 0 {
		s.ownMessages(dest.Mailbox, res.Dest)
		s.w.Status("", "OK", copyUID(&res), "moved")
		if s.enabled.condstore { // RFC 7162 §3.2.9, as of EXPUNGE
			s.cmd.later = s.highestModSeq
		}
	}
	return s.partly(tryCreate(err), lowest)
}

// copyUID is the response code; empty if nothing was copied.
func copyUID(res *mailbox.CopyResult) string {
	if len(res.Source) == 0 {
		return ""
	}
	b := strconv.AppendUint([]byte("COPYUID "), uint64(res.UIDValidity), 10)
	b = wire.AppendUIDs(append(b, ' '), res.Source)
	b = wire.AppendUIDs(append(b, ' '), res.Dest)
	return string(b)
}
