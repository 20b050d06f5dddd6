package wire

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"roost/utf7"
)

const maxMailboxName = 4096

// Mailbox reads the name of a mailbox and gives it in UTF-8. INBOX in any case
// is "INBOX". One separator at the end is dropped.
//
// COMPAT: Thunderbird adds the separator to names of mailboxes for mailboxes
// only, not just in CREATE.
//
//	mailbox = "INBOX" / astring
func (sc *Scanner) Mailbox() string {
	s := sc.AString()
	if sc.err != nil {
		return ""
	}
	name, ok := sc.decodeName(s)
	if !ok {
		sc.Fail("mailbox name is not valid " + sc.encoding())
		return ""
	}
	if len(name) > maxMailboxName {
		sc.fail(&SyntaxError{Text: "mailbox name too long", Code: "LIMIT", Refused: true})
		return ""
	}
	if n := len(name); n > 1 && sc.Separator != 0 && name[n-1] == sc.Separator {
		name = name[:n-1]
	}
	if EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// ListMailbox reads a pattern of LIST in UTF-8; ok is false if it is not well
// formed: such a pattern matches nothing (RFC 9051 §6.3.9).
//
//	list-mailbox = 1*list-char / string
func (sc *Scanner) ListMailbox() (pattern string, ok bool) {
	var s string
	if c := sc.Peek(); c == '"' || c == '{' {
		s = sc.String()
	} else {
		s = sc.run(listChar, "a pattern")
	}
	if sc.err != nil {
		return "", false
	}
	if len(s) > maxMailboxName {
		sc.fail(&SyntaxError{Text: "pattern too long", Code: "LIMIT", Refused: true})
		return "", false
	}
	return sc.decodeName(s)
}

// decodeName gives the UTF-8 form of a name.
func (sc *Scanner) decodeName(s string) (string, bool) {
	if sc.UTF8 {
		return s, utf8.ValidString(s)
	}
	if name, err := utf7.Decode(s); err == nil {
		return name, true
	}
	return decodeMixed(s)
}

// decodeMixed reads a name that is UTF-8 although nobody enabled that, with
// `&-` for an ampersand. On the wire it goes out in modified UTF-7 all the same.
//
// COMPAT: go-imap's imapclient writes names so as soon as IMAP4rev2 is offered.
func decodeMixed(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	var b strings.Builder
	wide := false
	for len(s) > 0 {
		i := strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
		if i != 0 {
			if i < 0 {
				i = len(s)
			}
			name, err := utf7.Decode(s[:i])
			if err != nil {
				return "", false
			}
			b.WriteString(name)
		} else {
			_, i = utf8.DecodeRuneInString(s)
			b.WriteString(s[:i])
			wide = true
		}
		s = s[i:]
	}
	return b.String(), wide
}

func (sc *Scanner) encoding() string {
	if sc.UTF8 {
		return "UTF-8"
	}
	return "modified UTF-7"
}

// Flag reads one flag; what is no atom or begins with two backslashes is an
// error. Which system flags exist is not known here.
//
//	flag = "\" atom / flag-keyword
func (sc *Scanner) Flag() imap.Flag {
	if sc.Take('\\') {
		return imap.Flag("\\" + sc.Atom())
	}
	return imap.Flag(sc.Atom())
}

// FlagList reads a list of flags, which may be empty.
//
//	flag-list = "(" [flag *(SP flag)] ")"
func (sc *Scanner) FlagList() []imap.Flag {
	var flags []imap.Flag
	sc.List(func() { flags = append(flags, sc.Flag()) })
	if sc.err != nil {
		return nil
	}
	return flags
}

// Flags reads the flags of STORE.
//
//	flag-list / (flag *(SP flag))
func (sc *Scanner) Flags() []imap.Flag {
	if sc.Peek() == '(' {
		return sc.FlagList()
	}
	flags := []imap.Flag{sc.Flag()}
	for sc.Take(' ') {
		flags = append(flags, sc.Flag())
	}
	if sc.err != nil {
		return nil
	}
	return flags
}

// DateTime reads the date of an APPEND. The day may come without its padding.
//
//	date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
func (sc *Scanner) DateTime() time.Time {
	if sc.Peek() != '"' {
		sc.Fail("expected a date")
		return time.Time{}
	}
	s := sc.quoted()
	if sc.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", s)
	if err != nil || strings.ContainsAny(s, ".,") { // time.Parse takes fractions of seconds
		sc.Fail("invalid date")
		return time.Time{}
	}
	_, offset := t.Zone()
	return t.In(time.FixedZone("", offset)) // never "Local", also where the offset is the same
}

// Date reads the date of a SEARCH key, at midnight UTC.
//
//	date      = date-text / DQUOTE date-text DQUOTE
//	date-text = date-day "-" date-month "-" date-year
func (sc *Scanner) Date() time.Time {
	var s string
	if sc.Peek() == '"' {
		s = sc.quoted()
	} else {
		s = sc.Atom()
	}
	if sc.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		sc.Fail("invalid date")
		return time.Time{}
	}
	return t
}
