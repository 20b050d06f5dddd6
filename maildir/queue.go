package maildir

import "sync"

// EventOp says what an event says.
type EventOp uint8

// The kinds of events.
const (
	// Appear: a name is new in the directory, or another file has it now.
	Appear EventOp = iota + 1
	// Removed: a name was unlinked.
	Removed
	// MovedAway: a name was renamed; the new one, if it is watched, is told
	// by an Appear.
	MovedAway
	// Written: the contents of a file were changed in place.
	Written
	// Overflow: events were lost. Name is empty.
	Overflow
	// Lost: the watch is gone, since the directory was moved or removed, or
	// the system has given up. Name is empty.
	Lost
)

func (op EventOp) String() string {
	switch op {
	case Appear:
		return "appear"
	case Removed:
		return "removed"
	case MovedAway:
		return "moved away"
	case Written:
		return "written"
	case Overflow:
		return "overflow"
	case Lost:
		return "lost"
	}
	return "none"
}

// An Event is a hint that a name should be looked at.
type Event struct {
	Tag  int // as given to Watcher.Add
	Name string
	Op   EventOp
}

// A Queue takes the events for one live mailbox, or one account, from the
// watcher to whoever works on them. It is bounded: when it is full, all that is
// in it gives way to one Overflow. It is safe for concurrent use.
type Queue struct {
	limit int
	wake  chan struct{}

	mu     sync.Mutex // guards below
	events []Event
	breaks uint64
}

// NewQueue makes a queue for at most limit events.
func NewQueue(limit int) *Queue {
	return &Queue{limit: max(limit, 1), wake: make(chan struct{}, 1)}
}

// Wake gives a value after events have come in; Take all of them then.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Take adds the events to buf, in order, and empties the queue.
func (q *Queue) Take(buf []Event) []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	buf = append(buf, q.events...)
	clear(q.events) // let go of the names
	q.events = q.events[:0]
	return buf
}

// Breaks counts the moments in which events may have been lost: overflows,
// errors, lost watches. If it is the same before the first event of a matter
// and after a fence, all events of that time came to this queue.
func (q *Queue) Breaks() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.breaks
}

// put adds an event; false: there was no room.
func (q *Queue) put(e Event) bool {
	q.mu.Lock()
	fits := len(q.events) < q.limit
	if !fits {
		clear(q.events)
		q.events = append(q.events[:0], Event{Op: Overflow})
		q.breaks++
	}
	if e.Op == Overflow || e.Op == Lost {
		q.breaks++
	}
	if fits || e.Op == Lost {
		q.events = append(q.events, e)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return fits
}
