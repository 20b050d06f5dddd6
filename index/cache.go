package index

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
)

const (
	defaultCacheLimit = 512 << 20
	maxEntry          = 16 << 20 // payload octets of an entry
	cacheBuffer       = 64 << 10 // what Put collects before it writes
	directoryEvery    = 4096     // records
	getRead           = 4096     // octets of a first read
)

// A Cache is roost.cache: what was found out about messages and can be found
// out again. Deleting the file is always safe. All methods may be called by
// any goroutine. It reads the file at first use.
type Cache struct {
	ix    *Index
	limit int64

	compactMu sync.Mutex // held by Compact; taken before mu

	mu      sync.RWMutex // guards all below
	loaded  bool
	file    disk.File // nil: none yet, or out of use
	broken  bool      // cannot be written: no cache
	off     []uint32  // by Row, in units of 8 octets; 0: no entry
	size    int64     // of the file, with what is in buf
	buf     []byte    // the end of the file, not written yet
	records int       // in the file, old and new
	epoch   uint64    // grows when what was read of the file counts no more
	lastDir int64     // offset of the last directory
	fresh   []dirEntry
}

// A CacheEntry is what the cache holds for one message.
type CacheEntry struct {
	Size    int64     // of the file that was parsed
	Mtime   time.Time // of that file
	Parser  uint32    // version of the parser, below 2^31
	Payload []byte
}

func openCache(ix *Index) *Cache {
	c := &Cache{ix: ix, limit: ix.opt.CacheLimit}
	if c.limit <= 0 {
		c.limit = defaultCacheLimit
	}
	return c
}

// hashBase is what ties an entry to a base (FNV-1a; not by package hash/fnv,
// which needs memory).
func hashBase(base string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(base) {
		h = (h ^ uint64(base[i])) * 1099511628211
	}
	return h
}

// Has reports whether there seems to be an entry for row r; Get may still
// find it damaged.
func (c *Cache) Has(r Row) bool {
	c.load()
	c.mu.RLock()
	defer c.mu.RUnlock()
	return int(r) < len(c.off) && c.off[r] != 0
}

// Get reads the entry of row r. The payload shares memory with buf if it fits
// there. It is that of the base that the row has now; whether the file is
// still of that size and mtime is for the caller to check.
func (c *Cache) Get(r Row, buf []byte) (CacheEntry, bool) {
	c.load()
	c.mu.RLock()
	defer c.mu.RUnlock()
	if int(r) >= len(c.off) || c.off[r] == 0 {
		return CacheEntry{}, false
	}
	rec, payload, ok := c.read(int64(c.off[r])*8, buf)
	return c.entry(r, rec, payload, ok)
}

// read reads the record at offset at. mu must be held.
func (c *Cache) read(at int64, buf []byte) (cacheRecord, []byte, bool) {
	if written := c.size - int64(len(c.buf)); at >= written {
		b := c.buf[min(at-written, int64(len(c.buf))):]
		rec, ok := parseRecord(b, at)
		if !ok || recordHeader+rec.length > len(b) {
			return rec, nil, false
		}
		return rec, append(buf[:0], b[recordHeader:recordHeader+rec.length]...), true
	}
	if c.file == nil {
		return cacheRecord{}, nil, false
	}
	if cap(buf) < getRead {
		buf = make([]byte, getRead)
	}
	buf = buf[:cap(buf)]
	n, err := c.file.ReadAt(buf, at)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return cacheRecord{}, nil, false
	}
	rec, ok := parseRecord(buf[:n], at)
	if !ok || at+recordSize(rec.length) > c.size {
		return rec, nil, false
	}
	if total := recordHeader + rec.length; total > n {
		if total > len(buf) {
			buf = append(make([]byte, 0, total), buf[:n]...)
		}
		buf = buf[:total]
		if ok, err := readFull(c.file, buf[n:], at+int64(n)); !ok || err != nil {
			return rec, nil, false
		}
	}
	buf = buf[:recordHeader+rec.length]
	if recordCRC(buf, c.ix.Generation()) != rec.crc {
		return rec, nil, false
	}
	return rec, buf[:copy(buf, buf[recordHeader:])], true // at the front, so that buf can be used again
}

// Put stores e for row r in place of what was there. It is written sometime
// and never synced. An entry too large for the cache is left out.
func (c *Cache) Put(r Row, e CacheEntry) error {
	c.load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken || len(e.Payload) > maxEntry || e.Parser >= parserSpecial ||
		c.size+recordSize(len(e.Payload)) > c.limit+c.limit/4 {
		return nil
	}
	uid := c.ix.UID(r)
	rec := cacheRecord{uid: uid, parser: e.Parser, base: hashBase(c.ix.Base(r)), size: e.Size, mtime: unixNano(e.Mtime)}
	if err := c.append(rec, e.Payload, r); err != nil {
		return fmt.Errorf("index: put cache entry of UID %d: %w", uid, err)
	}
	return nil
}

