package wire

import (
	"math"
	"strings"
)

// Classes of octets (RFC 9051 §9).
const (
	atomChar    = 1 << iota // ATOM-CHAR
	astringChar             // ASTRING-CHAR: also `]`
	listChar                // list-char: also `]`, `%`, `*`
	nameChar                // letters, digits, `.`, `-`, `_`: names of items
	textChar                // what a quoted string holds without escape
)

var class = func() (t [256]uint8) {
	for c := 0x20; c < 0x7f; c++ {
		if !strings.ContainsRune(`(){%*"\] `, rune(c)) {
			t[c] |= atomChar | astringChar | listChar
		}
		if c != '"' && c != '\\' {
			t[c] |= textChar
		}
	}
	t[']'] |= astringChar | listChar
	t['%'] |= listChar
	t['*'] |= listChar
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") {
		t[c] |= nameChar
	}
	for c := 0x80; c < 0x100; c++ {
		t[c] |= textChar // UTF-8, or the charset of a SEARCH
	}
	return t
}()

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// upper folds ASCII only: `ſ` is not an S in a protocol word.
func upper(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'a' && c <= 'z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; c >= 'a' && c <= 'z' {
					b[i] = c - 'a' + 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// EqualFold compares protocol words: ASCII letters match in either case.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x >= 'a' && x <= 'z' {
			x -= 'a' - 'A'
		}
		if y >= 'a' && y <= 'z' {
			y -= 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}

// Peek is the next octet of the line, 0 at its end or after an error.
func (sc *Scanner) Peek() byte {
	if sc.err != nil || sc.pos >= len(sc.line) {
		return 0
	}
	return sc.line[sc.pos]
}

// AtEnd says that nothing is left of the line, or that there was an error; so a
// loop over arguments ends.
func (sc *Scanner) AtEnd() bool { return sc.err != nil || sc.pos >= len(sc.line) }

// Take takes c if it is next.
func (sc *Scanner) Take(c byte) bool {
	if sc.Peek() != c || c == 0 {
		return false
	}
	sc.pos++
	return true
}

// Expect takes c, which must be next.
func (sc *Scanner) Expect(c byte) {
	if sc.err == nil && !sc.Take(c) {
		sc.fail(syntaxErrorf("expected %q", c))
	}
}

// SP takes the one space that must be next.
func (sc *Scanner) SP() {
	if sc.err == nil && !sc.Take(' ') {
		if sc.AtEnd() {
			sc.Fail("missing argument")
		} else {
			sc.Fail("expected a space")
		}
	}
}

// run takes octets of a class; fewer than one is an error.
func (sc *Scanner) run(mask uint8, what string) string {
	if sc.err != nil {
		return ""
	}
	i := sc.pos
	for i < len(sc.line) && class[sc.line[i]]&mask != 0 {
		i++
	}
	if i == sc.pos {
		sc.Fail("expected " + what)
		return ""
	}
	s := string(sc.line[sc.pos:i])
	sc.pos = i
	return s
}

// scanTag reads the tag.
//
//	tag = 1*<any ASTRING-CHAR except "+">
func (sc *Scanner) scanTag() string {
	s := sc.run(astringChar, "a tag")
	if len(s) > maxTag {
		sc.Fail("tag too long")
		return ""
	}
	if strings.IndexByte(s, '+') >= 0 {
		sc.Fail("invalid tag")
		return ""
	}
	return s
}

// Atom reads 1*ATOM-CHAR.
func (sc *Scanner) Atom() string { return sc.run(atomChar, "an atom") }

// Word reads an atom that is a word of the protocol, in upper case.
func (sc *Scanner) Word() string { return upper(sc.Atom()) }

// Name reads the name of an item in upper case: letters, digits, `.`, `-` and
// `_`. Unlike Word it stops before `[` and `<`.
func (sc *Scanner) Name() string { return upper(sc.run(nameChar, "a name")) }

// PeekName is what Name would give, without taking it; empty if there is none.
func (sc *Scanner) PeekName() string {
	if sc.err != nil {
		return ""
	}
	i := sc.pos
	for i < len(sc.line) && class[sc.line[i]]&nameChar != 0 {
		i++
	}
	return upper(string(sc.line[sc.pos:i]))
}

// Follows reports whether the line goes on with s, whatever the case of its
// letters.
func (sc *Scanner) Follows(s string) bool {
	return sc.err == nil && len(sc.line)-sc.pos >= len(s) && EqualFold(string(sc.line[sc.pos:sc.pos+len(s)]), s)
}

