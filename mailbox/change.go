package mailbox

import (
	"roost/index"
)

// changeLogSize is how many changes a live mailbox remembers one by one. A View
// that fell further behind compares columns by mod-sequence instead.
const changeLogSize = 4096

// A change is one flag change or one expunge, in the order of publication.
// New messages are not logged: a View knows them by the number of rows.
type change struct {
	row     index.Row
	modSeq  index.ModSeq
	by      *View       // whose STORE or EXPUNGE it was; nil: the files
	flags   index.Flags // the system flags that changed
	words   bool        // the keywords changed
	expunge bool
}

// A changeLog is the ring of the last changes. The mutex of the Mailbox guards it.
type changeLog struct {
	ring []change
	next uint64 // number of the next change, from 0
	// lost is the highest mod-sequence of a change that is not in the ring any
	// more (or was made before the mailbox was loaded).
	lost index.ModSeq
}

func (l *changeLog) add(c change) {
	if len(l.ring) < changeLogSize {
		l.ring = append(l.ring, c)
	} else {
		slot := &l.ring[l.next%changeLogSize]
		l.lost = max(l.lost, slot.modSeq)
		*slot = c
	}
	l.next++
}

// first is the number of the oldest change still known.
func (l *changeLog) first() uint64 { return l.next - uint64(len(l.ring)) }

// since calls f for the changes from number n on; false if some of them are lost.
func (l *changeLog) since(n uint64, f func(*change)) bool {
	if n < l.first() {
		return false
	}
	for ; n < l.next; n++ {
		f(&l.ring[n%changeLogSize])
	}
	return true
}

// touched reports whether any of the flags of mask (or a keyword, if words is
// true) of row changed after mod-sequence m; also true if the log cannot tell
// (RFC 7162 §3.1.12 on STORE +FLAGS with UNCHANGEDSINCE).
func (l *changeLog) touched(row index.Row, m index.ModSeq, mask index.Flags, words bool) bool {
	if m < l.lost {
		return true
	}
	for n := l.next; n > l.first(); n-- {
		c := &l.ring[(n-1)%changeLogSize]
		if c.modSeq <= m {
			return false
		}
		if c.row == row && (c.flags&mask != 0 || words && c.words) {
			return true
		}
	}
	return false
}
