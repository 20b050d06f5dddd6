package session

import (
	"context"

	"roost/mailbox"
	"roost/wire"
)

// This file is UIDBATCHES (RFC 10022): UID ranges that part the mailbox into
// batches of equal size.

// The bounds of RFC 10022 §3.1.3.2 and §3.1.5.
const (
	minBatch      = 500
	maxBatchRange = 100_000 // messages
)

// uidBatchesCmd is UIDBATCHES.
type uidBatchesCmd struct {
	size        uint32
	first, last uint32 // batches, from 1 at the highest UIDs; 0: all
}

// parseUIDBatches reads
//
//	message-batches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]
func parseUIDBatches(sc *wire.Scanner) (runner, error) {
	var c uidBatchesCmd
	sc.SP()
	c.size = sc.NZNumber()
	if !sc.AtEnd() {
		sc.SP()
		c.first = sc.NZNumber()
		sc.Expect(':')
		c.last = sc.NZNumber()
	}
	return &c, sc.End()
}

// run answers from the counts of the View, whose cost does not depend on the
// size of the mailbox.
//
// DEVIATION: a client that asks again though little has changed is not refused
// with LIMIT (RFC 10022 §3.1.1): here a batch costs less than the line that asks.
func (c *uidBatchesCmd) run(_ context.Context, s *Session) error {
	switch {
	case c.first > c.last:
		return &response{"BAD", "CLIENTBUG", "invalid batch range"} // RFC 10022 §3.1.5
	case c.size < minBatch:
		return no("TOOFEW", "minimum batch size is 500") // RFC 10022 §3.1.3.2
	case c.last != 0 && (uint64(c.last)-uint64(c.first)+1)*uint64(c.size) > max(maxBatchRange, uint64(c.size)):
		return no("TOOMANY", "too many messages") // RFC 10022 §3.1.5
	}
	s.w.Untagged()
	s.w.Raw("UIDBATCHES (TAG ")
	s.w.String(s.cmd.tag)
	s.w.Raw(")")
	c.write(s)
	s.w.CRLF()
	return nil
}

// write writes the ranges. They leave no gap: a batch begins right below the
// one before, and the last one ends with 1 (RFC 10022 §3.1.4).
func (c *uidBatchesCmd) write(s *Session) {
	total, size := uint64(s.view.Len()), uint64(c.size)
	first, last := uint64(1), (total+size-1)/size
	if c.last != 0 {
		first, last = uint64(c.first), min(last, uint64(c.last))
	}
	sep := " "
	for k := first; k <= last; k++ {
		top := total - (k-1)*size // the number of the highest message
		high := s.view.UID(mailbox.SeqNum(top))
		if top < total {
			high = s.view.UID(mailbox.SeqNum(top+1)) - 1
		}
		low := uint64(1)
		if top > size {
			low = uint64(s.view.UID(mailbox.SeqNum(top - size + 1)))
		}
		s.w.Raw(sep)
		s.w.Number(uint64(high))
		s.w.Raw(":")
		s.w.Number(low)
		sep = ","
		if s.w.Pending() >= 32<<10 {
			s.w.Flush() // its error stays with the Writer
		}
	}
}
