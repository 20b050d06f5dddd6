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
	front  atomic.Int64 // row that the session is at
	next   index.Row    // it is in order if this is the next row that it parses, or
	until  index.Row    // one up to here, which others are parsing
	streak int
}

// A parseShare is what the worker takes over: rows from below until down to
// those that the session has come to.
type parseShare struct {
	ix          *index.Index
	from, until index.Row
	front       *atomic.Int64
}

// parsing is called by the session ahead of parsing the message of row.
func (a *parseAhead) parsing(mb *Mailbox, ix *index.Index, row index.Row) {
	inOrder := row == a.next || row > a.next && row <= a.until
	if a.next = row + 1; !inOrder {
		a.streak, a.until = 0, 0
		return
	}
	if a.streak++; a.streak < aheadAfter || row < a.until {
		return
	}
	a.until = min(row+1+aheadRows, index.Row(ix.Len()))
	mb.fill.share(parseShare{ix: ix, from: row + 1, until: a.until, front: &a.front})
}

// share gives the worker something to do at once; what it was given before is
// out of date.
func (cf *cacheFiller) share(s parseShare) {
	cf.shared.Store(&s)
	cf.poke()
}

// takeShare does what share gave.
func (cf *cacheFiller) takeShare(ctx context.Context) {
	s := cf.shared.Swap(nil)
	if s == nil || cf.mb.index() != s.ix {
		return
	}
	for row := s.until; row > s.from && ctx.Err() == nil; {
		row--
		if int64(row) <= s.front.Load() || cf.shared.Load() != nil {
			return
		}
		if s.ix.Gone(row) || s.ix.Cache().Has(row) {
			continue
		}
		cf.parseFirst(s.ix, row)
		cf.flush(metaAtOnce)
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
