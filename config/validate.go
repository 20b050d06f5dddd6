package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// resolve makes relative paths count from the directory of the file.
func (p *parser) resolve() {
	dir := filepath.Dir(p.file)
	c := p.cfg
	for _, path := range []*string{&c.Server.Control, &c.TLS.Cert, &c.TLS.Key, &c.Auth.Users} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	for _, template := range []*string{&c.Mail.Path, &c.Mail.Index} {
		t := *template
		if t != "" && t[0] != '/' && !strings.HasPrefix(t, "%h") && !strings.HasPrefix(t, "~") {
			// The directory is no template: a percent sign in it stands for itself.
			*template = strings.ReplaceAll(dir, "%", "%%") + "/" + t
		}
	}
}

// validate checks what the type and range of a single key do not say.
func (p *parser) validate() {
	c := p.cfg
	p.validateListen()
	p.validateTemplates()
	p.validateNames()
	p.validateSpecialUse()
	p.validateLimits()
	for _, path := range []struct{ key, value string }{
		{"server.control", c.Server.Control}, {"tls.cert", c.TLS.Cert}, {"tls.key", c.TLS.Key}, {"auth.users", c.Auth.Users},
	} {
		if hasControl(path.value) {
			p.errorf(path.key, "remove it", "the path holds a control character or invalid UTF-8")
		}
	}
	if len(c.Server.Control) > 107 {
		p.errorf("server.control", "use a shorter path", "the path is too long for a socket (at most 107 bytes)")
	}
	if c.Auth.Users == "" {
		p.errorf("auth.users", `name the users file, for example "/etc/roost/users"`, "it is empty, so nobody could log in")
	}
	if hasControl(c.Server.User) {
		p.errorf("server.user", "write the name of an account of this machine", "it holds a control character")
	}
}

func (p *parser) validateListen() {
	c := p.cfg
	seen := map[string]string{}
	public := false
	check := func(key, addr string) {
		loopback, err := checkAddress(addr)
		if err != nil {
			p.errorf(key, `write an address and a port, such as "0.0.0.0:993", "[::]:993" or ":993"`, "%q: %v", addr, err)
			return
		}
		if other, dup := seen[addr]; dup {
			p.errorf(key, "remove one of them", "%q is also in %s", addr, other)
		}
		seen[addr] = key
		switch {
		case key == "listen.imap" && !loopback:
			public = true
		case key == "listen.admin" && !loopback:
			p.add(Warning, key, fmt.Sprintf("%q can be reached from other machines and asks for no password", addr), `use "127.0.0.1:9143" or a firewall`)
		}
	}
	for _, a := range c.Listen.IMAP {
		check("listen.imap", a)
	}
	for _, a := range c.Listen.IMAPS {
		check("listen.imaps", a)
	}
	if c.Listen.Admin != "" {
		check("listen.admin", c.Listen.Admin)
	}
	if len(c.Listen.IMAP)+len(c.Listen.IMAPS) == 0 {
		p.errorf("listen.imap", "set listen.imap or listen.imaps", "there is no address to listen on")
	}
	switch {
	case c.TLS.Cert != "" && c.TLS.Key == "":
		p.errorf("tls.key", "set both, or neither", "tls.cert is set, but the key is not")
	case c.TLS.Cert == "" && c.TLS.Key != "":
		p.errorf("tls.cert", "set both, or neither", "tls.key is set, but the certificate is not")
	case !c.TLS.Set() && len(c.Listen.IMAPS) > 0:
		p.errorf("listen.imaps", "set tls.cert and tls.key, or listen.imaps = []", "TLS needs a certificate")
	case !c.TLS.Set() && public && c.Auth.Plaintext != "always":
		p.add(Warning, "listen.imap", "without a certificate nobody can log in from another machine", "set tls.cert and tls.key")
	}
	if public && c.Auth.Plaintext == "always" {
		p.add(Warning, "auth.plaintext", "passwords may cross the network unencrypted", `use "loopback"`)
	}
}

// checkAddress reads host:port without a lookup and says whether it is loopback.
func checkAddress(addr string) (loopback bool, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false, fmt.Errorf("config: parse address: not host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return false, fmt.Errorf("config: parse address: %q is not a port", port)
	}
	if hasControl(host) || strings.ContainsAny(host, " /") {
		return false, fmt.Errorf("config: parse address: %q is not a host", host)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback(), nil
	}
	return host == "localhost", nil
}

