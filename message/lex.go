package message

import "bytes"

// Lexical helpers of RFC 5322 §3.2 that take any input.

func isWSP(c byte) bool { return c == ' ' || c == '\t' }

// isLWSP takes NUL too, which some broken software puts between things.
func isLWSP(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0 }

func trimRight(b []byte) []byte {
	for len(b) > 0 && isLWSP(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func trim(b []byte) []byte {
	for len(b) > 0 && isLWSP(b[0]) {
		b = b[1:]
	}
	return trimRight(b)
}

// skipCFWS returns the index behind white space and comments at b[i:].
func skipCFWS(b []byte, i int) int {
	for i < len(b) {
		switch {
		case isLWSP(b[i]):
			i++
		case b[i] == '(':
			i = skipComment(b, i)
		default:
			return i
		}
	}
	return i
}

// skipComment returns the index behind the comment at b[i] == '('. An
// unterminated one takes the rest.
func skipComment(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

// appendQuoted appends what the quoted string at b[i] == '"' says, unfolded,
// and returns the index behind it. An unterminated one takes the rest.
func appendQuoted(dst, b []byte, i int) ([]byte, int) {
	for i++; i < len(b); i++ {
		switch c := b[i]; c {
		case '"':
			return dst, i + 1
		case '\\':
			if i++; i < len(b) && b[i] != '\r' && b[i] != '\n' {
				dst = append(dst, b[i])
			}
		case '\r', '\n', 0:
		default:
			dst = append(dst, c)
		}
	}
	return dst, len(b)
}

// isToken reports whether c may stand in a token (RFC 2045 §5.1); 8-bit
// octets may, since mail has them.
func isToken(c byte) bool { return tokens[c] }

var tokens = func() (t [256]bool) {
	for i := range t {
		t[i] = i > ' ' && i != 0x7f && bytes.IndexByte([]byte(`()<>@,;:\"/[]?=`), byte(i)) < 0
	}
	return t
}()

// unfold appends the value of a field to dst without its line breaks (RFC 5322
// §2.2.3): a line break with the white space octet behind it becomes one space.
// White space at both ends and NULs are dropped.
func unfold(dst, raw []byte) []byte {
	raw = trim(raw)
	for {
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			return appendNoNUL(dst, raw)
		}
		line := raw[:i]
		if i > 0 && line[i-1] == '\r' {
			line = line[:i-1]
		}
		dst = appendNoNUL(dst, line)
		raw = raw[i+1:]
		if len(raw) > 0 && isWSP(raw[0]) {
			dst = append(dst, ' ')
			raw = raw[1:]
		}
	}
}

func appendNoNUL(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		b = b[i+1:]
	}
}
