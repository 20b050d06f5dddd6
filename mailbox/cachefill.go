package mailbox

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"roost/disk"
	"roost/index"
)

// fillLimit bounds what waits to be parsed; the rest is parsed when asked for.
const fillLimit = 4096

// metaAtOnce is how many facts are written in one record.
const metaAtOnce = 256

// A cacheFiller parses messages into the cache as soon as they arrive, so that
// the first FETCH is warm, and writes down what was learned about messages. It
// has one goroutine, which ends with the mailbox.
type cacheFiller struct {
	mb   *Mailbox
	wake chan struct{}
	done chan struct{}

	way atomic.Pointer[parseWay] // of a session that needs help; nil: none does

	mu    sync.Mutex // guards below; taken after Mailbox.mu
	ix    *index.Index
	rows  []index.Row
	metas map[index.Row]index.Meta
	ids   map[index.Row]fileID // files looked at since the load, of new messages

	inodes     bool         // readInodes is asked for
	inodesRead *index.Index // it was done for
}

func (cf *cacheFiller) init(mb *Mailbox) {
	cf.mb = mb
	cf.wake = make(chan struct{}, 1)
	cf.done = make(chan struct{})
	cf.metas = map[index.Row]index.Meta{}
	cf.ids = map[index.Row]fileID{}
}

// wait returns once the goroutine has ended.
func (cf *cacheFiller) wait() { <-cf.done }

func (cf *cacheFiller) poke() {
	select {
	case cf.wake <- struct{}{}:
	default:
	}
}

// sameIndexLocked forgets everything that belongs to another index.
func (cf *cacheFiller) sameIndexLocked(ix *index.Index) {
	if cf.ix != ix {
		cf.ix, cf.rows = ix, nil
		clear(cf.metas)
		clear(cf.ids)
	}
}

// arrived queues new messages.
func (cf *cacheFiller) arrived(rows []index.Row, files []arrival) {
	if len(rows) == 0 {
		return
	}
	ix := cf.mb.index()
	cf.mu.Lock()
	defer cf.mu.Unlock()
	cf.sameIndexLocked(ix)
	for i, row := range rows {
		if info := files[i].info; info != nil {
			cf.rememberLocked(row, *info)
			cf.queueLocked(row)
		}
	}
	cf.poke()
}

func (cf *cacheFiller) queueLocked(row index.Row) {
	if len(cf.rows) < fillLimit {
		cf.rows = append(cf.rows, row)
	}
}

func (cf *cacheFiller) rememberLocked(row index.Row, info disk.Info) {
	if len(cf.ids) < fillLimit {
		cf.ids[row] = fileID{info.Identity, info.Size, info.Mtime}
	}
}

// check has the file of row compared with what the cache says.
func (cf *cacheFiller) check(row index.Row) {
	cf.mu.Lock()
	defer cf.mu.Unlock()
	cf.queueLocked(row)
	cf.poke()
}

// identity is the file of row, when it was last looked at.
func (cf *cacheFiller) identity(row index.Row) (fileID, bool) {
	ix := cf.mb.index()
	cf.mu.Lock()
	id, ok := cf.ids[row]
	ok = ok && cf.ix == ix
	cf.mu.Unlock()
	if ok {
		return id, true
	}
	var r cacheRecord
	if r.get(ix, row) {
		return fileID{r.id, r.size, r.mtime}, true
	}
	return fileID{}, false
}

// learned notes what parsing has told.
func (cf *cacheFiller) learned(ix *index.Index, row index.Row, served int64, info disk.Info) {
	m := index.Meta{Row: row, Size: index.UnknownSize}
	if ix.Size(row) == index.UnknownSize {
		m.Size = served
	}
	if !ix.Date(row).Known {
		m.Date = index.DateOf(info.Mtime.UTC())
	}
	cf.mb.count.CacheFills.Add(1)
	if m.Size != index.UnknownSize || m.Date.Known {
		cf.meta(ix, m)
	}
}

