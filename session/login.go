package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"roost/auth"
	"roost/wire"
)

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
	u, err := s.opt.Auth.Login(ctx, c.user, c.password, s.remoteAddr())
	return s.enter(ctx, u, err)
}

// authenticateCmd is AUTHENTICATE (RFC 9051 §6.2.2).
type authenticateCmd struct {
	mechanism string
	initial   []byte // RFC 4959 §3; nil: none
}

// parseAuthenticate reads
//
//	"AUTHENTICATE" SP auth-type [SP (base64 / "=")]
func parseAuthenticate(sc *wire.Scanner) (runner, error) {
	var c authenticateCmd
	sc.SP()
	c.mechanism = sc.Word()
	if sc.Take(' ') {
		text := sc.Atom()
		if sc.Err() == nil {
			var err error
			if c.initial, err = decodeInitial(text); err != nil {
				sc.Fail("invalid base64")
			}
		}
	}
	return &c, sc.End()
}

// decodeInitial decodes an initial response; `=` is an empty one.
func decodeInitial(text string) ([]byte, error) {
	if text == "=" {
		return []byte{}, nil
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

func (c *authenticateCmd) run(ctx context.Context, s *Session) error {
	if !s.private() && plain(c.mechanism) {
		return no("PRIVACYREQUIRED", "use TLS to log in")
	}
	if s.opt.disabled("AUTH=" + c.mechanism) {
		return no("", "mechanism not offered")
	}
	exchange, err := s.opt.Auth.Start(c.mechanism)
	if err != nil {
		return no("", "mechanism not offered")
	}
	response, total := c.initial, 0
	for {
		if total += len(response); len(response) > s.opt.Limits.SASLMessage || total > s.opt.Limits.SASLTotal {
			return bad("authentication message too long")
		}
		challenge, done, err := exchange.Next(response)
		if err != nil {
			break // Finish counts it
		}
		if done {
			break
		}
		if response, err = s.ask(challenge); err != nil {
			return err
		}
	}
	u, err := s.opt.Auth.Finish(ctx, exchange, s.remoteAddr())
	if additional := exchange.Additional(); err == nil && additional != nil {
		// IMAP has no room for it in the tagged OK (RFC 4422 §3.6).
		response, err := s.ask(additional)
		if err != nil {
			return err
		}
		if len(response) > 0 {
			return bad("expected an empty response")
		}
	}
	return s.enter(ctx, u, err)
}

// plain says whether a mechanism sends the password itself.
func plain(mechanism string) bool { return mechanism == "PLAIN" || mechanism == "LOGIN" }

// ask sends a challenge and reads the response to it; `*` cancels.
//
//	authenticate-line = base64 CRLF / "*" CRLF
func (s *Session) ask(challenge []byte) ([]byte, error) {
	// Not Writer.Continue, whose text is never empty: clients decode this.
	s.w.Raw("+ ")
	s.w.Raw(base64.StdEncoding.EncodeToString(challenge))
	s.w.CRLF()
	limit := base64.StdEncoding.EncodedLen(s.opt.Limits.SASLMessage)
	line, over, err := s.in.Line(nil, limit, int64(limit)+s.opt.Limits.PreAuth.Discard)
	switch {
	case err != nil:
		return nil, err
	case over:
		return nil, bad("authentication message too long")
	case string(line) == "*":
		return nil, bad("authentication cancelled")
	}
	response := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(response, line)
	if err != nil {
		return nil, bad("invalid base64")
	}
	return response[:n], nil
}

// enter makes u the user of the session, unless err says why not.
func (s *Session) enter(ctx context.Context, u auth.User, err error) error {
	if err == nil {
		err = s.admit(ctx, u)
	}
	if err == nil {
		s.srv.Counters.Logins.Add(1)
		s.logger().Info("logged in", "user", u.Name, "remote", s.remote(), "tls", s.tls != nil)
		return s.ok("CAPABILITY "+s.capabilities(), "logged in")
	}
	s.srv.Counters.FailedLogins.Add(1)
	s.logger().Info("login failed", "remote", s.remote(), "tls", s.tls != nil, "error", err)
	if ctx.Err() != nil {
		return errInterrupted
	}
	if referral := (*auth.Referral)(nil); errors.As(err, &referral) {
		return no("REFERRAL "+referralURL(referral), "your mail is on another server") // RFC 2221 §4
	}
	if !errors.Is(err, auth.ErrInvalid) {
		return err
	}
	if s.bad.logins++; s.bad.logins >= s.opt.Limits.AuthFailures {
		s.w.Status(s.cmd.tag, "NO", "AUTHENTICATIONFAILED", "wrong user name or password")
		return bye("", "too many failed logins")
	}
	return err
}

// referralURL names a server and what to log in as there (RFC 5092 §11).
func referralURL(r *auth.Referral) string {
	b := []byte("imap://")
	for _, c := range []byte(r.User) {
		if c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "%%%02X", c)
		}
	}
	return string(b) + ";AUTH=*@" + r.Host + "/"
}

// admit opens the account of u and enters the authenticated state.
func (s *Session) admit(ctx context.Context, u auth.User) error {
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
	s.access = account.Access(u.Name)
	s.t.loggedIn()
	s.sc.Limits = s.opt.Limits.Auth
	s.sc.Limits.LiteralMinus = s.opt.LiteralMinus
	s.sc.Separator = account.Separator()
	return nil
}

// remoteAddr is the address of the client, invalid if it has none.
func (s *Session) remoteAddr() netip.Addr {
	if tcp, ok := s.raw.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
