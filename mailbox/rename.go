package mailbox

import (
	"context"
	"errors"
	"io/fs"

	"roost/index"
	"roost/maildir"
)

// This file brings the names of files in line with the index: renames are
// announced in the journal, done without a lock, and count as done only after
// their directory was synced (RenamesSynced).

// A renameJob is one announced rename; its row is in work.moving.
type renameJob struct {
	ix       *index.Index
	row      index.Row
	base     string
	from, to index.Name
	err      error
}

// announceLocked adds to b what must be renamed for row to have flags f and
// keywords k, and to jobs; a message that is being renamed is left to whoever
// does that, and one that cannot have its name stays as it is. mb.mu must be
// held.
func (mb *Mailbox) announceLocked(b *index.Batch, jobs []renameJob, row index.Row, f index.Flags, k index.KeywordSet) []renameJob {
	want, differs := mb.wantNameLocked(row, f, k)
	if !differs {
		delete(mb.work.behind, row)
		return jobs
	}
	if _, busy := mb.work.moving[row]; busy {
		mb.work.behind[row] = struct{}{}
		return jobs
	}
	return mb.announceNameLocked(b, jobs, row, want)
}

func (mb *Mailbox) announceNameLocked(b *index.Batch, jobs []renameJob, row index.Row, want index.Name) []renameJob {
	mb.work.moving[row] = struct{}{}
	b.Renames = append(b.Renames, index.Rename{Row: row, To: want})
	return append(jobs, renameJob{ix: mb.ix, row: row, base: mb.ix.Base(row), from: mb.ix.Name(row), to: want})
}

// unannounceLocked is for a batch that could not be written.
func (mb *Mailbox) unannounceLocked(jobs []renameJob) {
	for i := range jobs {
		delete(mb.work.moving, jobs[i].row)
	}
}

// doRenames renames the files of jobs and notes how it went. No lock is held
// meanwhile. A file that has another name by now is found through its events,
// and the rename tried again on top of what the other program did (R5, R6). One
// that cannot be renamed stays behind and is tried again later (R22); its flags
// are in the journal.
func (mb *Mailbox) doRenames(ctx context.Context, jobs []renameJob) {
	if len(jobs) == 0 {
		return
	}
	mb.withoutWatch(ctx, len(jobs), func() {
		for i := range jobs {
			j := &jobs[i]
			j.err = mb.dir.Rename(placeOf(j.from), mb.fileName(j.base, j.from), placeOf(j.to), mb.fileName(j.base, j.to))
		}
	})
	mb.mu.Lock()
	planned := mb.work.renames // the sync of the directories is
	var moved []index.Row
	var lost, failed int
	var why error
	for i := range jobs {
		j := &jobs[i]
		if j.ix != mb.ix {
			continue // rebuilt meanwhile: the scan has seen the names
		}
		delete(mb.work.moving, j.row)
		if mb.work.touched != nil {
			mb.work.touched[j.row] = struct{}{}
		}
		if !mb.live.Has(j.row) {
			continue
		}
		switch {
		case j.err == nil:
			mb.ix.SetName(j.row, j.to)
			mb.work.renames = true
			delete(mb.work.inNew, j.row)
			delete(mb.work.behind, j.row)
			if _, differs := mb.wantNameLocked(j.row, mb.ix.Flags(j.row), mb.ix.Keywords(j.row)); differs {
				moved = append(moved, j.row)
			}
		case errors.Is(j.err, fs.ErrNotExist), errors.Is(j.err, fs.ErrExist):
			lost++
			mb.work.behind[j.row] = struct{}{}
		default:
			failed++
			why = j.err
			mb.work.behind[j.row] = struct{}{}
		}
	}
	for _, row := range moved { // others changed flags meanwhile
		mb.work.behind[row] = struct{}{}
	}
	mb.mu.Unlock()
	if failed > 0 {
		mb.log.Warn("flags are not in the names of files; tried again later", "messages", failed, "err", why)
	}
	if lost > 0 || len(moved) > 0 || !planned {
		mb.wake()
	}
}

// noteRenames makes the renames known that we do while files are looked at; end
// ends that. Between two looks at the names of a message it may have got another
// name from us and the first one back: what was seen is no change from outside
// then, and that a name is missing proves nothing. The caller has the token.
func (mb *Mailbox) noteRenames() (end func()) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.work.touched != nil {
		return func() {} // whoever called us notes them
	}
	mb.work.touched = make(map[index.Row]struct{}, len(mb.work.moving))
	for row := range mb.work.moving {
		mb.work.touched[row] = struct{}{}
	}
	return func() {
		mb.mu.Lock()
		mb.work.touched = nil
		mb.mu.Unlock()
	}
}

// renamedLocked reports whether row was renamed by us since noteRenames, or is
// being renamed. mb.mu must be held.
func (mb *Mailbox) renamedLocked(row index.Row) bool {
	_, touched := mb.work.touched[row]
	_, moving := mb.work.moving[row]
	return touched || moving
}

