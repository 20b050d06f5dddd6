package session

import (
	"context"
	"strconv"
	"strings"
)

// A capability is one word of the list that CAPABILITY gives, while the session
// is in one of its states.
type capability struct {
	name   string
	states state
	when   func(*Session) bool // nil: always
	value  func(*Session) string
}

// capabilityList is everything that is offered, in the order of the answer.
var capabilityList = []capability{
	{name: "IMAP4rev1", states: anyState},
	{name: "IMAP4rev2", states: anyState},
	{name: "LITERAL+", states: anyState, when: func(s *Session) bool { return !s.opt.LiteralMinus }}, // RFC 7888
	{name: "LITERAL-", states: anyState, when: func(s *Session) bool { return s.opt.LiteralMinus }},
	{name: "SASL-IR", states: anyState}, // RFC 4959
	{name: "ID", states: anyState},      // RFC 2971
	{name: "ENABLE", states: anyState},  // RFC 5161
	{name: "IDLE", states: anyState},    // RFC 2177
	{name: "LOGIN-REFERRALS", states: notAuthenticated, when: func(s *Session) bool { return s.opt.Auth.Refers() }}, // RFC 2221
	{name: "STARTTLS", states: notAuthenticated, when: func(s *Session) bool { return s.tls == nil && s.opt.tlsConfig() != nil }},
	{name: "LOGINDISABLED", states: notAuthenticated, when: func(s *Session) bool { return !s.private() }},

	// After login. Each family of commands adds its own.
	{name: "UNSELECT", states: loggedIn},           // RFC 3691
	{name: "UIDPLUS", states: loggedIn},            // RFC 4315
	{name: "NAMESPACE", states: loggedIn},          // RFC 2342
	{name: "CHILDREN", states: loggedIn},           // RFC 3348
	{name: "LIST-EXTENDED", states: loggedIn},      // RFC 5258
	{name: "LIST-STATUS", states: loggedIn},        // RFC 5819
	{name: "SPECIAL-USE", states: loggedIn},        // RFC 6154
	{name: "CREATE-SPECIAL-USE", states: loggedIn}, // RFC 6154 §3
	{name: "STATUS=SIZE", states: loggedIn},        // RFC 8438
	{name: "MOVE", states: loggedIn},               // RFC 6851
	{name: "CONDSTORE", states: loggedIn},          // RFC 7162
	{name: "QRESYNC", states: loggedIn},            // RFC 7162
	{name: "OBJECTID", states: loggedIn},           // RFC 8474
	{name: "UTF8=ACCEPT", states: loggedIn},        // RFC 9755
	{name: "COMPRESS=DEFLATE", states: loggedIn, when: func(s *Session) bool { return s.deflate == nil }}, // RFC 4978
	{name: "UNAUTHENTICATE", states: loggedIn},                                                            // RFC 8437
	{name: "PREVIEW", states: loggedIn},                                                                   // RFC 8970
	{name: "ESEARCH", states: loggedIn},                                                                   // RFC 4731
	{name: "SEARCHRES", states: loggedIn},                                                                 // RFC 5182
	{name: "WITHIN", states: loggedIn},                                                                    // RFC 5032
	{name: "SAVEDATE", states: loggedIn},                                                                  // RFC 8514
	{name: "BINARY", states: loggedIn},                                                                    // RFC 3516
	{name: "MULTIAPPEND", states: loggedIn},                                                               // RFC 3502
	{name: "NOTIFY", states: loggedIn},                                                                    // RFC 5465
	{name: "INPROGRESS", states: loggedIn},                                                                // RFC 9585

	// Searching, sorting and threading.
	{name: "SORT", states: loggedIn},                  // RFC 5256
	{name: "SORT=DISPLAY", states: loggedIn},          // RFC 5957
	{name: "ESORT", states: loggedIn},                 // RFC 5267 §3
	{name: "CONTEXT=SEARCH", states: loggedIn},        // RFC 5267 §4
	{name: "CONTEXT=SORT", states: loggedIn},          // RFC 5267 §4
	{name: "THREAD=ORDEREDSUBJECT", states: loggedIn}, // RFC 5256
	{name: "THREAD=REFERENCES", states: loggedIn},     // RFC 5256
	{name: "THREAD=REFS", states: loggedIn},           // draft-ietf-morg-inthread
	{name: "MULTISEARCH", states: loggedIn},           // RFC 7377
	{name: "FILTERS", states: loggedIn, when: func(s *Session) bool { return !s.opt.disabled("METADATA") }}, // RFC 5466
	{name: "I18NLEVEL=2", states: loggedIn}, // RFC 5255 §4
	{name: "LANGUAGE", states: anyState},    // RFC 5255 §3

	{name: "METADATA", states: loggedIn},      // RFC 5464; that it includes METADATA-SERVER goes without saying
	{name: "LIST-METADATA", states: loggedIn}, // RFC 9590
	{name: "ACL", states: loggedIn},           // RFC 4314
	{name: "RIGHTS", states: loggedIn, when: func(s *Session) bool { return !s.opt.disabled("ACL") }, // RFC 4314 §2.2
		value: func(*Session) string { return "texk" }},
	{name: "LIST-MYRIGHTS", states: loggedIn}, // RFC 8440
	{name: "QUOTA", states: loggedIn},         // RFC 9208
	{name: "QUOTA=RES-STORAGE", states: loggedIn},
	{name: "QUOTA=RES-MESSAGE", states: loggedIn},
	{name: "QUOTA=RES-MAILBOX", states: loggedIn},
	{name: "QUOTASET", states: loggedIn},
	{name: "APPENDLIMIT", states: loggedIn, value: func(s *Session) string { // RFC 7889
		return strconv.FormatInt(s.opt.Limits.Append, 10)
	}},

	{name: "PARTIAL", states: loggedIn},    // RFC 9394
	{name: "UIDONLY", states: loggedIn},    // RFC 9586
	{name: "UIDBATCHES", states: loggedIn}, // RFC 10022
	{name: "REPLACE", states: loggedIn},    // RFC 8508
	{name: "CATENATE", states: loggedIn},   // RFC 4469
	{name: "URL-PARTIAL", states: loggedIn, when: func(s *Session) bool { return !s.opt.disabled("CATENATE") }}, // RFC 5550 §5.7.1
	{name: "MESSAGELIMIT", states: loggedIn, when: func(s *Session) bool { return s.opt.MessageLimit > 0 }, // RFC 9738
		value: func(s *Session) string { return strconv.Itoa(s.opt.MessageLimit) }},
	{name: "SAVELIMIT", states: loggedIn, when: func(s *Session) bool { return s.opt.SaveLimit > 0 },
		value: func(s *Session) string { return strconv.Itoa(s.opt.SaveLimit) }},
}

