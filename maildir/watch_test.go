package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"roost/disk"
	"roost/disk/disktest"
)

func newWatcher(t testing.TB, o WatchOptions) *Watcher {
	t.Helper()
	if o.TempDir == "" {
		o.TempDir = t.TempDir()
	}
	w, err := NewWatcher(o)
	must(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

func fenced(t testing.TB, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	must(t, w.Fence(ctx))
}

// taken gives the events of q after a fence.
func taken(t testing.TB, w *Watcher, q *Queue) []string {
	t.Helper()
	fenced(t, w)
	var list []string
	for _, e := range q.Take(nil) {
		list = append(list, fmt.Sprint(Place(e.Tag), " ", e.Op, " ", e.Name))
	}
	return list
}

// watchedBox is a mailbox whose two places are watched.
func watchedBox(t testing.TB, w *Watcher, at string) (*Dir, *Queue) {
	t.Helper()
	d, q := openBox(t, disk.OS(), at), NewQueue(1000)
	for _, p := range []Place{New, Cur} {
		must(t, w.Add(d.Place(p), "user", int(p), q))
	}
	return d, q
}

// TestWatchEvents does what other programs do to a Maildir and reads the
// events; the fence makes that exact.
func TestWatchEvents(t *testing.T) {
	at := t.TempDir()
	w := newWatcher(t, WatchOptions{})
	d, q := watchedBox(t, w, at)
	tmp := at + "/tmp/"
	must(t, os.WriteFile(tmp+"x", []byte("text"), 0o600))
	for _, tt := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"delivery by rename", func() error { return os.Rename(tmp+"x", at+"/new/1") }, []string{"new appear 1"}},
		{"to cur", func() error { return os.Rename(at+"/new/1", at+"/cur/1:2,") }, []string{"new moved away 1", "cur appear 1:2,"}},
		{"flag", func() error { return os.Rename(at+"/cur/1:2,", at+"/cur/1:2,S") }, []string{"cur moved away 1:2,", "cur appear 1:2,S"}},
		{"link", func() error { return os.Link(at+"/cur/1:2,S", at+"/new/2") }, []string{"new appear 2"}},
		{"rename onto an existing", func() error { return os.Rename(at+"/new/2", at+"/cur/1:2,S") }, nil}, // same file: nothing
		{"unlink", func() error { return os.Remove(at + "/new/2") }, []string{"new removed 2"}},
		{"made in place", func() error { return os.WriteFile(at+"/new/3", nil, 0o600) }, []string{"new appear 3"}},
		{"written in place", func() error { return os.WriteFile(at+"/new/3", []byte("x"), 0o600) }, []string{"new written 3"}},
		{"replaced", func() error { return os.Rename(at+"/new/3", at+"/cur/1:2,S") }, []string{"new moved away 3", "cur appear 1:2,S"}},
		{"attributes", func() error { return os.Chmod(at+"/cur/1:2,S", 0o640) }, nil},
		{"moved out", func() error { return os.Rename(at+"/cur/1:2,S", tmp+"y") }, []string{"cur moved away 1:2,S"}},
		{"odd name", func() error { return os.WriteFile(at+"/cur/a\n\xff:2,", nil, 0o600) }, []string{"cur appear a\n\xff:2,"}},
	} {
		must(t, tt.do())
		got := slices.Compact(taken(t, w, q))
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
	breaks := q.Breaks()
	if breaks != 0 {
		t.Errorf("%d breaks", breaks)
	}
	// The mailbox directory itself is moved: its watches follow.
	must(t, os.Rename(at, at+".moved"))
	defer os.RemoveAll(at + ".moved")
	must(t, os.WriteFile(at+".moved/new/4", nil, 0o600))
	if got := taken(t, w, q); !slices.Equal(got, []string{"new appear 4"}) {
		t.Errorf("after the mailbox moved: %q", got)
	}
	// new itself is moved: the watch is lost, and said to be.
	must(t, os.Rename(at+".moved/new", at+".moved/old"))
	if got := taken(t, w, q); !slices.Equal(got, []string{"new lost "}) || q.Breaks() == breaks {
		t.Errorf("after new moved: %q, breaks %d", got, q.Breaks())
	}
	if c := w.Counters(); c.Lost != 1 || c.Watches != 1 || c.Overflows+c.Errors+c.Dropped != 0 {
		t.Errorf("counters %+v", c)
	}
	// It can be watched again, and removed.
	must(t, w.Add(d.Place(New), "user", int(New), q))
	must(t, os.WriteFile(at+".moved/old/5", nil, 0o600))
	if got := taken(t, w, q); !slices.Equal(got, []string{"new appear 5"}) {
		t.Errorf("watched again: %q", got)
	}
	w.Remove(d.Place(New))
	w.Remove(d.Place(New))
	must(t, os.WriteFile(at+".moved/old/6", nil, 0o600))
	if got := taken(t, w, q); len(got) != 0 {
		t.Errorf("not watched: %q", got)
	}
}

// TestWatchRemovedDir: a directory removed while it is open.
func TestWatchRemovedDir(t *testing.T) {
	at := t.TempDir()
	w := newWatcher(t, WatchOptions{})
	d, q := watchedBox(t, w, at)
	must(t, os.WriteFile(at+"/cur/1:2,", nil, 0o600))
	must(t, os.RemoveAll(at+"/cur"))
	got := taken(t, w, q)
	if !slices.Contains(got, "cur removed 1:2,") {
		t.Errorf("events %q", got)
	}
	if err := d.Check(); !errors.Is(err, ErrGone) {
		t.Errorf("check: %v", err)
	}
	w.Remove(d.Place(Cur))
	if c := w.Counters(); c.Watches != 1 {
		t.Errorf("counters %+v", c)
	}
}

// TestFenceProves: whatever is done before Fence is in the queue after it, by
// many at once.
func TestFenceProves(t *testing.T) {
	w := newWatcher(t, WatchOptions{})
	t.Run("users", func(t *testing.T) { // returns when all have ended
		for user := range 4 {
			t.Run(fmt.Sprint(user), func(t *testing.T) {
				t.Parallel()
				at := t.TempDir()
				_, q := watchedBox(t, w, at)
				for i := range 100 {
					name := fmt.Sprintf("%d.%d", user, i)
					must(t, os.WriteFile(at+"/new/"+name, nil, 0o600))
					if got := taken(t, w, q); !slices.Contains(got, "new appear "+name) {
						t.Errorf("%s is not in %q", name, got)
					}
					must(t, os.Remove(at+"/new/"+name))
				}
			})
		}
	})
	if c := w.Counters(); c.Fences != 400 || c.FencesFailed != 0 {
		t.Errorf("counters %+v", c)
	}
}

// TestFenceRepairs: someone cleans up the temporary directory.
func TestFenceRepairs(t *testing.T) {
	temp := t.TempDir()
	w := newWatcher(t, WatchOptions{TempDir: temp})
	at := t.TempDir()
	_, q := watchedBox(t, w, at)
	fenced(t, w)
	for _, clean := range []func(dir string) error{
		func(dir string) error { return os.Remove(dir + "/" + fenceName(w.fence.last)) },
		os.RemoveAll,
		func(dir string) error { return os.Rename(dir, temp+"/moved") },
	} {
		dirs, err := os.ReadDir(temp)
		must(t, err)
		must(t, clean(temp+"/"+dirs[0].Name()))
		// One may fail, and says so; then it works again.
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := w.Fence(ctx); err != nil && !errors.Is(err, ErrFence) {
			t.Errorf("fence: %v", err)
		}
		cancel()
		must(t, os.WriteFile(at+"/new/1", nil, 0o600))
		if got := taken(t, w, q); !slices.Contains(got, "new appear 1") {
			t.Errorf("events %q", got)
		}
		must(t, os.Remove(at+"/new/1"))
		fenced(t, w)
		q.Take(nil)
	}
	must(t, w.Close())
	if left, err := os.ReadDir(temp); err != nil || len(left) > 1 { // moved is not ours any more
		t.Errorf("left %v %v", left, err)
	}
	if err := w.Fence(context.Background()); !errors.Is(err, ErrFence) {
		t.Errorf("after close: %v", err)
	}
}

// fakeBackend is a system that does what a test says.
type fakeBackend struct {
	events chan fsnotify.Event
	errors chan error
	mu     sync.Mutex
	added  []string
	err    error
}

func newFake() *fakeBackend {
	return &fakeBackend{events: make(chan fsnotify.Event), errors: make(chan error)}
}

func (b *fakeBackend) Add(path string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.added = append(b.added, path)
	return b.err
}
func (b *fakeBackend) Remove(string) error           { return fsnotify.ErrNonExistentWatch }
func (b *fakeBackend) Events() <-chan fsnotify.Event { return b.events }
func (b *fakeBackend) Errors() <-chan error          { return b.errors }
func (b *fakeBackend) Close() error {
	close(b.errors)
	close(b.events)
	return nil
}

func (b *fakeBackend) open() (Backend, error) { return b, nil }

func (b *fakeBackend) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// TestWatchBroken: an overflow or error of the system reaches every queue and
// no fence passes it.
func TestWatchBroken(t *testing.T) {
	b := newFake()
	w := newWatcher(t, WatchOptions{Backend: b.open})
	d, q := watchedBox(t, w, t.TempDir())
	for _, err := range []error{fsnotify.ErrEventOverflow, syscall.EIO} {
		breaks := q.Breaks()
		result := make(chan error, 1)
		go func() { result <- w.Fence(context.Background()) }()
		waitFor(t, func() bool {
			w.fence.mu.Lock()
			defer w.fence.mu.Unlock()
			return len(w.fence.waiting) == 1
		})
		b.errors <- err
		if err := <-result; !errors.Is(err, ErrFence) {
			t.Errorf("fence: %v", err)
		}
		<-q.Wake()
		if got := q.Take(nil); len(got) != 2 || got[0].Op != Overflow || q.Breaks() == breaks {
			t.Errorf("events %v", got)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Fence(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("fence: %v", err)
	}
	if c := w.Counters(); c.Overflows != 1 || c.Errors != 1 || c.FencesFailed != 3 {
		t.Errorf("counters %+v", c)
	}
	// The instance dies: all is lost, and nothing can be added.
	must(t, w.backend.Close())
	<-w.done
	if got := q.Take(nil); len(got) != 2 || got[0].Op != Lost {
		t.Errorf("events %v", got)
	}
	if err := w.Add(d.Place(New), "user", 0, q); !errors.Is(err, ErrNoWatch) {
		t.Errorf("add: %v", err)
	}
	if err := w.Fence(context.Background()); !errors.Is(err, ErrFence) {
		t.Errorf("fence: %v", err)
	}
	w.backend = newFake() // to be closed by the clean-up
}

// waitFor polls for something that another goroutine does; bounded.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited too long")
		}
	}
}

