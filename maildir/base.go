package maildir

import (
	"bytes"
	"cmp"
)

// Key is the part of a base before its first comma: what stays when other
// programs add fields (rule R13).
func Key(base []byte) []byte {
	if i := bytes.IndexByte(base, ','); i >= 0 {
		return base[:i]
	}
	return base
}

// Sizes reads the fields ,S= and ,W= of a base: the size of the file and the
// size as served, with CRLF; -1 for what is not there or cannot be (rule N3).
// They are hints of whoever wrote the file.
func Sizes(base []byte) (size, virtual int64) {
	size, virtual = number(base, ",S="), number(base, ",W=")
	if size >= 0 && virtual >= 0 && (virtual < size || virtual/2 > size) {
		virtual = -1
	}
	return size, virtual
}

// maxSize bounds what a field may claim: 1 PiB.
const maxSize = 1 << 50

// number reads the digits behind the first field; they must end at a comma or
// at the end.
func number(base []byte, field string) int64 {
	i := bytes.Index(base, []byte(field))
	if i < 0 {
		return -1
	}
	digits := base[i+len(field):]
	if j := bytes.IndexByte(digits, ','); j >= 0 {
		digits = digits[:j]
	}
	if len(digits) == 0 {
		return -1
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return -1
		}
		if n = n*10 + int64(c-'0'); n > maxSize {
			return -1
		}
	}
	return n
}

// CompareBase orders new messages for their UIDs (rule U1): by the number that
// a base begins with, then by the microseconds behind an M, as Dovecot does,
// then by octets. A base without microseconds is before those of the same
// second that have them: where Dovecot compares such a pair by octets, its
// order of three can be a circle, and ours must not depend on readdir.
func CompareBase(a, b []byte) int {
	da, ra := leadingDigits(a)
	db, rb := leadingDigits(b)
	if c := compareNumbers(da, db); c != 0 {
		return c
	}
	ua, oka := microseconds(ra)
	ub, okb := microseconds(rb)
	switch {
	case oka != okb:
		if okb {
			return -1
		}
		return 1
	case oka:
		if c := compareNumbers(ua, ub); c != 0 {
			return c
		}
	}
	return cmp.Or(bytes.Compare(ra, rb), bytes.Compare(a, b))
}

// leadingDigits cuts the digits at the start, without leading zeroes.
func leadingDigits(s []byte) (digits, rest []byte) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return bytes.TrimLeft(s[:i], "0"), s[i:]
}

// compareNumbers compares decimal numbers of any length.
func compareNumbers(a, b []byte) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
}

// microseconds finds them in the part between the first and the second dot.
func microseconds(rest []byte) ([]byte, bool) {
	if len(rest) == 0 || rest[0] != '.' {
		return nil, false
	}
	rest = rest[1:]
	if i := bytes.IndexByte(rest, '.'); i >= 0 {
		rest = rest[:i]
	}
	i := bytes.IndexByte(rest, 'M')
	if i < 0 {
		return nil, false
	}
	digits, _ := leadingDigits(rest[i+1:])
	return digits, true
}
