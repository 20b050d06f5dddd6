package session

import (
	"context"
	"strings"

	"roost/wire"
)

// runNoop is NOOP (RFC 9051 §6.1.2): the news come at its end.
func runNoop(context.Context, *Session) error { return nil }

// runLogout is LOGOUT (RFC 9051 §6.1.3).
func runLogout(_ context.Context, s *Session) error {
	s.w.Status("", "BYE", "", "logging out")
	s.over = true
	return nil
}

// enableCmd is ENABLE (RFC 9051 §6.3.1, RFC 5161).
type enableCmd struct{ names []string }

// maxEnable is how many names one ENABLE may have.
const maxEnable = 100

// parseEnable reads
//
//	enable = "ENABLE" 1*(SP capability)
func parseEnable(sc *wire.Scanner) (runner, error) {
	var c enableCmd
	for first := true; first || !sc.AtEnd(); first = false {
		sc.SP()
		c.names = append(c.names, sc.Word())
		if len(c.names) > maxEnable {
			sc.Fail("too many capabilities")
		}
	}
	return &c, sc.End()
}

func (c *enableCmd) run(_ context.Context, s *Session) error {
	var now []string
	for _, name := range c.names {
		if s.enable(name) {
			if name == "IMAP4REV2" {
				name = "IMAP4rev2" // as in CAPABILITY
			}
			now = append(now, name)
		}
	}
	// The names are among ours, so they can be written as they are.
	s.w.Untagged()
	s.w.Raw(strings.Join(append([]string{"ENABLED"}, now...), " "))
	s.w.CRLF()
	return nil
}

// enable turns an extension on; false means that it is not known, not offered
// or on already.
func (s *Session) enable(name string) bool {
	var flag *bool
	e := &s.enabled
	switch name {
	case "IMAP4REV2":
		if !s.offers("IMAP4rev2") {
			return false
		}
		flag = &e.rev2
	case "UTF8=ACCEPT":
		flag = &e.utf8
	case "CONDSTORE":
		flag = &e.condstore
	case "QRESYNC":
		flag = &e.qresync
	case "UIDONLY":
		flag = &e.uidOnly // RFC 9586 §3.1
	default:
		return false
	}
	if *flag || name != "IMAP4REV2" && !s.offers(name) {
		return false
	}
	if flag == &e.condstore {
		s.enableCondstore()
	}
	*flag = true
	if e.rev2 {
		e.utf8 = true // RFC 9051 §6.3.1: names of mailboxes are in UTF-8
	}
	if e.qresync {
		s.enableCondstore() // RFC 7162 §3.2.3
	}
	s.sc.UTF8, s.w.UTF8 = e.utf8, e.utf8
	return true
}

// idCmd is ID (RFC 2971 §3.1).
type idCmd struct{ pairs [][2]string }

const (
	maxIDPairs = 30   // RFC 2971 §3.3
	maxIDValue = 1024 // octets, there too
	maxIDField = 30
)

// parseID reads
//
//	id             = "ID" SP id-params-list
//	id-params-list = "(" *(string SP nstring) ")" / nil
func parseID(sc *wire.Scanner) (runner, error) {
	var c idCmd
	sc.SP()
	if sc.Peek() != '(' {
		if _, ok := sc.NString(); ok {
			sc.Fail("expected a list or NIL")
		}
		return &c, sc.End()
	}
	sc.List(func() {
		field := sc.AString() // COMPAT: some clients send atoms
		sc.SP()
		value, _ := sc.NString()
		c.pairs = append(c.pairs, [2]string{field, value})
		if len(c.pairs) > maxIDPairs || len(field) > maxIDField || len(value) > maxIDValue {
			sc.Fail("ID too long")
		}
	})
	return &c, sc.End()
}

func (c *idCmd) run(_ context.Context, s *Session) error {
	if len(c.pairs) > 0 {
		args := make([]any, 0, 2*len(c.pairs)+2)
		args = append(args, "user", s.user.Name)
		for _, p := range c.pairs {
			args = append(args, "id."+strings.ToLower(p[0]), p[1])
		}
		s.logger().Debug("client", args...)
	}
	s.w.Untagged()
	s.w.Raw("ID ")
	s.w.Open()
	s.w.Item()
	s.w.String("name")
	s.w.Item()
	s.w.String(s.opt.Name)
	if s.opt.Version != "" {
		s.w.Item()
		s.w.String("version")
		s.w.Item()
		s.w.String(s.opt.Version)
	}
	s.w.Close()
	s.w.CRLF()
	return nil
}