func TestWatchLimits(t *testing.T) {
	b := newFake()
	w := newWatcher(t, WatchOptions{Backend: b.open, PerOwner: 3})
	_, _ = watchedBox(t, w, t.TempDir())
	d := openBox(t, disk.OS(), t.TempDir())
	q := NewQueue(1)
	must(t, w.Add(d.Place(New), "user", 0, q))
	if err := w.Add(d.Place(Cur), "user", 1, q); !errors.Is(err, ErrWatchLimit) {
		t.Errorf("fourth: %v", err)
	}
	must(t, w.Add(d.Place(Cur), "other", 1, q))
	twice, err := d.Root().OpenDir("cur")
	must(t, err)
	defer twice.Close()
	if err := w.Add(twice, "third", 1, q); !errors.Is(err, ErrNoWatch) {
		t.Errorf("the same directory again: %v", err)
	}
	w.Remove(d.Place(New))
	b.fail(syscall.ENOSPC)
	for range 3 {
		if err := w.Add(d.Tmp(), "user", 2, q); !errors.Is(err, ErrNoWatch) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("no watches left: %v", err)
		}
	}
	b.fail(nil)
	must(t, w.Add(d.Tmp(), "user", 2, q)) // what failed does not count
	m := disktest.NewMem()
	if err := w.Add(openRoot(t, m, "/"), "mem", 0, q); !errors.Is(err, ErrNoWatch) {
		t.Errorf("no path: %v", err)
	}
	if c := w.Counters(); c.Refused != 6 || c.Watches != 4 {
		t.Errorf("counters %+v", c)
	}
	if _, err := NewWatcher(WatchOptions{Backend: func() (Backend, error) { return nil, syscall.EMFILE }}); !errors.Is(err, ErrNoWatch) || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("no instance: %v", err)
	}
}

