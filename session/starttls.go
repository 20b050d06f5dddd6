package session

import (
	"context"
	"crypto/tls"
)

// runStartTLS is STARTTLS (RFC 9051 §6.2.1). Octets behind it that came in the
// clear may be an attacker's: they end the connection instead of being taken
// for the client's (CVE-2011-1926 and its kin).
func runStartTLS(ctx context.Context, s *Session) error {
	config := s.opt.tlsConfig()
	switch {
	case s.tls != nil:
		return bad("TLS is active already")
	case config == nil:
		return bad("TLS is not available")
	case s.in.Buffered() > 0:
		return bye("", "commands behind STARTTLS")
	}
	s.w.Status(s.cmd.tag, "OK", "", "begin TLS negotiation now")
	if err := s.w.Flush(); err != nil {
		return err
	}
	if err := s.handshake(ctx, tls.Server(s.raw, config)); err != nil {
		s.srv.Counters.FailedHandshakes.Add(1)
		return errHandshake
	}
	// What the client did before counts no more (RFC 9051 §11.1).
	s.bad.good = false
	s.bad.total = 0
	return errAnswered
}

// handshake puts TLS over the connection, under its own time limit.
func (s *Session) handshake(ctx context.Context, tc *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Limits.TLSHandshake)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	s.t.replace(tc)
	s.tls = tc
	return nil
}
