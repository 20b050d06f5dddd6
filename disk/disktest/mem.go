package disktest

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"roost/disk"
)

// A Mem is a file system in memory. What is done to it is seen at once; what of
// that is still there after Crash depends on what was synced:
//
//   - octets and size of a file by File.Sync;
//   - entries of a directory (create, link, rename, unlink, mkdir, rmdir) by
//     Dir.Sync of that directory; a rename is done or not done as a whole.
//
// Syncing a new file does not make its name durable. It is safe for concurrent
// use.
type Mem struct {
	mu       sync.Mutex // guards all, inodes too
	root     *inode
	lastIno  uint64
	seq      uint64    // of the last change of entries
	pending  []*change // not durable yet, in order
	epoch    int       // crashes so far; older handles are dead
	offset   time.Duration
	capacity int64 // octets of all files; negative: no limit
	used     int64
	failSync int // the n-th Sync of a file from now on fails; 0: none
	evict    bool
}

// An inode is a file or a directory. What readers see is in it; what a crash
// leaves is durable and the changes that survive.
type inode struct {
	ino                 uint64
	mode                fs.FileMode
	nlink               int
	mtime, ctime, btime time.Time
	durableTime         time.Time // mtime at the last sync
	locked              *memDir   // holder of the lock

	// Directories.
	entries map[string]*inode
	durable map[string]*inode // as on the disk; nil: removed
	dead    bool              // removed

	// Files.
	data   []byte
	synced []byte   // contents at the last sync
	writes []effect // since then
}

// A change is what one call did to entries, all or nothing.
type change struct {
	seq   uint64
	edits []edit
}

type edit struct {
	dir  *inode
	name string
	node *inode // nil: removed
}

// An effect is one write or truncate of a file.
type effect struct {
	off      int64
	data     []byte // nil: truncate to off
	truncate bool
}

// NewMem makes an empty file system with a root directory "/". Its clock is
// time.Now, which package testing/synctest can turn.
func NewMem() *Mem {
	m := &Mem{capacity: -1}
	m.root = m.newNode(fs.ModeDir | 0o700)
	m.root.nlink = 2
	return m
}

func (m *Mem) newNode(mode fs.FileMode) *inode {
	m.lastIno++
	now := m.now()
	n := &inode{ino: m.lastIno, mode: mode, mtime: now, ctime: now, btime: now, durableTime: now}
	if mode.IsDir() {
		n.entries = make(map[string]*inode)
		n.durable = make(map[string]*inode)
	}
	return n
}

func (m *Mem) now() time.Time { return time.Now().Add(m.offset) }

// Now is disk.FS.
func (m *Mem) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now()
}

// Turn sets the clock this much ahead of time.Now.
func (m *Mem) Turn(offset time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offset = offset
}

// SetCapacity bounds the octets of all files together: a write beyond it does
// what fits and answers ENOSPC. Negative: no bound.
func (m *Mem) SetCapacity(octets int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = octets
}

// FailSync makes the n-th Sync of a file from now on answer EIO. What was
// written since the last one is then never written by a later Sync, although
// that succeeds; with evict reads give the old octets again at once, else only
// after a crash.
func (m *Mem) FailSync(n int, evict bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failSync, m.evict = n, evict
}

// Plant makes something that is neither file nor directory (fs.ModeSymlink,
// fs.ModeNamedPipe, ...), durable at once.
func (m *Mem) Plant(name string, mode fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.walk(path.Dir(name))
	if err != nil {
		return err
	}
	if _, ok := dir.entries[path.Base(name)]; ok {
		return syscall.EEXIST
	}
	n := m.newNode(mode)
	n.nlink = 1
	m.apply(edit{dir, path.Base(name), n})
	m.settle(func(c *change) bool { return c.seq == m.seq })
	return nil
}

// walk finds the directory of an absolute path.
func (m *Mem) walk(name string) (*inode, error) {
	at := m.root
	for part := range strings.SplitSeq(path.Clean("/"+name), "/") {
		if part == "" {
			continue
		}
		next := at.entries[part]
		if next == nil {
			return nil, syscall.ENOENT
		}
		if !next.mode.IsDir() {
			return nil, syscall.ENOTDIR
		}
		at = next
	}
	return at, nil
}

// OpenRoot is disk.FS; path is taken from the root, relative or not.
func (m *Mem) OpenRoot(name string) (disk.Dir, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.walk(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &memDir{m: m, node: n, path: path.Clean("/" + name), epoch: m.epoch}, nil
}

// MkdirRoot is disk.FS.
func (m *Mem) MkdirRoot(name string, perm fs.FileMode) error {
	parent, err := m.OpenRoot(path.Dir(path.Clean("/" + name)))
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.Mkdir(path.Base(name), perm)
}

// apply does one change of entries and remembers it as not durable.
func (m *Mem) apply(edits ...edit) {
	m.seq++
	now := m.now()
	for _, e := range edits {
		if e.node == nil {
			delete(e.dir.entries, e.name)
		} else {
			e.dir.entries[e.name] = e.node
			e.node.ctime = now
		}
		e.dir.mtime, e.dir.ctime = now, now
	}
	m.pending = append(m.pending, &change{seq: m.seq, edits: edits})
}

// settle makes the pending changes durable for which keep says yes, and those
// before them of the same names: a name does not change out of order, and what
// is moved is not moved to where nothing leads.
func (m *Mem) settle(keep func(*change) bool) {
	type key struct {
		dir  *inode
		name string
	}
	needed := make(map[key]bool)
	parents := make(map[*inode]bool)
	kept := make([]bool, len(m.pending))
	for i, c := range slices.Backward(m.pending) {
		kept[i] = keep(c) || slices.ContainsFunc(c.edits, func(e edit) bool {
			return needed[key{e.dir, e.name}] || parents[e.node]
		})
		if kept[i] {
			for _, e := range c.edits {
				needed[key{e.dir, e.name}] = true
				if e.node != nil && len(c.edits) > 1 {
					parents[e.dir] = true
				}
			}
		}
	}
	left := m.pending[:0]
	for i, c := range m.pending {
		if !kept[i] {
			left = append(left, c)
			continue
		}
		for _, e := range c.edits {
			e.dir.durable[e.name] = e.node
		}
	}
	clear(m.pending[len(left):])
	m.pending = left
}
