package session

import (
	"context"
	"time"

	"roost/auth"
)

// runUnauthenticate is UNAUTHENTICATE (RFC 8437): everything that belongs to
// the user is forgotten, TLS stays, compression ends. Once it began it cannot
// be answered with NO. Another LOGIN may be on its way already.
//
// The count of failed logins stays: they are those of the connection.
func runUnauthenticate(_ context.Context, s *Session) error {
	if !s.offers("UNAUTHENTICATE") {
		return bad("not available")
	}
	s.forgetUser()
	below := s.t.conn
	if s.deflate != nil {
		// The client's compression ended behind this command (RFC 8437 §4.1).
		if s.in.Buffered() > 0 {
			return bye("", "compressed commands behind UNAUTHENTICATE")
		}
		s.deflate.SetReadDeadline(time.Now().Add(s.opt.Limits.LiteralStall))
		var err error
		if below, err = s.deflate.Detach(); err != nil {
			return bye("", "compression does not end behind UNAUTHENTICATE")
		}
	}
	s.w.Status(s.cmd.tag, "OK", "CAPABILITY "+s.capabilities(), "not authenticated any more")
	if s.deflate != nil {
		if err := s.w.Flush(); err != nil {
			return err
		}
		s.deflate = nil
		s.t.replace(below)
	}
	return errAnswered
}

// forgetUser brings the session back to where it was before the login. What a
// command changes in the session is reset here; the test of it knows all
// fields.
func (s *Session) forgetUser() {
	s.cleanUp()
	s.logger().Info("logged out", "user", s.user.Name)
	s.state, s.user, s.enabled = notAuthenticated, auth.User{}, enabled{}
	s.partial, s.comparator = partialPlace{}, comparator{}
	s.comparator = comparator{}
	s.sc.Limits, s.sc.UTF8, s.sc.Separator = s.opt.Limits.PreAuth, false, 0
	s.sc.Limits.LiteralMinus = s.opt.LiteralMinus
	s.w.UTF8 = false
	s.bad = badCommands{good: true, logins: s.bad.logins}
	s.t.loggedOut(time.Now().Add(s.opt.Limits.LoginTime))
	if s.opt.Logout != nil {
		s.opt.Logout(s.raw)
	}
}
