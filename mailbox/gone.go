package mailbox

import (
	"errors"
	"io/fs"
	"math"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// How long and how much of what is expunged stays readable to sessions that
// were not told.
const (
	goneTime  = 5 * time.Minute
	goneCount = 1000
	goneBytes = 256 << 20
)

const gonePrefix = "roost-gone."

func goneName(g *maildir.Namer) string { return gonePrefix + g.Unique() }

// A goneFile is an expunged message that some session may still read.
type goneFile struct {
	unlinkJob
	tmp string // its name in tmp/
	at  time.Time
}

// goneFiles are those of a mailbox. The mutex of the Mailbox guards it.
type goneFiles struct {
	files map[index.Row]goneFile
	size  int64
}

func (g *goneFiles) add(f goneFile) {
	if g.files == nil {
		g.files = map[index.Row]goneFile{}
	}
	g.files[f.row] = f
	g.size += f.file.Size
}

func (g *goneFiles) remove(row index.Row) {
	if f, ok := g.files[row]; ok {
		delete(g.files, row)
		g.size -= f.file.Size
	}
}

// lowestToldLocked is the state of the live bits that every View was told of.
// mb.mu must be held.
func (mb *Mailbox) lowestToldLocked() uint64 {
	told := uint64(math.MaxUint64)
	for v := range mb.views {
		told = min(told, v.bits.removed)
	}
	return told
}

// sweepLocked is called when a View has moved on: files that nobody needs any
// more are removed by the syncer. mb.mu must be held.
func (mb *Mailbox) sweepLocked() {
	if len(mb.work.gone.files) > 0 {
		mb.wake()
	}
}

// sweep removes the files that every session was told of, and those beyond the
// limits, the oldest first.
func (mb *Mailbox) sweep() { mb.sweepTo(time.Now().Add(-goneTime), goneCount, goneBytes) }

// sweepAll removes all of them.
func (mb *Mailbox) sweepAll() { mb.sweepTo(time.Now().Add(time.Hour), 0, 0) }

func (mb *Mailbox) sweepTo(before time.Time, files int, size int64) {
	mb.mu.Lock()
	g := &mb.work.gone
	told := mb.lowestToldLocked()
	var out []goneFile
	take := func(row index.Row, f goneFile) {
		out = append(out, f)
		g.remove(row)
	}
	for row, f := range g.files {
		if f.removed <= told || f.at.Before(before) {
			take(row, f)
		}
	}
	for len(g.files) > files || g.size > size && len(g.files) > 0 {
		oldest := index.NoRow
		for row, f := range g.files {
			if oldest == index.NoRow || f.at.Before(g.files[oldest].at) {
				oldest = row
			}
		}
		take(oldest, g.files[oldest])
	}
	mb.mu.Unlock()
	var done []imap.UID
	for _, f := range out {
		err := mb.dir.Tmp().Unlink(f.tmp)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			mb.log.Warn("cannot remove the file of an expunged message", "name", f.tmp, "err", err)
			continue
		}
		done = append(done, f.file.UID)
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	mb.work.unlinked = append(mb.work.unlinked, done...)
}

// purge removes what a crash left in tmp/: files of expunged messages at once,
// others after 36 hours (T1).
func (mb *Mailbox) purge() {
	tmp := mb.dir.Tmp()
	if tmp == nil {
		return
	}
	mb.mu.Lock()
	kept := map[string]struct{}{}
	for _, f := range mb.work.gone.files {
		kept[f.tmp] = struct{}{}
	}
	mb.mu.Unlock()
	var names []string
	err := tmp.ReadDir(func(e disk.Entry) bool {
		if strings.HasPrefix(string(e.Name), gonePrefix) {
			names = append(names, string(e.Name))
		}
		return len(names) < lookAtMost
	})
	for _, name := range names {
		if _, ok := kept[name]; !ok && err == nil {
			tmp.Unlink(name) // what stays is tried again
		}
	}
	var perr error
	if mb.clockJumped() {
		mb.log.Warn("the clock was turned; old files in tmp are left alone")
	} else {
		_, perr = mb.purgeOld(kept)
	}
	if err := errors.Join(err, perr); err != nil {
		mb.log.Warn("clean tmp", "err", err)
	}
}

// purgeOld removes what others left in tmp/.
func (mb *Mailbox) purgeOld(kept map[string]struct{}) (int, error) {
	return mb.dir.PurgeTmp(time.Time{}, func(name string) bool {
		_, ok := kept[name]
		return ok
	})
}

// clockSlack is how far wall clock and monotonic clock may drift apart.
const clockSlack = time.Hour

// clockJumped reports that the wall clock was turned since the mailbox was
// loaded: then the age of a file says nothing.
func (mb *Mailbox) clockJumped() bool {
	wall := mb.o.FS.Now().Round(0).Sub(mb.files.loadedWall)
	return (wall - time.Since(mb.files.loaded)).Abs() > clockSlack
}
