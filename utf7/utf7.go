package utf7

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrInvalid is returned when a string is not the modified UTF-7 that Encode
// would give for any string.
var ErrInvalid = errors.New("utf7: invalid modified UTF-7")

// The alphabet of modified base64: `,` instead of `/`, no padding. Strict
// decoding refuses left-over bits that are not zero.
var enc = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// direct says whether c stands for itself.
func direct(c byte) bool { return c >= 0x20 && c <= 0x7e && c != '&' }

// Encode gives the modified UTF-7 form of s. Octets of s that are not UTF-8
// become U+FFFD.
func Encode(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = direct(s[i])
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '&':
			b.WriteString("&-")
			i++
		case direct(c):
			b.WriteByte(c)
			i++
		default:
			start := i
			for i < len(s) && s[i] != '&' && !direct(s[i]) {
				i++
			}
			encodeRun(&b, s[start:i])
		}
	}
	return b.String()
}

// encodeRun writes `&`, the base64 of s as UTF-16, and `-`.
func encodeRun(b *strings.Builder, s string) {
	units := make([]byte, 0, 2*len(s))
	for _, r := range s {
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			units = append(units, byte(r1>>8), byte(r1), byte(r2>>8), byte(r2))
			continue
		}
		units = append(units, byte(r>>8), byte(r))
	}
	b.WriteByte('&')
	b.WriteString(enc.EncodeToString(units))
	b.WriteByte('-')
}

// Decode gives the UTF-8 form of s. It accepts exactly the strings that Encode
// makes, so that every name has one form: no 8-bit or control octets, no
// printable US-ASCII inside base64, no superfluous shift, no lone surrogate.
// Everything else is ErrInvalid.
func Decode(s string) (string, error) {
	plain := true
	for i := 0; i < len(s); i++ {
		if !direct(s[i]) {
			if s[i] != '&' {
				return "", ErrInvalid
			}
			plain = false
		}
	}
	if plain {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	afterRun := false // the last thing read was a base64 run
	for i := 0; i < len(s); {
		if s[i] != '&' {
			b = append(b, s[i])
			i++
			afterRun = false
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", ErrInvalid
		}
		run := s[i+1 : i+end]
		i += end + 1
		if run == "" {
			b = append(b, '&')
			afterRun = false
			continue
		}
		if afterRun {
			return "", ErrInvalid
		}
		var err error
		if b, err = decodeRun(b, run); err != nil {
			return "", err
		}
		afterRun = true
	}
	return string(b), nil
}

// decodeRun appends the characters of a base64 run to b.
func decodeRun(b []byte, run string) ([]byte, error) {
	units, err := enc.DecodeString(run)
	if err != nil || len(units)%2 != 0 {
		return nil, ErrInvalid
	}
	for i := 0; i < len(units); i += 2 {
		r := rune(units[i])<<8 | rune(units[i+1])
		if utf16.IsSurrogate(r) {
			i += 2
			if i >= len(units) {
				return nil, ErrInvalid
			}
			r = utf16.DecodeRune(r, rune(units[i])<<8|rune(units[i+1]))
			if r == utf8.RuneError {
				return nil, ErrInvalid
			}
		}
		if r < utf8.RuneSelf && (r == '&' || direct(byte(r))) {
			return nil, ErrInvalid
		}
		b = utf8.AppendRune(b, r)
	}
	return b, nil
}
