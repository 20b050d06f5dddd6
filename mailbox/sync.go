package mailbox

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// This file is how files become messages (design §4). Everything that is found
// in the directories, by events or by scans, goes through follow and publish;
// addLocked is the only place where a message gets its UID.

// addLocked writes b, gives the messages that it adds their UIDs, in their
// order, and publishes them. Publication order is journal order. mb.mu must be
// held.
func (mb *Mailbox) addLocked(b *index.Batch, by *View) (index.Applied, error) {
	a, err := mb.applyLocked(b)
	if err != nil {
		return a, err
	}
	end := index.Row(mb.ix.Len())
	if mb.bases != nil {
		for row := a.First; row < end; row++ {
			mb.bases.add(mb.ix, row)
		}
	}
	mb.ix.EachInNew(a.First, func(row index.Row) { mb.work.inNew[row] = struct{}{} })
	mb.live = mb.live.grown(int(a.First), int(end))
	mb.publishLocked(by)
	return a, nil
}

// An arrival is a file that is to become a message.
type arrival struct {
	add   index.Add
	info  *disk.Info // nil: not looked at
	print uint32     // of the inode, as listed, if it was not looked at
}

// found is what following hints or a listing has brought together: it is
// published in one step.
type found struct {
	arrivals []arrival
	names    []nameChange
}

// A nameChange is a message whose file has another name now.
type nameChange struct {
	row  index.Row
	old  index.Name // what we took for its name when we looked
	name index.Name
	base string // R13; "": the same
}

// follow looks at the names of hints and publishes what they tell.
func (mb *Mailbox) follow(ctx context.Context, hints []hint) error {
	if len(hints) == 0 {
		return nil
	}
	defer mb.noteRenames()()
	var f found
	for i := range hints {
		if err := mb.look(&f, hints[i]); err != nil {
			return mb.trouble(err)
		}
		if i%256 == 255 && ctx.Err() != nil {
			mb.files.wantScan = true // the rest is found by it
			break
		}
	}
	return mb.publish(&f)
}

// look follows one hint. What it says is checked, unless the index says the
// same already.
func (mb *Mailbox) look(f *found, h hint) error {
	n, err := maildir.ParseName([]byte(h.name), mb.dir.Sep())
	if err != nil {
		return nil
	}
	name := indexName(n, h.place)
	mb.mu.Lock()
	row := mb.basesLocked().find(mb.ix, n.Base)
	_, reserved := mb.work.reserved[string(n.Base)]
	_, moving := mb.work.moving[row]
	if reserved || moving || row == index.NoRow && (mb.keyBusyLocked(n.Base) || mb.keyDeferredLocked(n.Base)) {
		if mb.files.scanning && row == index.NoRow {
			mb.work.overflow = true // the old name is in no hint: only a scan can join them
		} else {
			mb.deferHintLocked(h)
		}
		mb.mu.Unlock()
		return nil
	}
	var now index.Name
	var base string
	if row != index.NoRow {
		now, base = mb.ix.Name(row), mb.ix.Base(row)
	}
	mb.mu.Unlock()
	switch {
	case h.gone:
		if row != index.NoRow && now == name {
			if _, ok := mb.files.missing[row]; !ok {
				mb.files.missing[row] = missing{since: time.Now(), breaks: mb.queue.Breaks()}
			}
			return mb.lookTwin(f, row)
		}
		return nil
	case row != index.NoRow && now == name:
		return mb.lookMissing(row, h)
	}
	info, err := mb.dir.Lstat(h.place, h.name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode.IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	if row == index.NoRow {
		return mb.lookNew(f, h, n, info)
	}
	old, err := mb.dir.Lstat(placeOf(now), mb.fileName(base, now))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		delete(mb.files.missing, row)
		f.names = append(f.names, nameChange{row: row, old: now, name: name})
		return nil
	case err != nil:
		return err
	case old.Identity == info.Identity:
		// link and unlink, caught in the middle: when the first name goes, this
		// one is the message's.
		mb.files.twins[row] = h
		return nil
	}
	return mb.giveFreshBase(f, h, n)
}

// lookMissing is for a name that the index has: a message that was missing is
// back, unless the hint was put off and is older than the one that said so.
func (mb *Mailbox) lookMissing(row index.Row, h hint) error {
	if _, missing := mb.files.missing[row]; !missing {
		return nil
	}
	_, err := mb.dir.Lstat(h.place, h.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		delete(mb.files.missing, row)
	}
	return err
}

// lookTwin looks again at the second name that a message had when its first
// one went.
func (mb *Mailbox) lookTwin(f *found, row index.Row) error {
	h, ok := mb.files.twins[row]
	if !ok {
		return nil
	}
	delete(mb.files.twins, row)
	return mb.look(f, h)
}

// lookNew is for a base that is no message.
func (mb *Mailbox) lookNew(f *found, h hint, n maildir.Name, info disk.Info) error {
	base := string(n.Base)
	u, expunged := mb.toUnlink(n.Base)
	if expunged && u.Size == info.Size && u.Mtime.Equal(info.Mtime) {
		// Ours to unlink, under whatever name, and not a message.
		if u.Base == base && indexName(n, h.place) == u.Name {
			return nil // unlinkExpunged does it
		}
		if err := mb.dir.Unlink(h.place, h.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			mb.log.Warn("cannot remove the file of an expunged message", "name", h.name, "err", err)
		}
		return nil
	}
	if row, ok := mb.sameFile(n, info); ok && !mb.adopts(base) {
		delete(mb.files.missing, row)
		f.names = append(f.names, nameChange{row: row, old: mb.index().Name(row), name: indexName(n, h.place), base: base})
		return nil
	}
	if mb.stillWritten(h) {
		return nil
	}
	date := index.DateOf(info.Mtime.UTC())
	f.arrivals = append(f.arrivals, arrival{
		add: index.Add{
			Base: base, Name: indexName(n, h.place), Date: date, Size: index.UnknownSize, SaveDate: mb.o.FS.Now(),
		},
		info: &info,
	})
	return nil
}

