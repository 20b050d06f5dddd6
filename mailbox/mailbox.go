package mailbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/maildir"
)

// A Mailbox is one live mailbox, shared by all its sessions: the directory and
// the index joined. It is the only one that gives UIDs to its messages.
type Mailbox struct {
	o     mailboxOptions
	dir   *maildir.Dir
	namer *maildir.Namer
	log   *slog.Logger
	count *Counters
	own   string // part of every base that this process makes

	version atomic.Uint64 // grows with everything a View may have to tell
	used    atomic.Int64  // when a session used it last, Unix seconds

	// syncing is a token: who holds it turns files into messages (scan.go,
	// events.go). It is taken before mu and may be held across system calls.
	syncing chan struct{}
	files   fileState // guarded by the token
	foreign foreignState
	queue   *maildir.Queue
	// quiet is what the directories looked like when everything in them was
	// known and a later change must look different; nil: look closer.
	quiet atomic.Pointer[maildir.Stamps]

	kick chan struct{}
	stop context.CancelFunc
	done chan struct{} // closed when the syncer has ended
	fill cacheFiller

	tally tally // for the quota

	contents sync.Pool // of *Content
	sorting  sortColumns

	mu          sync.Mutex // guards all below; never held across system calls but the journal's write
	ix          *index.Index
	live        *liveBits
	changes     changeLog
	views       map[*View]struct{}
	watches     map[*Watch]struct{} // nil: none yet
	unread      unseenCount
	ended       error // ErrGone: for good
	offline     error // why it cannot be used now; nil: it can
	readOnly    bool
	bases       *baseTable // nil: not needed yet
	inodes      inodePrints
	firstRecent imap.UID  // messages from it on are \Recent to the next session
	recentExtra uidRanges // others that are, after the first indexing
	words       keywordSlots
	work        workState
}

// workState is what is still to be done to the files.
type workState struct {
	reserved map[string]struct{}       // bases that an addition is bringing
	moving   map[index.Row]struct{}    // messages whose file we are renaming
	touched  map[index.Row]struct{}    // renamed by us since files are looked at; nil: they are not
	behind   map[index.Row]struct{}    // messages whose name lacks what the index says
	unlink   map[string]index.ToUnlink // by base: not messages any more
	unlinks  []unlinkJob               // to be removed once the record is durable
	unlinked []imap.UID                // removed, but the directory was not synced yet
	lost     []lostFile                // to be removed, and not found
	gone     goneFiles
	toCur    index.Row // messages in new/ below it may be moved to cur/
	inNew    map[index.Row]struct{}
	deferred []hint // about files that we are working on
	overflow bool   // there were too many of them
	renames  bool   // some were done since the last sync of the directories
}

