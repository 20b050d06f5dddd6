package session

import (
	"strings"

	"roost/wire"
)

// A listPattern is one canonical LIST pattern: reference and mailbox pattern
// put together (RFC 9051 §6.3.9).
type listPattern struct {
	text   string // no wildcard directly before or behind another but for `%` and `*` kept as the stronger
	sep    byte
	levels bool // it ends with `%`: levels of hierarchy that are no mailboxes match too
}

// newListPattern prepares a pattern. Wildcards that stand together become one:
// `*` if one of them is.
func newListPattern(text string, sep byte) listPattern {
	p := listPattern{sep: sep, levels: strings.HasSuffix(text, "%")}
	var b strings.Builder
	for i := 0; i < len(text); {
		if !isWildcard(text[i]) {
			b.WriteByte(text[i])
			i++
			continue
		}
		c := text[i]
		for ; i < len(text) && isWildcard(text[i]); i++ {
			if text[i] == '*' {
				c = '*'
			}
		}
		b.WriteByte(c)
	}
	p.text = b.String()
	return p
}

func isWildcard(c byte) bool { return c == '*' || c == '%' }

// countWildcards is what the limit counts.
func countWildcards(text string) int {
	return strings.Count(text, "*") + strings.Count(text, "%")
}

// match reports whether name matches as a whole: `*` stands for anything, `%`
// for anything but the separator. INBOX, alone or as the first level, is the
// same in any case.
//
// On a mismatch only the last `%` and the last `*` are tried longer. That is
// enough: what is reachable from a later place for an earlier wildcard is
// reachable from the earliest one, because the literal text between two
// wildcards either holds a separator, and then fits in one place only as far as
// `%` is concerned, or does not, and then the next wildcard covers the
// difference.
func (p *listPattern) match(name string) bool {
	fold := inboxLength(name, p.sep)
	text := p.text
	const none = -1
	star, starAt := none, 0 // place of `*` in text, and how far it reaches in name
	pct, pctAt := none, 0   // likewise for a `%` behind it
	i, j := 0, 0
	for {
		switch {
		case j < len(text) && text[j] == '*':
			star, starAt, pct = j, i, none
			j++
			continue
		case j < len(text) && text[j] == '%':
			pct, pctAt = j, i
			j++
			continue
		case i == len(name) && j == len(text):
			return true
		case i < len(name) && j < len(text) && (text[j] == name[i] || i < fold && lowerASCII(text[j]) == lowerASCII(name[i])):
			i++
			j++
			continue
		case pct != none && pctAt < len(name) && name[pctAt] != p.sep:
			pctAt++
			i, j = pctAt, pct+1
		case star != none && starAt < len(name):
			starAt++
			i, j, pct = starAt, star+1, none
		default:
			return false
		}
	}
}

// inboxLength is how many octets of name compare without case.
func inboxLength(name string, sep byte) int {
	const inbox = "INBOX"
	if strings.HasPrefix(name, inbox) && (len(name) == len(inbox) || name[len(inbox)] == sep) {
		return len(inbox)
	}
	return 0
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// A listPatterns is all patterns of one command: a name matches if it matches
// one of them.
type listPatterns []listPattern

// match reports whether a mailbox matches.
func (ps listPatterns) match(name string) bool {
	for i := range ps {
		if ps[i].match(name) {
			return true
		}
	}
	return false
}

// reaches reports whether name, or something below it, may match. It is true
// sometimes where nothing does.
func (ps listPatterns) reaches(name string) bool {
	for i := range ps {
		if ps[i].reaches(name) {
			return true
		}
	}
	return false
}

func (p *listPattern) reaches(name string) bool {
	literal := p.text
	if cut := strings.IndexAny(literal, "*%"); cut >= 0 {
		literal = literal[:cut]
	}
	n := min(len(literal), len(name))
	if !wire.EqualFold(literal[:n], name[:n]) { // INBOX has no case
		return false
	}
	sep := string(p.sep)
	return strings.Contains(p.text, "*") || strings.Count(p.text, sep) >= strings.Count(name, sep)
}

// matchLevel reports whether a level of hierarchy that is no mailbox matches.
func (ps listPatterns) matchLevel(name string) bool {
	for i := range ps {
		if ps[i].levels && ps[i].match(name) {
			return true
		}
	}
	return false
}
