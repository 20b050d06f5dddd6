package mailbox

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"roost/index"
	"roost/maildir"
)

// fileState is what is known of the directories beside the index. The token
// guards it.
type fileState struct {
	watched bool // every change is told
	polling bool // there is no watch to be had; said once
	off     int  // commands that took the watch off
	first   bool // nothing was ever indexed here
	// recovering: names that we had announced may be there from before; live,
	// the table knows the name that each file has.
	recovering bool

	wantScan   bool
	scanAt     time.Time // a scan is due then; zero: none
	scanned    maildir.Stamps
	scanStable bool // the last scan proves its stamps
	listing    maildir.Listing
	events     []maildir.Event
	hints      []hint
	scanning   bool      // the hints are from a listing
	scanRows   index.Row // rows when that was begun: the files of later ones may be in it
	told       uint64    // events so far
	quietTold  uint64    // told, when quiet was last set

	missing map[index.Row]missing
	twins   map[index.Row]hint
	busy    map[hint]time.Time
	limbo   map[index.Row]strike
	gone    *goneKeys // of a scan that is being followed, if it may need them
	massive bool      // a mass disappearance was logged
	doubt   bool      // the last scan found that this may be another directory
	accept  bool      // the operator says that what is missing is gone

	adopted   *adoption // while the mailbox is loaded and takes it over
	reconcile bool      // names must be compared with flags
	backoff   time.Duration
	retryAt   time.Time
	beat      time.Time
	dirSync   time.Time // when the directories must be synced; zero: clean
	ticked    time.Time
	purged    time.Time

	loaded, loadedWall time.Time // the same moment: monotonic, and by the wall clock
}

// A strike counts the scans that did not see a message (R2).
type strike struct {
	first, firstAny time.Time
	counting, any   int
}

func (f *fileState) init() {
	f.missing = map[index.Row]missing{}
	f.twins = map[index.Row]hint{}
	f.busy = map[hint]time.Time{}
	f.limbo = map[index.Row]strike{}
}

// What R2 and R17 ask for.
const (
	strikeGap    = time.Second
	anyStrikes   = 10
	massTime     = 30 * time.Second
	massStrikes  = 3
	massFloor    = 100
	rescanTime   = 1200 * time.Millisecond
	lookAtMost   = 4096 // new names that are looked at one by one
	lockedAtOnce = 4096 // names looked up under one lock
)

// provedEqual reports whether the directories are as the index was proved to be.
func (mb *Mailbox) provedEqual() bool {
	if len(mb.ix.Pending()) > 0 {
		return false
	}
	now, err := mb.dir.Stamps()
	proved := mb.ix.Stamps()
	if err != nil || proved.New == (index.Stamp{}) || indexStamps(now) != proved {
		return false
	}
	mb.files.scanned, mb.files.scanStable = now, true
	return true
}

func indexStamps(s maildir.Stamps) index.Stamps {
	conv := func(s maildir.Stamp) index.Stamp { return index.Stamp{Ino: s.Ino, Mtime: s.Mtime, Ctime: s.Ctime} }
	return index.Stamps{New: conv(s[maildir.New]), Cur: conv(s[maildir.Cur])}
}

// scan lists the directories and brings the index in line: what is new is added
// at once; what is missing is expunged only under R1 to R18. The caller has the
// token.
func (mb *Mailbox) scan(ctx context.Context) error {
	st := &mb.files
	mb.count.Scans.Add(1)
	mb.readLetters()
	defer mb.noteRenames()()
	mb.mu.Lock()
	rows := index.Row(mb.live.rows)
	mb.mu.Unlock()
	if !st.watched && !st.polling && st.off == 0 {
		mb.watch()
	}
	st.wantScan, st.scanAt, st.doubt = false, time.Time{}, false
	if err := mb.dir.Scan(&st.listing); err != nil {
		mb.setOffline(err)
		if over := mb.isOver(); over != nil { // removed just now
			return over
		}
		return mb.trouble(err)
	}
	st.scanned, st.scanStable = st.listing.Stamps, st.listing.Stable()
	if !st.scanStable && !st.watched {
		st.scanned = maildir.Stamps{}
		st.scanAt = time.Now().Add(rescanTime)
	}
	if st.listing.Len() > 0 {
		name, p := st.listing.File(0)
		mb.askInode(p, string(name), st.listing.Inode(0))
	}
	st.scanRows = rows
	seen, unknown, moved := mb.match(rows)
	gone := mb.unseen(seen, rows)
	if err := mb.followScan(ctx, unknown, moved, gone); err != nil {
		return err
	}
	mb.strike(mb.notOurs(gone))
	st.gone = nil
	st.first, st.recovering = false, false
	if st.listing.Len() > lookAtMost {
		st.listing = maildir.Listing{} // a large one is rare: give it back
	}
	if !st.doubt {
		mb.setOnline()
	}
	return nil
}

