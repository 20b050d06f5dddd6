package session

import (
	"crypto/tls"
	"log/slog"
	"net"
	"slices"
	"time"

	"roost/auth"
	"roost/mailbox"
	"roost/wire"
)

// Options are what the sessions of a Server need. They are not changed after
// they were given to it.
type Options struct {
	Auth  *auth.Service
	Store *mailbox.Store
	// Mail says where the mail of a user is.
	Mail func(auth.User) (mailbox.User, error)
	// TLS gives the configuration for STARTTLS and for TLS from the first byte;
	// nil, or nil given: no TLS.
	TLS func() *tls.Config
	// Plaintext says whether a client at this address may send a password
	// without TLS; nil: never.
	Plaintext func(net.Addr) bool
	// Login is called when conn, as it was given to Serve, has authenticated as
	// user; its error refuses the login and its text is for the client. May be
	// nil.
	Login func(conn net.Conn, user string) error
	// Logout is called when conn goes on without a user (UNAUTHENTICATE). May be
	// nil.
	Logout       func(conn net.Conn)
	Disable      []string // capabilities that are not offered, upper case
	LiteralMinus bool     // LITERAL- instead of LITERAL+ (RFC 7888 §5)
	// ServerAdmin and ServerComment are the server's entries /shared/admin, a URI,
	// and /shared/comment (RFC 5464 §3.2.1.1). Empty: none.
	ServerAdmin, ServerComment string

	Name    string // of the server, in the greeting and for ID
	Version string // for ID; empty: not told
	Limits  Limits

	Log *slog.Logger     // nil: discard
	Now func() time.Time // for latencies and progress, not for deadlines; nil: time.Now

	// MessageLimit is how many messages one command may work on, SaveLimit how
	// many COPY and APPEND may make; 0: any number (RFC 9738).
	MessageLimit, SaveLimit int
}

// Limits bound one connection. Sizes are octets.
type Limits struct {
	PreAuth wire.Limits // of commands before login
	Auth    wire.Limits // after it
	Append  int64       // one message

	BadCommandsPreAuth int // then BYE; the very first bad command is BYE too
	BadCommands        int // in a row
	AuthFailures       int // then BYE
	SASLMessage        int // decoded
	SASLTotal          int // decoded, of one exchange

	LoginTime        time.Duration // to log in
	LoginRead        time.Duration // one read before login
	TLSHandshake     time.Duration
	Idle             time.Duration // between two commands, at least 30 minutes
	IdleKeepalive    time.Duration // "* OK Still here" in IDLE
	WriteStall       time.Duration // for 64 KiB to be taken by the client
	LiteralStall     time.Duration // one read inside a command
	LiteralRate      int64         // octets a second inside a command, once
	LiteralRateAfter time.Duration // so long was spent reading it

	IDPairs         int
	SearchTerms     int
	SearchDepth     int
	ListPatterns    int
	ListWildcards   int
	NotifyMailboxes int
	KeywordLength   int
}

// DefaultLimits are the defaults of the configuration.
func DefaultLimits() Limits {
	return Limits{
		PreAuth: wire.PreAuthLimits(), Auth: wire.DefaultLimits(), Append: 128 << 20,
		BadCommandsPreAuth: 3, BadCommands: 20, AuthFailures: 5, SASLMessage: 8 << 10, SASLTotal: 64 << 10,
		LoginTime: time.Minute, LoginRead: 30 * time.Second, TLSHandshake: 15 * time.Second,
		Idle: 31 * time.Minute, IdleKeepalive: 2 * time.Minute,
		WriteStall: time.Minute, LiteralStall: 30 * time.Second, LiteralRate: 1 << 10, LiteralRateAfter: time.Minute,
		IDPairs: 30, SearchTerms: 1000, SearchDepth: 32, ListPatterns: 32, ListWildcards: 32,
		NotifyMailboxes: 1000, KeywordLength: 50,
	}
}

func (o *Options) disabled(name string) bool { return slices.Contains(o.Disable, name) }

func (o *Options) tlsConfig() *tls.Config {
	if o.TLS == nil {
		return nil
	}
	return o.TLS()
}
