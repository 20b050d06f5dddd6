package mailbox

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"roost/disk"
	"roost/maildir"
)

// liveDescriptors is what one live mailbox holds open: its directory, new, cur
// and tmp, the directory of its index, journal and cache.
const liveDescriptors = 7

// liveShare is the share of the process' descriptors, in percent, from which on
// unused live mailboxes are closed.
const liveShare = 70

// liveSlack is the part of both limits that is made free when one is reached.
const liveSlack = 16

// closeAtOnce is how many mailboxes are closed side by side.
const closeAtOnce = 8

// A liveMailbox is one loaded mailbox with its users. Store.mu guards all but
// what never changes.
type liveMailbox struct {
	a     *Account
	id    disk.Identity // of its directory
	slot  *slot
	ready chan struct{} // closed once mb or err is set

	mb      *Mailbox
	err     error
	refs    int
	closing chan struct{} // not nil: it is being closed; closed when that is done
	idle    *list.Element // in liveList.idle while nobody uses it
	linger  *time.Timer
	size    int64 // octets, when last asked
}

// A liveList counts all live mailboxes of a Store and knows which to close
// first. Store.mu guards it.
type liveList struct {
	idle list.List // of *liveMailbox, the one that was used last at the front
	n    int
	size int64
}

// mailboxAt gives the live mailbox in the directory at path, loading it if need
// be. The caller owns a reference afterwards (Mailbox.Release).
func (a *Account) mailboxAt(ctx context.Context, path string) (*Mailbox, error) {
	dir, err := openPath(a.st.o.FS, a.tree.Root(), a.path, path)
	if err != nil {
		return nil, vanished(path, err)
	}
	info, err := dir.Stat()
	if err != nil {
		dir.Close()
		return nil, err
	}
	st := a.st
	for {
		st.mu.Lock()
		lm := a.live[info.Identity]
		if lm == nil {
			lm = &liveMailbox{
				a: a, id: info.Identity, refs: 1, ready: make(chan struct{}),
				slot: &slot{a: a, dir: path},
			}
			a.live[info.Identity] = lm
			st.live.n++
			victims := st.victimsLocked()
			st.mu.Unlock()
			st.closeLive(victims)
			return lm.load(ctx, dir)
		}
		wait := lm.closing
		if wait == nil {
			lm.useLocked()
			st.mu.Unlock()
			mb, err := lm.join(ctx, path)
			if err != nil || !mb.gone() {
				dir.Close()
				return mb, err
			}
			// It has ended for its sessions and only waits for them to leave.
			lm.release()
			if err := a.evict(ctx, info.Identity); err != nil {
				dir.Close()
				return nil, err
			}
			continue
		}
		st.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			dir.Close()
			return nil, ctx.Err()
		}
	}
}

// gone reports whether the mailbox has ended for its sessions.
func (mb *Mailbox) gone() bool {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	return mb.ended != nil
}

