package wire

import (
	"cmp"
	"math"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// SeqSet reads a set of message numbers; with saved, it was `$`, the saved
// search result (RFC 9051 §6.4.4.1), and set is nil. `*` is 0 as in package
// imap. The ranges are ascending and apart, those with `*` last.
//
//	sequence-set = (seq-number / seq-range) ["," sequence-set] / seq-last-command
func (sc *Scanner) SeqSet() (set imap.SeqSet, saved bool) {
	if sc.Take('$') {
		return nil, true
	}
	return scanSet[imap.SeqRange](sc, func(a, b uint32) imap.SeqRange { return imap.SeqRange{Start: a, Stop: b} }), false
}

// UIDSet is SeqSet for UIDs; `$` is imap.SearchRes().
func (sc *Scanner) UIDSet() imap.UIDSet {
	if sc.Take('$') {
		return imap.SearchRes()
	}
	return scanSet[imap.UIDRange](sc, func(a, b uint32) imap.UIDRange {
		return imap.UIDRange{Start: imap.UID(a), Stop: imap.UID(b)}
	})
}

// KnownUIDs reads the UID set of QRESYNC, without `*` and `$` (RFC 7162 §3.2.5.1).
func (sc *Scanner) KnownUIDs() imap.UIDSet {
	set := sc.UIDSet()
	if sc.err == nil && set.Dynamic() {
		sc.Fail("`*` and `$` are not allowed in this set")
		return nil
	}
	return set
}

const star = math.MaxUint32 + 1 // while sorting

type span struct{ first, last uint64 }

// scanSet reads the ranges and brings them in order.
func scanSet[R any](sc *Scanner, make func(first, last uint32) R) []R {
	var spans []span
	for {
		a := sc.seqNumber()
		b := a
		if sc.Take(':') {
			b = sc.seqNumber()
		}
		if sc.err != nil {
			return nil
		}
		spans = append(spans, span{min(a, b), max(a, b)})
		if len(spans) > max(sc.Limits.Ranges, 1) {
			sc.fail(&SyntaxError{Text: "too many ranges in one set", Code: "LIMIT", Refused: true})
			return nil
		}
		if !sc.Take(',') {
			break
		}
	}
	spans = merge(spans)
	set := []R(nil)
	for _, s := range spans {
		if s.first == star {
			s.first = 0
		}
		if s.last == star {
			s.last = 0
		}
		set = append(set, make(uint32(s.first), uint32(s.last)))
	}
	return set
}

// seqNumber reads nz-number / "*".
func (sc *Scanner) seqNumber() uint64 {
	if sc.Take('*') {
		return star
	}
	return uint64(sc.NZNumber())
}

// merge sorts spans and joins those that touch. `*` may be any number, so what
// ends with it is joined only with what it holds for sure.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last))
	})
	out := spans[:1]
	for _, s := range spans[1:] {
		last := &out[len(out)-1]
		if s.first <= last.last+1 && (s.first != star || last.last == star) {
			last.last = max(last.last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}