func (p *parser) validateTemplates() {
	for _, t := range []struct{ key, value string }{{"mail.path", p.cfg.Mail.Path}, {"mail.index", p.cfg.Mail.Index}} {
		if t.value == "" {
			if t.key == "mail.path" {
				p.errorf(t.key, `for example "/var/mail/%u/Maildir"`, "it is empty")
			}
			continue
		}
		vars, err := templateVars(t.value)
		switch {
		case err != nil:
			p.errorf(t.key, "the variables are %u (user), %n (local part), %d (domain), %h (home) and %% (a percent sign)", "%v", err)
		case strings.HasPrefix(t.value, "~"):
			p.errorf(t.key, "write %h for the home of the users file", "~ is not understood here")
		case hasControl(t.value):
			p.errorf(t.key, "remove it", "it holds a control character or invalid UTF-8")
		case slices.Contains(strings.Split(t.value, "/"), ".."):
			p.errorf(t.key, "write the path without it", `it has a ".."`)
		case vars['h'] && !strings.HasPrefix(t.value, "%h"):
			p.errorf(t.key, `start with it, as in "%h/Maildir"`, "%%h is an absolute path and stands in the middle")
		case !vars['u'] && !vars['n'] && !vars['h']:
			p.add(Warning, t.key, "it names no user, so all users share one place", "put %u, %n or %h into it")
		}
	}
}

