package mailbox

import (
	"context"
	"errors"
	"time"

	"roost/index"
	"roost/maildir"
)

// The times of the syncer.
const (
	pollTime    = 30 * time.Second // paths and stamps are compared; the default
	dirSyncTime = 5 * time.Second  // a rename of ours is durable after it, at most
	retryFirst  = 20 * time.Millisecond
	retryMost   = 5 * time.Minute
	purgeTime   = 24 * time.Hour
)

// sync is the one goroutine of the mailbox that follows events and does what
// is left to do to the files. close stops it.
func (mb *Mailbox) sync(ctx context.Context) {
	defer close(mb.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-mb.queue.Wake():
		case <-mb.kick:
		case <-timer.C:
		}
		timer.Reset(mb.step(ctx))
	}
}

// step does what is due and gives the time until something is due again.
func (mb *Mailbox) step(ctx context.Context) time.Duration {
	mb.rebuild(ctx)
	if mb.isOver() != nil {
		return mb.o.Poll
	}
	next := mb.stepFiles(ctx)
	mb.stepWork(ctx)
	st := &mb.files
	mb.syncing <- struct{}{}
	defer func() { <-mb.syncing }()
	now := time.Now()
	for _, at := range []time.Time{st.scanAt, st.retryAt, st.dirSync, st.ticked.Add(mb.o.Poll)} {
		if !at.IsZero() {
			next = min(next, max(at.Sub(now), time.Millisecond))
		}
	}
	if st.wantScan {
		next = min(next, 10*time.Millisecond)
	}
	return next
}

// stepFiles follows events and scans what is due.
func (mb *Mailbox) stepFiles(ctx context.Context) time.Duration {
	mb.syncing <- struct{}{}
	defer func() { <-mb.syncing }()
	st := &mb.files
	next := mb.o.Poll
	if err := mb.drain(ctx); err != nil {
		mb.log.Debug("follow events", "err", err)
	}
	for h, since := range st.busy {
		if time.Since(since) > busyTime || !mb.open(h) {
			mb.follow(ctx, []hint{h})
		}
	}
	if len(st.busy) > 0 {
		next = 250 * time.Millisecond
	}
	if wait := mb.settle(ctx); wait > 0 {
		next = min(next, wait)
	}
	tick := time.Since(st.ticked) >= mb.o.Poll
	if tick {
		st.ticked = time.Now()
		mb.tick(ctx)
	}
	if due := !st.scanAt.IsZero() && !time.Now().Before(st.scanAt); due {
		st.wantScan = true
	}
	if st.wantScan && st.off == 0 {
		if err := mb.scan(ctx); err != nil {
			mb.log.Debug("scan", "err", err)
		}
	}
	if tick {
		mb.prove(ctx)
	}
	return next
}

// open reports whether the file of h is still being written.
func (mb *Mailbox) open(h hint) bool {
	f, err := mb.dir.OpenMessage(h.place, h.name)
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Busy()
}

// tick is the safety net under the events (W3, R16).
func (mb *Mailbox) tick(ctx context.Context) {
	ok, err := mb.o.Slot.inPlace(mb.dir.Root())
	if err == nil && ok {
		err = mb.dir.Check()
	}
	if err == nil && !ok || errors.Is(err, maildir.ErrGone) {
		mb.log.Warn("the mailbox was moved or removed from outside")
		mb.end(ErrGone)
		return
	}
	if err != nil {
		mb.setOffline(err)
		return
	}
	st := &mb.files
	stamps, err := mb.dir.Stamps()
	if err != nil {
		mb.setOffline(err)
		return
	}
	if quiet, told := mb.quiet.Load(), st.quietTold; quiet == nil || *quiet != stamps {
		mb.mu.Lock()
		ours := mb.work.renames
		mb.mu.Unlock()
		if err := mb.bringUpToDate(ctx); err != nil {
			mb.log.Debug("bring up to date", "err", err)
		}
		if st.watched && !ours && quiet != nil && st.told == told {
			mb.log.Warn("the directories changed and no event told so; scanning")
			st.wantScan = true
		}
	}
	if st.polling && mb.o.Watcher != nil {
		if mb.watch(); st.watched {
			st.wantScan = true
		}
	}
	mb.heartbeat()
}

