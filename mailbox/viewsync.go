package mailbox

import (
	"slices"

	"roost/index"
)

// Refresh brings the mailbox up to date with the files, cheaply; every command
// starts with it. See Mailbox.refresh.

// OnChange makes f be called when a Sync is worth while, also when the View has
// ended (Sync then gives ErrGone). It is called with locks held and must not
// block.
func (v *View) OnChange(f func()) {
	v.mb.mu.Lock()
	defer v.mb.mu.Unlock()
	v.onChange = f
}

// Sync moves the View on, as far as p allows. It is the only place where
// message numbers change. What this View's own Store changed is not told again.
// ErrGone: the session must end with BYE.
func (v *View) Sync(p Policy) (Changes, error) {
	mb := v.mb
	var c Changes
	v.ahead.Release()
	if v.dropped.Load() {
		return c, ErrGone
	}
	if v.version == mb.version.Load() && (v.owed == 0 || p != SyncEverything) {
		return c, nil
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if p == SyncNothing {
		return c, nil
	}
	old := v.bits
	v.flagChangesLocked(&c)
	next := mb.live
	if next.removed != old.removed {
		if p == SyncEverything {
			old.missing(next, func(row index.Row) {
				c.Expunged = append(c.Expunged, Expunged{Seq: old.Seq(row), UID: v.ix.UID(row)})
			})
			slices.Reverse(c.Expunged)
			v.owed, c.Gone = 0, nil
		} else {
			next = old.joined(next)
		}
	}
	recent := len(v.recent)
	v.moveLocked(next)
	v.takeRecentLocked()
	n := old.Len() - len(c.Expunged)
	c.Exists = next.Len() > n
	c.Recent = len(v.recent) != recent || c.Exists && recent > 0
	if words := len(v.ix.AllKeywords()); words != v.words {
		v.words, c.Keywords = words, true
	}
	if r := v.Rights(); (r^v.told)&FlagRights != 0 {
		v.told, c.Keywords = r, true // PERMANENTFLAGS (RFC 4314 §5.1.1)
	}
	if c.Exists && v.wantNew {
		next.each(index.Row(old.rows), index.Row(next.rows), func(row index.Row) bool {
			n++
			c.New = append(c.New, v.message(SeqNum(n), row))
			return true
		})
	}
	mb.toldLocked(v)
	return c, nil
}

// moveLocked makes bits the message numbers of v and the present state the one
// that was told. mb.mu must be held.
func (v *View) moveLocked(bits *liveBits) {
	mb := v.mb
	v.bits = bits
	v.last.Store(0)
	v.modSeq = v.ix.HighestModSeq()
	v.uidNext = v.ix.UIDNext()
	v.cursor = mb.changes.next
	v.version = mb.version.Load()
	if v.words < 0 {
		v.words = len(v.ix.AllKeywords())
	}
	v.note()
}

// flagChangesLocked gives the messages whose flags were changed since the last
// Sync, and notes expunges that v owes. mb.mu must be held.
func (v *View) flagChangesLocked(out *Changes) {
	var rows, own []index.Row
	end := index.Row(v.bits.rows)
	known := v.mb.changes.since(v.cursor, func(c *change) {
		switch {
		case c.row >= end:
		case c.expunge:
			if v.owed == 0 || c.modSeq < v.owed {
				v.owed = c.modSeq
			}
			if v.wantNew {
				out.Gone = append(out.Gone, v.ix.UID(c.row))
			}
		case c.by != v:
			rows = append(rows, c.row)
		case v.wantNew:
			own = append(own, c.row)
		}
	})
	if !known {
		rows = rows[:0]
		v.bits.each(0, end, func(row index.Row) bool {
			if v.ix.ModSeq(row) > v.modSeq {
				rows = append(rows, row)
			}
			return true
		})
		if v.mb.live.removed != v.bits.removed && (v.owed == 0 || v.modSeq < v.owed) {
			v.owed = v.modSeq + 1 // at least one of them may have been the next change
		}
		if v.wantNew {
			own, out.Gone = nil, nil
			v.bits.missing(v.mb.live, func(row index.Row) { out.Gone = append(out.Gone, v.ix.UID(row)) })
		}
	}
	out.Flags, out.Own = v.messagesOf(rows), v.messagesOf(own)
}

// messagesOf describes what of rows the View holds and was not expunged.
func (v *View) messagesOf(rows []index.Row) []Message {
	if len(rows) == 0 {
		return nil
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	out := make([]Message, 0, len(rows))
	for _, row := range rows {
		if !v.ix.Gone(row) && v.bits.Has(row) {
			out = append(out, v.message(v.bits.Seq(row), row))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// takeRecentLocked gives v the \Recent messages that nobody was told of; a
// read-only View shows them and leaves them to others (RFC 3501 §2.3.2).
// mb.mu must be held.
func (v *View) takeRecentLocked() {
	mb := v.mb
	for _, r := range mb.recentExtra {
		v.recent = v.recent.add(r)
	}
	from := mb.firstRecent
	v.recent = v.recent.add(uidRange{from, v.uidNext})
	if !v.leaves() {
		mb.recentExtra = nil
		if v.uidNext > from {
			mb.firstRecent = v.uidNext // written with the next batch
		}
	}
}
