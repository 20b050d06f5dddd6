package message

import (
	"encoding/binary"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Casemap prepares s, in UTF-8, for comparison by octets as i;unicode-casemap
// does (RFC 5051 §2): each character in title case, then decomposed. Hangul is
// decomposed too, which the RFC leaves out. Octets that are no UTF-8 stay as
// they are, with the ASCII around them still mapped.
func Casemap(s string) string {
	return string(appendCasemap(make([]byte, 0, len(s)), []byte(s)))
}

// appendCasemap appends Casemap(src). A rune cut off at the end is taken for
// octets that are no UTF-8.
func appendCasemap(dst, src []byte) []byte {
	for len(src) > 0 {
		n := len(dst)
		dst = slices.Grow(dst, len(src))
		m := upperASCII(dst[n:n+len(src)], src)
		dst = dst[:n+m]
		src = src[m:]
		for len(src) > 0 && src[0] >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(src)
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, src[0])
			} else {
				dst = appendMapped(dst, r, src[:size])
			}
			src = src[size:]
			if m = shortASCII(src); m > 0 { // words between other letters
				for _, c := range src[:m] {
					dst = append(dst, upper[c])
				}
				src = src[m:]
			}
		}
	}
	return dst
}

// shortASCII is the length of a run of ASCII at the start of b, 0 if it is
// longer than a few words.
func shortASCII(b []byte) int {
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return i
		}
		if i == 32 {
			return 0
		}
	}
	return len(b)
}

// upperASCII copies src to dst, which is as long, in upper case, up to the first
// octet that is no ASCII, and returns how far.
func upperASCII(dst, src []byte) int {
	i := 0
	dst = dst[:len(src)]
	for ; i+8 <= len(src); i += 8 {
		x := binary.LittleEndian.Uint64(src[i:])
		if x&0x8080808080808080 != 0 {
			break
		}
		// the high bit of each octet from 'a' to 'z', moved to 0x20
		lower := (x + 0x1f1f1f1f1f1f1f1f) &^ (x + 0x0505050505050505) & 0x8080808080808080
		binary.LittleEndian.PutUint64(dst[i:], x-lower>>2)
	}
	for ; i < len(src); i++ {
		c := src[i]
		if c >= utf8.RuneSelf {
			return i
		}
		dst[i] = upper[c]
	}
	return i
}

var upper = func() (t [utf8.RuneSelf]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'a' <= i && i <= 'z' {
			t[i] -= 'a' - 'A'
		}
	}
	return t
}()

// tableEnd is where the table of mapped runes ends: alphabets are before it,
// ideographs behind, most of which map to themselves.
const tableEnd = 0x3000

var mappedTable = sync.OnceValue(func() (t *[tableEnd]string) {
	t = new([tableEnd]string)
	for r := range rune(tableEnd) {
		t[r] = string(mapRune(nil, r))
	}
	return t
})

func appendMapped(dst []byte, r rune, enc []byte) []byte {
	switch {
	case r < tableEnd:
		return append(dst, mappedTable()[r]...)
	case r >= 0x3400 && r < 0xa000, r >= 0xe000 && r < 0xf900:
		return append(dst, enc...)
	}
	return mapRune(dst, r)
}

// mapRune appends what RFC 5051 §2 makes of r.
func mapRune(dst []byte, r rune) []byte {
	const base, count, lead, vowel, trail = 0xac00, 11172, 0x1100, 0x1161, 0x11a7
	if r >= base && r < base+count {
		s := r - base
		dst = utf8.AppendRune(dst, lead+s/588)
		dst = utf8.AppendRune(dst, vowel+s%588/28)
		if s%28 != 0 {
			dst = utf8.AppendRune(dst, trail+s%28)
		}
		return dst
	}
	var a [utf8.UTFMax]byte
	b := utf8.AppendRune(a[:0], unicode.ToTitle(r))
	if d := norm.NFKD.Properties(b).Decomposition(); d != nil {
		return append(dst, d...)
	}
	return append(dst, b...)
}