// busyTime is how long a file that is open for writing is left alone.
const busyTime = 60 * time.Second

// stillWritten reports that someone has the file open for writing; it is looked
// at again until that ends.
func (mb *Mailbox) stillWritten(h hint) bool {
	since, known := mb.files.busy[h]
	if known && time.Since(since) > busyTime {
		delete(mb.files.busy, h)
		return false
	}
	file, err := mb.dir.OpenMessage(h.place, h.name)
	if err != nil {
		delete(mb.files.busy, h)
		return errors.Is(err, fs.ErrNotExist)
	}
	defer file.Close()
	if !file.Busy() {
		delete(mb.files.busy, h)
		return false
	}
	if !known && len(mb.files.busy) < queueLimit {
		mb.files.busy[h] = time.Now()
	}
	return true
}

// giveFreshBase renames a file that has the base of another one (R4): both are
// messages. Nothing is ever deleted.
func (mb *Mailbox) giveFreshBase(f *found, h hint, n maildir.Name) error {
	fresh := mb.namer.Copy(n.Base, -1, -1)
	name := fresh + string(n.Info)
	if len(name) > maildir.NameMax {
		name = fresh
	}
	err := mb.dir.Rename(h.place, h.name, h.place, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		mb.log.Warn("two files of one base; the second is not shown", "place", h.place, "name", h.name, "err", err)
		return nil
	}
	mb.log.Warn("two files of one base; the second was renamed", "place", h.place, "name", h.name, "new", name)
	return mb.look(f, hint{place: h.place, name: name})
}

// publish makes what was found messages and flag changes, in one batch.
func (mb *Mailbox) publish(f *found) error {
	if len(f.arrivals) == 0 && len(f.names) == 0 {
		return nil
	}
	slices.SortStableFunc(f.arrivals, func(a, b arrival) int {
		return maildir.CompareBase([]byte(a.add.Base), []byte(b.add.Base))
	})
	mb.adoptArrivals(f)
	rows, err := mb.publishFound(f)
	if err != nil {
		return err
	}
	mb.fill.arrived(rows, f.arrivals)
	return nil
}

func (mb *Mailbox) publishFound(f *found) ([]index.Row, error) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.ended != nil {
		return nil, mb.ended
	}
	var b index.Batch
	m := mb.newMergeLocked(&b)
	for i := range f.names {
		m.outside(&f.names[i])
	}
	kept := f.arrivals[:0]
	b.Adds = make([]index.Add, 0, len(f.arrivals))
	bases := mb.basesLocked()
	for i := range f.arrivals {
		a := f.arrivals[i]
		_, reserved := mb.work.reserved[a.add.Base]
		if reserved || bases.find(mb.ix, []byte(a.add.Base)) != index.NoRow ||
			len(kept) > 0 && kept[len(kept)-1].add.Base == a.add.Base {
			continue // published meanwhile, or given twice
		}
		a.add.Flags, a.add.Keywords = m.ofLetters(a.add.Name.Letters)
		if mb.files.adopted != nil {
			mb.files.adopted.dress(mb, &a.add)
		}
		kept = append(kept, a)
		b.Adds = append(b.Adds, a.add)
	}
	f.arrivals = kept
	if mb.files.adopted != nil {
		b.UIDNext = mb.files.adopted.UIDNext
	}
	if len(b.Adds) == 0 && len(b.Agreed) == 0 && len(b.Flags) == 0 {
		return nil, nil
	}
	a, err := mb.addLocked(&b, nil)
	if err != nil {
		return nil, err
	}
	m.done(a, nil)
	mb.count.Arrived.Add(uint64(len(b.Adds)))
	rows := make([]index.Row, len(b.Adds))
	for i := range rows {
		rows[i] = a.First + index.Row(i)
		if info := f.arrivals[i].info; info != nil {
			mb.inodes.set(rows[i], maildir.InodePrint(info.Ino))
		} else if mb.inodes.told {
			mb.inodes.set(rows[i], f.arrivals[i].print)
		}
	}
	return rows, nil
}

// expungeMissing removes messages whose files are gone.
func (mb *Mailbox) expungeMissing(rows []index.Row) {
	if len(rows) == 0 {
		return
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	var b index.Batch
	for _, row := range rows {
		if mb.live.Has(row) {
			b.Expunges = append(b.Expunges, index.Expunge{Row: row})
		}
	}
	if err := mb.expungeLocked(&b, nil); err != nil {
		mb.files.wantScan = true
		mb.log.Error("cannot record expunges", "err", err)
	}
}

// trouble is called when a directory cannot be read: the mailbox goes offline
// until that works again (R18), and nothing is expunged.
func (mb *Mailbox) trouble(err error) error {
	mb.files.wantScan = true
	mb.quiet.Store(nil)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return diskErr(err)
}