// TestWatchStale: a directory that was closed without Remove does not keep
// others from watching it, and neither does a number that was given away.
func TestWatchStale(t *testing.T) {
	w := newWatcher(t, WatchOptions{})
	at, q := t.TempDir(), NewQueue(10)
	d := openBox(t, disk.OS(), at)
	for range 3 {
		cur, err := d.Root().OpenDir("cur")
		must(t, err)
		must(t, w.Add(cur, "user", int(Cur), q))
		cur.Close()
		other, err := d.Root().OpenDir("new") // gets the number
		must(t, err)
		must(t, w.Add(d.Place(Cur), "user", int(Cur), q))
		must(t, os.WriteFile(at+"/cur/1:2,", nil, 0o600))
		if got := taken(t, w, q); !slices.Equal(got, []string{"cur appear 1:2,"}) {
			t.Errorf("events %q", got)
		}
		must(t, os.Remove(at+"/cur/1:2,"))
		fenced(t, w)
		q.Take(nil)
		w.Remove(d.Place(Cur))
		other.Close()
	}
	if c := w.Counters(); c.Watches != 0 || c.Refused != 0 {
		t.Errorf("counters %+v", c)
	}
}

// TestQueueOverflow: a full queue becomes one Overflow and goes on.
func TestQueueOverflow(t *testing.T) {
	at := t.TempDir()
	w := newWatcher(t, WatchOptions{})
	d, q := openBox(t, disk.OS(), at), NewQueue(4)
	must(t, w.Add(d.Place(New), "user", 0, q))
	for i := range 30 {
		must(t, os.WriteFile(fmt.Sprintf("%s/new/%d", at, i), nil, 0o600))
	}
	got := taken(t, w, q)
	if len(got) == 0 || len(got) > 4 || !strings.HasPrefix(got[0], "new overflow") || q.Breaks() == 0 {
		t.Errorf("events %q, breaks %d", got, q.Breaks())
	}
	if c := w.Counters(); c.Dropped == 0 {
		t.Errorf("counters %+v", c)
	}
	breaks := q.Breaks()
	must(t, os.WriteFile(at+"/new/last", nil, 0o600))
	if got := taken(t, w, q); !slices.Equal(got, []string{"new appear last"}) || q.Breaks() != breaks {
		t.Errorf("after: %q", got)
	}
}

