package config

import (
	"net/netip"
	"time"
)

// Limits bounds what one client, one address and all of them together may use.
// The keys lie flat under [limits]; the parts only order them.
type Limits struct {
	Memory Size `toml:"memory" min:"16MiB" max:"1TiB"` // of live mailboxes; GOMEMLIMIT is twice this
	ConnectionLimits
	TimeLimits
	CommandLimits
	PreauthLimits
	AuthLimits
	MailboxLimits
}

// ConnectionLimits count connections. Addresses are single IPv4 addresses and /64
// networks of IPv6.
type ConnectionLimits struct {
	Sessions          int            `toml:"sessions" min:"1" max:"1000000"`
	UserConnections   int            `toml:"user_connections" min:"1" max:"1000000"`
	UserIPConnections int            `toml:"user_ip_connections" min:"1" max:"1000000"`
	ConnectionRate    int            `toml:"connection_rate" min:"1" max:"1000000"` // a minute and address, of those that end without a login
	Unauthenticated   int            `toml:"unauthenticated" min:"1" max:"1000000"`
	UnauthenticatedIP int            `toml:"unauthenticated_ip" min:"1" max:"1000000"` // per address
	Trusted           []netip.Prefix `toml:"trusted"`                                  // exempt from all that counts per address, and from delays
	MinUID            int            `toml:"min_uid" min:"0" max:"4294967294"`         // owners of mail below it are refused
}

// TimeLimits bound waiting.
type TimeLimits struct {
	LoginTime        Duration `toml:"login_time" min:"1s" max:"1h"`
	LoginRead        Duration `toml:"login_read" min:"1s" max:"1h"`
	TLSHandshake     Duration `toml:"tls_handshake" min:"1s" max:"10m"`
	Idle             Duration `toml:"idle" min:"1m" max:"168h"`
	IdleKeepalive    Duration `toml:"idle_keepalive" min:"10s" max:"29m"`
	Poll             Duration `toml:"poll" min:"1s" max:"1h"`
	WriteStall       Duration `toml:"write_stall" min:"1s" max:"1h"`
	LiteralStall     Duration `toml:"literal_stall" min:"1s" max:"1h"`
	LiteralRate      Size     `toml:"literal_rate" min:"0" max:"1GiB"` // a second, once LiteralRateAfter has passed
	LiteralRateAfter Duration `toml:"literal_rate_after" min:"1s" max:"1h"`
}

// CommandLimits bound one command of an authenticated client.
type CommandLimits struct {
	Line            Size `toml:"line" min:"8KiB" max:"16MiB"`
	Literal         Size `toml:"literal" min:"1KiB" max:"64MiB"` // other than of APPEND
	Literals        int  `toml:"literals" min:"1" max:"100000"`  // a command
	LiteralsTotal   Size `toml:"literals_total" min:"1KiB" max:"256MiB"`
	Append          Size `toml:"append" min:"64KiB" max:"4GiB"`
	Depth           int  `toml:"depth" min:"4" max:"1000"` // of parentheses
	BadCommands     int  `toml:"bad_commands" min:"1" max:"1000000"`
	SearchTerms     int  `toml:"search_terms" min:"10" max:"1000000"`
	SearchDepth     int  `toml:"search_depth" min:"2" max:"1000"`
	SetRanges       int  `toml:"set_ranges" min:"100" max:"1000000"`
	ListPatterns    int  `toml:"list_patterns" min:"1" max:"10000"`
	ListWildcards   int  `toml:"list_wildcards" min:"1" max:"1000"`
	NotifyMailboxes int  `toml:"notify_mailboxes" min:"1" max:"100000"`
	IDPairs         int  `toml:"id_pairs" min:"1" max:"30"` // RFC 2971 §3.3
}

