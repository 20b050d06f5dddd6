package maildir

import (
	"errors"
	"fmt"
	"path"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"

	"roost/disk"
)

// A Backend is the part of fsnotify.Watcher that a Watcher needs. Both
// channels are drained by one goroutine until they are closed.
type Backend interface {
	Add(path string) error
	Remove(path string) error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
	Close() error
}

type notifyBackend struct{ *fsnotify.Watcher }

func (b notifyBackend) Events() <-chan fsnotify.Event { return b.Watcher.Events }
func (b notifyBackend) Errors() <-chan error          { return b.Watcher.Errors }

// WatchOptions are the settings of a Watcher; zero values are the defaults.
type WatchOptions struct {
	FS       disk.FS // for the fence; disk.OS()
	TempDir  string  // where the fence gets its directory; the system's
	PerOwner int     // watches an owner may have; 2,000
	Backend  func() (Backend, error)
}

// A Watcher is the one inotify instance of the server. One goroutine takes the
// events from the system and puts them into queues; it does nothing else, so
// that the queue of the system does not overflow. It is safe for concurrent
// use.
type Watcher struct {
	backend  Backend
	perOwner int
	counters watchCounters
	done     chan struct{} // closed when the goroutine has ended
	fence    fence

	// change serialises calls of the backend. It is taken before mu and never
	// by the goroutine: the backend may hold its own lock while it hands an
	// event over.
	change sync.Mutex

	mu     sync.RWMutex // guards below
	byPath map[string]*watch
	byDir  map[disk.Identity]*watch
	owners map[string]int
	dead   bool
}

type watch struct {
	path  string
	dir   disk.Identity
	owner string
	tag   int
	queue *Queue
}

// defaultPerOwner is the limit of watches of one user.
const defaultPerOwner = 2000

// NewWatcher starts a Watcher; Close ends it. ErrNoWatch: the system has no
// instance left, or none at all.
func NewWatcher(o WatchOptions) (*Watcher, error) {
	open := o.Backend
	if open == nil {
		open = func() (Backend, error) {
			w, err := fsnotify.NewWatcher()
			return notifyBackend{w}, err
		}
	}
	backend, err := open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoWatch, err)
	}
	w := &Watcher{
		backend:  backend,
		perOwner: o.PerOwner,
		done:     make(chan struct{}),
		byPath:   make(map[string]*watch),
		byDir:    make(map[disk.Identity]*watch),
		owners:   make(map[string]int),
	}
	if w.perOwner <= 0 {
		w.perOwner = defaultPerOwner
	}
	w.fence.init(w, o)
	go w.run() // ends when Close closes the channels of the backend
	return w, nil
}

// Close ends all watches; nothing is put into a queue after it.
func (w *Watcher) Close() error {
	err := w.backend.Close()
	<-w.done
	w.fence.remove()
	return err
}

// Add watches the directory dir for owner and puts its events, marked with
// tag, into q, until Remove. dir must stay open until then: the watch is found
// by its descriptor. What happened before Add returns was not told, so look
// once after it. ErrWatchLimit: owner has all it may have. ErrNoWatch: the
// system has none left, the file system is on a network, or dir is watched
// already. The caller polls then.
func (w *Watcher) Add(dir disk.Dir, owner string, tag int, q *Queue) error {
	err := w.add(dir, owner, tag, q)
	if err != nil {
		w.counters.refused.Add(1)
	}
	return err
}

func (w *Watcher) add(dir disk.Dir, owner string, tag int, q *Queue) error {
	in, err := dir.Stat()
	if err != nil {
		return err
	}
	network, err := dir.Network()
	if err != nil {
		return err
	}
	wt := &watch{path: dir.WatchPath(), dir: in.Identity, owner: owner, tag: tag, queue: q}
	if wt.path == "" || network {
		return fmt.Errorf("%w: no events for this file system", ErrNoWatch)
	}
	w.change.Lock()
	defer w.change.Unlock()
	w.forget(wt.path) // of a descriptor that was closed without Remove
	w.forgetStale(wt.dir)
	if err := w.enter(wt); err != nil {
		return err
	}
	// Entered first: events may come before the call returns.
	if err := w.backend.Add(wt.path); err != nil {
		w.drop(wt)
		return fmt.Errorf("%w: %w", ErrNoWatch, err)
	}
	if dir.WatchPath() != wt.path { // without procfs: another directory took the path meanwhile
		if w.drop(wt) {
			w.backend.Remove(wt.path) // gone with the directory, if it is an error
		}
		return fmt.Errorf("%w: the directory was moved", ErrNoWatch)
	}
	return nil
}

// enter puts a watch into the maps.
func (w *Watcher) enter(wt *watch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.dead:
		return fmt.Errorf("%w: watcher has ended", ErrNoWatch)
	case w.byDir[wt.dir] != nil:
		return fmt.Errorf("%w: watched already", ErrNoWatch)
	case w.owners[wt.owner] >= w.perOwner:
		return ErrWatchLimit
	}
	w.byPath[wt.path] = wt
	w.byDir[wt.dir] = wt
	w.owners[wt.owner]++
	return nil
}

