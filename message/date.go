package message

import (
	"sync"
	"time"
)

// maxDate is how much of a Date field is looked at.
const maxDate = 256

// ParseDate reads the raw value of a Date field (RFC 5322 §3.3, with the
// obsolete forms of §4.3 and what programs write instead): the day of the week
// and the seconds may be missing, the zone may be one of the old names or
// missing (then UTC), the order may be that of asctime. The result carries the
// zone as written. ok is false if there is no such date.
func ParseDate(raw []byte) (t time.Time, ok bool) {
	var buf [8]string
	toks := dateTokens(buf[:0], raw[:min(len(raw), maxDate)])
	if len(toks) > 0 && isName(toks[0]) && monthOf(toks[0]) == 0 {
		toks = toks[1:] // day of the week
	}
	if len(toks) < 3 {
		return t, false
	}
	var day, month, year, clock string
	switch {
	case monthOf(toks[1]) > 0 && len(toks) >= 4: // 7 Feb 1994 22:43:04
		day, month, year, clock, toks = toks[0], toks[1], toks[2], toks[3], toks[4:]
	case monthOf(toks[0]) > 0 && len(toks) >= 4: // Feb 7 22:43:04 1994
		month, day, clock, year, toks = toks[0], toks[1], toks[2], toks[3], toks[4:]
		if _, _, _, isClock := parseClock(clock); !isClock { // Feb 7 22:43:04 CET 1994, Feb 7 1994 22:43
			clock, year = year, clock
			if _, _, _, isClock = parseClock(clock); !isClock {
				return t, false
			}
		} else if !isNumber(year) && len(toks) > 0 {
			toks = append([]string{year}, toks...)
			year, toks[1] = toks[1], toks[0]
			toks = toks[1:]
		}
	default:
		return t, false
	}
	d, y := number(day, 2), parseYear(year)
	hour, minute, second, valid := parseClock(clock)
	m := monthOf(month)
	if !valid || y < 0 || d < 1 || d > daysIn(m, y) {
		return t, false
	}
	offset := 0
	if len(toks) > 0 {
		offset = parseZone(toks[0])
	}
	return time.Date(y, time.Month(m), d, hour, minute, second, 0, zoneOf(offset)), true
}

const quarter = 15 * 60 // seconds

// zones are those of whole quarters of an hour, from 24 hours west on.
var zones = sync.OnceValue(func() []*time.Location {
	all := make([]*time.Location, 2*24*4+1)
	for i := range all {
		all[i] = time.FixedZone("", (i-24*4)*quarter)
	}
	all[24*4] = time.UTC
	return all
})

// zoneOf gives the zone offset seconds east of UTC, at most 25 hours.
func zoneOf(offset int) *time.Location {
	if i := offset/quarter + 24*4; offset%quarter == 0 && 0 <= i && i < len(zones()) {
		return zones()[i]
	}
	return time.FixedZone("", offset)
}

// dateTokens appends to toks, which has room for 8, the pieces of b between
// white space, commas and comments; "7-Feb-1994" is three.
func dateTokens(toks []string, b []byte) []string {
	s := string(b)
	for i := skipCFWS(b, 0); i < len(b) && len(toks) < 8; i = skipCFWS(b, i) {
		j := i
		for j < len(b) && !isLWSP(b[j]) && b[j] != ',' && b[j] != '(' && (b[j] != '-' && b[j] != '+' || j == i) {
			j++
		}
		if j > i {
			toks = append(toks, s[i:j])
		}
		if j < len(b) && (b[j] == ',' || b[j] == '-' && len(toks) < 4) {
			j++
		}
		i = j
	}
	return toks
}

func isName(s string) bool {
	c := lowerASCII(s[0])
	return 'a' <= c && c <= 'z'
}

func isNumber(s string) bool { return number(s, 9) >= 0 }

// number is -1 for what is no number of up to maxDigits digits.
func number(s string, maxDigits int) int {
	if len(s) == 0 || len(s) > maxDigits {
		return -1
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

const months = "janfebmaraprmayjunjulaugsepoctnovdec"

// monthOf takes a name of at least three letters; 0 is none.
func monthOf(s string) int {
	if len(s) < 3 {
		return 0
	}
	for m := range 12 {
		if equalFold(s[:3], months[3*m:3*m+3]) {
			return m + 1
		}
	}
	return 0
}

// parseYear reads years of two and three digits as RFC 5322 §4.3 says.
func parseYear(s string) int {
	y := number(s, 4)
	switch {
	case y < 0 || len(s) == 1:
		return -1
	case len(s) == 2 && y < 50:
		return y + 2000
	case len(s) <= 3:
		return y + 1900
	}
	return y
}

func daysIn(month, year int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// parseClock reads 22:43, 22:43:04 and 22.43.04; a leap second is the one before.
func parseClock(s string) (hour, minute, second int, ok bool) {
	var f [3]string
	n, start := 0, 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == ':' || s[i] == '.' {
			if n == 3 {
				break // fractions of a second
			}
			f[n] = s[start:i]
			n++
			start = i + 1
		}
	}
	if n < 2 {
		return 0, 0, 0, false
	}
	hour, minute = number(f[0], 2), number(f[1], 2)
	if n == 3 {
		second = number(f[2], 2)
	}
	if second == 60 {
		second = 59
	}
	ok = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60
	return hour, minute, second, ok
}

// obsZones are the zones of RFC 5322 §4.3 and a few that are as common, in hours.
var obsZones = map[string]int{
	"ut": 0, "gmt": 0, "utc": 0, "z": 0, "wet": 0,
	"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
	"bst": 1, "cet": 1, "met": 1, "cest": 2, "mest": 2, "eet": 2, "eest": 3, "msk": 3, "jst": 9,
}

// parseZone returns seconds east of UTC; what is unknown is 0, as for -0000.
func parseZone(s string) int {
	if s[0] == '+' || s[0] == '-' {
		sign := 1
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
		if len(s) == 5 && s[2] == ':' {
			s = s[:2] + s[3:]
		}
		n := number(s, 4)
		if n < 0 || len(s) != 4 || n%100 > 59 || n/100 > 24 {
			return 0
		}
		return sign * (n/100*3600 + n%100*60)
	}
	if len(s) > 4 {
		return 0
	}
	return obsZones[lowerString(s)] * 3600
}
