package session

import (
	"context"
	"slices"
	"strings"

	"roost/mailbox"
	"roost/wire"
)

// selectCmd is SELECT or EXAMINE (RFC 9051 §6.3.2, §6.3.3).
type selectCmd struct {
	name      string
	readOnly  bool
	condstore bool     // RFC 7162 §3.1.8
	qresync   *qresync // RFC 7162 §3.2.5
}

func parseSelect(sc *wire.Scanner) (runner, error)  { return scanSelect(sc, false) }
func parseExamine(sc *wire.Scanner) (runner, error) { return scanSelect(sc, true) }

// scanSelect reads
//
//	select        = ("SELECT" / "EXAMINE") SP mailbox [select-params]
//	select-params = SP "(" select-param *(SP select-param) ")"
//	select-param  = "CONDSTORE" / "QRESYNC" SP "(" ... ")"
func scanSelect(sc *wire.Scanner, readOnly bool) (runner, error) {
	c := selectCmd{readOnly: readOnly}
	sc.SP()
	c.name = sc.Mailbox()
	if !sc.AtEnd() {
		sc.SP()
		if n := sc.List(func() {
			switch sc.Word() {
			case "CONDSTORE":
				c.condstore = true
			case "QRESYNC":
				if c.qresync != nil {
					sc.Fail("QRESYNC given twice")
				}
				c.qresync = scanQResync(sc)
			default:
				sc.Fail("unknown parameter")
			}
		}); n == 0 {
			sc.Fail("missing parameter")
		}
	}
	return &c, sc.End()
}

func (c *selectCmd) run(ctx context.Context, s *Session) error {
	if c.qresync != nil && !s.enabled.qresync {
		return bad("enable QRESYNC first") // RFC 7162 §3.2.5
	}
	if c.qresync != nil && c.qresync.seqs != nil && s.enabled.uidOnly {
		return errUIDRequired // RFC 9586 §3.7
	}
	if s.view != nil {
		// Before anything of the new mailbox, also when that fails
		// (RFC 9051 §6.3.2, RFC 7162 §3.2.11).
		s.closeMailbox()
		s.w.Status("", "OK", "CLOSED", "previous mailbox is now closed")
	}
	if c.condstore {
		s.enableCondstore()
	}
	mb, err := s.reach(ctx, c.name)
	if err != nil {
		return err
	}
	if q := c.qresync; q != nil && q.uidValidity == mb.UIDValidity() {
		mb.ClientKnows(q.highestUID(), q.modSeq)
	}
	view, err := mb.Open(ctx, c.readOnly, &s.barrier)
	if err != nil {
		mb.Release()
		return err
	}
	s.mailbox, s.view, s.state = mb.Mailbox, view, selected
	s.describe()
	if s.enabled.rev2 {
		if err := s.writeSelectedList(ctx, c.name); err != nil {
			return err
		}
	}
	if q := c.qresync; q != nil && q.uidValidity == mb.UIDValidity() {
		s.resynchronize(q)
	}
	if view.ReadOnly() {
		return s.ok("READ-ONLY", "")
	}
	return s.ok("READ-WRITE", "")
}

// describe writes what SELECT must tell of the mailbox (RFC 9051 §6.3.2, and
// for IMAP4rev1 RFC 3501 §6.3.1).
func (s *Session) describe() {
	v := s.view
	s.writeFlagsInUse()
	s.w.UntaggedNumber(uint64(v.Len()), "EXISTS")
	if !s.enabled.rev2 {
		s.w.UntaggedNumber(uint64(v.Recent()), "RECENT")
		if n := v.FirstUnseen(); n != 0 && !s.enabled.uidOnly {
			s.writeNumberCode("UNSEEN", uint64(n), "first unseen message")
		}
	}
	s.writeNumberCode("UIDVALIDITY", uint64(s.mailbox.UIDValidity()), "UIDs valid")
	s.writeNumberCode("UIDNEXT", uint64(v.UIDNext()), "predicted next UID")
	s.writeNumberCode("HIGHESTMODSEQ", uint64(v.HighestModSeq()), "highest mod-sequence") // RFC 7162 §3.1.2.1
	if s.offers("OBJECTID") {
		s.w.Status("", "OK", "MAILBOXID ("+s.mailbox.ID()+")", "mailbox id") // RFC 8474 §4.2
	}
}

func (s *Session) writeNumberCode(code string, n uint64, text string) {
	s.w.Untagged()
	s.w.Raw("OK [")
	s.w.Raw(code)
	s.w.SP()
	s.w.Number(n)
	s.w.Raw("] ")
	s.w.Raw(text)
	s.w.CRLF()
}

// writeSelectedList writes the LIST response that IMAP4rev2 wants.
func (s *Session) writeSelectedList(ctx context.Context, name string) error {
	all, err := s.access.List(ctx, func(level string) bool { return strings.HasPrefix(name, level) })
	if err != nil {
		return err
	}
	c := listCmd{extended: true, ret: listReturn{subscribed: true}}
	l := mailbox.Listed{Name: name, Exists: true}
	if i := slices.IndexFunc(all, func(l mailbox.Listed) bool { return l.Name == name }); i >= 0 {
		l = all[i]
	}
	s.writeListed("LIST", c.attributes(s, &l), l.Name, "")
	return nil
}
