package index

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// The records of messages that are fetched one after the other mostly stand one
// after the other, or one before the other where two have parsed them. Once a
// CacheCursor has seen that, it reads ahead, or what is before.
const (
	aheadSize = 64 << 10 // octets of a window
	aheadGap  = 16 << 10 // records no further apart than that are in order
)

// A CacheCursor reads entries of a Cache with few system calls where they are
// asked for in the order of the file. The zero CacheCursor is ready; it belongs
// to one goroutine. It holds a window only between a second Get in order and
// Release.
type CacheCursor struct {
	from   int64 // of window in the file
	next   int64 // behind the record that was read last; 0: none
	window []byte
	epoch  uint64 // of the Cache, when window was read
}

// aheadPool holds windows that are not in use.
var aheadPool = sync.Pool{New: func() any { b := make([]byte, aheadSize); return &b }}

// Release gives the window back; the next Get starts afresh.
func (cu *CacheCursor) Release() {
	if b := cu.window; b != nil {
		b = b[:cap(b)]
		aheadPool.Put(&b)
	}
	*cu = CacheCursor{}
}

// GetAt is Get, by way of cu.
func (c *Cache) GetAt(cu *CacheCursor, r Row, buf []byte) (CacheEntry, bool) {
	c.load()
	c.mu.RLock()
	defer c.mu.RUnlock()
	if int(r) >= len(c.off) || c.off[r] == 0 {
		return CacheEntry{}, false
	}
	at := int64(c.off[r]) * 8
	rec, payload, ok := c.readAhead(cu, at, buf)
	if !ok {
		rec, payload, ok = c.read(at, buf)
	}
	return c.entry(r, rec, payload, ok)
}

// entry is the CacheEntry of a record that was read for row r.
func (c *Cache) entry(r Row, rec cacheRecord, payload []byte, ok bool) (CacheEntry, bool) {
	if !ok || rec.uid != c.ix.UID(r) || rec.parser >= parserSpecial || rec.base != hashBase(c.ix.Base(r)) {
		return CacheEntry{}, false
	}
	return CacheEntry{Size: rec.size, Mtime: rec.time(), Parser: rec.parser, Payload: payload}, true
}

// readAhead reads the record at offset at from the window of cu, which is moved
// if the records are asked for in order. false: the window is of no use, or the
// record is damaged. mu must be held.
func (c *Cache) readAhead(cu *CacheCursor, at int64, buf []byte) (cacheRecord, []byte, bool) {
	written := c.size - int64(len(c.buf))
	if cu.epoch != c.epoch {
		cu.window = cu.window[:0] // another file
		cu.next, cu.epoch = 0, c.epoch
	}
	near := cu.next != 0 && max(at-cu.next, cu.next-at) <= aheadGap
	from := at
	if at < cu.next { // going back: what is before is wanted next
		from = max(0, at-aheadSize*3/4)
	}
	rec, raw := cu.record(at)
	if raw == nil {
		cu.next = at + recordHeader // in case nothing better is learned
		if !near || at >= written || c.file == nil {
			return cacheRecord{}, nil, false
		}
		if cap(cu.window) == 0 {
			cu.window = *aheadPool.Get().(*[]byte)
		}
		n, err := c.file.ReadAt(cu.window[:min(aheadSize, written-from)], from)
		if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			n = 0
		}
		cu.from, cu.window = from, cu.window[:n]
		if rec, raw = cu.record(at); raw == nil {
			return cacheRecord{}, nil, false // longer than a window, or damaged
		}
	}
	if recordCRC(raw, c.ix.Generation()) != rec.crc {
		return cacheRecord{}, nil, false
	}
	cu.next = at + recordSize(rec.length)
	payload := raw[recordHeader:]
	return rec, append(slices.Grow(buf[:0], len(payload)), payload...), true
}

// record gives the record at offset at and its octets; nil if the window does
// not hold it whole.
func (cu *CacheCursor) record(at int64) (cacheRecord, []byte) {
	i := at - cu.from
	if i < 0 || i >= int64(len(cu.window)) {
		return cacheRecord{}, nil
	}
	b := cu.window[i:]
	rec, ok := parseRecord(b, at)
	if !ok || recordHeader+rec.length > len(b) {
		return cacheRecord{}, nil
	}
	return rec, b[:recordHeader+rec.length]
}
