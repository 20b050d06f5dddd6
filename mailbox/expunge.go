package mailbox

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// An unlinkJob is the file of an expunged message.
type unlinkJob struct {
	row     index.Row // NoRow: from before the mailbox was loaded
	file    index.ToUnlink
	pos     index.Pos // of the record; the file stays until it is durable
	removed uint64    // Views at or above it were told
}

// Expunge removes what is \Deleted, in set if that is not nil (RFC 9051 §6.4.3,
// §6.4.9); the following Sync tells it. n is how many went. The files go once
// the record is durable.
func (v *View) Expunge(ctx context.Context, set Seqs) (n int, err error) {
	mb := v.mb
	rows, err := v.deleted(set)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	b, err := mb.measure(ctx, rows)
	if err != nil {
		return 0, err
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if err := v.writeLocked(); err != nil {
		return 0, err
	}
	// Flags may have changed since, and others may have expunged them.
	kept := b.Expunges[:0]
	for _, e := range b.Expunges {
		if mb.live.Has(e.Row) && v.ix.Flags(e.Row)&index.Deleted != 0 {
			kept = append(kept, e)
		}
	}
	b.Expunges = kept
	if len(kept) == 0 {
		return 0, nil
	}
	if err := mb.expungeLocked(b, v); err != nil {
		return 0, err
	}
	v.note()
	return len(kept), nil
}

// deleted are the rows of the messages of v that are \Deleted, in set if that
// is not nil.
func (v *View) deleted(set Seqs) (rows []index.Row, err error) {
	v.mb.mu.Lock()
	defer v.mb.mu.Unlock()
	if err := v.mayLocked(RightExpunge); err != nil {
		return nil, err
	}
	add := func(row index.Row) bool {
		if v.ix.Flags(row)&index.Deleted != 0 && v.mb.live.Has(row) {
			rows = append(rows, row)
		}
		return true
	}
	if set == nil {
		v.bits.each(0, index.Row(v.bits.rows), add)
		return rows, nil
	}
	for n := range set.All() {
		if row := v.row(n); row >= 0 {
			add(row)
		}
	}
	return rows, nil
}

// measure looks at the files of rows, so that they are known again when they
// are to be removed. A file that has another name by now is found first.
func (mb *Mailbox) measure(ctx context.Context, rows []index.Row) (*index.Batch, error) {
	b := &index.Batch{Expunges: make([]index.Expunge, 0, len(rows))}
	elsewhere := lookElsewhere
	for _, row := range rows {
		e := index.Expunge{Row: row}
		for try := range 3 {
			ix := mb.index()
			n := ix.Name(row)
			info, err := mb.dir.Lstat(placeOf(n), mb.fileName(ix.Base(row), n))
			if err == nil {
				e.Unlink, e.Size, e.Mtime = true, info.Size, info.Mtime
				break
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return nil, diskErr(err)
			}
			if try == 2 {
				for look := 0; look < 3 && elsewhere > 0 && !e.Unlink; look++ { // a listing may miss it
					e.Unlink, e.Size, e.Mtime = mb.measureElsewhere(row)
				}
				elsewhere--
				break
			}
			if err := mb.refreshHard(ctx, try > 0); err != nil {
				return nil, err
			}
		}
		b.Expunges = append(b.Expunges, e)
	}
	return b, nil
}

// measureElsewhere is measure for a message whose name cannot be found: either
// its file is gone already, or it has another base (R13), which is not known yet
// as long as others rename it again and again.
func (mb *Mailbox) measureElsewhere(row index.Row) (found bool, size int64, mtime time.Time) {
	ix := mb.index()
	p, name, err := mb.findKey(ix.Base(row))
	if err != nil {
		return false, 0, time.Time{}
	}
	n, err := maildir.ParseName([]byte(name), mb.dir.Sep())
	if err != nil {
		return false, 0, time.Time{}
	}
	mb.mu.Lock()
	other := mb.basesLocked().find(ix, n.Base)
	mb.mu.Unlock()
	info, err := mb.dir.Lstat(p, name)
	if err != nil || other != index.NoRow && other != row || !mb.sameProof(row, info) {
		return false, 0, time.Time{}
	}
	return true, info.Size, info.Mtime
}

// refreshHard brings the mailbox up to date although nothing seems to have
// changed; with a scan, if asked.
func (mb *Mailbox) refreshHard(ctx context.Context, scan bool) error {
	select {
	case mb.syncing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-mb.syncing }()
	mb.quiet.Store(nil)
	if scan {
		mb.files.wantScan = true
	}
	return mb.bringUpToDate(ctx)
}

// expungeLocked writes b, whose Expunges are messages, and publishes it. mb.mu
// must be held.
func (mb *Mailbox) expungeLocked(b *index.Batch, by *View) error {
	if len(b.Expunges) == 0 {
		return nil
	}
	files := make([]index.ToUnlink, len(b.Expunges))
	rows := make([]index.Row, len(b.Expunges))
	for i, e := range b.Expunges {
		rows[i] = e.Row
		files[i] = index.ToUnlink{
			UID: mb.ix.UID(e.Row), Base: mb.ix.Base(e.Row), Name: mb.ix.Name(e.Row), Size: e.Size, Mtime: e.Mtime,
		}
	}
	a, err := mb.applyLocked(b)
	if err != nil {
		return err
	}
	mb.live = mb.live.with(nil, rows)
	for i, e := range b.Expunges {
		mb.changes.add(change{row: e.Row, modSeq: a.ModSeq, by: by, expunge: true})
		if mb.bases != nil {
			mb.bases.remove(e.Row, files[i].Base)
		}
		delete(mb.work.inNew, e.Row)
		delete(mb.work.behind, e.Row)
		if e.Unlink {
			mb.work.unlink[files[i].Base] = files[i]
			mb.work.unlinks = append(mb.work.unlinks, unlinkJob{row: e.Row, file: files[i], pos: a.Pos, removed: mb.live.removed})
		}
	}
	mb.count.Expunged.Add(uint64(len(rows)))
	if by != nil && mb.o.Quota != nil {
		var octets int64
		for _, row := range rows {
			octets += knownSize(mb.ix, row)
		}
		mb.o.Quota.owe(-octets, -int64(len(rows)))
	}
	mb.publishLocked(by)
	mb.wake()
	return nil
}

// unlinkExpunged removes the files of expunged messages whose record is
// durable: they leave cur/ at once. A file that a session may still read moves
// to tmp/ until it was told. closing: the caller has the token, and nobody
// needs events any more.
func (mb *Mailbox) unlinkExpunged(ctx context.Context, closing bool) {
	mb.mu.Lock()
	jobs, ix := mb.work.unlinks, mb.ix
	mb.work.unlinks = nil
	var pos index.Pos
	for _, j := range jobs {
		pos = max(pos, j.pos)
	}
	mb.mu.Unlock()
	if len(jobs) > 0 {
		if err := ix.Wait(pos); err != nil {
			mb.syncFailed(ix, err)
			return
		}
		if closing {
			mb.unlinkAll(jobs)
		} else {
			mb.withoutWatch(ctx, len(jobs), func() { mb.unlinkAll(jobs) })
		}
	}
	mb.sweep()
}

func (mb *Mailbox) unlinkAll(jobs []unlinkJob) {
	// Known under their new names before they have them, so that a reader finds
	// them at any time.
	kept := map[index.Row]string{}
	mb.mu.Lock()
	told := mb.lowestToldLocked()
	for _, j := range jobs {
		if j.row != index.NoRow && j.removed > told && mb.dir.Tmp() != nil {
			kept[j.row] = goneName(mb.namer)
			mb.work.gone.add(goneFile{unlinkJob: j, tmp: kept[j.row], at: time.Now()})
		}
	}
	mb.mu.Unlock()
	var done []imap.UID
	var lost []lostFile
	for _, j := range jobs {
		place, name := placeOf(j.file.Name), mb.fileName(j.file.Base, j.file.Name)
		if to, keep := kept[j.row]; keep && j.row != index.NoRow {
			err := mb.dir.Place(place).Rename(name, mb.dir.Tmp(), to)
			if err == nil {
				continue
			}
			mb.mu.Lock()
			mb.work.gone.remove(j.row)
			mb.mu.Unlock()
		}
		if j.row == index.NoRow && mb.otherFile(place, name, j.file) {
			done = append(done, j.file.UID)
			continue
		}
		err := mb.dir.Unlink(place, name)
		if errors.Is(err, fs.ErrNotExist) && len(lost) < lookElsewhere {
			err = mb.unlinkElsewhere(j.file)
		}
		if errors.Is(err, fs.ErrNotExist) {
			lost = append(lost, lostFile{j.file.UID, time.Now()})
			continue
		}
		if err != nil {
			mb.log.Warn("cannot remove the file of an expunged message", "name", name, "err", err)
			continue // it stays on the list, and hidden
		}
		done = append(done, j.file.UID)
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	mb.work.unlinked = append(mb.work.unlinked, done...)
	mb.work.lost = append(mb.work.lost, lost...)
}

// A lostFile is one of an expunged message that was not found: it is gone, or
// another program was renaming it just then.
type lostFile struct {
	uid imap.UID
	at  time.Time
}

const (
	// lookElsewhere is for how many lost files the directories are listed; events
	// or a scan tell the names of the others.
	lookElsewhere = 16
	// lostTime, after a poll, is how long a lost file is removed if it turns up.
	lostTime = 10 * time.Second
)

// giveUpLost takes files that did not turn up for removed.
func (mb *Mailbox) giveUpLost(now time.Time) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	for len(mb.work.lost) > 0 && now.Sub(mb.work.lost[0].at) >= mb.o.Poll+lostTime {
		mb.work.unlinked = append(mb.work.unlinked, mb.work.lost[0].uid)
		mb.work.lost = mb.work.lost[1:]
	}
}

// otherFile reports that the file under the name of an expunged message is not
// that of before a restart: it is a new message.
func (mb *Mailbox) otherFile(p maildir.Place, name string, u index.ToUnlink) bool {
	info, err := mb.dir.Lstat(p, name)
	return err == nil && (info.Size != u.Size || !info.Mtime.Equal(u.Mtime))
}

// unlinkElsewhere removes the file of an expunged message that another program
// renamed meanwhile.
func (mb *Mailbox) unlinkElsewhere(u index.ToUnlink) error {
	p, name, err := mb.dir.Find(u.Base)
	if errors.Is(err, fs.ErrNotExist) {
		p, name, err = mb.findKey(u.Base)
	}
	if err != nil || mb.otherFile(p, name, u) {
		return err
	}
	return mb.dir.Unlink(p, name)
}

// toUnlink finds a file that is to be removed, by its base or by the key of it:
// mbsync may have renamed it since it was expunged.
func (mb *Mailbox) toUnlink(base []byte) (index.ToUnlink, bool) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if u, ok := mb.work.unlink[string(base)]; ok || len(mb.work.unlink) > lookAtMost {
		return u, ok
	}
	key := string(maildir.Key(base))
	for other, u := range mb.work.unlink {
		if string(maildir.Key([]byte(other))) == key {
			return u, true
		}
	}
	return index.ToUnlink{}, false
}