// match looks every listed name up: which rows have a file, which names are of
// no message, and which are of one that we know under another name.
func (mb *Mailbox) match(rows index.Row) (seen []uint64, unknown, moved []int32) {
	seen = make([]uint64, int(rows)/64+1)
	l := &mb.files.listing
	if mb.files.first && rows == 0 { // no need to look
		unknown = make([]int32, l.Len())
		for i := range unknown {
			unknown[i] = int32(i)
		}
		return seen, unknown, nil
	}
	for i := 0; i < l.Len(); {
		mb.mu.Lock()
		bases := mb.basesLocked()
		for end := min(i+lockedAtOnce, l.Len()); i < end; i++ {
			n, p := l.At(i)
			row := bases.find(mb.ix, n.Base)
			switch {
			case row == index.NoRow:
				unknown = append(unknown, int32(i))
				continue
			case row < rows:
				seen[row/64] |= 1 << (row % 64)
			}
			if mb.inodes.told {
				mb.inodes.set(row, l.Inode(i))
			}
			if !sameName(mb.ix.Name(row), n, p) {
				moved = append(moved, int32(i))
			}
		}
		mb.mu.Unlock()
	}
	return seen, unknown, moved
}

// sameName is indexName(n, p) == have, without an allocation.
func sameName(have index.Name, n maildir.Name, p maildir.Place) bool {
	return have.Letters == indexLetters(n.Letters) && placeOf(have) == p &&
		(have.Where&index.HasInfo != 0) == (len(n.Info) > 0) &&
		(have.Where&index.ExactInfo != 0) == (len(n.Exact) > 0) && have.Exact == string(n.Exact)
}

// unseen are the messages from before the scan that it did not see.
func (mb *Mailbox) unseen(seen []uint64, rows index.Row) (gone []index.Row) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	mb.live.each(0, rows, func(row index.Row) bool {
		if seen[row/64]>>(row%64)&1 == 0 {
			gone = append(gone, row)
		}
		return true
	})
	return gone
}

// notOurs leaves out the messages that we have renamed since we looked, or are
// renaming: that they were not seen proves nothing.
func (mb *Mailbox) notOurs(gone []index.Row) []index.Row {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	return slices.DeleteFunc(gone, mb.renamedLocked)
}

// maybeGone are the messages of which an unknown name may be the new one: those
// that were not seen and, unless the listing is of one moment, those that were
// seen and have the key of an unknown name. Such a file was renamed between two
// reads of the directory.
func (mb *Mailbox) maybeGone(unknown []int32, gone []index.Row) []index.Row {
	l := &mb.files.listing
	switch {
	case len(unknown) == 0:
		return nil
	case l.Stable():
		return gone
	}
	keys := make(map[string]struct{}, len(unknown))
	for _, i := range unknown {
		n, _ := l.At(int(i))
		keys[string(maildir.Key(n.Base))] = struct{}{}
	}
	missed := make(map[index.Row]struct{}, len(gone))
	for _, row := range gone {
		missed[row] = struct{}{}
	}
	mb.mu.Lock()
	live, ix := mb.live, mb.ix
	mb.mu.Unlock()
	maybe := slices.Clone(gone)
	live.each(0, index.Row(live.rows), func(row index.Row) bool {
		if _, ok := keys[string(keyOf(ix, row))]; ok {
			if _, ok := missed[row]; !ok {
				maybe = append(maybe, row)
			}
		}
		return true
	})
	return maybe
}

