package mailbox

import (
	"context"
	"errors"
	"time"

	"roost/index"
	"roost/maildir"
)

const (
	// queueLimit bounds the events that wait; more mean a scan.
	queueLimit = 4096
	// settleTime is how long a name may be gone before it is taken for removed:
	// a rename by link and unlink, or through another directory, is over by then.
	settleTime = 100 * time.Millisecond
	// stillTime is how old a directory's time must be so that a later change
	// cannot leave it as it is: well above the tick of the kernel's clock.
	stillTime = 50 * time.Millisecond
)

// A hint is a name that should be looked at, or that is said to be gone.
type hint struct {
	place maildir.Place
	name  string
	gone  bool
}

// missing is a message whose name is gone.
type missing struct {
	since  time.Time // monotonic
	breaks uint64    // of the queue, when it was seen
}

// watch starts watching, if that can be had. What happened before is found by
// the scan that follows (W4).
func (mb *Mailbox) watch() {
	mb.files.watched = false
	if mb.o.Watcher == nil {
		return
	}
	for _, p := range []maildir.Place{maildir.New, maildir.Cur} {
		if err := mb.o.Watcher.Add(mb.dir.Place(p), mb.o.Owner, int(p), mb.queue); err != nil {
			if !mb.files.polling {
				mb.log.Warn("no watch, the mailbox is polled", "err", err)
			}
			mb.files.polling = true
			mb.unwatchAll()
			return
		}
	}
	mb.files.watched, mb.files.polling = true, false
}

func (mb *Mailbox) unwatchAll() {
	mb.files.watched = false
	if mb.o.Watcher == nil {
		return
	}
	for _, p := range []maildir.Place{maildir.New, maildir.Cur} {
		mb.o.Watcher.Remove(mb.dir.Place(p))
	}
}

// withoutWatch runs f, which touches n names, without the watch if they are
// many: one scan afterwards is cheaper than as many events.
func (mb *Mailbox) withoutWatch(ctx context.Context, n int, f func()) {
	if n <= manyNames {
		f()
		return
	}
	mb.syncing <- struct{}{}
	mb.files.off++
	if mb.files.watched {
		mb.unwatchAll()
	}
	mb.quiet.Store(nil)
	<-mb.syncing
	f()
	mb.syncing <- struct{}{}
	if mb.files.off--; mb.files.off == 0 {
		mb.watch()
	}
	mb.files.wantScan = true
	<-mb.syncing
	mb.wake()
}

// manyNames is how many names of a watched directory a command may touch
// before the watch is taken off.
const manyNames = 64

// drain turns the events that have come into hints, and follows them.
func (mb *Mailbox) drain(ctx context.Context) error {
	fs := &mb.files
	fs.events = mb.queue.Take(fs.events[:0])
	hints := append(fs.hints[:0], mb.takeDeferred()...)
	for _, e := range fs.events {
		mb.count.Events.Add(1)
		fs.told++
		p := maildir.Place(e.Tag)
		switch e.Op {
		case maildir.Appear:
			hints = append(hints, hint{p, e.Name, false})
		case maildir.Removed, maildir.MovedAway:
			hints = append(hints, hint{p, e.Name, true})
		case maildir.Written:
			mb.written(p, e.Name)
		case maildir.Overflow:
			mb.count.Overflows.Add(1)
			fs.wantScan = true
		case maildir.Lost:
			fs.watched, fs.wantScan = false, true
		}
	}
	fs.hints = hints
	if fs.wantScan {
		return nil // of some names only half was told: the scan that follows sees all
	}
	return mb.follow(ctx, hints)
}

// refresh brings the mailbox up to date with the files. If both directories
// look as they did when everything in them was known, that is two system calls;
// else it waits until all events of what happened before have come (a fence).
// So what another program finished before refresh was called is seen by it, but
// for removals, which need to settle.
func (mb *Mailbox) refresh(ctx context.Context) error {
	if quiet := mb.quiet.Load(); quiet != nil {
		if now, err := mb.dir.Stamps(); err == nil && now == *quiet {
			return nil
		}
	}
	select {
	case mb.syncing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-mb.syncing }()
	if quiet := mb.quiet.Load(); quiet != nil { // another session did it meanwhile
		if now, err := mb.dir.Stamps(); err == nil && now == *quiet {
			return nil
		}
	}
	if err := mb.isOver(); err != nil {
		return err
	}
	return mb.bringUpToDate(ctx)
}

func (mb *Mailbox) isOver() error {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	return mb.ended
}

// Refresh brings the mailbox up to date with the files, cheaply; every command
// starts with it. A command that was received as a whole before the Refresh of
// the one before it began may leave it out. Errors: ErrGone, ErrUnavailable,
// ctx's.
func (v *View) Refresh(ctx context.Context) error {
	if v.dropped.Load() {
		return ErrGone
	}
	return v.mb.refresh(ctx)
}