// wantInodes asks for readInodes, which is done once for an index.
func (cf *cacheFiller) wantInodes() {
	ix := cf.mb.index()
	cf.mu.Lock()
	defer cf.mu.Unlock()
	if cf.inodesRead != ix {
		cf.inodesRead, cf.inodes = ix, true
		cf.poke()
	}
}

func (cf *cacheFiller) inodesWanted() bool {
	cf.mu.Lock()
	defer cf.mu.Unlock()
	want := cf.inodes
	cf.inodes = false
	return want
}

// meta queues facts about a message.
func (cf *cacheFiller) meta(ix *index.Index, m index.Meta) {
	cf.mu.Lock()
	defer cf.mu.Unlock()
	cf.sameIndexLocked(ix)
	if old, ok := cf.metas[m.Row]; ok {
		if m.Size == index.UnknownSize {
			m.Size = old.Size
		}
		if !m.Date.Known {
			m.Date = old.Date
		}
		if m.SaveDate.IsZero() {
			m.SaveDate = old.SaveDate
		}
	}
	cf.metas[m.Row] = m
	if len(cf.metas) == 1 { // else they wait to be written together
		cf.poke()
	}
}

// run is the goroutine.
func (cf *cacheFiller) run(ctx context.Context) {
	defer close(cf.done)
	for {
		select {
		case <-ctx.Done():
			cf.flush(0)
			return
		case <-cf.wake:
		}
		cf.helpOn(ctx)
		if cf.inodesWanted() {
			cf.mb.readInodes(ctx)
		}
		for ctx.Err() == nil {
			row, ok := cf.next()
			if !ok {
				break
			}
			cf.helpOn(ctx)
			cf.parse(row)
			cf.flush(metaAtOnce)
		}
		cf.pause(ctx)
		cf.flush(0)
	}
}

// pause waits for more facts: a command looks at many messages, and they are
// written down together.
func (cf *cacheFiller) pause(ctx context.Context) {
	over := time.NewTimer(metaPause)
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case <-cf.wake:
			if cf.helpOn(ctx); cf.waiting() {
				cf.poke()
				return
			}
		}
	}
}

// waiting reports whether there are messages to parse.
func (cf *cacheFiller) waiting() bool {
	cf.mu.Lock()
	defer cf.mu.Unlock()
	return len(cf.rows) > 0 || cf.inodes
}

// metaPause is how long facts are collected.
const metaPause = 200 * time.Millisecond

func (cf *cacheFiller) next() (index.Row, bool) {
	cf.mu.Lock()
	defer cf.mu.Unlock()
	if len(cf.rows) == 0 {
		return 0, false
	}
	row := cf.rows[0]
	cf.rows = cf.rows[1:]
	return row, true
}

// parse fills the cache for row, or compares its file with what is there. What
// cannot be read now is read when someone asks for it.
func (cf *cacheFiller) parse(row index.Row) {
	ix := cf.mb.index()
	if int(row) >= ix.Len() || ix.Gone(row) {
		return
	}
	c := &Content{mb: cf.mb, ix: ix, row: row, arrived: true}
	defer c.Close()
	if f, err := cf.mb.tryOpen(ix, row); err != nil {
		return
	} else {
		f.Close()
	}
	if c.open() == nil {
		_ = c.load()
	}
}

// flush writes facts to the journal if there are more than n.
func (cf *cacheFiller) flush(n int) {
	cf.mu.Lock()
	if len(cf.metas) == 0 || len(cf.metas) <= n {
		cf.mu.Unlock()
		return
	}
	ix := cf.ix
	b := index.Batch{Meta: make([]index.Meta, 0, len(cf.metas))}
	for _, m := range cf.metas {
		b.Meta = append(b.Meta, m)
	}
	clear(cf.metas)
	cf.mu.Unlock()
	mb := cf.mb
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.ix != ix {
		return
	}
	kept := b.Meta[:0]
	for _, m := range b.Meta {
		if mb.live.Has(m.Row) {
			kept = append(kept, m)
		}
	}
	if b.Meta = kept; len(kept) == 0 {
		return
	}
	if _, err := mb.applyLocked(&b); err != nil {
		mb.log.Debug("write sizes", "err", err)
	}
}
