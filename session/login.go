package session

import (
	"context"
	"encoding/base64"
	"errors"
	"net"

	"roost/wire"
)

// User is who logged in.
type User struct{ Name, Home string }

// An Authenticator checks passwords.
type Authenticator interface {
	Login(ctx context.Context, remote net.Addr, name, password string) (User, error)
}

var errAuthFailed = errors.New("session: authentication failed")

// loginCmd is LOGIN (RFC 9051 §6.2.3).
type loginCmd struct{ user, password string }

// parseLogin reads
//
//	login = "LOGIN" SP userid SP password
func parseLogin(sc *wire.Scanner) (runner, error) {
	var c loginCmd
	sc.SP()
	c.user = sc.AString()
	sc.SP()
	c.password = sc.AString()
	return &c, sc.End()
}

func (c *loginCmd) run(ctx context.Context, s *Session) error {
	if !s.private() {
		return no("PRIVACYREQUIRED", "use TLS to log in")
	}
	return s.logIn(ctx, c.user, c.password)
}

// authenticateCmd is AUTHENTICATE (RFC 9051 §6.2.2).
type authenticateCmd struct {
	mechanism string
	initial   []byte
	hasInit   bool // RFC 4959
}

// parseAuthenticate reads
//
//	"AUTHENTICATE" SP auth-type [SP initial-resp]
//	initial-resp = (base64 / "=")
func parseAuthenticate(sc *wire.Scanner) (runner, error) {
	var c authenticateCmd
	sc.SP()
	c.mechanism = sc.Word()
	if sc.Take(' ') {
		c.hasInit = true
		text := sc.Atom()
		if text != "=" && sc.Err() == nil {
			var err error
			if c.initial, err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
				sc.Fail("invalid base64")
			}
		}
	}
	return &c, sc.End()
}

func (c *authenticateCmd) run(ctx context.Context, s *Session) error {
	return no("CANNOT", "mechanism not supported")
}

// logIn checks a password and enters the authenticated state.
func (s *Session) logIn(ctx context.Context, name, password string) error {
	u, err := s.opt.Auth.Login(ctx, s.raw.RemoteAddr(), name, password)
	if err != nil {
		return s.loginFailed(err)
	}
	return s.enter(ctx, u)
}

func (s *Session) loginFailed(err error) error {
	s.srv.Counters.FailedLogins.Add(1)
	s.bad.logins++
	if s.bad.logins >= s.opt.Limits.AuthFailures {
		return bye("AUTHENTICATIONFAILED", "too many failed logins")
	}
	return err
}

// enter opens the account of u.
func (s *Session) enter(ctx context.Context, u User) error {
	if s.opt.Login != nil {
		if err := s.opt.Login(s.raw, u.Name); err != nil {
			return no("LIMIT", err.Error())
		}
	}
	where, err := s.opt.Mail(u)
	if err != nil {
		return err
	}
	account, err := s.opt.Store.Open(ctx, where)
	if err != nil {
		return err
	}
	s.account, s.user, s.state = account, u, authenticated
	s.t.loggedIn()
	minus := s.sc.Limits.LiteralMinus
	s.sc.Limits = s.opt.Limits.Auth
	s.sc.Limits.LiteralMinus = minus
	s.sc.Separator = account.Separator()
	s.srv.Counters.Logins.Add(1)
	s.log.Info("logged in", "user", u.Name, "remote", s.remote(), "tls", s.tls != nil)
	return s.ok("CAPABILITY "+s.capabilities(), "logged in")
}