// Drop forgets the entry of row r: its file was changed.
func (c *Cache) Drop(r Row) {
	c.load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(r) >= len(c.off) || c.off[r] == 0 {
		return
	}
	// A failure empties the cache, which drops the entry too.
	_ = c.append(cacheRecord{uid: c.ix.UID(r), parser: parserDropped}, nil, r)
}

// append adds a record of row r. mu must be held. An error empties the cache.
func (c *Cache) append(rec cacheRecord, payload []byte, r Row) error {
	if err := c.begin(); err != nil {
		c.empty()
		return err
	}
	at := c.size
	c.buf = appendRecord(c.buf, c.ix.Generation(), rec, at, payload)
	c.size += recordSize(len(payload))
	c.records++
	c.set(r, at, rec)
	if len(c.fresh) >= directoryEvery {
		c.directory()
	}
	if len(c.buf) >= cacheBuffer {
		if err := c.flush(); err != nil {
			c.empty()
			return err
		}
	}
	return nil
}

// set makes the record at offset at that of row r.
func (c *Cache) set(r Row, at int64, rec cacheRecord) {
	if rec.parser == parserDropped || at/8 > 1<<32-1 {
		at = 0
	}
	if int(r) >= len(c.off) {
		off := make([]uint32, max(int(r)+1, c.ix.Len(), len(c.off)+len(c.off)/4))
		copy(off, c.off)
		c.off = off
	}
	c.off[r] = uint32(at / 8)
	c.fresh = append(c.fresh, dirEntry{rec.uid, uint32(at / 8)})
}

// begin sees to a file with a header.
func (c *Cache) begin() error {
	if c.broken {
		return errors.New("index: cache out of use")
	}
	if c.file == nil {
		f, err := c.ix.opt.Dir.OpenFile(CacheName, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			c.broken = true
			return err
		}
		c.file = f
		if err := f.Truncate(0); err != nil {
			return err
		}
		c.size = 0
	}
	if c.size == 0 {
		c.buf = append(c.buf[:0], c.header()...)
		c.size = cacheHeader
	}
	return nil
}

// directory appends where the records since the last directory are.
func (c *Cache) directory() {
	at := c.size
	payload := encodeDirectory(c.lastDir, c.fresh)
	c.buf = appendRecord(c.buf, c.ix.Generation(), cacheRecord{parser: parserDirectory}, at, payload)
	c.size += recordSize(len(payload))
	c.lastDir, c.fresh = at, c.fresh[:0]
}

// flush writes what is collected.
func (c *Cache) flush() error {
	if len(c.buf) == 0 || c.file == nil {
		return nil
	}
	if _, err := c.file.WriteAt(c.buf, c.size-int64(len(c.buf))); err != nil {
		return err
	}
	c.buf = c.buf[:0]
	_, err := c.file.WriteAt(c.header(), 0)
	return err
}

// empty forgets everything. mu must be held.
func (c *Cache) empty() {
	if c.file != nil && c.file.Truncate(0) != nil {
		_ = c.file.Close()
		c.file, c.broken = nil, true
	}
	c.off, c.buf, c.fresh = nil, nil, nil
	c.size, c.lastDir, c.records = 0, 0, 0
	c.epoch++
}

// Truncate empties the cache, on disk too, to make room. The error means that
// no room was made.
func (c *Cache) Truncate() error {
	c.load()
	c.mu.Lock()
	defer c.mu.Unlock()
	had := c.size - int64(len(c.buf))
	c.empty()
	switch {
	case c.broken:
		return errors.New("index: cache out of use")
	case had == 0:
		return errors.New("index: cache is empty")
	}
	return nil
}

// close writes what is collected and closes the file.
func (c *Cache) close() {
	if c == nil {
		return
	}
	c.compactMu.Lock()
	defer c.compactMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil && !c.broken {
		if len(c.fresh) > 0 {
			c.directory()
		}
		if err := c.flush(); err != nil {
			c.empty()
		}
	}
	if c.file != nil {
		_ = c.file.Close()
	}
	c.file, c.broken, c.loaded = nil, true, true
	c.off, c.buf, c.fresh = nil, nil, nil
}

// rowOf is the row of a UID in the file, gone or not.
func (c *Cache) rowOf(uid imap.UID) Row {
	if r := c.ix.RowFrom(uid); int(r) < c.ix.Len() && c.ix.UID(r) == uid {
		return r
	}
	return NoRow
}
