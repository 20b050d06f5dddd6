package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"roost/disk"
	"roost/maildir"
)

// TestNothingLeaks: a mailbox that was opened, used and closed many times leaves
// no goroutine and no watch behind.
func TestNothingLeaks(t *testing.T) {
	f := filled(t, 3)
	cycle := func(n int) {
		for range n {
			v := f.view(false)
			store(t, v, StoreAdd, one(1), Seen)
			store(t, v, StoreRemove, one(1), Seen)
			f.noop(v)
			v.Close()
			f.reopen()
		}
	}
	cycle(3)
	goroutines, watches := runtime.NumGoroutine(), f.watch.Counters().Watches
	cycle(60)
	f.eventually("the goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if now := f.watch.Counters().Watches; now != watches {
		t.Errorf("%d watches, before %d", now, watches)
	}
}

// TestLRULeaksNothing: mailboxes that give way to others under a limit of
// memory, again and again, leave no goroutine, descriptor, watch or memory
// behind, nor do those that are closed with their account.
func TestLRULeaksNothing(t *testing.T) {
	w, err := maildir.NewWatcher(maildir.WatchOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	st := newTestStore(t, disk.OS(), func(o *Options) { o.Watcher, o.Memory = w, 1 })
	u := User{Name: "u", Path: filepath.Join(t.TempDir(), "Maildir")}
	var names []string
	a, err := st.Open(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		names = append(names, fmt.Sprint("box", i))
	}
	mustCreate(t, a, names...)
	for i := range names {
		deliverFile(t, filepath.Join(u.Path, fmt.Sprint(".box", i)), "cur", "1.x:2,")
	}
	a.Release()
	cycle := func(n int) {
		for range n {
			a, err := st.Open(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				mb, err := a.Mailbox(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				var b Barrier
				v, err := mb.Open(t.Context(), false, &b)
				if err != nil {
					t.Fatal(err)
				}
				if v.Len() != 1 {
					t.Fatalf("%s has %d messages", name, v.Len())
				}
				if i%4 == 0 {
					c := v.Content(1)
					if _, err := c.Envelope(); err != nil {
						t.Error(err)
					}
					c.Close()
				}
				v.Close()
				mb.Release()
			}
			a.Release()
		}
	}
	cycle(3)
	type usage struct{ goroutines, descriptors, watches int }
	measure := func() usage {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return usage{runtime.NumGoroutine(), len(list), int(w.Counters().Watches)}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, memory := measure(), heap()
	cycle(12)
	var now usage
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		if now = measure(); now.goroutines <= before.goroutines && now.descriptors <= before.descriptors && now.watches <= before.watches {
			break
		}
	}
	if now.goroutines > before.goroutines || now.descriptors > before.descriptors || now.watches > before.watches {
		t.Errorf("144 mailboxes later %+v, before %+v", now, before)
	}
	if grown := heap() - memory; grown > 1<<20 {
		t.Errorf("144 mailboxes later the heap has %d octets more", grown)
	}
	st.mu.Lock()
	live := st.live.n
	st.mu.Unlock()
	if live > 1 {
		t.Errorf("%d mailboxes are live", live)
	}
}