func (p *parser) validateNames() {
	m := &p.cfg.Mail
	switch {
	case m.Prefix == "":
	case !strings.HasSuffix(m.Prefix, m.Separator) || len(m.Prefix) == len(m.Separator):
		p.errorf("mail.prefix", fmt.Sprintf("write it as %q", strings.Trim(m.Prefix, "/.")+m.Separator), "it must be a name that ends with the separator %q", m.Separator)
	case hasControl(m.Prefix) || strings.ContainsAny(m.Prefix, "*%") || strings.Contains(m.Prefix, m.Separator+m.Separator):
		p.errorf("mail.prefix", "use letters and digits", "%q cannot be part of a mailbox name", m.Prefix)
	}
	p.validateShared()
	if e := m.Escape; len(e) > 1 || len(e) == 1 && (e[0] <= ' ' || e[0] >= 0x7f || strings.ContainsAny(e, `/.*&~"\`) ||
		'0' <= e[0] && e[0] <= '9' || 'a' <= e[0]|0x20 && e[0]|0x20 <= 'z') {
		p.errorf("mail.escape", `use "%", or "" to refuse such names`, "%q is not possible here", e)
	}
	if a := p.cfg.IMAP.Admin; a != "" {
		if scheme, _, ok := strings.Cut(a, ":"); !ok || scheme == "" || hasControl(a) || strings.ContainsAny(a, " <>") {
			p.errorf("imap.admin", `write a URI, such as "mailto:postmaster@example.org"`, "%q is not a URI", a)
		}
	}
	for key, n := range map[string]int{"imap.message_limit": p.cfg.IMAP.MessageLimit, "imap.save_limit": p.cfg.IMAP.SaveLimit} {
		if n > 0 && n < 1000 { // RFC 9738 §3
			p.errorf(key, "use 0 for no limit, or 1000 and more", "%d is too low", n)
		}
	}
	for i, name := range p.cfg.IMAP.Disable {
		if name == "" || hasControl(name) || strings.ContainsAny(name, " (){%*\"\\]") {
			p.errorf("imap.disable", `write names as CAPABILITY lists them, such as "COMPRESS=DEFLATE"`, "%q is not the name of a capability", name)
			continue
		}
		p.cfg.IMAP.Disable[i] = asciiUpper(name)
		if up := p.cfg.IMAP.Disable[i]; up == "IMAP4REV1" {
			p.add(Warning, "imap.disable", "IMAP4rev1 cannot be switched off", "remove it")
		}
	}
}

// validateShared checks that the mailboxes of other users are beside the own ones.
func (p *parser) validateShared() {
	m, prefix := &p.cfg.Mail, p.cfg.Shared.Prefix
	if prefix == "" {
		return
	}
	top, _, _ := strings.Cut(prefix, m.Separator)
	switch {
	case !strings.HasSuffix(prefix, m.Separator) || len(prefix) == len(m.Separator):
		p.errorf("shared.prefix", fmt.Sprintf("write it as %q", strings.Trim(prefix, "/.")+m.Separator), "it must be a name that ends with the separator %q", m.Separator)
	case hasControl(prefix) || strings.ContainsAny(prefix, "*%") || strings.HasPrefix(prefix, m.Separator) || strings.Contains(prefix, m.Separator+m.Separator):
		p.errorf("shared.prefix", `use letters, as in "shared`+m.Separator+`"`, "%q cannot be part of a mailbox name", prefix)
	case asciiLower(top) == "inbox":
		p.errorf("shared.prefix", `write "shared`+m.Separator+`"`, "what is below INBOX is the user's own")
	case m.Prefix != "" && (strings.HasPrefix(prefix, m.Prefix) || strings.HasPrefix(m.Prefix, prefix)):
		p.errorf("shared.prefix", "use another name", "it clashes with mail.prefix %q, where the user's own mailboxes are", m.Prefix)
	}
	for _, name := range append(slices.Clone(m.Autocreate), m.Autosubscribe...) {
		if m.Prefix == "" && strings.HasPrefix(name+m.Separator, prefix) {
			p.errorf("shared.prefix", "use another name, or rename the mailbox", "%q of mail.autocreate or mail.autosubscribe would be one of another user", name)
		}
	}
}

func (p *parser) validateSpecialUse() {
	m := &p.cfg.Mail
	for _, name := range sortedKeys(m.SpecialUse) {
		attr := m.SpecialUse[name]
		i := slices.IndexFunc(specialUses, func(s string) bool { return asciiLower(s) == asciiLower(attr) })
		switch {
		case name == "" || hasControl(name) || !utf8.ValidString(name) || len(name) > maxPath:
			p.errorf("mail.special_use", "write the name as clients see it, without prefix", "%q cannot be the name of a mailbox", name)
		case asciiLower(name) == "inbox":
			p.errorf("mail.special_use", "remove it", "INBOX has no special use")
		case i < 0:
			p.errorf("mail.special_use", `use one of '`+strings.Join(specialUses, `', '`)+`', in single quotes`, "%q of %q is not an attribute", attr, name)
		default:
			m.SpecialUse[name] = specialUses[i]
		}
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"mail.autocreate", m.Autocreate}, {"mail.autosubscribe", m.Autosubscribe}} {
		for _, name := range list.names {
			if _, ok := m.SpecialUse[name]; ok {
				continue
			}
			remedy := "add it to [mail.special_use]"
			if near := nearest(name, sortedKeys(m.SpecialUse)); near != "" {
				remedy = fmt.Sprintf("did you mean %q? Else add it to [mail.special_use]", near)
			}
			p.errorf(list.key, remedy, "%q is not in [mail.special_use]", name)
		}
	}
}

func (p *parser) validateLimits() {
	l := &p.cfg.Limits
	for _, c := range []struct {
		ok          bool
		low, high   string
		lowV, highV fmt.Stringer
	}{
		{l.LinePreauth <= l.Line, "line_preauth", "line", l.LinePreauth, l.Line},
		{l.Literal <= l.LiteralsTotal, "literal", "literals_total", l.Literal, l.LiteralsTotal},
		{l.SASLMessage <= l.SASLTotal, "sasl_message", "sasl_total", l.SASLMessage, l.SASLTotal},
		{l.SASLAuthid <= l.SASLMessage, "sasl_authid", "sasl_message", l.SASLAuthid, l.SASLMessage},
		{l.LoginRead <= l.LoginTime, "login_read", "login_time", l.LoginRead, l.LoginTime},
		{l.IdleKeepalive < l.Idle, "idle_keepalive", "idle", l.IdleKeepalive, l.Idle},
		{l.AuthDelay <= l.AuthDelayMax, "auth_delay", "auth_delay_max", l.AuthDelay, l.AuthDelayMax},
		{l.UserIPConnections <= l.UserConnections, "user_ip_connections", "user_connections", number(l.UserIPConnections), number(l.UserConnections)},
		{l.UnauthenticatedIP <= l.Unauthenticated, "unauthenticated_ip", "unauthenticated", number(l.UnauthenticatedIP), number(l.Unauthenticated)},
		{l.DepthPreauth <= l.Depth, "depth_preauth", "depth", number(l.DepthPreauth), number(l.Depth)},
		{l.MetadataValue <= l.MetadataMailbox, "metadata_value", "metadata_mailbox", l.MetadataValue, l.MetadataMailbox},
		{l.MetadataMailbox <= l.MetadataAccount, "metadata_mailbox", "metadata_account", l.MetadataMailbox, l.MetadataAccount},
	} {
		if c.ok {
			continue
		}
		key := "limits." + c.low
		if p.lines[key] == 0 {
			key = "limits." + c.high // the one that was set is the one to look at
		}
		p.errorf(key, fmt.Sprintf("lower limits.%s or raise limits.%s", c.low, c.high), "limits.%s (%v) is above limits.%s (%v)", c.low, c.lowV, c.high, c.highV)
	}
	if l.Idle < minutes(30) {
		p.add(Warning, "limits.idle", fmt.Sprintf("%v is shorter than the 30 minutes that RFC 9051 §5.4 promises to clients", l.Idle), `use "31m"`)
	}
	if l.AuthDelayMax+l.AuthUserDelay >= l.LoginTime {
		p.errorf("limits.auth_delay_max", "lower it, or raise limits.login_time", "a delayed login (%v) would never end within limits.login_time (%v)", l.AuthDelayMax, l.LoginTime)
	}
}

type number int

func (n number) String() string { return strconv.Itoa(int(n)) }
