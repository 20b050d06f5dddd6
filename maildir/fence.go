package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"roost/disk"
)

// A fence is a private directory that is watched by the same inotify instance
// as the mail. Its events stand in the one queue of that instance, behind all
// that happened before.
type fence struct {
	w     *Watcher
	fsys  disk.FS
	under string // parent of the directory

	making sync.Mutex // guards below; held while a name is changed
	dir    disk.Dir   // nil: to be made
	root   string     // its path
	last   uint64     // number in the name of the file
	exists bool

	mu      sync.Mutex // guards below
	watched string     // path in events
	waiting map[uint64]chan error
}

func (f *fence) init(w *Watcher, o WatchOptions) {
	f.w, f.fsys, f.under = w, o.FS, o.TempDir
	if f.fsys == nil {
		f.fsys = disk.OS()
	}
	if f.under == "" {
		f.under = os.TempDir()
	}
	f.waiting = make(map[uint64]chan error)
}

// Fence returns once every event that happened before it was called is in its
// queue. ErrFence: that cannot be said, since an overflow or an error came in
// between or the fence cannot be made; or the error of ctx.
func (w *Watcher) Fence(ctx context.Context) error {
	w.counters.fences.Add(1)
	err := w.fence.pass(ctx)
	if err != nil {
		w.counters.fencesFailed.Add(1)
	}
	return err
}

func (f *fence) pass(ctx context.Context) error {
	n, back, err := f.raise()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFence, err)
	}
	select {
	case err := <-back:
		return err
	case <-ctx.Done():
		f.mu.Lock()
		delete(f.waiting, n)
		f.mu.Unlock()
		return ctx.Err()
	}
}

// raise gives the file of the fence the next number as its name. Each fence has
// its own: equal events that follow each other are told once, and an event
// from before must not pass for this one.
func (f *fence) raise() (uint64, <-chan error, error) {
	f.making.Lock()
	defer f.making.Unlock()
	if err := f.make(); err != nil {
		return 0, nil, err
	}
	f.last++
	n, back := f.last, make(chan error, 1)
	f.mu.Lock()
	f.waiting[n] = back
	f.mu.Unlock()
	if f.w.isDead() { // after registering: end fails those it finds
		f.fail()
		return n, back, nil
	}
	err := errors.ErrUnsupported
	if f.exists {
		err = f.dir.Rename(fenceName(n-1), f.dir, fenceName(n))
	}
	if err != nil { // the first one, or someone has cleaned up
		err = f.create(fenceName(n))
	}
	if err != nil {
		f.mu.Lock()
		delete(f.waiting, n)
		f.mu.Unlock()
		f.dropLocked() // the next one makes a new directory
		return 0, nil, err
	}
	f.exists = true
	return n, back, nil
}

func fenceName(n uint64) string { return "f" + strconv.FormatUint(n, 10) }

func (f *fence) create(name string) error {
	file, err := f.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// make makes and watches the directory, if there is none. making must be held.
func (f *fence) make() error {
	if f.dir != nil {
		if f.path() != "" {
			return nil
		}
		f.dropLocked() // its watch was lost
	}
	root := filepath.Join(f.under, fmt.Sprintf("roost-fence-%016x", randomBits()))
	if err := f.fsys.MkdirRoot(root, 0o700); err != nil {
		return err
	}
	dir, err := f.fsys.OpenRoot(root)
	if err != nil {
		os.Remove(root)
		return err
	}
	watched := dir.WatchPath()
	if watched == "" {
		watched = root
	}
	f.dir, f.root, f.exists = dir, root, false
	f.mu.Lock()
	f.watched = watched
	f.mu.Unlock()
	f.w.change.Lock()
	err = f.w.backend.Add(watched)
	f.w.change.Unlock()
	if err != nil {
		f.dropLocked()
	}
	return err
}

func (f *fence) path() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watched
}

// dropLocked gives the directory up. making must be held.
func (f *fence) dropLocked() {
	if f.dir == nil {
		return
	}
	f.mu.Lock()
	watched := f.watched
	f.watched = ""
	f.mu.Unlock()
	if watched != "" {
		f.w.change.Lock()
		_ = f.w.backend.Remove(watched) // may be gone
		f.w.change.Unlock()
	}
	if f.exists {
		_ = f.dir.Unlink(fenceName(f.last))
	}
	f.dir.Close()
	f.dir, f.exists = nil, false
	os.Remove(f.root)
}

// remove is dropLocked at the end.
func (f *fence) remove() {
	f.making.Lock()
	defer f.making.Unlock()
	f.dropLocked()
}

// event takes an event of no watched directory: of the fence, or a late one.
func (f *fence) event(name string, op EventOp) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watched == "" {
		return
	}
	if name == f.watched && op != Appear && op != Written {
		f.watched = ""
		f.failLocked()
		return
	}
	dir, file := path.Split(name)
	if op != Appear || strings.TrimSuffix(dir, "/") != f.watched {
		return
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(file, "f"), 10, 64)
	if err != nil {
		return
	}
	for waiter, back := range f.waiting {
		if waiter <= n {
			delete(f.waiting, waiter)
			back <- nil
		}
	}
}

// fail ends all waiting without success.
func (f *fence) fail() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failLocked()
}

func (f *fence) failLocked() {
	for n, back := range f.waiting {
		delete(f.waiting, n)
		back <- ErrFence
	}
}

func (w *Watcher) isDead() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.dead
}