// PreauthLimits bound what a client may send before it logged in.
type PreauthLimits struct {
	LinePreauth        Size `toml:"line_preauth" min:"1KiB" max:"1MiB"`
	LiteralPreauth     Size `toml:"literal_preauth" min:"256B" max:"1MiB"`
	DepthPreauth       int  `toml:"depth_preauth" min:"0" max:"100"`
	BadCommandsPreauth int  `toml:"bad_commands_preauth" min:"1" max:"1000"`
	SASLMessage        Size `toml:"sasl_message" min:"1KiB" max:"1MiB"` // decoded
	SASLTotal          Size `toml:"sasl_total" min:"1KiB" max:"16MiB"`  // of one exchange
	SASLAuthid         Size `toml:"sasl_authid" min:"255B" max:"64KiB"` // RFC 4616 §2 asks for 255
}

// AuthLimits slow down guessing.
type AuthLimits struct {
	AuthDelay      Duration `toml:"auth_delay" min:"0s" max:"1m"`      // after the first failure of an address, then doubled
	AuthDelayMax   Duration `toml:"auth_delay_max" min:"0s" max:"5m"`  // up to this
	AuthUserDelay  Duration `toml:"auth_user_delay" min:"0s" max:"1m"` // of a user with failures, from anywhere
	AuthFailures   int      `toml:"auth_failures" min:"1" max:"1000"`  // a connection, then BYE
	PasswordChecks int      `toml:"password_checks" min:"0" max:"1024"`
}

// MailboxLimits bound keywords and annotations.
type MailboxLimits struct {
	KeywordLength int `toml:"keyword_length" min:"16" max:"1024"` // bytes

	MetadataValue   Size `toml:"metadata_value" min:"1KiB" max:"1MiB"`   // one annotation; RFC 5464 §4.1 asks for 1 KiB
	MetadataEntries int  `toml:"metadata_entries" min:"10" max:"100000"` // a mailbox; it asks for 10
	MetadataMailbox Size `toml:"metadata_mailbox" min:"10KiB" max:"8MiB"`
	MetadataAccount Size `toml:"metadata_account" min:"100KiB" max:"128MiB"`
}

func seconds(n int) Duration { return Duration(time.Duration(n) * time.Second) }
func minutes(n int) Duration { return seconds(60 * n) }

func defaultLimits() Limits {
	return Limits{
		Memory: 256 * MiB,
		ConnectionLimits: ConnectionLimits{
			Sessions: 10000, UserConnections: 100, UserIPConnections: 30, ConnectionRate: 60,
			Unauthenticated: 1000, UnauthenticatedIP: 10, Trusted: defaultTrusted(), MinUID: 1,
		},
		TimeLimits: TimeLimits{
			LoginTime: seconds(60), LoginRead: seconds(30), TLSHandshake: seconds(15),
			Idle: minutes(31), IdleKeepalive: minutes(2), Poll: seconds(30),
			WriteStall:   seconds(60),
			LiteralStall: seconds(30), LiteralRate: KiB, LiteralRateAfter: seconds(60),
		},
		CommandLimits: CommandLimits{
			Line: 64 * KiB, Literal: 128 * KiB, Literals: 256, LiteralsTotal: MiB, Append: 128 * MiB,
			Depth: 32, BadCommands: 20,
			SearchTerms: 1000, SearchDepth: 32, SetRanges: 10000, ListPatterns: 32, ListWildcards: 32,
			NotifyMailboxes: 1000, IDPairs: 30,
		},
		PreauthLimits: PreauthLimits{
			LinePreauth: 8 * KiB, LiteralPreauth: KiB, DepthPreauth: 1, BadCommandsPreauth: 3,
			SASLMessage: 8 * KiB, SASLTotal: 64 * KiB, SASLAuthid: KiB,
		},
		AuthLimits: AuthLimits{
			AuthDelay: seconds(2), AuthDelayMax: seconds(15), AuthUserDelay: seconds(1), AuthFailures: 5,
		},
		MailboxLimits: MailboxLimits{
			KeywordLength: 50,
			MetadataValue: 64 * KiB, MetadataEntries: 1000, MetadataMailbox: MiB, MetadataAccount: 16 * MiB,
		},
	}
}