// followScan publishes what the listing shows.
func (mb *Mailbox) followScan(ctx context.Context, unknown, moved []int32, gone []index.Row) error {
	st := &mb.files
	l := &st.listing
	st.gone = nil
	if maybe := mb.maybeGone(unknown, gone); len(maybe) > 0 {
		st.gone = newGoneKeys(mb.index(), maybe)
	}
	var again []hint
	if st.first || len(unknown) > lookAtMost {
		var err error
		if again, err = mb.publishMany(unknown); err != nil {
			return mb.trouble(err)
		}
		unknown = nil
	}
	for _, list := range [][]int32{moved, unknown} {
		for _, i := range list {
			name, p := l.File(int(i))
			again = append(again, hint{place: p, name: string(name)})
		}
	}
	st.scanning = true
	defer func() { st.scanning = false }()
	return mb.follow(ctx, again)
}

// strike counts this scan against the messages that it did not see, and
// expunges those that are gone by R2 and R17.
func (mb *Mailbox) strike(gone []index.Row) {
	st := &mb.files
	now := time.Now()
	counting := st.listing.Stable()
	next := make(map[index.Row]strike, len(gone))
	var out []index.Row
	mb.mu.Lock()
	live := mb.live.Len()
	still := gone[:0:0]
	for _, row := range gone {
		// Found again under another base (R13), or touched by a command since.
		if _, ours := mb.work.touched[row]; !ours && mb.live.Has(row) && !mb.found(row) {
			still = append(still, row)
		}
	}
	mb.mu.Unlock()
	massive := len(still) > max(massFloor, live/5) || len(still) > 0 && st.listing.Len() == 0
	for _, row := range still {
		s := st.limbo[row]
		if s.any == 0 {
			s.firstAny = now
		}
		s.any++
		switch {
		case !counting:
		case s.counting == 0:
			s.first, s.counting = now, 1
		case now.Sub(s.first) >= strikeGap*time.Duration(s.counting):
			s.counting++
		}
		over := s.counting >= 2 || s.any >= anyStrikes && now.Sub(s.firstAny) >= massTime
		if massive {
			over = s.counting >= massStrikes && now.Sub(s.first) >= massTime
		}
		if over || st.accept && counting {
			out = append(out, row)
			continue
		}
		next[row] = s
	}
	st.limbo = next
	if massive && !st.accept && !mb.lossIsReal(len(still), live) {
		st.scanAt = now.Add(massTime / massStrikes)
		return
	}
	for _, row := range out {
		delete(st.missing, row)
	}
	mb.expungeMissing(out)
	switch {
	case len(next) == 0:
		st.massive = false
	case massive:
		st.scanAt = now.Add(massTime / massStrikes)
	default:
		st.scanAt = now.Add(rescanTime)
	}
}

// found reports whether the scan has given row another base. mb.mu must be held.
func (mb *Mailbox) found(row index.Row) bool {
	if mb.files.gone == nil {
		return false
	}
	_, ok := mb.files.gone.found[row]
	return ok
}

// lossIsReal reports whether a mass disappearance may be believed once it has
// lasted (R17): the directory still is the one that the index is of. If it is
// not, the mailbox goes offline.
func (mb *Mailbox) lossIsReal(n, live int) bool {
	if !mb.files.massive {
		mb.files.massive = true
		mb.log.Warn("most messages have disappeared; waiting before they are believed to be gone", "missing", n, "messages", live)
	}
	_, err := mb.o.IndexDir.Lstat(index.JournalName)
	if err == nil {
		var ok bool
		if ok, err = mb.o.Slot.inPlace(mb.dir.Root()); err == nil && ok {
			ok, err = mb.ownDirectory()
		}
		if err == nil && ok {
			return true
		}
		if err == nil {
			err = errOtherDirectory
		}
	}
	mb.files.doubt = true
	mb.setOffline(err)
	return false
}

// setOffline makes commands fail until the files can be read again.
func (mb *Mailbox) setOffline(err error) {
	mb.quiet.Store(nil)
	if errors.Is(err, fs.ErrNotExist) {
		if ok, perr := mb.o.Slot.inPlace(mb.dir.Root()); perr == nil && !ok {
			mb.end(ErrGone) // R16
			return
		}
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.offline == nil {
		mb.offline = err
		mb.count.Offline.Add(1)
		mb.log.Error("mailbox is offline: its files cannot be read", "err", err)
	}
	mb.files.scanAt = time.Now().Add(rescanTime)
}

// setOnline ends what setOffline began; a failed sync has an end of its own.
func (mb *Mailbox) setOnline() {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.offline != nil && mb.ix.Err() == nil {
		mb.offline = nil
		mb.wakeWatchesLocked()
		mb.log.Info("mailbox is back")
	}
}