// offers says whether the capability name is in the list now.
func (s *Session) offers(name string) bool {
	for i := range capabilityList {
		if capabilityList[i].name == name {
			return s.offersThat(&capabilityList[i])
		}
	}
	return false
}

func (s *Session) offersThat(c *capability) bool {
	return c.states&s.state != 0 && (c.when == nil || c.when(s)) && !s.opt.disabled(strings.ToUpper(c.name))
}

// capabilities is the list for the present state, for the response and for the
// code.
func (s *Session) capabilities() string {
	var b strings.Builder
	for i := range capabilityList {
		c := &capabilityList[i]
		if !s.offersThat(c) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(c.name)
		if c.value != nil {
			b.WriteByte('=')
			b.WriteString(c.value(s))
		}
	}
	if s.state == notAuthenticated {
		for _, m := range s.opt.Auth.Mechanisms(s.private()) {
			if !s.opt.disabled("AUTH=" + m) {
				b.WriteString(" AUTH=" + m)
			}
		}
	}
	return b.String()
}

// private says whether a password may be sent here.
func (s *Session) private() bool {
	return s.tls != nil || s.opt.Plaintext != nil && s.opt.Plaintext(s.raw.RemoteAddr())
}

// runCapability is CAPABILITY (RFC 9051 §6.1.1).
func runCapability(_ context.Context, s *Session) error {
	s.w.Untagged()
	s.w.Raw("CAPABILITY ")
	s.w.Raw(s.capabilities())
	s.w.CRLF()
	return nil
}