func (mb *Mailbox) heartbeat() {
	if time.Since(mb.files.beat) < heartbeatTime {
		return
	}
	mb.files.beat = time.Now()
	ix := mb.index()
	if ix.Blank() {
		return // nothing of it can be lost
	}
	mb.mu.Lock()
	_, err := mb.applyLocked(&index.Batch{Heartbeat: true})
	mb.mu.Unlock()
	if err == nil {
		err = ix.Wait(ix.Pos())
	}
	if err != nil {
		mb.syncFailed(ix, err)
	}
}

// prove stores the stamps of the directories once everything in them is known:
// a load with equal stamps needs no scan.
func (mb *Mailbox) prove(ctx context.Context) {
	st := &mb.files
	before, err := mb.dir.Stamps()
	if err != nil || st.wantScan || !before.Settled(mb.o.FS.Now(), mb.dir.Granule()) {
		return
	}
	breaks := mb.queue.Breaks()
	if st.watched {
		mb.count.Fences.Add(1)
		if mb.o.Watcher.Fence(ctx) != nil || mb.drain(ctx) != nil {
			return
		}
	} else if !st.scanStable || st.scanned != before {
		return
	}
	after, err := mb.dir.Stamps()
	if err != nil || after != before || mb.queue.Breaks() != breaks || st.wantScan ||
		len(st.missing)+len(st.limbo)+len(st.twins)+len(st.busy) > 0 {
		return
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if len(mb.work.deferred)+len(mb.work.moving)+len(mb.work.reserved) > 0 || mb.writableLocked() != nil {
		return
	}
	if s := indexStamps(before); s != mb.ix.Stamps() && !mb.ix.Blank() {
		if _, err := mb.applyLocked(&index.Batch{Stamps: &s}); err != nil {
			mb.log.Debug("store stamps", "err", err)
		}
	}
}

// stepWork does what is left to do to the files, without the token.
func (mb *Mailbox) stepWork(ctx context.Context) {
	st := &mb.files
	if st.reconcile {
		st.reconcile = false
		mb.reconcile()
	}
	if time.Since(st.purged) >= purgeTime {
		st.purged = time.Now()
		mb.purge()
	}
	mb.unlinkExpunged(ctx, false)
	for mb.moveToCur(ctx) == renamesAtOnce && ctx.Err() == nil {
	}
	now := time.Now()
	if st.retryAt.IsZero() || !now.Before(st.retryAt) {
		mb.retry(ctx, now)
	}
	mb.giveUpLost(now)
	mb.mu.Lock()
	dirty := mb.work.renames || mb.work.unlinked != nil
	ix := mb.ix
	mb.mu.Unlock()
	switch {
	case !dirty:
		st.dirSync = time.Time{}
	case st.dirSync.IsZero():
		st.dirSync = now.Add(dirSyncTime)
	case !now.Before(st.dirSync):
		st.dirSync = time.Time{}
		mb.syncDirs()
	}
	if ix.NeedsCompaction() {
		mb.syncDirs()
		if err := ix.Compact(); err != nil {
			mb.log.Error("compact the index", "err", err)
			mb.syncFailed(ix, err)
		}
	}
	if ix.Cache().NeedsCompaction() {
		if err := ix.Cache().Compact(); err != nil {
			mb.log.Warn("compact the cache", "err", err)
		}
	}
}

// retry brings names that are behind in line, with longer and longer pauses
// while that does not help.
func (mb *Mailbox) retry(ctx context.Context, now time.Time) {
	st := &mb.files
	last := -1
	for ctx.Err() == nil {
		n, left := mb.catchUp(ctx)
		if left == 0 {
			st.backoff, st.retryAt = 0, time.Time{}
			return
		}
		if n == 0 || left == last {
			break
		}
		last = left
	}
	st.backoff = min(max(st.backoff*2, retryFirst), retryMost)
	st.retryAt = now.Add(st.backoff)
	if st.backoff == 4*retryFirst { // events have not told the present names
		mb.syncing <- struct{}{}
		st.wantScan = true
		<-mb.syncing
	}
}

// syncDirs makes renames and unlinks of ours durable and says so in the journal.
func (mb *Mailbox) syncDirs() {
	if err := mb.syncRenames(); err != nil {
		mb.log.Warn("sync the directories", "err", err)
	}
	if err := mb.syncUnlinks(); err != nil {
		mb.log.Warn("sync the directories", "err", err)
	}
}

// reconcile finds messages whose name lacks flags or keyword letters.
func (mb *Mailbox) reconcile() {
	for from := index.Row(0); ; from += lockedAtOnce {
		mb.mu.Lock()
		end := index.Row(mb.live.rows)
		mb.live.each(from, min(from+lockedAtOnce, end), func(row index.Row) bool {
			if _, differs := mb.wantNameLocked(row, mb.ix.Flags(row), mb.ix.Keywords(row)); differs {
				mb.work.behind[row] = struct{}{}
			}
			return true
		})
		mb.mu.Unlock()
		if from+lockedAtOnce >= end {
			return
		}
	}
}

// finishFiles is the work before the end: the files are as the index says, and
// both are durable.
func (mb *Mailbox) finishFiles(ctx context.Context) {
	if err := mb.drain(ctx); err != nil && !errors.Is(err, ErrGone) {
		mb.log.Debug("follow events", "err", err)
	}
	mb.unlinkExpunged(ctx, true)
	mb.sweepAll()
	mb.syncDirs()
	mb.mu.Lock()
	mb.ended = nil // prove writes
	if mb.firstRecent > mb.ix.FirstRecent() && !mb.ix.Blank() && mb.writableLocked() == nil {
		if _, err := mb.applyLocked(&index.Batch{}); err != nil {
			mb.log.Debug("store the first recent UID", "err", err)
		}
	}
	mb.mu.Unlock()
	mb.prove(ctx)
	mb.end(ErrGone)
}

// rebuild makes a new journal after a sync failed: from the records before the
// last good sync, and a full scan. Until then the mailbox is offline.
func (mb *Mailbox) rebuild(ctx context.Context) {
	mb.mu.Lock()
	old := mb.ix
	poisoned := old.Err() != nil && mb.ended == nil
	if poisoned {
		if mb.offline == nil {
			mb.offline = old.Err()
		}
		mb.dropViewsLocked()
	}
	mb.mu.Unlock()
	if !poisoned {
		return
	}
	mb.syncing <- struct{}{}
	defer func() { <-mb.syncing }()
	mb.quiet.Store(nil)
	ix, rec, err := old.Rebuild()
	if err != nil {
		mb.log.Error("rebuild the index", "err", err)
		mb.files.retryAt = time.Now().Add(dirSyncTime)
		return
	}
	mb.log.Warn("index rebuilt after a failed sync", "jumped", rec.Jumped)
	mb.mu.Lock()
	mb.ix = ix
	clear(mb.work.behind)
	clear(mb.work.moving)
	mb.work.gone.files = nil
	mb.adoptIndexLocked()
	mb.mu.Unlock()
	clear(mb.files.missing)
	clear(mb.files.twins)
	clear(mb.files.limbo)
	mb.files.wantScan, mb.files.reconcile, mb.files.recovering = true, true, true
	if err := mb.finishIntents(rec.Lost); err != nil {
		mb.log.Error("end interrupted batches after the rebuild", "err", err)
	}
	if err := mb.scan(ctx); err != nil {
		mb.log.Error("scan after the rebuild", "err", err)
		return
	}
	mb.setOnline()
}