// bringUpToDate is refresh; the caller has the token.
func (mb *Mailbox) bringUpToDate(ctx context.Context) error {
	fs := &mb.files
	stamps, err := mb.dir.Stamps()
	if err != nil {
		return mb.trouble(err)
	}
	now := mb.o.FS.Now()
	mb.quiet.Store(nil)
	if fs.watched {
		mb.count.Fences.Add(1)
		if err := mb.o.Watcher.Fence(ctx); err != nil {
			if !errors.Is(err, maildir.ErrFence) {
				return err
			}
			fs.wantScan = true
		}
		if err := mb.drain(ctx); err != nil {
			return err
		}
	} else if fs.off == 0 && stamps != fs.scanned {
		fs.wantScan = true
	}
	if fs.wantScan {
		if err := mb.scan(ctx); err != nil {
			return err
		}
		if fs.scanStable && !fs.wantScan {
			scanned := fs.scanned
			mb.quiet.Store(&scanned)
			fs.quietTold = fs.told
		}
		return nil
	}
	still := stillTime
	if stamps.Coarse() {
		still = mb.dir.Granule()
	}
	if fs.watched && stamps.Settled(now, still) {
		mb.quiet.Store(&stamps)
		fs.quietTold = fs.told
	}
	return nil
}

// deferHint keeps a hint about a file that we are working on ourselves. mb.mu
// must be held.
func (mb *Mailbox) deferHintLocked(h hint) {
	if len(mb.work.deferred) < queueLimit {
		mb.work.deferred = append(mb.work.deferred, h)
	} else {
		mb.work.overflow = true
	}
}

// takeDeferred gives the hints that were put off and can be followed now: those
// about files that nobody is working on any more.
func (mb *Mailbox) takeDeferred() (ready []hint) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.work.overflow {
		mb.work.overflow = false
		mb.files.wantScan = true
	}
	kept := mb.work.deferred[:0]
	for _, h := range mb.work.deferred {
		n, err := maildir.ParseName([]byte(h.name), mb.dir.Sep())
		if err != nil {
			continue
		}
		_, reserved := mb.work.reserved[string(n.Base)]
		row := mb.basesLocked().find(mb.ix, n.Base)
		_, moving := mb.work.moving[row]
		if reserved || moving || row == index.NoRow && mb.keyBusyLocked(n.Base) {
			kept = append(kept, h)
			continue
		}
		ready = append(ready, h)
	}
	clear(mb.work.deferred[len(kept):])
	mb.work.deferred = kept
	return ready
}

// written drops what the cache says of a file that was changed in place (R11).
func (mb *Mailbox) written(p maildir.Place, name string) {
	n, err := maildir.ParseName([]byte(name), mb.dir.Sep())
	if err != nil {
		return
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if row := mb.basesLocked().find(mb.ix, n.Base); row != index.NoRow {
		if size := mb.ix.Size(row); size != index.UnknownSize || mb.ix.Cache().Has(row) {
			mb.fill.check(row)
		}
	}
}

// settle expunges the messages whose file is proved to be gone: not back
// within the settle window, the name still gone, no event lost since, and no new
// name told by everything that happened before it was looked for. It gives the
// time until the next one is due.
func (mb *Mailbox) settle(ctx context.Context) time.Duration {
	fs := &mb.files
	if len(fs.missing) == 0 {
		return 0
	}
	now := time.Now()
	due := map[index.Row]missing{}
	next := time.Duration(0)
	for row, m := range fs.missing {
		if wait := settleTime - now.Sub(m.since); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		due[row] = m
	}
	if len(due) == 0 {
		return next
	}
	// Before the look: a name that is put off because we were renaming the file is
	// in no list, and the message is not gone.
	defer mb.noteRenames()()
	for row := range due {
		switch exists, err := mb.fileExists(row); {
		case err != nil:
			mb.unclear(row)
			delete(due, row)
		case exists:
			delete(fs.missing, row)
			delete(due, row)
		}
	}
	if len(due) == 0 {
		return next
	}
	// After the look: who has renamed a file before it has told so by now.
	mb.count.Fences.Add(1)
	fenced := fs.watched && mb.o.Watcher.Fence(ctx) == nil && mb.drain(ctx) == nil
	breaks := mb.queue.Breaks()
	var gone []index.Row
	for row, was := range due {
		m, ok := fs.missing[row]
		switch {
		case fenced && (!ok || m.since != was.since):
			// came back
		case !fenced || m.breaks != breaks || fs.wantScan:
			mb.unclear(row)
		default:
			delete(fs.missing, row)
			gone = append(gone, row)
		}
	}
	found := len(gone)
	if gone = mb.notOurs(gone); len(gone) < found {
		fs.wantScan = true
	}
	mb.expungeMissing(gone)
	return next
}

// settleLoad ends the messages whose files went while nobody looked, before
// anyone is told of them: the watch was there before the scan that did not see
// them, so that after the settle window a fence proves what the index otherwise
// believes after two scans only. It is the end of load; without such messages
// it costs nothing. The caller has the token.
func (mb *Mailbox) settleLoad(ctx context.Context) {
	st := &mb.files
	if !st.watched || st.massive || len(st.limbo) == 0 {
		return
	}
	breaks, now := mb.queue.Breaks(), time.Now()
	for row := range st.limbo {
		st.missing[row] = missing{since: now, breaks: breaks}
	}
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		mb.settle(ctx)
	case <-ctx.Done():
		return
	}
	mb.mu.Lock()
	for row := range st.limbo {
		if !mb.live.Has(row) {
			delete(st.limbo, row)
		}
	}
	mb.mu.Unlock()
	if len(st.limbo) == 0 && !st.wantScan {
		st.scanAt = time.Time{} // no second scan is needed
	}
}

// unclear leaves row to the next scan.
func (mb *Mailbox) unclear(row index.Row) {
	delete(mb.files.missing, row)
	mb.files.wantScan = true
}
