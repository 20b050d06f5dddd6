package maildir

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"roost/utf7"
)

// A Mailbox is the name of a mailbox: its levels in UTF-8 (NFC), from the top.
// {"INBOX"} is the one whose messages lie in the root. No level holds a '/',
// so they can be joined with it.
type Mailbox []string

// Inbox is the name INBOX, the one that is the same in any case.
const Inbox = "INBOX"

// Bounds of names (rule B2).
const (
	maxLevels     = 64
	maxNameOctets = 4096
)

// ParseMailbox splits a name as clients send it, in UTF-8, at sep, and brings
// it into the one form it has here. ErrName: no mailbox can have that name.
func ParseMailbox(name string, sep byte) (Mailbox, error) {
	if len(name) > maxNameOctets {
		return nil, ErrName
	}
	m := Mailbox(strings.Split(name, string(sep)))
	if len(m) > maxLevels {
		return nil, ErrName
	}
	for i, level := range m {
		m[i] = norm.NFC.String(level)
		if !validLevel(m[i]) {
			return nil, ErrName
		}
	}
	return m.fold(), nil
}

// fold writes INBOX at the top in capitals.
func (m Mailbox) fold() Mailbox {
	if len(m) > 0 && isInbox(m[0]) {
		m[0] = Inbox
	}
	return m
}

// isInbox compares in US-ASCII: strings.EqualFold knows a dotless i.
func isInbox(level string) bool {
	if len(level) != len(Inbox) {
		return false
	}
	for i := range len(level) {
		if level[i]&^0x20 != Inbox[i] {
			return false
		}
	}
	return true
}

// IsInbox reports whether m is INBOX itself.
func (m Mailbox) IsInbox() bool { return len(m) == 1 && m[0] == Inbox }

// String joins the levels with '/'; it identifies m.
func (m Mailbox) String() string { return strings.Join(m, "/") }

// Under reports whether m is below top, or top itself.
func (m Mailbox) Under(top Mailbox) bool {
	if len(m) < len(top) {
		return false
	}
	for i := range top {
		if m[i] != top[i] {
			return false
		}
	}
	return true
}

// validLevel is rule B2 but for what depends on the layout.
func validLevel(s string) bool {
	if s == "" || s == "." || s == ".." || !utf8.ValidString(s) || strings.HasPrefix(s, "\ufeff") {
		return false
	}
	for _, r := range s {
		if r == '/' || r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return false
		}
	}
	return true
}

// A Layout says which directory a mailbox is.
type Layout struct {
	// Nested is the fs layout: A/B is a directory B in a directory A. False is
	// Maildir++: a directory ".A.B" in the root.
	Nested bool
	// Escape stands before two hex digits for what the layout cannot hold, as
	// Dovecot's mailbox_list_storage_escape_char; 0: such names are refused.
	// '%' is usual.
	Escape byte
}

// Dir gives the directories to go from the root to m, each one component; none
// for INBOX. ErrName: the layout cannot hold it.
func (l Layout) Dir(m Mailbox) ([]string, error) {
	if len(m) == 0 || len(m) > maxLevels {
		return nil, ErrName
	}
	if m.IsInbox() {
		return nil, nil
	}
	if isInbox(m[0]) && m[0] != Inbox {
		return nil, ErrName
	}
	levels := make([]string, len(m))
	for i, level := range m {
		disk, err := l.encode(level, i == 0)
		if err != nil {
			return nil, err
		}
		levels[i] = disk
	}
	if !l.Nested {
		dir := "." + strings.Join(levels, ".")
		if len(dir) > NameMax || l.hidden(dir) {
			return nil, ErrName
		}
		return []string{dir}, nil
	}
	for _, level := range levels {
		if len(level) > NameMax || l.hidden(level) {
			return nil, ErrName
		}
	}
	return levels, nil
}

// encode gives the form of a level on disk.
func (l Layout) encode(level string, first bool) (string, error) {
	if !validLevel(level) {
		return "", ErrName
	}
	level = norm.NFC.String(level)
	if l.Escape == 0 {
		if !l.Nested && strings.Contains(level, ".") || l.Nested && level[0] == '.' || first && level[0] == '~' {
			return "", ErrName
		}
		return utf7.Encode(level), nil
	}
	var b strings.Builder
	for i := range len(level) {
		c := level[i]
		if c == l.Escape || i == 0 && first && c == '~' || c == '.' && (!l.Nested || i == 0) {
			b.WriteByte(l.Escape)
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return utf7.Encode(b.String()), nil
}

const hexDigits = "0123456789abcdef"

// decode reads a level on disk: modified UTF-7, or UTF-8 as Courier and others
// write it. ErrName: neither, or not a level.
func (l Layout) decode(disk string) (string, error) {
	level, err := utf7.Decode(disk)
	if err != nil {
		if isASCII(disk) || !utf8.ValidString(disk) {
			return "", ErrName
		}
		level = disk
	}
	level = norm.NFC.String(l.unescape(level))
	if !validLevel(level) {
		return "", ErrName
	}
	return level, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// unescape undoes what encode escapes; another escape sign stands for itself.
func (l Layout) unescape(s string) string {
	if l.Escape == 0 || strings.IndexByte(s, l.Escape) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == l.Escape && i+2 < len(s) {
			c, ok := unhex(s[i+1], s[i+2])
			if ok && (c == l.Escape || c == '.' || c == '~') {
				b.WriteByte(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(hi, lo byte) (byte, bool) {
	h, ok := hexValue(hi)
	l, okl := hexValue(lo)
	return h<<4 | l, ok && okl
}

func hexValue(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// hidden reports directories that are never mailboxes: other servers' and our
// own, and what is just being removed.
func (l Layout) hidden(dir string) bool {
	if !l.Nested {
		return !strings.HasPrefix(dir, ".") || dir == "." || strings.HasPrefix(dir, "..") ||
			isSillyName(dir) || dir == ".notmuch"
	}
	switch dir {
	case "cur", "new", "tmp", "subscriptions", "maildirfolder", "maildirsize":
		return true
	}
	return strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "dovecot") ||
		strings.HasPrefix(dir, "courier") || strings.HasPrefix(dir, OwnPrefix+".")
}

// Mailbox reads the directories from the root to a mailbox. ErrName: they
// decode to nothing; Tree.List has a name for them all the same.
func (l Layout) Mailbox(dir []string) (Mailbox, error) {
	if len(dir) == 0 {
		return Mailbox{Inbox}, nil
	}
	levels := dir
	if !l.Nested {
		if len(dir) != 1 || l.hidden(dir[0]) {
			return nil, ErrName
		}
		levels = strings.Split(dir[0][1:], ".")
	}
	if len(levels) > maxLevels {
		return nil, ErrName
	}
	m := make(Mailbox, len(levels))
	for i, disk := range levels {
		level, err := l.decode(disk)
		if err != nil || l.Nested && l.hidden(disk) {
			return nil, ErrName
		}
		m[i] = level
	}
	return m.fold(), nil
}
