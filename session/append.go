package session

import (
	"context"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// DEVIATION: RFC 9755 §4 wants an APPEND of 8-bit header fields refused where
// UTF8=ACCEPT is not enabled. Real clients send them in drafts; they are stored as
// they came.

// This file is APPEND (RFC 9051 §6.3.12; literal8: RFC 3516 §4.4; UTF8: RFC 6855
// §4; several messages: RFC 3502) and what REPLACE has in common with it.
// Messages are streamed; whatever can be known before is refused before the
// client sends them.

// appendCmd is APPEND. Its arguments from the first flags on are read while it
// runs.
type appendCmd struct{ name string }

// parseAppend reads the name of the mailbox.
//
//	append         = "APPEND" SP mailbox 1*append-message
//	append-message = [SP flag-list] [SP date-time] SP append-data
func parseAppend(sc *wire.Scanner) (runner, error) {
	var c appendCmd
	sc.SP()
	c.name = sc.Mailbox()
	sc.SP()
	return &c, sc.Err()
}

// appendMessage is one append-message up to its octets.
type appendMessage struct {
	flags []imap.Flag
	date  *time.Time
	utf8  bool
	data  *wire.LiteralReader // nil: CATENATE, whose list is next
}

// scanAppendMessage reads all of an append-message but its octets; the space
// before it was read.
//
//	append-data  = literal / literal8 / utf8-literal / "CATENATE" SP "(" ...
//	utf8-literal = "UTF8" SP "(" literal8 ")"
func scanAppendMessage(sc *wire.Scanner, limit int64) (m appendMessage, err error) {
	if sc.Peek() == '(' {
		m.flags = sc.FlagList()
		sc.SP()
	}
	if sc.Peek() == '"' {
		t := sc.DateTime()
		m.date = &t
		sc.SP()
	}
	if sc.TakeName("CATENATE") {
		sc.SP()
		return m, sc.Err()
	}
	if sc.TakeName("UTF8") {
		m.utf8 = true
		sc.SP()
		sc.Open()
	}
	m.data = sc.LiteralReader(limit)
	if m.data != nil && m.utf8 && !m.data.Binary() {
		sc.Fail("UTF8 needs a literal8")
	}
	return m, sc.Err()
}

func (c *appendCmd) run(ctx context.Context, s *Session) error {
	m, err := scanAppendMessage(s.sc, s.opt.Limits.Append)
	if err != nil {
		return err
	}
	mb, err := s.reach(ctx, c.name)
	if err != nil {
		return tryCreate(err)
	}
	defer mb.Release()
	ap, err := mb.NewAppend(ctx)
	if err != nil {
		return tryCreate(err)
	}
	defer ap.Abort()
	for n := 1; ; n++ {
		if err := s.appendOne(ctx, ap, m); err != nil {
			return err
		}
		if s.sc.AtEnd() || !s.offers("MULTIAPPEND") {
			break
		}
		if limit := s.saveLimit(); n == limit {
			return tooMany(limit, 0, "too many messages to append") // RFC 9738 §3.1
		}
		s.sc.SP()
		if m, err = scanAppendMessage(s.sc, s.opt.Limits.Append); err != nil {
			return err
		}
	}
	if err := s.sc.End(); err != nil {
		return err
	}
	uidValidity, uids, err := ap.Commit(ctx, &s.barrier)
	if err != nil {
		return tryCreate(err)
	}
	s.ownMessages(mb.Mailbox, uids)
	return s.ok(appendUID(uidValidity, uids), "")
}

// appendOne takes the octets of one message.
func (s *Session) appendOne(ctx context.Context, ap *mailbox.Append, m appendMessage) error {
	meta, err := s.appendMeta(m)
	if err != nil {
		return err
	}
	if m.data == nil {
		if !s.offers("CATENATE") {
			return bad("expected a literal")
		}
		return tryCreate(s.catenate(ctx, ap, meta))
	}
	if m.data.Size() == 0 {
		// In MULTIAPPEND the client takes everything back (RFC 3502 §3); alone,
		// it is no message.
		return no("", "an empty message is not appended")
	}
	if err := ap.Add(meta, m.data, m.data.Size()); err != nil {
		return tryCreate(err)
	}
	if err := m.data.Close(); err != nil {
		return err
	}
	if m.utf8 && !s.sc.Close() {
		s.sc.Fail("expected `)` behind the message")
	}
	return s.sc.Err()
}

// appendMeta checks what comes with a message.
//
// COMPAT: \Recent, which tools that copy mailboxes send along, is dropped.
func (s *Session) appendMeta(m appendMessage) (mailbox.AppendMeta, error) {
	flags := make([]imap.Flag, 0, len(m.flags))
	for _, f := range m.flags {
		if !wire.EqualFold(string(f), `\Recent`) {
			flags = append(flags, f)
		}
	}
	op, err := s.storeOp(flags)
	return mailbox.AppendMeta{Flags: op.Flags, Keywords: op.Keywords, Date: m.date}, err
}

// appendUID is the response code; a single UID is never written as a range.
func appendUID(uidValidity uint32, uids []imap.UID) string {
	if len(uids) == 0 {
		return ""
	}
	b := strconv.AppendUint([]byte("APPENDUID "), uint64(uidValidity), 10)
	return string(wire.AppendUIDs(append(b, ' '), uids))
}
