package mailbox

import (
	"context"
	"sync/atomic"

	"roost/disk"
	"roost/index"
)

// This file has the messages that a session is about to parse parsed by two: the
// session goes forward from where it is, the background worker of the mailbox
// backward from some messages ahead, into the cache. They meet in the middle.

const (
	// aheadRows is how many messages are shared out at a time.
	aheadRows = 64
	// aheadAfter is how many messages in a row a session parses alone first.
	aheadAfter = 4
)

// A parseAhead sees whether a session parses messages in order.
type parseAhead struct {
	next   index.Row // it is in order if this is the next row that it parses, or
	streak int       // one up to where others are at work: so many were in order
	way    *parseWay // nil: nothing was shared yet
}

// A parseWay is where a session and the worker are on their way.
type parseWay struct {
	ix    *index.Index
	front atomic.Int64 // row that the session is at
	until atomic.Int64 // rows before it are shared out
}

// at is called by the session with each row that it comes to.
func (a *parseAhead) at(row index.Row) {
	if a.way != nil {
		a.way.front.Store(int64(row))
	}
}

// parsing is called by the session ahead of parsing the message of row.
func (a *parseAhead) parsing(mb *Mailbox, ix *index.Index, row index.Row) {
	until := index.Row(0)
	if a.way != nil {
		until = index.Row(a.way.until.Load())
	}
	inOrder := row == a.next || row > a.next && row <= until
	if a.next = row + 1; !inOrder {
		a.streak, a.way = 0, nil
		return
	}
	if a.streak++; a.streak < aheadAfter || row < until {
		return
	}
	a.way = &parseWay{ix: ix}
	a.way.front.Store(int64(row))
	a.way.until.Store(int64(row) + 1)
	mb.fill.share(a.way)
}

// expects reports whether the message of row is the next of those that a session
// parses in order.
func (a *parseAhead) expects(row index.Row) bool {
	return a != nil && a.streak > 0 && row == a.next
}

// share gives the worker a way to help on; the one that it had is out of date.
func (cf *cacheFiller) share(w *parseWay) {
	cf.way.Store(w)
	cf.poke()
}

// helpOn goes the way that share gave: it shares out the next messages, parses
// from the last of them back until it meets the session, and then the next ones,
// as long as the session is not left too far behind.
func (cf *cacheFiller) helpOn(ctx context.Context) {
	w := cf.way.Load()
	if w == nil {
		return
	}
	defer cf.way.CompareAndSwap(w, nil)
	if cf.mb.index() != w.ix {
		return
	}
	for ctx.Err() == nil {
		from := w.until.Load()
		until := min(from+aheadRows, int64(w.ix.Len()))
		if from >= until || from-w.front.Load() > aheadRows {
			return
		}
		w.until.Store(until)
		for row := until - 1; row >= from && row > w.front.Load(); row-- {
			if cf.way.Load() != w || ctx.Err() != nil {
				return
			}
			if r := index.Row(row); !w.ix.Gone(r) && !w.ix.Cache().Has(r) {
				cf.parseFirst(w.ix, r)
				cf.flush(metaAtOnce)
			}
		}
	}
}

// parseFirst parses a message that the cache does not have. What cannot be read
// is for the session to tell.
func (cf *cacheFiller) parseFirst(ix *index.Index, row index.Row) {
	f, err := cf.mb.tryOpen(ix, row)
	if err != nil {
		return
	}
	c, ok := cf.mb.contents.Get().(*Content)
	if !ok {
		c = &Content{}
	}
	c.mb, c.ix, c.row, c.file = cf.mb, ix, row, f
	defer c.Close()
	if c.info, err = disk.StatOpened(f); err == nil {
		_ = c.parse()
	}
}
