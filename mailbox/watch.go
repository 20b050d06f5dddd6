package mailbox

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"roost/index"
)

// This file is how a session follows mailboxes that it has not selected
// (RFC 5465): without message numbers, so that one costs next to nothing.

// A Watch follows one live mailbox, which stays loaded until Close. A change
// costs a call of its function; what has changed is found by Look.
type Watch struct {
	mb   *Mailbox
	wake func() // guarded by mb.mu, as all below
	due  bool   // wake was called and Look was not
	lost bool   // the guest may not read any more

	guest string // "": the owner follows; never changes
}

// A Pulse is what a mailbox looks like at one moment.
type Pulse struct {
	Messages, Unseen int
	UIDNext          imap.UID
	UIDValidity      uint32
	HighestModSeq    ModSeq
	removed          uint64
}

// Removed reports whether messages were expunged between two moments of one
// live mailbox.
func (p Pulse) Removed(before Pulse) bool {
	return p.removed != before.removed || p.Messages < before.Messages
}

// Watch brings the mailbox called name up to date and follows it: registered
// and described in one step. wake is called, with locks held, after something
// changed or the mailbox ended, once until the next Look; it must not block.
// What the Pulse tells is added to b. Errors: those of Account.Mailbox and of
// Mailbox.Open; ErrLimit if the process has no descriptors left for it.
func (a *Account) Watch(ctx context.Context, name string, wake func(), b *Barrier) (*Watch, Pulse, error) {
	mb, err := a.Mailbox(ctx, name)
	if err != nil {
		return nil, Pulse{}, err
	}
	return (&Reach{Mailbox: mb}).watch(ctx, wake, b)
}

// watch takes the reference of mb.
func (mb *Reach) watch(ctx context.Context, wake func(), b *Barrier) (*Watch, Pulse, error) {
	w := &Watch{mb: mb.Mailbox, wake: wake, guest: mb.guest}
	if !mb.account().st.mayPin() {
		mb.Release()
		return nil, Pulse{}, ErrLimit
	}
	if err := mb.refresh(ctx); err != nil {
		mb.Release()
		return nil, Pulse{}, err
	}
	mb.mu.Lock()
	if mb.watches == nil {
		mb.watches = map[*Watch]struct{}{}
	}
	mb.watches[w] = struct{}{}
	p, err := mb.pulseLocked(b)
	mb.mu.Unlock()
	if w.guest != "" && !mb.account().rightsOn(mb.index().ID(), w.guest).Has(needWatch) {
		err = ErrGone // since a moment ago
	}
	if err != nil {
		w.Close()
		return nil, Pulse{}, err
	}
	return w, p, nil
}

// mayPin reports whether one more live mailbox may be kept whatever happens.
func (st *Store) mayPin() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return (st.live.n-st.live.idle.Len())*liveDescriptors <= st.o.Descriptors*liveShare/100
}

// Mailbox is what w follows.
func (w *Watch) Mailbox() *Mailbox { return w.mb }

// OnChange makes wake the function that w calls from now on.
func (w *Watch) OnChange(wake func()) {
	w.mb.mu.Lock()
	defer w.mb.mu.Unlock()
	w.wake = wake
}

// Look describes the mailbox as it is now. Errors: ErrGone, for good;
// ErrUnavailable, until w wakes again.
func (w *Watch) Look(b *Barrier) (Pulse, error) {
	w.mb.mu.Lock()
	defer w.mb.mu.Unlock()
	w.due = false
	if w.lost {
		return Pulse{}, ErrGone
	}
	return w.mb.pulseLocked(b)
}

// Close ends w and lets go of the mailbox.
func (w *Watch) Close() {
	w.mb.mu.Lock()
	delete(w.mb.watches, w)
	w.mb.mu.Unlock()
	w.mb.Release()
}

// wakeWatchesLocked tells that something happened. mb.mu must be held.
func (mb *Mailbox) wakeWatchesLocked() {
	for w := range mb.watches {
		if !w.due {
			w.due = true
			w.wake()
		}
	}
}

// pulseLocked describes the mailbox. mb.mu must be held.
func (mb *Mailbox) pulseLocked(b *Barrier) (Pulse, error) {
	if err := mb.stateLocked(); err != nil {
		return Pulse{}, err
	}
	p := Pulse{
		Messages: mb.live.Len(), Unseen: mb.unread.countLocked(mb), UIDNext: mb.ix.UIDNext(), UIDValidity: mb.ix.UIDValidity(),
		HighestModSeq: mb.ix.HighestModSeq(), removed: mb.live.removed,
	}
	b.add(barrierWait{mb, mb.ix, uint64(mb.ix.Pos())})
	return p, nil
}

// An unseenCount is the number of messages without \Seen, kept for who asks
// again and again: it then costs as much as was changed meanwhile. mb.mu guards
// it.
type unseenCount struct {
	ix     *index.Index // that it was counted in; nil: not yet
	cursor uint64       // changes before it are in
	rows   int          // rows before it are in
	n      int
}

func (u *unseenCount) countLocked(mb *Mailbox) int {
	from := index.Row(u.rows)
	if u.ix != mb.ix || !u.followLocked(mb) {
		u.ix, u.n, from = mb.ix, 0, 0
	}
	mb.live.each(from, index.Row(mb.live.rows), func(row index.Row) bool {
		if mb.ix.Flags(row)&index.Seen == 0 {
			u.n++
		}
		return true
	})
	u.cursor, u.rows = mb.changes.next, mb.live.rows
	return u.n
}

// followLocked takes the changes of rows that were counted in; false: the log
// does not have them all.
func (u *unseenCount) followLocked(mb *Mailbox) bool {
	type fate struct{ turned, gone bool } // turned: \Seen is not what it was
	var rows map[index.Row]fate
	known := mb.changes.since(u.cursor, func(c *change) {
		if int(c.row) >= u.rows || !c.expunge && c.flags&index.Seen == 0 {
			return
		}
		if rows == nil {
			rows = map[index.Row]fate{}
		}
		f := rows[c.row]
		f.gone = f.gone || c.expunge
		f.turned = f.turned != (c.flags&index.Seen != 0)
		rows[c.row] = f
	})
	for row, f := range rows {
		unseen := mb.ix.Flags(row)&index.Seen == 0
		if unseen != f.turned { // it was counted
			u.n--
		}
		if unseen && !f.gone {
			u.n++
		}
	}
	return known
}
