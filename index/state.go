package index

import (
	"cmp"
	"maps"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// maxOurs bounds the names of one message that are ours at a time.
const maxOurs = 16

// state is what an Index knows beside its table and keywords, but for the
// scalars that are atomics of Index. ix.stateMu guards it.
type state struct {
	vanished []vanished // ascending mod-sequence
	unlink   map[imap.UID]ToUnlink
	intents  map[uint64]Intent
	pending  map[Row]pending
	stamps   Stamps
	recent   imap.UID
	unknown  []item // items of a newer minor version, kept
}

// pending is the renames of ours of one message that may not be durable yet.
type pending struct {
	names []Name // beside the one that the message has now
	pos   Pos    // of the last announcement
}

func newState() state {
	return state{
		unlink:  map[imap.UID]ToUnlink{},
		intents: map[uint64]Intent{},
		pending: map[Row]pending{},
	}
}

// addOurs makes n one of the names of r that are ours.
func (st *state) addOurs(r Row, n Name, pos Pos) {
	p := st.pending[r]
	p.pos = pos
	if !slices.Contains(p.names, n) {
		p.names = append(slices.Clip(p.names), n) // Ours hands out the slice
		if len(p.names) > maxOurs {
			p.names = p.names[1:]
		}
	}
	st.pending[r] = p
}

// Ours gives the names that are ours until the renames are known durable: a
// file with one of them, or with Name, was not changed from outside. nil if
// there are none. Do not change the slice.
func (ix *Index) Ours(r Row) []Name {
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	return ix.st.pending[r].names
}

// Pending gives the rows with Ours, ascending.
func (ix *Index) Pending() []Row {
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	return slices.Sorted(maps.Keys(ix.st.pending))
}

// ToUnlink gives a copy of the to-unlink list, in the order of UIDs.
func (ix *Index) ToUnlink() []ToUnlink {
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	return slices.SortedFunc(maps.Values(ix.st.unlink), func(a, b ToUnlink) int { return cmp.Compare(a.UID, b.UID) })
}

// Intents gives a copy of the intents that are not done, in the order of ids.
func (ix *Index) Intents() []Intent {
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	return slices.SortedFunc(maps.Values(ix.st.intents), func(a, b Intent) int { return cmp.Compare(a.ID, b.ID) })
}

// FirstRecent is the first UID that no session was given as \Recent.
func (ix *Index) FirstRecent() imap.UID {
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	return ix.st.recent
}

// Stamps gives the proved stamps of the directories.
func (ix *Index) Stamps() Stamps {
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	return ix.st.stamps
}

// NewIntentID gives an id that no intent of this Index has or had.
func (ix *Index) NewIntentID() uint64 { return ix.lastIntent.Add(1) }
