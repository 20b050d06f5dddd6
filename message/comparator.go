package message

import "unicode/utf8"

// A Comparator is a collation of RFC 4790: how text is compared for equality,
// as a substring and in order. The zero value is the default of RFC 5255 §4.
type Comparator uint8

// The comparators.
const (
	UnicodeCasemap Comparator = iota // i;unicode-casemap, RFC 5051
	ASCIICasemap                     // i;ascii-casemap, RFC 4790 §9.2
	Octet                            // i;octet, RFC 4790 §9.3
)

// Comparators are the names of all comparators, by Comparator.
var Comparators = [...]string{"i;unicode-casemap", "i;ascii-casemap", "i;octet"}

// String is the name in the registry.
func (c Comparator) String() string { return Comparators[c] }

// Map makes of s what is compared by octets.
func (c Comparator) Map(s string) string {
	switch c {
	case UnicodeCasemap:
		return Casemap(s)
	case Octet:
		return s
	}
	return string(c.appendMap(make([]byte, 0, len(s)), []byte(s)))
}

// appendMap appends Map(src).
func (c Comparator) appendMap(dst, src []byte) []byte {
	switch c {
	case UnicodeCasemap:
		return appendCasemap(dst, src)
	case Octet:
		return append(dst, src...)
	}
	for _, b := range src {
		if b < utf8.RuneSelf {
			b = upper[b]
		}
		dst = append(dst, b)
	}
	return dst
}

// SortKey makes of s what is ordered by octets. Text that is no UTF-8 comes
// behind all other, in the order of its octets, where the comparator wants
// UTF-8 (RFC 5255 §4.6).
func (c Comparator) SortKey(s string) string {
	if c == UnicodeCasemap && !utf8.ValidString(s) {
		return "\xff" + s // no UTF-8 begins so
	}
	return c.Map(s)
}