// openMailbox loads the mailbox in o.Dir. The caller closes it. Errors:
// ErrPermission where the index cannot be written, ErrUnavailable, and those
// of the disk.
func openMailbox(ctx context.Context, o mailboxOptions) (*Mailbox, error) {
	mb := &Mailbox{
		o: o, dir: o.Dir, namer: o.Namer, log: o.Log, count: o.Counters,
		own:     "P" + strconv.Itoa(os.Getpid()) + "Q",
		syncing: make(chan struct{}, 1),
		kick:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		queue:   maildir.NewQueue(queueLimit),
		views:   map[*View]struct{}{},
		live:    noLiveBits,
		work: workState{
			reserved: map[string]struct{}{}, moving: map[index.Row]struct{}{},
			behind: map[index.Row]struct{}{}, unlink: map[string]index.ToUnlink{},
			inNew: map[index.Row]struct{}{},
		},
	}
	if mb.log == nil {
		mb.log = slog.New(slog.DiscardHandler)
	}
	if mb.o.Poll == 0 {
		mb.o.Poll = pollTime
	}
	if mb.count == nil {
		mb.count = &Counters{}
	}
	if mb.namer == nil {
		host, _ := os.Hostname()
		mb.namer = maildir.NewNamer(host, o.FS.Now, nil)
	}
	mb.files.init()
	mb.files.loaded, mb.files.loadedWall = time.Now(), o.FS.Now().Round(0)
	mb.fill.init(mb)
	if err := mb.load(ctx); err != nil {
		mb.unwatchAll()
		if mb.ix != nil {
			mb.ix.Close()
		}
		mb.dir.Close()
		o.IndexDir.Close()
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	mb.stop = stop
	go mb.fill.run(run) // ended by close
	go mb.sync(run)     // ended by close
	return mb, nil
}

// load reads the index and brings it and the files together.
func (mb *Mailbox) load(ctx context.Context) error {
	rec, adopted, err := mb.openIndex(ctx)
	if err != nil {
		return err
	}
	if rec.ReadOnly != nil {
		return fmt.Errorf("%w: index cannot be written: %w", ErrPermission, rec.ReadOnly)
	}
	mb.readOnly = mb.dir.Tmp() == nil
	mb.adoptIndexLocked()
	mb.words.load(mb.dir, mb.log)
	if rec.Lost {
		if err := mb.trustNames(); err != nil {
			return err
		}
	}
	if err := mb.meetForeign(ctx, rec, adopted); err != nil {
		return err
	}
	if mb.leavesList() {
		mb.ix.Begin() // files are made for it anyway, and must not be the only ones
	}
	mb.watch()
	mb.files.first = rec.Created
	mb.files.wantScan = mb.files.first || mb.files.adopted != nil || !mb.provedEqual()
	mb.files.recovering = mb.files.wantScan
	mb.syncing <- struct{}{}
	defer func() { <-mb.syncing }()
	if err := mb.finishIntents(rec.Lost); err != nil {
		return err
	}
	if mb.files.adopted != nil { // all at once, before events tell of a part
		if err := mb.scan(ctx); err != nil {
			return err
		}
	}
	if err := mb.adoptionDone(); err != nil {
		return err
	}
	if err := mb.bringUpToDate(ctx); err != nil {
		return err
	}
	mb.settleLoad(ctx)
	mb.files.reconcile = true
	mb.files.ticked = time.Now()
	return nil
}

// openIndex opens the journal and makes sure that the account agrees with what
// it says of itself.
func (mb *Mailbox) openIndex(ctx context.Context) (index.Recovery, *adoption, error) {
	var adopted *adoption
	registered := false
	known := mb.o.Slot.known()
	io := index.Options{
		Dir: mb.o.IndexDir, Now: mb.o.FS.Now, Log: mb.log, Fsync: mb.o.Fsync, Known: known,
		NewID: newMailboxID,
		NewUIDValidity: func() (uint32, error) {
			var seen uint32
			if known.UIDValidity == 0 {
				var err error
				if adopted, seen, err = mb.adoptNew(ctx); err != nil {
					return 0, err
				}
				if adopted != nil {
					return adopted.UIDValidity, nil
				}
			}
			return mb.o.Slot.newUIDValidity(seen)
		},
		Raise: func(uidNext imap.UID, modSeq index.ModSeq) error {
			mb.mu.Lock()
			id := mb.ix.ID()
			mb.mu.Unlock()
			err := mb.o.Slot.raise(id, uidNext, modSeq)
			if errors.Is(err, ErrGone) && !registered {
				return nil // a mailbox that came from outside: nobody was told of it
			}
			return err
		},
	}
	ix, rec, err := index.Open(io)
	if err != nil {
		return rec, nil, err
	}
	mb.ix = ix
	if rec.ReadOnly != nil {
		return rec, nil, nil
	}
	c, err := mb.o.Slot.claim(ix.ID(), ix.UIDValidity())
	if err != nil {
		return rec, nil, err
	}
	mb.foreign.recorded, mb.foreign.known = c.Adopted, c.Known
	if !rec.Created && ix.ID() != known.ID && !known.ID.IsZero() {
		// Another mailbox than the account knew in this directory: it was moved
		// or copied from outside, and has ceilings of its own.
		io.Known = index.Known{ID: ix.ID(), UIDValidity: ix.UIDValidity(), UIDNext: c.UIDNext, ModSeq: c.ModSeq}
		if err := ix.Close(); err != nil {
			return rec, nil, err
		}
		if mb.ix, rec, err = index.Open(io); err != nil {
			mb.ix = nil
			return rec, nil, err
		}
	}
	if rec.Jumped != "" || len(rec.Damaged) > 0 || rec.Torn > 0 {
		mb.log.Warn("index recovered", "jumped", rec.Jumped, "torn", rec.Torn, "damaged", rec.Damaged, "dropped", rec.Dropped.String())
	}
	if err := mb.settleIdentity(rec, io.Known, c, adopted); err != nil {
		return rec, adopted, err
	}
	registered = true
	return rec, adopted, nil
}

// settleIdentity takes a new UIDVALIDITY and id where the account says so, and
// makes the account know the mailbox, of which it knew was.
func (mb *Mailbox) settleIdentity(rec index.Recovery, was index.Known, c claim, adopted *adoption) error {
	if c.NewUIDValidity && !rec.NewUIDValidity || c.NewID {
		v, err := mb.o.Slot.newUIDValidity(mb.ix.UIDValidity())
		if err != nil {
			return err
		}
		var id index.MailboxID
		if c.NewID {
			id = newMailboxID()
		}
		if _, err := mb.ix.Renew(v, id); err != nil {
			return err
		}
		mb.log.Warn("mailbox gets a new UIDVALIDITY", "uidvalidity", v, "copy", c.NewID)
	}
	known := index.Known{
		UIDValidity: mb.ix.UIDValidity(), ID: mb.ix.ID(),
		UIDNext: mb.ix.UIDNext(), ModSeq: mb.ix.HighestModSeq(),
	}
	if !mb.ix.Blank() {
		known.UIDNext += index.CeilingUIDs
		known.ModSeq += index.CeilingModSeqs
	}
	if err := mb.o.Slot.register(known, adopted.pendingStamps()); err != nil {
		return err
	}
	if rec.Created && was.UIDNext == 0 {
		return nil // the first Wait of the index raises its ceilings, and so syncs
	}
	return mb.o.Slot.sync()
}

// adoptIndexLocked makes the state in memory that of mb.ix.
func (mb *Mailbox) adoptIndexLocked() {
	ix := mb.ix
	mb.bases = nil
	mb.inodes = inodePrints{}
	var gone []index.Row
	if ix.Live() != ix.Len() {
		for row := range index.Row(ix.Len()) {
			if ix.Gone(row) {
				gone = append(gone, row)
			}
		}
	}
	mb.live = fullLiveBits(ix.Len()).with(nil, gone)
	mb.changes = changeLog{lost: ix.HighestModSeq()}
	mb.firstRecent = max(ix.FirstRecent(), 1)
	clear(mb.work.inNew)
	ix.EachInNew(0, func(row index.Row) { mb.work.inNew[row] = struct{}{} })
	clear(mb.work.unlink)
	mb.work.unlinks, mb.work.unlinked, mb.work.lost = nil, nil, nil
	for _, u := range ix.ToUnlink() {
		mb.work.unlink[u.Base] = u
		mb.work.unlinks = append(mb.work.unlinks, unlinkJob{row: index.NoRow, file: u})
	}
	for _, row := range ix.Pending() {
		mb.work.behind[row] = struct{}{}
	}
	mb.version.Add(1)
}

func newMailboxID() (id index.MailboxID) {
	rand.Read(id[:]) // never fails
	return id
}

// Release gives back what Account.Mailbox gave.
func (mb *Mailbox) Release() {
	if mb.o.Released != nil {
		mb.o.Released()
	}
}

// UIDValidity is that of RFC 9051 §2.3.1.1.
func (mb *Mailbox) UIDValidity() uint32 { return mb.index().UIDValidity() }

// ID is the MAILBOXID (RFC 8474 §4.1).
func (mb *Mailbox) ID() string { return mb.index().ID().String() }

func (mb *Mailbox) index() *index.Index {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	return mb.ix
}

// stateLocked is why the mailbox cannot be used; nil if it can. mb.mu must be held.
func (mb *Mailbox) stateLocked() error {
	if mb.ended != nil {
		return mb.ended
	}
	if mb.offline != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, mb.offline)
	}
	return nil
}

