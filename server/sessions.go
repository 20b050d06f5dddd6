package server

import (
	"crypto/tls"
	"fmt"
	"net"

	"roost/auth"
	"roost/config"
	"roost/mailbox"
	"roost/session"
)

// sessionOptions are what sessions need of the configuration.
func (p *process) sessionOptions(cfg *config.Config) session.Options {
	return session.Options{
		Auth:  p.users.Load(),
		Store: p.store,
		Mail: func(u auth.User) (mailbox.User, error) {
			if _, err := quotaOf(cfg.Quota, u.Extra); err != nil {
				p.log.Warn("quota in the users file cannot be read; [quota] counts", "user", u.Name, "err", err)
			}
			return mailOf(cfg, u)
		},
		TLS: func() *tls.Config {
			if certs := p.certs.Load(); certs != nil {
				return tlsConfig(certs)
			}
			return nil
		},
		Plaintext:    func(a net.Addr) bool { return plaintextAllowed(cfg.Auth.Plaintext, a) },
		Login:        p.login,
		Logout:       p.logout,
		Disable:      cfg.IMAP.Disable,
		LiteralMinus: cfg.IMAP.LiteralMinus,
		MessageLimit: cfg.IMAP.MessageLimit, SaveLimit: cfg.IMAP.SaveLimit,
		ServerAdmin: cfg.IMAP.Admin, ServerComment: cfg.IMAP.Comment,
		Name:    "roost",
		Version: p.o.Version,
		Limits:  sessionLimits(&cfg.Limits),
		Log:     p.log,
	}
}

// mailOf says where the mail of u is.
func mailOf(cfg *config.Config, u auth.User) (mailbox.User, error) {
	vars := config.Vars{User: u.Name, Home: u.Home}
	path, err := config.Expand(cfg.Mail.Path, vars)
	if err != nil {
		return mailbox.User{}, fmt.Errorf("server: mail.path: %w", err)
	}
	out := mailbox.User{Name: u.Name, Path: path}
	out.Quota, _ = quotaOf(cfg.Quota, u.Extra) // whoever lets users in has logged the error
	if cfg.Mail.Index != "" {
		if out.Index, err = config.Expand(cfg.Mail.Index, vars); err != nil {
			return mailbox.User{}, fmt.Errorf("server: mail.index: %w", err)
		}
	}
	return out, nil
}

// logout takes a connection from its user.
func (p *process) logout(conn net.Conn) {
	if c, ok := conn.(*servedConn); ok {
		c.entry.logout()
	}
}

// login counts a connection for its user.
func (p *process) login(conn net.Conn, user string) error {
	if c, ok := conn.(*servedConn); ok {
		return c.entry.login(user)
	}
	return nil
}
