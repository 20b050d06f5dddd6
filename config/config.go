package config

import (
	"maps"
	"net/netip"
	"strings"
)

// Config is a whole configuration. Load and Parse return it validated; it is not
// changed afterwards, so it may be shared.
//
// The tag toml names the key; min and max are the range that is accepted, oneof
// the values.
type Config struct {
	Version int    `toml:"version" min:"1" max:"1"`
	Server  Server `toml:"server"`
	Listen  Listen `toml:"listen"`
	TLS     TLS    `toml:"tls"`
	Mail    Mail   `toml:"mail"`
	Shared  Shared `toml:"shared"`
	IMAP    IMAP   `toml:"imap"`
	Auth    Auth   `toml:"auth"`
	Quota   Quota  `toml:"quota"`
	Limits  Limits `toml:"limits"`
	Log     Log    `toml:"log"`
}

// Server is about the process.
type Server struct {
	User    string `toml:"user"`    // to become after binding; empty = stay
	Control string `toml:"control"` // path of the control socket; empty = none
}

// Listen has the addresses, each host:port.
type Listen struct {
	IMAP  []string `toml:"imap"`  // cleartext, STARTTLS if [tls] is set
	IMAPS []string `toml:"imaps"` // TLS from the first byte
	Admin string   `toml:"admin"` // /metrics, /healthz; empty = none
}

// TLS has the paths of the certificate chain and its key, both PEM; both empty = no TLS.
type TLS struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// Set says whether TLS is configured.
func (t TLS) Set() bool { return t.Cert != "" && t.Key != "" }

// Mail is about the Maildirs.
type Mail struct {
	Path          string            `toml:"path"` // template, see Expand
	Layout        string            `toml:"layout" oneof:"maildir++ fs"`
	Separator     string            `toml:"separator" oneof:"/ ."`
	Prefix        string            `toml:"prefix"`
	Escape        string            `toml:"escape"`
	Index         string            `toml:"index"` // template; empty = beside the mail
	Create        string            `toml:"create" oneof:"parent always never"`
	KeepNew       bool              `toml:"keep_new"`
	Fsync         string            `toml:"fsync" oneof:"always messages never"`
	Watch         string            `toml:"watch" oneof:"auto inotify poll"`
	SpecialUse    map[string]string `toml:"special_use"` // name of a mailbox, without prefix, to its RFC 6154 §2 attribute
	Autocreate    []string          `toml:"autocreate"`  // names out of SpecialUse
	Autosubscribe []string          `toml:"autosubscribe"`
}

// SpecialUseOf returns the special-use attribute of the mailbox name (without
// prefix), "" if it has none. ASCII case does not count, so "sent items" is
// recognised; RFC 6154 §2.
func (m *Mail) SpecialUseOf(name string) string {
	if attr, ok := m.SpecialUse[name]; ok {
		return attr
	}
	folded := asciiLower(name)
	for known, attr := range m.SpecialUse {
		if asciiLower(known) == folded {
			return attr
		}
	}
	return ""
}

// Shared is about mailboxes that users share with each other (RFC 4314).
type Shared struct {
	Prefix string `toml:"prefix"` // of the mailboxes of other users; empty = nobody sees any
}

// IMAP is about the protocol.
type IMAP struct {
	LiteralMinus bool     `toml:"literal_minus"` // LITERAL- instead of LITERAL+, RFC 7888 §5
	Disable      []string `toml:"disable"`       // names of capabilities not offered, upper case
	Admin        string   `toml:"admin"`         // URI of the administrator, told to clients as /shared/admin (RFC 5464 §3.2.1.1)
	Comment      string   `toml:"comment"`       // likewise as /shared/comment

	MessageLimit int `toml:"message_limit" min:"0" max:"1000000000"` // messages of one command, RFC 9738; 0: any number
	SaveLimit    int `toml:"save_limit" min:"0" max:"1000000000"`    // likewise of COPY and APPEND alone
}

// Disabled says whether the capability name is switched off.
func (i IMAP) Disabled(name string) bool {
	name = asciiUpper(name)
	for _, d := range i.Disable {
		if d == name {
			return true
		}
	}
	return false
}

// Auth is about users and passwords.
type Auth struct {
	Users     string `toml:"users"`
	Plaintext string `toml:"plaintext" oneof:"never loopback always"`
}

// Quota limits each user for whom the users file has nothing else; 0 is no limit.
type Quota struct {
	Storage   Size `toml:"storage" min:"0" max:"1024TiB"`
	Messages  int  `toml:"messages" min:"0" max:"1000000000"`
	Mailboxes int  `toml:"mailboxes" min:"0" max:"1000000"`
}

// Log is about the log on standard error.
type Log struct {
	Format string `toml:"format" oneof:"text json"`
	Level  string `toml:"level" oneof:"debug info warn error"`
}

// Default returns the configuration of an empty file, freshly allocated.
func Default() *Config {
	return &Config{
		Version: 1,
		Server:  Server{Control: "/run/roost/control.sock"},
		Listen: Listen{
			IMAP:  []string{"127.0.0.1:143"},
			IMAPS: []string{"0.0.0.0:993"},
			Admin: "127.0.0.1:9143",
		},
		TLS: TLS{Cert: "/etc/roost/fullchain.pem", Key: "/etc/roost/privkey.pem"},
		Mail: Mail{
			Path: "/var/mail/%u/Maildir", Layout: "maildir++", Separator: "/", Escape: "%",
			Create: "parent", Fsync: "always", Watch: "auto",
			SpecialUse: maps.Clone(defaultSpecialUse),
		},
		Auth:   Auth{Users: "/etc/roost/users", Plaintext: "loopback"},
		Limits: defaultLimits(),
		Log:    Log{Format: "text", Level: "info"},
	}
}

// defaultSpecialUse has the names that clients create themselves (Thunderbird,
// Outlook, Apple Mail), so that they find the same mailboxes on every device.
var defaultSpecialUse = map[string]string{
	"Archive":          `\Archive`,
	"Archives":         `\Archive`,
	"Deleted Items":    `\Trash`,
	"Deleted Messages": `\Trash`,
	"Drafts":           `\Drafts`,
	"Junk":             `\Junk`,
	"Sent":             `\Sent`,
	"Sent Items":       `\Sent`,
	"Sent Messages":    `\Sent`,
	"Spam":             `\Junk`,
	"Trash":            `\Trash`,
}

// specialUses are the attributes of RFC 6154 §2 and RFC 8457 §3.
var specialUses = []string{`\All`, `\Archive`, `\Drafts`, `\Flagged`, `\Important`, `\Junk`, `\Sent`, `\Trash`}

func defaultTrusted() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func asciiUpper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}
