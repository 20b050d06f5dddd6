package mailbox

import (
	"cmp"
	"sync"
	"sync/atomic"

	"roost/index"
)

// A position is a place in the journal of one live mailbox, as package index
// counts them.
type position = uint64

// A Barrier collects the journal positions that the output of one session
// depends on. Wait makes them durable; the session calls it before each flush,
// so that no client sees what a crash could take back. The zero value is ready.
// Wait is called by one goroutine, positions may be added by several.
type Barrier struct {
	mu    sync.Mutex
	waits []barrierWait // one a mailbox, few
}

// A barrierWait is a position in one index. A mailbox that was rebuilt after a
// failed sync has another index, in which the same position is another record.
type barrierWait struct {
	mb  *Mailbox
	ix  *index.Index
	pos position
}

// wait returns once the position is durable.
func (w barrierWait) wait() error { return w.mb.waitDurable(w.ix, w.pos) }

// add makes the next Wait wait for w.
func (b *Barrier) add(w barrierWait) {
	if b == nil || w.pos == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.waits {
		if b.waits[i].ix == w.ix {
			b.waits[i].pos = max(b.waits[i].pos, w.pos)
			return
		}
	}
	b.waits = append(b.waits, w)
}

// Wait returns once everything added is durable. After an error nothing that
// was written since the last successful Wait may be sent: the sync failed, the
// mailbox has gone back to what is on the disk, and the session must end.
func (b *Barrier) Wait() error {
	b.mu.Lock()
	waits := b.waits
	b.waits = nil
	b.mu.Unlock()
	if len(waits) == 1 {
		return waits[0].wait()
	}
	return waitAll(waits)
}

// waitsAtOnce is how many journals are synced side by side: the file system
// makes one commit of several.
const waitsAtOnce = 8

// waitAll waits for all of waits and gives the first error.
func waitAll(waits []barrierWait) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(waits))
	for range min(waitsAtOnce, len(waits)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(waits); i = next.Add(1) - 1 {
				errs[i] = waits[i].wait()
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}
