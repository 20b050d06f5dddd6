package session

import (
	"context"
	"errors"
	"strings"

	"roost/auth"
	"roost/mailbox"
	"roost/wire"
)

// DEVIATION: an identifier is prepared as the name of a user is at login (NFC), not
// with SASLprep (RFC 4314 §3), so that it means the user of that name.

// This file is ACL (RFC 4314). Rights of all identifiers that mean a user add up,
// and an identifier with a dash before it takes rights away (RFC 4314 §2). Nobody
// takes any from the owner.

// aclCmd is GETACL or MYRIGHTS, whose only argument is a mailbox, or one of
// DELETEACL, LISTRIGHTS and SETACL, which have an identifier too.
type aclCmd struct {
	name       string
	identifier string
	spelled    string // the identifier as it came
	mode       mailbox.RightsMode
	rights     mailbox.Rights
	do         func(ctx context.Context, s *Session, c *aclCmd) error
}

func (c *aclCmd) run(ctx context.Context, s *Session) error { return c.do(ctx, s, c) }

// parseACL reads the arguments of DELETEACL and LISTRIGHTS.
//
//	deleteacl  = "DELETEACL" SP mailbox SP identifier
//	listrights = "LISTRIGHTS" SP mailbox SP identifier
func parseACL(do func(ctx context.Context, s *Session, c *aclCmd) error) func(*wire.Scanner) (runner, error) {
	return func(sc *wire.Scanner) (runner, error) {
		c := aclCmd{do: do}
		c.scan(sc)
		return &c, sc.End()
	}
}

func (c *aclCmd) scan(sc *wire.Scanner) {
	sc.SP()
	c.name = sc.Mailbox()
	sc.SP()
	c.identifier, c.spelled = scanIdentifier(sc)
}

// scanIdentifier reads an identifier, with or without a dash before it.
//
//	identifier = astring
func scanIdentifier(sc *wire.Scanner) (identifier, spelled string) {
	text := sc.AString()
	if sc.Err() != nil {
		return "", ""
	}
	bare, negative := strings.CutPrefix(text, "-")
	name, err := auth.NormalizeName(bare)
	if err != nil {
		sc.Fail("invalid identifier")
		return "", ""
	}
	if negative {
		name = "-" + name
	}
	return name, text
}

// parseSetACL reads
//
//	setacl     = "SETACL" SP mailbox SP identifier SP mod-rights
//	mod-rights = astring
func parseSetACL(sc *wire.Scanner) (runner, error) {
	c := aclCmd{do: runSetACL}
	c.scan(sc)
	sc.SP()
	text := sc.AString()
	if sc.Err() == nil && text != "" {
		switch text[0] {
		case '+':
			c.mode, text = mailbox.RightsAdd, text[1:]
		case '-':
			c.mode, text = mailbox.RightsRemove, text[1:]
		}
	}
	var ok bool
	if c.rights, ok = mailbox.ParseRights(text); !ok {
		sc.Fail("unknown right") // RFC 4314 §3.1: never ignored
	}
	return &c, sc.End()
}

// runSetACL is SETACL (RFC 4314 §3.1).
func runSetACL(ctx context.Context, s *Session, c *aclCmd) error {
	err := s.access.SetACL(ctx, c.name, s.need().named, c.identifier, c.mode, c.rights)
	if errors.Is(err, mailbox.ErrOwnerRights) {
		return no("CANNOT", "the owner has all rights")
	}
	return err
}

// runDeleteACL is DELETEACL (RFC 4314 §3.2). An identifier that has no rights has
// none afterwards.
func runDeleteACL(ctx context.Context, s *Session, c *aclCmd) error { return runSetACL(ctx, s, c) }

// runGetACL is GETACL (RFC 4314 §3.3).
//
//	acl-data = "ACL" SP mailbox *(SP identifier SP rights)
func runGetACL(ctx context.Context, s *Session, name string) error {
	list, err := s.access.ACL(ctx, name, s.need().named)
	if err != nil {
		return err
	}
	s.w.Untagged()
	s.w.Raw("ACL ")
	s.w.Mailbox(name)
	for _, entry := range list {
		s.w.SP()
		s.writeIdentifier(entry.Identifier)
		s.w.SP()
		s.w.Raw(entry.Rights.String())
	}
	s.w.CRLF()
	return nil
}

// writeIdentifier writes a user name, in UTF-8 whatever is enabled (RFC 4314 §2): in
// a literal where a string cannot hold that.
func (s *Session) writeIdentifier(identifier string) { s.w.AString(identifier) }

// runListRights is LISTRIGHTS (RFC 4314 §3.4): what the owner has needs no grant, to
// everybody else each right can be given by itself.
//
//	listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)
func runListRights(ctx context.Context, s *Session, c *aclCmd) error {
	owner, err := s.access.Owner(ctx, c.name, s.need().named)
	if err != nil {
		return err
	}
	s.w.Untagged()
	s.w.Raw("LISTRIGHTS ")
	s.w.Mailbox(c.name)
	s.w.SP()
	s.writeIdentifier(c.spelled)
	s.w.SP()
	switch all := mailbox.AllRights.String(); c.identifier {
	case owner:
		s.w.Raw(all)
	case "-" + owner:
		s.w.Raw(`""`)
	default:
		s.w.Raw(`""`)
		for i := range len(all) {
			s.w.SP()
			s.w.Raw(all[i : i+1])
		}
	}
	s.w.CRLF()
	return nil
}

// runMyRights is MYRIGHTS (RFC 4314 §3.5).
func runMyRights(ctx context.Context, s *Session, name string) error {
	rights, err := s.access.MyRights(ctx, name, s.need().named)
	if err != nil {
		return err
	}
	s.writeMyRights(name, rights)
	return nil
}

// writeMyRights writes
//
//	myrights-data = "MYRIGHTS" SP mailbox SP rights
func (s *Session) writeMyRights(name string, rights mailbox.Rights) {
	s.w.Untagged()
	s.w.Raw("MYRIGHTS ")
	s.w.Mailbox(name)
	s.w.SP()
	s.w.Raw(rights.String())
	s.w.CRLF()
}
