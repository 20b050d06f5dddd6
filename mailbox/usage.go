package mailbox

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"sync"
	"syscall"
	"time"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// This file counts what quota limits. A live mailbox is counted once and then
// follows its changes; of the others the names in new/ and cur/ are read when
// the directories have changed.

// usageAge is how long what was counted of a mailbox that is not live is
// believed while mail comes in; GETQUOTA always looks.
const usageAge = 5 * time.Second

// dirUsage is what was counted of a mailbox that is not live.
type dirUsage struct {
	Usage
	newDir, curDir disk.Info
	counted        time.Time
}

// usage counts everything; fresh: nothing is believed unseen.
func (q *quota) usage(ctx context.Context, fresh bool) (Usage, error) {
	now := q.a.st.o.FS.Now()
	q.mu.Lock()
	ls := q.ls
	if fresh || now.Sub(q.lsTime) > usageAge || now.Before(q.lsTime) {
		ls = nil
	}
	q.mu.Unlock()
	if ls == nil {
		var err error
		if ls, err = q.a.listing(); err != nil {
			return Usage{}, err
		}
	}
	live := q.a.liveByPath()
	u := Usage{Mailboxes: ls.selectable()}
	dirs := make(map[string]dirUsage)
	for i := range ls.all {
		if !ls.all[i].Selectable {
			continue
		}
		if err := ctx.Err(); err != nil {
			return Usage{}, err
		}
		path := joinPath(ls.all[i].Dir)
		if mb := live[path]; mb != nil {
			if octets, messages, ok := mb.tally.count(mb); ok {
				u.Storage += octets
				u.Messages += messages
				continue
			}
		}
		d, err := q.directory(path, fresh, now)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue // gone meanwhile
		}
		if err != nil {
			return Usage{}, err
		}
		dirs[path] = d
		u.Storage += d.Storage
		u.Messages += d.Messages
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dirs = dirs
	q.ls, q.lsTime = ls, now
	return u, nil
}

// liveByPath gives the live mailboxes that are loaded.
func (a *Account) liveByPath() map[string]*Mailbox {
	a.st.mu.Lock()
	defer a.st.mu.Unlock()
	live := make(map[string]*Mailbox, len(a.live))
	for _, lm := range a.live {
		if lm.mb != nil && lm.closing == nil {
			live[lm.slot.path()] = lm.mb
		}
	}
	return live
}

// directory counts a mailbox that is not live.
func (q *quota) directory(path string, fresh bool, now time.Time) (dirUsage, error) {
	q.mu.Lock()
	old, known := q.dirs[path]
	q.mu.Unlock()
	if known && !fresh && now.Sub(old.counted) < usageAge && !now.Before(old.counted) {
		return old, nil
	}
	if path != "" {
		path += "/"
	}
	d := dirUsage{counted: now}
	var err error
	if d.newDir, err = q.a.lstatPath(path + "new"); err != nil {
		return d, err
	}
	if d.curDir, err = q.a.lstatPath(path + "cur"); err != nil {
		return d, err
	}
	if known && sameDirStamp(old.newDir, d.newDir, old.counted) && sameDirStamp(old.curDir, d.curDir, old.counted) {
		return old, nil
	}
	for _, sub := range [...]string{"new", "cur"} {
		dir, err := openPath(q.a.st.o.FS, q.a.tree.Root(), q.a.path, path+sub)
		if err != nil {
			return d, err
		}
		octets, messages, err := maildir.Usage(dir)
		dir.Close()
		if err != nil {
			return d, err
		}
		d.Storage += octets
		d.Messages += messages
	}
	return d, nil
}

// A tally is the count of a live mailbox.
type tally struct {
	mu     sync.Mutex // guards all below; taken before Mailbox.mu
	ix     *index.Index
	live   *liveBits // that was counted
	sizes  []uint32  // by row, of files; what is beyond 4 GiB counts as that
	octets int64
}

// count brings the tally up to date. It looks at the files of messages that
// have no ,S= in their name, each once. false: the mailbox has ended.
func (t *tally) count(mb *Mailbox) (octets, messages int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mb.mu.Lock()
	ix, live, ended := mb.ix, mb.live, mb.ended
	mb.mu.Unlock()
	if ended != nil {
		return 0, 0, false
	}
	if t.ix != ix {
		t.ix, t.live, t.sizes, t.octets = ix, noLiveBits, nil, 0
	}
	t.live.missing(live, func(row index.Row) { t.octets -= int64(t.sizes[row]) })
	if n := live.rows; n > len(t.sizes) {
		t.sizes = append(t.sizes, make([]uint32, n-len(t.sizes))...)
	}
	live.missing(t.live, func(row index.Row) {
		t.sizes[row] = uint32(min(max(mb.fileSize(ix, row), 0), math.MaxUint32))
		t.octets += int64(t.sizes[row])
	})
	t.live = live
	return t.octets, int64(live.Len()), true
}

// fileSize is the size of the file of a message, 0 if it is gone.
func (mb *Mailbox) fileSize(ix *index.Index, row index.Row) int64 {
	base := ix.Base(row)
	if size, _ := maildir.Sizes([]byte(base)); size >= 0 {
		return size
	}
	for range 3 { // it may be renamed meanwhile: by us to one of these names, or by others
		for _, name := range append([]index.Name{ix.Name(row)}, ix.Ours(row)...) {
			if info, err := mb.dir.Lstat(placeOf(name), mb.fileName(base, name)); err == nil {
				return info.Size
			}
		}
	}
	return max(ix.Size(row), 0)
}

// knownSize is fileSize without a look at the file: for maildirsize.
func knownSize(ix *index.Index, row index.Row) int64 {
	if size, _ := maildir.Sizes([]byte(ix.Base(row))); size >= 0 {
		return size
	}
	return max(ix.Size(row), 0)
}

// reserveCopies is reserve for copies of messages.
func (q *quota) reserveCopies(ctx context.Context, v *View, list []copying) (release func(), err error) {
	if q == nil || !q.limitsMail() {
		return func() {}, nil
	}
	var octets int64
	for i := range list {
		octets += v.mb.fileSize(v.ix, list[i].row)
	}
	return q.reserve(ctx, octets, int64(len(list)))
}
