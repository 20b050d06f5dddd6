package disktest

import (
	"io/fs"
	"maps"
	"sync"
	"time"

	"roost/disk"
)

// An Op is a kind of call.
type Op string

// The kinds. Each call of the interfaces of package disk is one, but for Path,
// WatchPath and Busy. Open is opening what exists, Create is OpenFile with
// O_CREATE; Rename is both renames; Chtimes and Stat are those of files and
// directories.
const (
	OpenRoot  Op = "openroot"
	MkdirRoot Op = "mkdirroot"
	OpenDir   Op = "opendir"
	Open      Op = "open"
	Create    Op = "create"
	Mkdir     Op = "mkdir"
	Rmdir     Op = "rmdir"
	Unlink    Op = "unlink"
	Rename    Op = "rename"
	Link      Op = "link"
	Chtimes   Op = "chtimes"
	Lstat     Op = "lstat"
	Stat      Op = "stat"
	ReadDir   Op = "readdir"
	SyncDir   Op = "syncdir"
	Lock      Op = "lock"
	Network   Op = "network"
	Close     Op = "close"
	Read      Op = "read"
	Write     Op = "write"
	Sync      Op = "sync"
	Truncate  Op = "truncate"
	Allocate  Op = "allocate"
)

// A Call is one call on its way.
type Call struct {
	Op      Op
	Dir     string // path of the directory, or of the file's
	Name    string // of the file; empty for a call on the directory itself
	NewName string // of Rename and Link
}

// A Rule makes calls fail.
type Rule struct {
	Op     Op    // empty: any kind
	Nth    int   // the n-th matching call from now on, from 1
	Sticky bool  // and all after it
	Err    error // what the call answers, without having done anything
	// Short lets a Write do half of its work before it answers Err, and a
	// ReadDir deliver half of its entries.
	Short bool
	// Match, if not nil, must say yes too.
	Match func(Call) bool
}

// A Recorder is a file system around another.
type Recorder struct {
	inner disk.FS

	mu     sync.Mutex // guards below
	counts map[Op]int
	total  int
	rules  []*Rule
	before func(Call)
	offset time.Duration
}

// Wrap makes a Recorder of inner.
func Wrap(inner disk.FS) *Recorder {
	return &Recorder{inner: inner, counts: make(map[Op]int)}
}

// Fail adds a rule.
func (r *Recorder) Fail(rule Rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = append(r.rules, &rule)
}

// Clear drops all rules.
func (r *Recorder) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = nil
}

// Before sets a function that is called ahead of each call, outside all locks;
// nil: none. What it does itself through the Recorder is counted too.
func (r *Recorder) Before(f func(Call)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

// Turn sets the clock this much ahead of the inner one.
func (r *Recorder) Turn(offset time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offset = offset
}

// Count is the number of calls of the kinds, or of all without any.
func (r *Recorder) Count(ops ...Op) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(ops) == 0 {
		return r.total
	}
	n := 0
	for _, op := range ops {
		n += r.counts[op]
	}
	return n
}

// Counts is a copy of all counters.
func (r *Recorder) Counts() map[Op]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// Reset sets the counters to zero.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.counts)
	r.total = 0
}

// call counts c and gives the error it has to answer with; short: after half
// of the work.
func (r *Recorder) call(c Call) (short bool, err error) {
	r.mu.Lock()
	before := r.before
	r.mu.Unlock()
	if before != nil {
		before(c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[c.Op]++
	r.total++
	for _, rule := range r.rules {
		if rule.Op != "" && rule.Op != c.Op || rule.Match != nil && !rule.Match(c) {
			continue
		}
		rule.Nth--
		if err == nil && (rule.Nth == 0 || rule.Sticky && rule.Nth < 0) {
			name := c.Dir
			if c.Name != "" {
				name += "/" + c.Name
			}
			short, err = rule.Short, &fs.PathError{Op: string(c.Op), Path: name, Err: rule.Err}
		}
	}
	return short, err
}

// Now is the inner clock, turned.
func (r *Recorder) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inner.Now().Add(r.offset)
}

// OpenRoot is disk.FS.
func (r *Recorder) OpenRoot(path string) (disk.Dir, error) {
	if _, err := r.call(Call{Op: OpenRoot, Dir: path}); err != nil {
		return nil, err
	}
	d, err := r.inner.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &recordedDir{Dir: d, r: r}, nil
}

// MkdirRoot is disk.FS.
func (r *Recorder) MkdirRoot(path string, perm fs.FileMode) error {
	if _, err := r.call(Call{Op: MkdirRoot, Dir: path}); err != nil {
		return err
	}
	return r.inner.MkdirRoot(path, perm)
}