// writableLocked is why nothing may be changed. mb.mu must be held.
func (mb *Mailbox) writableLocked() error {
	if err := mb.stateLocked(); err != nil {
		return err
	}
	if mb.readOnly {
		return ErrReadOnly
	}
	return nil
}

// waitDurable returns once everything up to pos of ix, which is or was the
// index of mb, is on the disk.
func (mb *Mailbox) waitDurable(ix *index.Index, pos position) error {
	err := ix.Wait(index.Pos(pos))
	if err != nil {
		mb.syncFailed(ix, err)
		return diskErr(err)
	}
	return nil
}

// syncFailed ends every session: what they were told may not be on the disk.
// The syncer then rebuilds the index from what is.
func (mb *Mailbox) syncFailed(ix *index.Index, err error) {
	if ix.Err() == nil {
		return // not the journal: raising a ceiling, or closed
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.ix != ix || mb.offline != nil {
		return
	}
	mb.count.FailedSyncs.Add(1)
	mb.log.Error("sync of the journal failed", "err", err)
	mb.offline = err
	mb.dropViewsLocked()
	mb.wake()
}

// dropViewsLocked makes every View end with ErrGone. mb.mu must be held.
func (mb *Mailbox) dropViewsLocked() {
	mb.version.Add(1)
	for v := range mb.views {
		v.dropped.Store(true)
		v.wake()
	}
	mb.wakeWatchesLocked()
}

// end ends the mailbox for its sessions, for good: their next Sync gives ErrGone.
func (mb *Mailbox) end(err error) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.ended == nil {
		mb.ended = err
		mb.dropViewsLocked()
	}
}

