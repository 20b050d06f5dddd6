package mailbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/maildir"
)

// This file is the recovery that something outside asks for: a client that
// remembers more than the index does, or the operator (design §3). What the
// index finds out by itself is in index.Open.

// proofTime is how often clients may make one mailbox jump.
const proofTime = time.Hour

// jumpLog knows which mailboxes jumped for a client, and when. Store.mu guards
// it.
type jumpLog map[index.MailboxID]time.Time

// may reports whether id may jump now, and notes that it does.
func (l jumpLog) may(id index.MailboxID, now time.Time) bool {
	if at, ok := l[id]; ok && now.Sub(at) < proofTime && !now.Before(at) {
		return false
	}
	for other, at := range l {
		if now.Sub(at) >= proofTime {
			delete(l, other)
		}
	}
	l[id] = now
	return true
}

func (st *Store) mayJump(id index.MailboxID) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.jumps.may(id, st.o.FS.Now())
}

// ClientKnows takes what a client remembers of the mailbox under its present
// UIDVALIDITY: the highest UID and the highest mod-sequence (0: none). If the
// mailbox never gave them, it was restored from an old copy, and numbers would
// be given twice: it jumps, at most once an hour, whatever clients claim. It
// reports whether it did; call it before Open, so that SELECT tells the new
// values.
func (mb *Mailbox) ClientKnows(uid imap.UID, modSeq ModSeq) bool {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	// One above UIDNEXT is forgiven: some clients ask for 1 to UIDNEXT.
	if uid <= mb.ix.UIDNext() && modSeq <= mb.ix.HighestModSeq() || mb.writableLocked() != nil {
		return false
	}
	if mb.o.MayJump != nil && !mb.o.MayJump(mb.ix.ID()) {
		return false
	}
	mb.log.Warn("a client knows of later UIDs or mod-sequences: an old copy was restored here",
		"uid", uint32(uid), "uidnext", uint32(mb.ix.UIDNext()), "modseq", uint64(modSeq), "highestmodseq", uint64(mb.ix.HighestModSeq()))
	if err := mb.jumpLocked("a client knows of later UIDs or mod-sequences"); err != nil {
		mb.log.Error("jump", "err", err)
		return false
	}
	return true
}

// jumpLocked raises UIDNEXT, HIGHESTMODSEQ and the floors. mb.mu must be held.
func (mb *Mailbox) jumpLocked(why string) error {
	if _, err := mb.ix.Jump(why); err != nil {
		return fmt.Errorf("mailbox: jump: %w", diskErr(err))
	}
	mb.publishLocked(nil)
	return nil
}

var errOtherDirectory = errors.New("most messages are missing from the directory, and it is not the one that the index is of; " +
	"is a disk not mounted? If they are really gone: roost fsck --accept-loss")

// ownDirectory reports whether the directory that was scanned is the one that
// the index is of: it holds the index, or cur/ is the one that was proved to be
// equal to it. An index elsewhere would else believe that all messages are gone
// when a disk is not mounted.
func (mb *Mailbox) ownDirectory() (bool, error) {
	at, err := mb.o.IndexDir.Stat()
	if err != nil {
		return false, err
	}
	root, err := mb.dir.Root().Stat()
	if err != nil {
		return false, err
	}
	proved := mb.index().Stamps().Cur.Ino
	return at.Identity == root.Identity || proved == 0 || proved == mb.files.listing.Stamps[maildir.Cur].Ino, nil
}

// Restored makes a mailbox jump because its files, or roost.index, came from a
// backup. It is durable on return. Sessions may go on: each client reads the
// flags again once.
func (a *Account) Restored(ctx context.Context, name string) error {
	mb, err := a.Mailbox(ctx, name)
	if err != nil {
		return err
	}
	defer mb.Release()
	if err := mb.refresh(ctx); err != nil {
		return err
	}
	mb.mu.Lock()
	if err = mb.writableLocked(); err == nil {
		err = mb.jumpLocked("the operator says that it was restored")
	}
	ix := mb.ix
	mb.mu.Unlock()
	if err != nil {
		return err
	}
	return mb.waitDurable(ix, position(ix.Pos()))
}

// AcceptLoss believes at once that messages without a file are gone, which
// otherwise takes time, or leaves the mailbox offline (R17). It gives how many
// are expunged; that is durable on return. ErrUnavailable: the directory cannot
// be read, or does not hold still.
func (a *Account) AcceptLoss(ctx context.Context, name string) (int, error) {
	mb, err := a.Mailbox(ctx, name)
	if err != nil {
		return 0, err
	}
	defer mb.Release()
	return mb.acceptLoss(ctx)
}

// acceptTries bounds the scans of acceptLoss; the pause between them is a
// granule of the clock, so that a still directory counts.
const acceptTries = 8

func (mb *Mailbox) acceptLoss(ctx context.Context) (int, error) {
	gone := 0
	for try := range acceptTries {
		if try > 0 {
			pause := time.NewTimer(rescanTime)
			select {
			case <-ctx.Done():
				pause.Stop()
				return gone, ctx.Err()
			case <-pause.C:
			}
		}
		n, left, err := mb.acceptOnce(ctx)
		gone += n
		if err != nil {
			return gone, err
		}
		if left == 0 {
			ix := mb.index()
			return gone, mb.waitDurable(ix, position(ix.Pos()))
		}
	}
	return gone, fmt.Errorf("the directory does not hold still: %w", ErrUnavailable)
}

// acceptOnce scans once; left is the number of messages without a file that
// the scan does not prove to be gone.
func (mb *Mailbox) acceptOnce(ctx context.Context) (gone, left int, err error) {
	mb.syncing <- struct{}{}
	defer func() { <-mb.syncing }()
	mb.mu.Lock()
	before, over := mb.live.Len(), mb.ended
	mb.mu.Unlock()
	if over != nil {
		return 0, 0, over
	}
	mb.files.accept = true
	defer func() { mb.files.accept = false }()
	if err := mb.scan(ctx); err != nil {
		return 0, 0, err
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	return max(0, before-mb.live.Len()), len(mb.files.limbo), nil
}
