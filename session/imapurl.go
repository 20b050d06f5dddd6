package session

import (
	"errors"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/wire"
)

// This file reads the IMAP URLs of CATENATE (RFC 4469 §3, RFC 5092): relative
// ones that name a message here, or a part of one.

// A messageURL names octets of a message.
type messageURL struct {
	mailbox     string // empty: the selected one
	uidValidity uint32 // 0: not given
	uid         imap.UID
	section     section // with what ;PARTIAL= gave; count -1: up to the end
}

var errURL = errors.New("session: not the URL of a message")

// maxURL bounds a URL.
const maxURL = 8 << 10

// parseMessageURL reads
//
//	["/"] [imailbox-ref "/"] iuid-only ["/" isection-only] ["/" ipartial-only] ["/"]
//	imailbox-ref  = enc-mailbox [";UIDVALIDITY=" nz-number]
//	iuid-only     = ";UID=" nz-number
//	isection-only = ";SECTION=" enc-section
//	ipartial-only = ";PARTIAL=" number64 ["." nz-number64]
//
// RFC 5092 §7. The base is the selected mailbox, so that ";UID=1" is a message of
// it. Errors are errURL.
func parseMessageURL(url string) (messageURL, error) {
	var u messageURL
	if len(url) > maxURL || strings.ContainsAny(url, "?#") {
		return u, errURL
	}
	i := indexFold(url, ";uid=")
	if i < 0 || i > 0 && url[i-1] != '/' {
		return u, errURL
	}
	if err := u.takeMailbox(url[:i]); err != nil {
		return u, err
	}
	for n, item := range strings.Split(strings.TrimSuffix(url[i:], "/"), "/") {
		name, value, ok := strings.Cut(item, "=")
		if !ok {
			return u, errURL
		}
		switch name = strings.ToUpper(name); {
		case name == ";UID" && n == 0:
			uid, err := parseNZ(value)
			if err != nil {
				return u, err
			}
			u.uid = imap.UID(uid)
		case name == ";SECTION" && n == 1:
			if err := u.takeSection(value); err != nil {
				return u, err
			}
		case name == ";PARTIAL" && n > 0 && !u.section.partial:
			if err := u.takePartial(value); err != nil {
				return u, err
			}
		default:
			return u, errURL // also what would have to stand before
		}
		if u.section.partial && name != ";PARTIAL" {
			return u, errURL
		}
	}
	return u, nil
}

// indexFold is where the ASCII text lower occurs in s, in any case.
func indexFold(s, lower string) int {
	for i := 0; i+len(lower) <= len(s); i++ {
		if wire.EqualFold(s[i:i+len(lower)], lower) {
			return i
		}
	}
	return -1
}

// takeMailbox reads what is before ";UID=", with the slash behind it.
func (u *messageURL) takeMailbox(ref string) error {
	ref = strings.TrimSuffix(strings.TrimPrefix(ref, "/"), "/")
	if ref == "" {
		return nil
	}
	if i := indexFold(ref, ";uidvalidity="); i >= 0 {
		n, err := parseNZ(ref[i+len(";uidvalidity="):])
		if err != nil {
			return err
		}
		u.uidValidity, ref = n, ref[:i]
	}
	if strings.ContainsAny(ref, ";:") || strings.HasPrefix(ref, "/") { // another scheme or server
		return errURL
	}
	name, err := unescapeURL(ref)
	if err != nil || name == "" {
		return errURL
	}
	if wire.EqualFold(name, "INBOX") {
		name = "INBOX"
	}
	u.mailbox = name
	return nil
}

// takeSection reads a section as FETCH takes it between brackets.
func (u *messageURL) takeSection(enc string) error {
	spec, err := unescapeURL(enc)
	if err != nil || spec == "" || strings.ContainsAny(spec, "[]{<") {
		return errURL
	}
	in := wire.NewInput(strings.NewReader("u SECTION [" + spec + "]\r\n"))
	sc := wire.NewScanner(in, wire.PreAuthLimits(), func() error { return errURL })
	if err := sc.Begin(); err != nil {
		return errURL
	}
	sc.SP()
	u.section = scanSection(sc)
	if sc.End() != nil {
		return errURL
	}
	return nil
}

// takePartial reads an offset and a size, which may be missing.
func (u *messageURL) takePartial(value string) error {
	from, size, ok := strings.Cut(value, ".")
	u.section.partial, u.section.count = true, -1
	var err error
	if u.section.offset, err = parseNumber64(from); err != nil {
		return err
	}
	if ok {
		if u.section.count, err = parseNumber64(size); err != nil || u.section.count == 0 {
			return errURL
		}
	}
	return nil
}

func parseNumber64(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, errURL
	}
	return int64(n), nil
}

func parseNZ(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, errURL
	}
	return uint32(n), nil
}

// unescapeURL decodes %XX. Octets that no name of a mailbox and no section has,
// control characters, are refused.
func unescapeURL(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", errURL
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", errURL
			}
			c = byte(n)
			i += 2
		}
		if c < ' ' || c == 0x7f {
			return "", errURL
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// badURL is the answer to a URL that cannot be used (RFC 4469 §4.1).
//
//	badurl-response-code = "BADURL" SP url-resp-text
func badURL(url string) error {
	clean := []byte(url)
	for i, c := range clean {
		if c < ' ' || c >= 0x7f || c == ']' {
			clean[i] = '?'
		}
	}
	return no("BADURL "+string(clean[:min(len(clean), 1000)]), "cannot take what this URL names")
}