// keyBusyLocked reports that we are renaming, or adding, a file that has the key
// of base: whether base is that message under another name shows when that is
// over. mb.mu must be held.
func (mb *Mailbox) keyBusyLocked(base []byte) bool {
	if len(mb.work.moving)+len(mb.work.reserved) > lookAtMost {
		return false
	}
	key := string(maildir.Key(base))
	for row := range mb.work.moving {
		if string(keyOf(mb.ix, row)) == key {
			return true
		}
	}
	for reserved := range mb.work.reserved {
		if string(maildir.Key([]byte(reserved))) == key {
			return true
		}
	}
	return false
}

// keyDeferredLocked reports that a name with the key of base is known to be gone
// by a hint that was put off: we were at work on it then. Without that hint base
// would be a new message. mb.mu must be held.
func (mb *Mailbox) keyDeferredLocked(base []byte) bool {
	if len(mb.work.deferred) == 0 {
		return false
	}
	if len(mb.work.deferred) > lookAtMost {
		return true
	}
	key := string(maildir.Key(base))
	for _, h := range mb.work.deferred {
		if !h.gone {
			continue
		}
		if n, err := maildir.ParseName([]byte(h.name), mb.dir.Sep()); err == nil && string(maildir.Key(n.Base)) == key {
			return true
		}
	}
	return false
}

// renamesAtOnce is how many names are announced in one record.
const renamesAtOnce = 512

// catchUp renames files whose name is behind; n is how many it tried and left
// how many are still behind.
func (mb *Mailbox) catchUp(ctx context.Context) (n, left int) {
	mb.mu.Lock()
	var b index.Batch
	var jobs []renameJob
	if mb.writableLocked() == nil {
		for row := range mb.work.behind {
			if len(jobs) == renamesAtOnce {
				break
			}
			if !mb.live.Has(row) {
				delete(mb.work.behind, row)
				continue
			}
			jobs = mb.announceLocked(&b, jobs, row, mb.ix.Flags(row), mb.ix.Keywords(row))
		}
	}
	if len(jobs) > 0 {
		if _, err := mb.applyLocked(&b); err != nil {
			mb.unannounceLocked(jobs)
			jobs = nil
		}
	}
	mb.mu.Unlock()
	mb.doRenames(ctx, jobs)
	mb.mu.Lock()
	defer mb.mu.Unlock()
	return len(jobs), len(mb.work.behind)
}

// moveToCur moves messages that were told to a session from new/ to cur/, as
// every Maildir server does.
func (mb *Mailbox) moveToCur(ctx context.Context) int {
	mb.mu.Lock()
	var b index.Batch
	var jobs []renameJob
	if !mb.o.KeepNew && mb.writableLocked() == nil {
		for row := range mb.work.inNew {
			if row >= mb.work.toCur || len(jobs) == renamesAtOnce {
				continue
			}
			if !mb.live.Has(row) {
				delete(mb.work.inNew, row)
				continue
			}
			if _, busy := mb.work.moving[row]; busy {
				continue
			}
			letters := mb.wantLettersLocked(mb.ix.Flags(row), mb.ix.Keywords(row), mb.ix.Name(row).Letters)
			if want, ok := mb.renamed(mb.ix.Base(row), mb.ix.Name(row), letters); ok {
				jobs = mb.announceNameLocked(&b, jobs, row, want)
			} else {
				delete(mb.work.inNew, row)
			}
		}
	}
	if len(jobs) > 0 {
		if _, err := mb.applyLocked(&b); err != nil {
			mb.unannounceLocked(jobs)
			jobs = nil
		}
	}
	mb.mu.Unlock()
	mb.doRenames(ctx, jobs)
	return len(jobs)
}

// toldLocked notes that v was told of everything now in the mailbox. mb.mu must
// be held.
func (mb *Mailbox) toldLocked(v *View) {
	rows := index.Row(v.bits.rows)
	if !v.leaves() && !mb.o.KeepNew && rows > mb.work.toCur {
		mb.work.toCur = rows
		if len(mb.work.inNew) > 0 {
			mb.wake()
		}
	}
	mb.sweepLocked()
}

// syncRenames makes the renames of ours durable and says so in the journal, so
// that from then on only the present name counts as ours.
func (mb *Mailbox) syncRenames() error {
	mb.mu.Lock()
	if !mb.work.renames || len(mb.work.moving) > 0 {
		mb.mu.Unlock()
		return nil
	}
	mb.work.renames = false
	pos := mb.ix.Pos()
	mb.mu.Unlock()
	err := errors.Join(mb.dir.Sync(maildir.New), mb.dir.Sync(maildir.Cur))
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if err == nil {
		_, err = mb.applyLocked(&index.Batch{RenamesSynced: pos})
	}
	if err != nil {
		mb.work.renames = true
	}
	return err
}
