package mailbox

import (
	"runtime"
	"testing"
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