// TestSystemOverflow fills the queue of the kernel for real, by keeping the
// goroutine from reading.
func TestSystemOverflow(t *testing.T) {
	limit := 0
	data, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	if _, err := fmt.Sscan(string(data), &limit); err != nil || limit > 1<<16 {
		t.Logf("limit of the system: %d %v", limit, err)
		limit = 1 << 16
	}
	at := t.TempDir()
	w := newWatcher(t, WatchOptions{})
	d, q := openBox(t, disk.OS(), at), NewQueue(1<<20)
	must(t, w.Add(d.Place(Cur), "user", 1, q))
	must(t, os.WriteFile(at+"/cur/0", nil, 0o600))
	w.mu.Lock() // the goroutine stops at the next event
	for i := range limit {
		must(t, os.Rename(fmt.Sprintf("%s/cur/%d", at, i), fmt.Sprintf("%s/cur/%d", at, i+1)))
	}
	w.mu.Unlock()
	waitFor(t, func() bool { return q.Breaks() > 0 || limit == 1<<16 })
	fenced(t, w)
	if c := w.Counters(); limit < 1<<16 && c.Overflows == 0 {
		t.Errorf("counters %+v", c)
	}
}

func BenchmarkFence(b *testing.B) {
	w := newWatcher(b, WatchOptions{})
	for b.Loop() {
		must(b, w.Fence(context.Background()))
	}
}
