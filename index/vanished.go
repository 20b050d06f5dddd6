package index

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Bounds of the list of expunged UIDs (RFC 7162 §5.3): old ranges go once both
// of the first are exceeded, and always beyond the last.
const (
	keepRanges = 10_000
	keepTime   = 90 * 24 * time.Hour
	maxRanges  = 100_000
)

// A vanished is a range of UIDs that were expunged at one mod-sequence.
type vanished struct {
	first, last imap.UID
	modseq      ModSeq
	sec         int64 // when, seconds since 1970
}

// addVanished appends uid, expunged at m. Ranges stay in order of mod-sequence.
func addVanished(list []vanished, uid imap.UID, m ModSeq, sec int64) []vanished {
	if n := len(list); n > 0 && list[n-1].modseq >= m { // never above, but in a journal that lost frames
		m = list[n-1].modseq
		switch l := &list[n-1]; {
		case l.last+1 == uid:
			l.last = uid
			return list
		case l.first == uid+1:
			l.first = uid
			return list
		case l.first <= uid && uid <= l.last:
			return list
		}
	}
	return append(list, vanished{uid, uid, m, sec})
}

// trimVanished drops ranges beyond the bounds. floor is the highest
// mod-sequence dropped, 0 if none was.
func trimVanished(list []vanished, now int64) (kept []vanished, floor ModSeq) {
	n := 0
	old := now - int64(keepTime/time.Second)
	for len(list)-n > maxRanges || len(list)-n > keepRanges && list[n].sec < old {
		floor = max(floor, list[n].modseq)
		n++
	}
	if n == 0 {
		return list, 0
	}
	return slices.Clone(list[n:]), floor
}

// Vanished gives the UIDs of set that were expunged after since, ascending. If
// since is below the expunge floor it gives every UID of set below UIDNEXT
// that is no message (RFC 7162 §3.2.5.2). 0 in set ("*") is the last message.
func (ix *Index) Vanished(since ModSeq, set imap.UIDSet) imap.UIDSet {
	asked := ix.normalize(set)
	if len(asked) == 0 {
		return nil
	}
	var gone imap.UIDSet
	if since < ix.ExpungeFloor() {
		gone = ix.holes()
	} else {
		ix.stateMu.RLock()
		list := ix.st.vanished
		i := sort.Search(len(list), func(i int) bool { return list[i].modseq > since })
		gone = make(imap.UIDSet, 0, len(list)-i)
		for _, v := range list[i:] {
			gone = append(gone, imap.UIDRange{Start: v.first, Stop: v.last})
		}
		ix.stateMu.RUnlock()
		gone = mergeRanges(gone)
	}
	return intersect(gone, asked)
}

// normalize gives set ascending, apart, within [1, UIDNEXT).
func (ix *Index) normalize(set imap.UIDSet) imap.UIDSet {
	next := ix.UIDNext()
	last := imap.UID(0)
	for r := ix.Len() - 1; r >= 0 && last == 0; r-- {
		if !ix.Gone(Row(r)) {
			last = ix.UID(Row(r))
		}
	}
	out := make(imap.UIDSet, 0, len(set))
	for _, r := range set {
		if r.Start == 0 {
			r.Start = last
		}
		if r.Stop == 0 {
			r.Stop = last
		}
		if r.Start > r.Stop {
			r.Start, r.Stop = r.Stop, r.Start
		}
		r.Start, r.Stop = max(r.Start, 1), min(r.Stop, next-1)
		if r.Start <= r.Stop {
			out = append(out, r)
		}
	}
	return mergeRanges(out)
}

// mergeRanges sorts the ranges and joins what touches, in place.
func mergeRanges(set imap.UIDSet) imap.UIDSet {
	slices.SortFunc(set, func(a, b imap.UIDRange) int {
		return cmp.Compare(a.Start, b.Start)
	})
	out := set[:0]
	for _, r := range set {
		if n := len(out); n > 0 && (r.Start <= out[n-1].Stop || r.Start == out[n-1].Stop+1) {
			out[n-1].Stop = max(out[n-1].Stop, r.Stop)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// holes gives the UIDs below UIDNEXT that are no message.
func (ix *Index) holes() imap.UIDSet {
	var out imap.UIDSet
	next := imap.UID(1)
	for r := range Row(ix.Len()) {
		if ix.Gone(r) {
			continue
		}
		if uid := ix.UID(r); uid > next {
			out = append(out, imap.UIDRange{Start: next, Stop: uid - 1})
		}
		next = ix.UID(r) + 1
	}
	if end := ix.UIDNext(); end > next {
		out = append(out, imap.UIDRange{Start: next, Stop: end - 1})
	}
	return out
}

// intersect gives what is in both; both are ascending and apart.
func intersect(a, b imap.UIDSet) imap.UIDSet {
	var out imap.UIDSet
	for i, j := 0, 0; i < len(a) && j < len(b); {
		start, stop := max(a[i].Start, b[j].Start), min(a[i].Stop, b[j].Stop)
		if start <= stop {
			out = append(out, imap.UIDRange{Start: start, Stop: stop})
		}
		if a[i].Stop < b[j].Stop {
			i++
		} else {
			j++
		}
	}
	return out
}
