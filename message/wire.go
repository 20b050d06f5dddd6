package message

import (
	"bytes"
	"strconv"
)

// maxQuoted is how long a quoted string may be; some clients read no more.
const maxQuoted = 1000

// appendString appends s as an IMAP string (RFC 9051 §9): quoted if it is up to
// 1,000 octets of printable ASCII, else a literal. NULs are dropped.
func appendString[S string | []byte](dst []byte, s S) []byte {
	if len(s) <= maxQuoted {
		n := len(dst)
		dst = append(dst, '"')
		for i := 0; i < len(s); i++ {
			c := s[i]
			if c < ' ' || c > '~' {
				return appendLiteral(dst[:n], s)
			}
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		return append(dst, '"')
	}
	return appendLiteral(dst, s)
}

// plain reports whether s can be quoted without escapes.
func plain(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(s) <= maxQuoted
}

func appendLiteral[S string | []byte](dst []byte, s S) []byte {
	b := []byte(s)
	n := len(b) - bytes.Count(b, []byte{0})
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(n), 10)
	dst = append(dst, "}\r\n"...)
	return appendNoNUL(dst, b)
}

func appendNString(dst []byte, s NString) []byte {
	if !s.Present {
		return append(dst, "NIL"...)
	}
	return appendString(dst, s.Value)
}

func appendParams(dst []byte, ps []Param) []byte {
	if len(ps) == 0 {
		return append(dst, "NIL"...)
	}
	for i, p := range ps {
		if i == 0 {
			dst = append(dst, '(')
		} else {
			dst = append(dst, ' ')
		}
		dst = appendString(dst, p.Name)
		dst = append(dst, ' ')
		dst = appendString(dst, p.Value)
	}
	return append(dst, ')')
}
