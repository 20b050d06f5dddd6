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
// nearest that it can.
func (w *Writer) DateTime(t time.Time) {
	if y := t.Year(); y < 1 || y > 9999 {
		t = time.Date(max(1, min(y, 9999)), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	}
	w.buf = t.AppendFormat(w.buf, `"_2-Jan-2006 15:04:05 -0700"`)
	w.lists = false
}
