package server

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"roost/auth"
	"roost/config"
	"roost/session"
)

// newUsers makes the service that checks passwords. A users file that cannot
// be read is told at once: nobody could log in.
func newUsers(cfg *config.Config, log *slog.Logger) (*auth.Service, error) {
	l := &cfg.Limits
	s := auth.New(auth.Options{
		Users:  cfg.Auth.Users,
		Checks: l.PasswordChecks,
		SASL:   auth.SASLLimits{Message: int(l.SASLMessage), Authid: int(l.SASLAuthid)},
		Throttle: auth.ThrottleOptions{
			Delay: l.AuthDelay.D(), MaxDelay: l.AuthDelayMax.D(), UserDelay: l.AuthUserDelay.D(), Trusted: l.Trusted,
		},
		Log: log,
	})
	n, _, err := s.Check() // it has logged the lines that it skips
	if err != nil {
		return nil, fmt.Errorf("server: auth.users: %w; roost user add makes the file", err)
	}
	log.Info("users file read", "file", cfg.Auth.Users, "users", n)
	return s, nil
}

// reloadUsers makes a new service if its settings changed; else the old one
// keeps what it knows of failed logins.
func (p *process) reloadUsers(cfg *config.Config) error {
	old := p.cfg.Load()
	if old.Auth == cfg.Auth && old.Limits.AuthLimits == cfg.Limits.AuthLimits &&
		fmt.Sprint(old.Limits.Trusted) == fmt.Sprint(cfg.Limits.Trusted) {
		return nil
	}
	users, err := newUsers(cfg, p.log)
	if err != nil {
		return err
	}
	p.users.Store(users)
	return nil
}

// plaintextAllowed says whether a client at a may send a password without TLS.
func plaintextAllowed(policy string, a net.Addr) bool {
	addr := netip.Addr{}
	if tcp, ok := a.(*net.TCPAddr); ok {
		addr = tcp.AddrPort().Addr()
	}
	return auth.PlaintextAllowed(policy, addr, false)
}

// sessionLimits are the limits of one connection.
func sessionLimits(l *config.Limits) session.Limits {
	limits := session.DefaultLimits()
	pre, full := limits.PreAuth, limits.Auth
	pre.Line, pre.Literal, pre.Depth = int(l.LinePreauth), int64(l.LiteralPreauth), l.DepthPreauth
	pre.Literals = int64(pre.Count) * pre.Literal
	full.Line, full.Literal, full.Literals, full.Count = int(l.Line), int64(l.Literal), int64(l.LiteralsTotal), l.Literals
	full.Depth, full.Ranges = l.Depth, l.SetRanges
	return session.Limits{
		PreAuth: pre, Auth: full, Append: int64(l.Append),
		BadCommandsPreAuth: l.BadCommandsPreauth, BadCommands: l.BadCommands, AuthFailures: l.AuthFailures,
		SASLMessage: int(l.SASLMessage), SASLTotal: int(l.SASLTotal),
		LoginTime: l.LoginTime.D(), LoginRead: l.LoginRead.D(), TLSHandshake: l.TLSHandshake.D(),
		Idle: l.Idle.D(), IdleKeepalive: l.IdleKeepalive.D(), WriteStall: l.WriteStall.D(),
		LiteralStall: l.LiteralStall.D(), LiteralRate: int64(l.LiteralRate), LiteralRateAfter: l.LiteralRateAfter.D(),
		IDPairs: l.IDPairs, SearchTerms: l.SearchTerms, SearchDepth: l.SearchDepth,
		ListPatterns: l.ListPatterns, ListWildcards: l.ListWildcards,
		NotifyMailboxes: l.NotifyMailboxes, KeywordLength: l.KeywordLength,
	}
}