// drop takes a watch from the maps; false: it is not there any more.
func (w *Watcher) drop(wt *watch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byPath[wt.path] != wt {
		return false
	}
	delete(w.byPath, wt.path)
	delete(w.byDir, wt.dir)
	if w.owners[wt.owner]--; w.owners[wt.owner] <= 0 {
		delete(w.owners, wt.owner)
	}
	return true
}

// forget ends the watch of a path, if there is one. change must be held.
func (w *Watcher) forget(path string) {
	w.mu.RLock()
	wt := w.byPath[path]
	w.mu.RUnlock()
	if wt != nil && w.drop(wt) {
		_ = w.backend.Remove(path) // an error: the system has forgotten it already
	}
}

// forgetStale ends the watch of a directory whose descriptor is closed: the
// system may have given its number to a new directory before the end of the
// old one was told. change must be held.
func (w *Watcher) forgetStale(dir disk.Identity) {
	w.mu.RLock()
	wt := w.byDir[dir]
	w.mu.RUnlock()
	if wt == nil {
		return
	}
	d, err := w.fence.fsys.OpenRoot(wt.path)
	if err == nil {
		in, err := d.Stat()
		d.Close()
		if err == nil && in.Identity == dir {
			return
		}
	}
	w.forget(wt.path)
}

// Remove ends the watch of dir, if there is one. Events on their way may still
// come.
func (w *Watcher) Remove(dir disk.Dir) {
	w.change.Lock()
	defer w.change.Unlock()
	w.forget(dir.WatchPath())
}

// run hands events on until the backend is closed or has died.
func (w *Watcher) run() {
	defer close(w.done)
	events, errs := w.backend.Events(), w.backend.Errors()
	for events != nil {
		select {
		case ev, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			w.counters.events.Add(1)
			w.handle(ev)
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			w.broken(err)
		}
	}
	w.end()
}

// handle finds the queue of an event.
func (w *Watcher) handle(ev fsnotify.Event) {
	op := opOf(ev.Op)
	if op == 0 {
		return
	}
	w.mu.RLock()
	wt, self := w.byPath[ev.Name], true
	var name string
	if wt == nil {
		var dir string
		dir, name = path.Split(ev.Name)
		wt, self = w.byPath[path.Clean(dir)], false
	}
	w.mu.RUnlock()
	switch {
	case wt == nil:
		w.fence.event(ev.Name, op)
	case !self:
		if !wt.queue.put(Event{Tag: wt.tag, Name: name, Op: op}) {
			w.counters.dropped.Add(1)
		}
	case op == Removed || op == MovedAway:
		// The backend has taken it off already.
		if w.drop(wt) {
			w.counters.lost.Add(1)
			wt.queue.put(Event{Tag: wt.tag, Op: Lost})
		}
	}
}

func opOf(op fsnotify.Op) EventOp {
	switch {
	case op.Has(fsnotify.Create):
		return Appear
	case op.Has(fsnotify.Remove):
		return Removed
	case op.Has(fsnotify.Rename):
		return MovedAway
	case op.Has(fsnotify.Write):
		return Written
	}
	return 0 // attributes only
}

// broken tells every queue that events may be missing.
func (w *Watcher) broken(err error) {
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		w.counters.overflows.Add(1)
	} else {
		w.counters.errors.Add(1)
	}
	w.tellAll(Overflow)
	w.fence.fail()
}

// tellAll puts an event into every queue.
func (w *Watcher) tellAll(op EventOp) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, wt := range w.byPath {
		wt.queue.put(Event{Tag: wt.tag, Op: op})
	}
}

// end is called when no event will come any more.
func (w *Watcher) end() {
	w.tellAll(Lost)
	w.mu.Lock()
	w.dead = true
	clear(w.byPath)
	clear(w.byDir)
	clear(w.owners)
	w.mu.Unlock()
	w.fence.fail()
}

type watchCounters struct {
	events, overflows, errors, lost, dropped, refused, fences, fencesFailed atomic.Uint64
}

// WatchCounters are counts since the start, and the number of watches now.
type WatchCounters struct {
	Events       uint64 // from the system
	Overflows    uint64 // of the queue of the system
	Errors       uint64 // of the system
	Lost         uint64 // watches that ended by themselves
	Dropped      uint64 // overflows of queues of ours
	Refused      uint64 // Add that failed
	Fences       uint64
	FencesFailed uint64
	Watches      int
}

// Counters reads the counters.
func (w *Watcher) Counters() WatchCounters {
	w.mu.RLock()
	watches := len(w.byPath)
	w.mu.RUnlock()
	c := &w.counters
	return WatchCounters{
		Events:       c.events.Load(),
		Overflows:    c.overflows.Load(),
		Errors:       c.errors.Load(),
		Lost:         c.lost.Load(),
		Dropped:      c.dropped.Load(),
		Refused:      c.refused.Load(),
		Fences:       c.fences.Load(),
		FencesFailed: c.fencesFailed.Load(),
		Watches:      watches,
	}
}
