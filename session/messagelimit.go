package session

import (
	"fmt"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// This file is the limit on the messages of one command (RFC 9738). It is off
// unless the configuration sets it.

// messageLimit is how many messages FETCH, SEARCH, STORE, MOVE and UID EXPUNGE
// may work on; 0: any number.
func (s *Session) messageLimit() int {
	if !s.offers("MESSAGELIMIT") {
		return 0
	}
	return s.opt.MessageLimit
}

// saveLimit is how many messages COPY and APPEND may make; 0: any number.
func (s *Session) saveLimit() int {
	limit := s.messageLimit()
	if n := s.opt.SaveLimit; s.offers("SAVELIMIT") && (limit == 0 || n < limit) {
		return n
	}
	return limit
}

// limited gives the part of msgs that a command may work on, those with the
// highest UIDs, and the lowest of these; 0: all of them (RFC 9738 §3.1).
func (s *Session) limited(msgs mailbox.Seqs) (part mailbox.Seqs, lowest imap.UID) {
	limit := s.messageLimit()
	n := msgs.Len()
	if limit == 0 || n <= limit {
		return msgs, 0
	}
	part = slice(msgs, n-limit, n)
	return part, s.view.UID(part[0].First)
}

// tooMany refuses a command that is done as a whole or not at all; lowest is
// where the part that could be done ends, 0: unknown.
func tooMany(limit int, lowest imap.UID, text string) error {
	return no(limitCode(limit, lowest), text)
}

func limitCode(limit int, lowest imap.UID) string {
	code := fmt.Sprintf("MESSAGELIMIT %d", limit)
	if lowest != 0 {
		code += fmt.Sprintf(" %d", lowest)
	}
	return code
}

// partly ends a command that worked down to lowest only (0: on everything) and
// ended with err. Another code goes into the tagged response, this one then
// into an untagged one.
func (s *Session) partly(err error, lowest imap.UID) error {
	if lowest == 0 {
		return err
	}
	limit := s.messageLimit()
	code, text := limitCode(limit, lowest), fmt.Sprintf("%s completed for the last %d messages", s.cmd.name, limit)
	if err == nil && s.cmd.code == "" && s.cmd.later == nil {
		return s.ok(code, text)
	}
	s.w.Status("", "NO", code, text)
	return err
}

// limitSearch makes a search look at no more than the limit allows: not how
// many messages are found counts, but how many are looked at (RFC 9738 §3.1).
// lowest is as of limited.
func (s *Session) limitSearch(c *mailbox.Criteria) (_ *mailbox.Criteria, lowest imap.UID) {
	limit := s.messageLimit()
	if limit == 0 || s.view.Len() <= limit {
		return c, 0
	}
	part, lowest := s.limited(s.candidates(c))
	if lowest == 0 {
		return c, 0
	}
	return mailbox.And(&mailbox.Criteria{Kind: mailbox.SearchUIDs, UIDs: s.uidSet(part)}, c), lowest
}

// candidates are the messages that the sets on the outermost level of c leave.
func (s *Session) candidates(c *mailbox.Criteria) mailbox.Seqs {
	all := mailbox.Seqs{{First: 1, Last: mailbox.SeqNum(s.view.Len())}}
	switch c.Kind {
	case mailbox.SearchUIDs:
		return s.view.UIDs(c.UIDs)
	case mailbox.SearchSeqs:
		return s.view.NumbersWithin(c.Seqs)
	case mailbox.SearchNone:
		return nil
	case mailbox.SearchAnd:
		for _, kid := range c.Of {
			all = all.Intersect(s.candidates(kid))
		}
	}
	return all
}