// findKey lists the directories for a file with the key of base. Error:
// fs.ErrNotExist.
func (mb *Mailbox) findKey(base string) (at maildir.Place, name string, err error) {
	key := string(maildir.Key([]byte(base)))
	for _, p := range []maildir.Place{maildir.New, maildir.Cur} {
		err := mb.dir.Place(p).ReadDir(func(e disk.Entry) bool {
			n, err := maildir.ParseName(e.Name, mb.dir.Sep())
			if err == nil && string(maildir.Key(n.Base)) == key {
				name = string(e.Name)
			}
			return name == ""
		})
		if err != nil || name != "" {
			return p, name, err
		}
	}
	return 0, "", fs.ErrNotExist
}

// syncUnlinks makes unlinks durable and takes the files off the to-unlink list.
func (mb *Mailbox) syncUnlinks() error {
	mb.mu.Lock()
	uids, ix := mb.work.unlinked, mb.ix
	mb.work.unlinked = nil
	mb.mu.Unlock()
	if len(uids) == 0 {
		return nil
	}
	err := errors.Join(mb.dir.Sync(maildir.New), mb.dir.Sync(maildir.Cur))
	if tmp := mb.dir.Tmp(); tmp != nil && err == nil {
		err = tmp.Sync()
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.ix != ix {
		return nil
	}
	if err == nil {
		_, err = mb.applyLocked(&index.Batch{Unlinked: uids})
	}
	if err != nil {
		mb.work.unlinked = append(mb.work.unlinked, uids...)
		return err
	}
	done := make(map[imap.UID]struct{}, len(uids))
	for _, uid := range uids {
		done[uid] = struct{}{}
	}
	for base, u := range mb.work.unlink {
		if _, ok := done[u.UID]; ok {
			delete(mb.work.unlink, base)
		}
	}
	return nil
}