// close ends the mailbox: the syncer, what is left to do to the files, the
// journal. Sessions that still have it get errors.
func (mb *Mailbox) close() error {
	mb.end(ErrGone)
	mb.stop()
	<-mb.done
	mb.fill.wait()
	mb.syncing <- struct{}{}
	defer func() { <-mb.syncing }()
	mb.finishFiles(context.Background())
	mb.leaveForeign()
	mb.unwatchAll()
	err := mb.index().Close()
	if errors.Is(err, ErrGone) {
		err = nil // removed meanwhile: there is nothing left to keep
	}
	return errors.Join(err, mb.dir.Close(), mb.o.IndexDir.Close())
}

// memory estimates the octets that the mailbox holds: 64 and a name a message,
// and what SORT and its like keep.
func (mb *Mailbox) memory() int64 {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	n := int64(64<<10) + int64(mb.ix.Len())*120 + mb.sorting.memory()
	if mb.bases != nil {
		n += int64(len(mb.bases.rows)) * 5
	}
	return n
}

func (mb *Mailbox) touch() { mb.used.Store(mb.o.FS.Now().Unix()) }

// wake makes the syncer look for work.
func (mb *Mailbox) wake() {
	select {
	case mb.kick <- struct{}{}:
	default:
	}
}

// wake tells the session of v that there is news. mb.mu must be held.
func (v *View) wake() {
	if v.onChange != nil {
		v.onChange()
	}
}

// publishLocked makes a change that the journal has visible: the caller has
// updated live and changes. mb.mu must be held.
func (mb *Mailbox) publishLocked(by *View) {
	mb.version.Add(1)
	for v := range mb.views {
		if v != by {
			v.wake()
		}
	}
	mb.wakeWatchesLocked()
}

// applyLocked writes a batch to the journal. mb.mu must be held.
func (mb *Mailbox) applyLocked(b *index.Batch) (index.Applied, error) {
	if mb.firstRecent > mb.ix.FirstRecent() {
		b.FirstRecent = mb.firstRecent // without a barrier: it may be shown twice, never lost
	}
	a, err := mb.ix.Apply(b)
	if err != nil {
		return a, fmt.Errorf("mailbox: write journal: %w", diskErr(err))
	}
	return a, nil
}

// renewTime is how long a mailbox may be without a record that says when it
// was alive.
const heartbeatTime = 60 * time.Second