// TakeName takes name, given in upper case, if PeekName gives it.
func (sc *Scanner) TakeName(name string) bool {
	if sc.PeekName() != name || sc.err != nil {
		return false
	}
	sc.pos += len(name)
	return true
}

// AString reads an astring: "NIL" is the string of three letters.
//
//	astring = 1*ASTRING-CHAR / string
func (sc *Scanner) AString() string {
	if c := sc.Peek(); c == '"' || c == '{' {
		return sc.String()
	}
	return sc.run(astringChar, "a string")
}

// String reads a quoted string or a literal.
func (sc *Scanner) String() string {
	switch sc.Peek() {
	case '"':
		return sc.quoted()
	case '{':
		return string(sc.Literal())
	}
	sc.Fail("expected a string")
	return ""
}

// NString reads a string or NIL, for which ok is false.
func (sc *Scanner) NString() (s string, ok bool) {
	if c := sc.Peek(); c == '"' || c == '{' {
		return sc.String(), true
	}
	if sc.err == nil && sc.Word() != "NIL" {
		sc.Fail("expected a string or NIL")
	}
	return "", false
}

// quoted reads a quoted string. Octets above 127 are kept as they are.
func (sc *Scanner) quoted() string {
	start := sc.pos + 1
	escaped := false
	for i := start; i < len(sc.line); i++ {
		switch c := sc.line[i]; {
		case c == '"':
			sc.pos = i + 1
			if escaped {
				return unescape(sc.line[start:i])
			}
			return string(sc.line[start:i])
		case c == '\\':
			if i++; i >= len(sc.line) || sc.line[i] != '"' && sc.line[i] != '\\' {
				sc.Fail("invalid escape in a quoted string")
				return ""
			}
			escaped = true
		case c == 0: // refused with its line; CR and LF cannot be here
			sc.Fail("NUL is not allowed")
			return ""
		}
	}
	sc.Fail("quoted string without end")
	return ""
}

func unescape(b []byte) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' {
			i++
		}
		out = append(out, b[i])
	}
	return string(out)
}

// Open takes "("; every Open needs its Close.
func (sc *Scanner) Open() {
	sc.Expect('(')
	if sc.err == nil {
		if sc.depth++; sc.depth > sc.Limits.Depth {
			sc.Fail("too deeply nested")
		}
	}
}

// Close takes ")" if it is next.
func (sc *Scanner) Close() bool {
	if sc.depth == 0 || !sc.Take(')') {
		return false
	}
	sc.depth--
	return true
}

// List reads a parenthesized list, calling item at the start of each member,
// and gives their number, which may be 0.
//
//	"(" [item *(SP item)] ")"
func (sc *Scanner) List(item func()) int {
	sc.Open()
	if sc.err != nil || sc.Close() {
		return 0
	}
	for n := 1; ; n++ {
		item()
		if sc.err != nil || sc.Close() {
			return n
		}
		if c := sc.Peek(); c != ' ' {
			sc.Fail("expected a space or `)` in a list")
			return n
		}
		sc.SP()
	}
}

// digits reads 1*DIGIT up to max.
func (sc *Scanner) digits(max uint64) uint64 {
	if sc.err != nil {
		return 0
	}
	n, i := uint64(0), sc.pos
	for ; i < len(sc.line) && isDigit(sc.line[i]); i++ {
		d := uint64(sc.line[i] - '0')
		if n > (max-d)/10 {
			sc.Fail("number too large")
			return 0
		}
		n = n*10 + d
	}
	if i == sc.pos {
		sc.Fail("expected a number")
		return 0
	}
	sc.pos = i
	return n
}

// Number reads a number of 32 bits.
func (sc *Scanner) Number() uint32 { return uint32(sc.digits(math.MaxUint32)) }

// Number64 reads a number of 63 bits (number64, mod-sequence-valzer).
func (sc *Scanner) Number64() int64 { return int64(sc.digits(math.MaxInt64)) }

// NZNumber reads a number of 32 bits that is not 0 and does not begin with 0.
func (sc *Scanner) NZNumber() uint32 {
	if sc.Peek() == '0' {
		sc.Fail("number must not be or begin with 0")
	}
	return sc.Number()
}

// NZNumber64 is NZNumber of 63 bits.
func (sc *Scanner) NZNumber64() int64 {
	if sc.Peek() == '0' {
		sc.Fail("number must not be or begin with 0")
	}
	return sc.Number64()
}