// vanished tells of a mailbox that was removed just now: ErrNotExist, but for
// INBOX, which cannot be deleted.
func vanished(path string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, maildir.ErrGone) && !errors.Is(err, ErrGone) {
		return err
	}
	if path == "" {
		return fmt.Errorf("root of the Maildir was removed: %w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrNotExist, err)
}

// useLocked adds a reference.
func (lm *liveMailbox) useLocked() {
	lm.refs++
	if lm.idle != nil {
		lm.a.st.live.idle.Remove(lm.idle)
		lm.idle = nil
	}
	if lm.linger != nil {
		lm.linger.Stop()
		lm.linger = nil
	}
}

// load opens the mailbox; dir is taken over.
func (lm *liveMailbox) load(ctx context.Context, dir disk.Dir) (*Mailbox, error) {
	// The load goes on if the session that asked first leaves.
	mb, err := lm.a.openLive(context.WithoutCancel(ctx), lm, dir)
	st := lm.a.st
	st.mu.Lock()
	lm.mb, lm.err = mb, err
	if err != nil {
		delete(lm.a.live, lm.id)
		st.live.n--
	} else {
		lm.size = mb.memory()
		st.live.size += lm.size
	}
	st.mu.Unlock()
	close(lm.ready)
	return mb, err
}

// join waits for the load and sees to it that the slot knows where the
// directory is now.
func (lm *liveMailbox) join(ctx context.Context, path string) (*Mailbox, error) {
	select {
	case <-lm.ready:
	case <-ctx.Done():
		lm.release()
		return nil, ctx.Err()
	}
	if lm.err != nil {
		return nil, lm.err
	}
	if lm.slot.path() != path {
		lm.slot.move(path)
	}
	return lm.mb, nil
}

// release gives a reference back. The last one makes the mailbox a candidate
// for closing.
func (lm *liveMailbox) release() {
	st := lm.a.st
	st.mu.Lock()
	lm.refs--
	if lm.refs > 0 || lm.closing != nil || lm.mb == nil {
		st.mu.Unlock()
		return
	}
	if lm.mb.gone() {
		lm.closeLocked()
		st.mu.Unlock()
		st.closeLive([]*liveMailbox{lm})
		return
	}
	st.live.size -= lm.size
	lm.size = lm.mb.memory()
	st.live.size += lm.size
	lm.idle = st.live.idle.PushFront(lm)
	lm.linger = time.AfterFunc(st.o.Linger, func() { st.expireLive(lm) })
	victims := st.victimsLocked()
	st.mu.Unlock()
	st.closeLive(victims)
}

// victimsLocked takes the unused mailboxes that must go for memory or
// descriptors off the list, the one that was not used for longest first.
func (st *Store) victimsLocked() []*liveMailbox {
	var out []*liveMailbox
	n, size := st.live.n, st.live.size
	most, memory := st.o.Descriptors*liveShare/100, st.o.Memory
	if n*liveDescriptors <= most && size <= memory {
		return nil
	}
	// Some more than must be, so that the next ones need not close one each:
	// those that are closed together share commits of the file system.
	most, memory = most-most/liveSlack, memory-memory/liveSlack
	for n*liveDescriptors > most || size > memory {
		e := st.live.idle.Back()
		if e == nil {
			break
		}
		lm := e.Value.(*liveMailbox)
		lm.closeLocked()
		n--
		size -= lm.size
		out = append(out, lm)
	}
	return out
}

// closeLocked marks lm as closing; closeLive must follow.
func (lm *liveMailbox) closeLocked() {
	if lm.idle != nil {
		lm.a.st.live.idle.Remove(lm.idle)
		lm.idle = nil
	}
	if lm.linger != nil {
		lm.linger.Stop()
		lm.linger = nil
	}
	lm.closing = make(chan struct{})
}

// expireLive closes lm if it is still unused.
func (st *Store) expireLive(lm *liveMailbox) {
	st.mu.Lock()
	if lm.idle == nil {
		st.mu.Unlock()
		return
	}
	lm.closeLocked()
	st.mu.Unlock()
	st.closeLive([]*liveMailbox{lm})
}

// closeLive closes mailboxes that closeLocked marked, and gives the first error.
func (st *Store) closeLive(victims []*liveMailbox) error {
	if len(victims) == 1 {
		return st.closeOne(victims[0])
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(victims))
	for range min(closeAtOnce, len(victims)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(victims); i = next.Add(1) - 1 {
				errs[i] = st.closeOne(victims[i])
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

func (st *Store) closeOne(lm *liveMailbox) error {
	err := lm.mb.close()
	if err != nil {
		lm.a.log.Error("close mailbox", "mailbox", lm.slot.name(), "err", err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(lm.a.live, lm.id)
	st.live.n--
	st.live.size -= lm.size
	close(lm.closing)
	return err
}

// evict ends the live mailbox in the directory id, if there is one: its
// sessions are told to leave with BYE, and its files are closed on return.
func (a *Account) evict(ctx context.Context, id disk.Identity) error {
	st := a.st
	for {
		st.mu.Lock()
		lm := a.live[id]
		if lm == nil {
			st.mu.Unlock()
			return nil
		}
		wait := lm.ready
		if lm.closing != nil {
			wait = lm.closing
		} else if lm.mb != nil {
			lm.closeLocked()
			st.mu.Unlock()
			lm.mb.end(ErrGone)
			st.closeLive([]*liveMailbox{lm})
			return nil
		}
		st.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// closeAll closes every live mailbox of the account; no session uses one.
func (a *Account) closeAll() error {
	st := a.st
	st.mu.Lock()
	var mine []*liveMailbox
	var others []chan struct{}
	for _, lm := range a.live {
		switch {
		case lm.closing != nil:
			others = append(others, lm.closing)
		case lm.mb != nil:
			lm.closeLocked()
			mine = append(mine, lm)
		}
	}
	st.mu.Unlock()
	err := st.closeLive(mine)
	for _, gone := range others {
		<-gone
	}
	return err
}

// Mailbox gives the live mailbox; Release it. Errors: ErrNotExist,
// ErrNotSelectable, ErrPermission, ErrUnavailable.
func (a *Account) Mailbox(ctx context.Context, name string) (*Mailbox, error) {
	path, err := a.find(name)
	if err != nil {
		return nil, err
	}
	mb, err := a.mailboxAt(ctx, path)
	if err != nil && !errors.Is(err, ctx.Err()) {
		return nil, fmt.Errorf("mailbox: open: %w", treeErr(err))
	}
	return mb, err
}
