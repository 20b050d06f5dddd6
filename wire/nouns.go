package wire

import (
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Flag writes one flag.
func (w *Writer) Flag(f imap.Flag) {
	if f != "" && f[0] == '\\' && (f == imap.FlagWildcard || isClass(string(f[1:]), atomChar)) {
		w.Raw(string(f))
		return
	}
	w.Atom(string(f))
}

// Flags writes a list of flags.
func (w *Writer) Flags(flags []imap.Flag) {
	w.Open()
	for _, f := range flags {
		w.Item()
		w.Flag(f)
	}
	w.Close()
}

// Range writes first, or first:last.
func (w *Writer) Range(first, last uint32) {
	w.buf = appendRange(w.buf, first, last)
	w.lists = false
}

func appendRange(b []byte, first, last uint32) []byte {
	b = appendSeqNumber(b, first)
	if last != first {
		b = appendSeqNumber(append(b, ':'), last)
	}
	return b
}

func appendSeqNumber(b []byte, n uint32) []byte {
	if n == 0 {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// SeqSet writes a set of message numbers, which must not be empty.
func (w *Writer) SeqSet(set imap.SeqSet) {
	for i, r := range set {
		if i > 0 {
			w.Raw(",")
		}
		w.Range(r.Start, r.Stop)
	}
}

// UIDSet writes a set of UIDs, which must not be empty.
func (w *Writer) UIDSet(set imap.UIDSet) {
	if imap.IsSearchRes(set) {
		w.Raw("$")
		return
	}
	for i, r := range set {
		if i > 0 {
			w.Raw(",")
		}
		w.Range(uint32(r.Start), uint32(r.Stop))
	}
}

// UIDs writes uids in their order; ascending runs become ranges.
func (w *Writer) UIDs(uids []imap.UID) {
	w.buf = AppendUIDs(w.buf, uids)
	w.lists = false
}

// AppendUIDs appends uids to b as Writer.UIDs writes them: for the code of a
// status response.
func AppendUIDs(b []byte, uids []imap.UID) []byte {
	for i := 0; i < len(uids); {
		j := i + 1
		for j < len(uids) && uids[j] == uids[j-1]+1 {
			j++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRange(b, uint32(uids[i]), uint32(uids[j-1]))
		i = j
	}
	return b
}

// DateTime writes t with its zone; years that the grammar cannot say become the
// nearest that it can (RFC 9051 §9 date-time).
func (w *Writer) DateTime(t time.Time) {
	if y := t.Year(); y < 1 || y > 9999 {
		t = time.Date(max(1, min(y, 9999)), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	}
	w.buf = appendDateTime(w.buf, t)
	w.lists = false
}

// appendDateTime is t.AppendFormat(b, `"_2-Jan-2006 15:04:05 -0700"`) at a
// third of its cost, which is most of a FETCH of INTERNALDATE. The year has four
// digits, and the zone is less than 100 hours away.
func appendDateTime(b []byte, t time.Time) []byte {
	const months = "JanFebMarAprMayJunJulAugSepOctNovDec"
	_, zone := t.Zone()
	sec := t.Unix() + int64(zone)
	days, rest := sec/86400, int(sec%86400)
	if rest < 0 {
		days, rest = days-1, rest+86400
	}
	year, month, day := civil(days)
	sign, off := byte('+'), zone/60
	if off < 0 {
		sign, off = '-', -off
	}
	out := [...]byte{'"', 0, 0, '-', 0, 0, 0, '-', 0, 0, 0, 0, ' ', 0, 0, ':', 0, 0, ':', 0, 0, ' ', sign, 0, 0, 0, 0, '"'}
	two(out[1:3], day)
	if day < 10 {
		out[1] = ' '
	}
	copy(out[4:7], months[3*(month-1):3*month])
	two(out[8:10], year/100)
	two(out[10:12], year%100)
	two(out[13:15], rest/3600)
	two(out[16:18], rest/60%60)
	two(out[19:21], rest%60)
	two(out[23:25], off/60)
	two(out[25:27], off%60)
	return append(b, out[:]...)
}

// two writes n, which is below 100, with two digits.
func two(b []byte, n int) {
	b[0], b[1] = byte('0'+uint8(n)/10), byte('0'+uint8(n)%10)
}

// civil gives the date of a day counted from 1 January 1970, by the Gregorian
// calendar. Years are counted from March, so that a leap day is the last of its
// year; 146,097 days are 400 years.
func civil(days int64) (year, month, day int) {
	days += 719468 // from 1 March of the year 0
	era := days / 146097
	if days < 0 {
		era = (days - 146096) / 146097
	}
	d := int(days - era*146097)
	y := (d - d/1460 + d/36524 - d/146096) / 365
	d -= 365*y + y/4 - y/100
	m := (5*d + 2) / 153
	day = d - (153*m+2)/5 + 1
	year, month = y+int(era)*400, m+3
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}
