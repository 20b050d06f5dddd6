package mailbox

import "sync"

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

type barrierWait struct {
	mb  *Mailbox
	pos position
}

// add makes the next Wait wait for pos of mb's journal.
func (b *Barrier) add(mb *Mailbox, pos position) {
	if b == nil || pos == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.waits {
		if b.waits[i].mb == mb {
			b.waits[i].pos = max(b.waits[i].pos, pos)
			return
		}
	}
	b.waits = append(b.waits, barrierWait{mb, pos})
}

// Wait returns once everything added is durable. After an error nothing that
// was written since the last successful Wait may be sent: the sync failed, the
// mailbox has gone back to what is on the disk, and the session must end.
func (b *Barrier) Wait() error {
	b.mu.Lock()
	waits := b.waits
	b.waits = nil
	b.mu.Unlock()
	for _, w := range waits {
		if err := w.mb.waitDurable(w.pos); err != nil {
			return err
		}
	}
	return nil
}
