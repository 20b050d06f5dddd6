package index

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
)

// The cache file is a header and records at multiples of 8 octets.
// Little-endian. Header:
//
//	off size field
//	  0    8 magic      "roostcac"
//	  8    4 version    1; of another the cache is empty
//	 12    4 CRC        CRC-32C of octets 0 to 11 and 16 to 31
//	 16    8 generation that of the journal; of another the cache is empty
//	 24    8 directory  offset of the last directory, or 0
//
// Record:
//
//	off size field
//	  0    4 CRC        CRC-32C of octets 4 to the end, seeded with the generation
//	  4    4 length     payload octets
//	  8    4 UID
//	 12    4 parser     version of the parser; 2^31 dropped, 2^31+1 directory
//	 16    8 base       FNV-1a of the base
//	 24    8 size       of the file that was parsed
//	 32    8 mtime      of it, nanoseconds since 1970
//	 40    8 offset     of this record
//	 48    n payload, then zeroes up to a multiple of 8
//
// The payload of a directory is the offset of the directory before (8, or 0)
// and for each record since then UID (4) and offset / 8 (4), 0 for dropped.
type cacheRecord struct {
	crc    uint32
	length int
	uid    imap.UID
	parser uint32
	base   uint64
	size   int64
	mtime  int64
}

// A dirEntry says where the record of a message is.
type dirEntry struct {
	uid imap.UID
	off uint32
}

const (
	cacheHeader  = 32
	recordHeader = 48

	parserSpecial   = 1 << 31
	parserDropped   = parserSpecial
	parserDirectory = parserSpecial + 1
)

var cacheMagic = [8]byte{'r', 'o', 'o', 's', 't', 'c', 'a', 'c'}

func recordSize(n int) int64 { return int64(recordHeader+n+7) &^ 7 }

func (r *cacheRecord) time() time.Time {
	if r.mtime == 0 {
		return time.Time{}
	}
	return time.Unix(0, r.mtime)
}

func recordCRC(b []byte, generation uint64) uint32 {
	return crc32.Update(seedCRC(generation), castagnoli, b[4:])
}

func appendRecord(b []byte, generation uint64, r cacheRecord, offset int64, payload []byte) []byte {
	var h [recordHeader]byte
	at := len(b)
	le := binary.LittleEndian
	le.PutUint32(h[4:], uint32(len(payload)))
	le.PutUint32(h[8:], uint32(r.uid))
	le.PutUint32(h[12:], r.parser)
	le.PutUint64(h[16:], r.base)
	le.PutUint64(h[24:], uint64(r.size))
	le.PutUint64(h[32:], uint64(r.mtime))
	le.PutUint64(h[40:], uint64(offset))
	b = append(append(b, h[:]...), payload...)
	le.PutUint32(b[at:], recordCRC(b[at:], generation))
	for (len(b)-at)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// parseRecord reads a header that should stand at offset. The CRC is not checked.
func parseRecord(b []byte, offset int64) (cacheRecord, bool) {
	le := binary.LittleEndian
	if len(b) < recordHeader || int64(le.Uint64(b[40:])) != offset {
		return cacheRecord{}, false
	}
	r := cacheRecord{
		crc: le.Uint32(b), length: int(le.Uint32(b[4:])), uid: imap.UID(le.Uint32(b[8:])), parser: le.Uint32(b[12:]),
		base: le.Uint64(b[16:]), size: int64(le.Uint64(b[24:])), mtime: int64(le.Uint64(b[32:])),
	}
	return r, le.Uint32(b[4:]) <= maxEntry
}

func (c *Cache) header() []byte {
	b := make([]byte, cacheHeader)
	le := binary.LittleEndian
	copy(b, cacheMagic[:])
	le.PutUint32(b[8:], 1)
	le.PutUint64(b[16:], c.ix.Generation())
	le.PutUint64(b[24:], uint64(c.lastDir))
	le.PutUint32(b[12:], cacheHeaderCRC(b))
	return b
}

func cacheHeaderCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:cacheHeader])
}

func encodeDirectory(before int64, entries []dirEntry) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+8*len(entries)), uint64(before))
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint32(b, uint32(e.uid))
		b = binary.LittleEndian.AppendUint32(b, e.off)
	}
	return b
}

// load reads where the records are, once. Whatever does not fit makes the
// cache empty.
func (c *Cache) load() {
	c.mu.RLock()
	loaded := c.loaded
	c.mu.RUnlock()
	if loaded {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded {
		return
	}
	c.loaded = true
	f, err := c.ix.opt.Dir.OpenFile(CacheName, os.O_RDWR, 0)
	if err != nil {
		c.broken = !notExist(err)
		return
	}
	info, err := f.Stat()
	if err != nil || info.Nlink > 1 {
		_ = f.Close()
		c.broken = true
		return
	}
	c.file, c.size = f, info.Size
	c.off = make([]uint32, c.ix.Len())
	if !c.readDirectories() {
		c.empty()
	}
}

// readDirectories fills off; false if the file is of no use.
func (c *Cache) readDirectories() bool {
	h := make([]byte, cacheHeader)
	if ok, err := readFull(c.file, h, 0); !ok || err != nil {
		return false
	}
	le := binary.LittleEndian
	if [8]byte(h[:8]) != cacheMagic || le.Uint32(h[8:]) != 1 || le.Uint32(h[12:]) != cacheHeaderCRC(h) ||
		le.Uint64(h[16:]) != c.ix.Generation() {
		return false
	}
	c.lastDir = int64(le.Uint64(h[24:]))
	var all [][]byte
	rest := int64(cacheHeader) // where records begin that are in no directory
	for at := c.lastDir; at != 0; {
		if at < cacheHeader || at >= c.size {
			return false
		}
		rec, payload, ok := c.read(at, nil)
		if !ok || rec.parser != parserDirectory || len(payload) < 8 {
			return false
		}
		rest = max(rest, at+recordSize(rec.length))
		all = append(all, payload)
		before := int64(le.Uint64(payload))
		if before >= at {
			return false
		}
		at = before
	}
	for i := len(all) - 1; i >= 0; i-- {
		for b := all[i][8:]; len(b) >= 8; b = b[8:] {
			c.records++
			if r := c.rowOf(imap.UID(le.Uint32(b))); r != NoRow {
				c.off[r] = le.Uint32(b[4:])
			}
		}
	}
	return c.scan(rest)
}

// scan reads the records from offset at on, which are in no directory. The
// first that does not fit ends the file.
func (c *Cache) scan(at int64) bool {
	r := &cacheScanner{file: c.file, buf: make([]byte, 0, 256<<10)}
	for at < c.size {
		h, err := r.at(at, c.size)
		if err != nil {
			return false
		}
		rec, ok := parseRecord(h, at)
		if !ok || at+recordSize(rec.length) > c.size {
			break
		}
		if rec.parser != parserDirectory {
			c.records++
			if row := c.rowOf(rec.uid); row != NoRow {
				c.set(row, at, rec)
			}
		}
		at += recordSize(rec.length)
	}
	c.size = at
	return true
}

// A cacheScanner reads record headers with few calls.
type cacheScanner struct {
	file disk.File
	buf  []byte
	from int64
}

func (s *cacheScanner) at(at, size int64) ([]byte, error) {
	if end := s.from + int64(len(s.buf)); at < s.from || at+recordHeader > end {
		n, err := s.file.ReadAt(s.buf[:min(int64(cap(s.buf)), size-at)], at)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, err
		}
		s.from, s.buf = at, s.buf[:n]
	}
	return s.buf[at-s.from:], nil
}

// NeedsCompaction reports whether Compact is worth while: half of the records
// are out of date, or the file is over its limit.
func (c *Cache) NeedsCompaction() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.broken || c.size < 1<<20 {
		return false
	}
	live := 0
	for r, off := range c.off {
		if off != 0 && !c.ix.Gone(Row(r)) {
			live++
		}
	}
	return c.size > c.limit || live < c.records/2
}

// Compact writes the cache anew without what is out of date, and without the
// oldest messages if it is over its limit. It may run beside all else.
func (c *Cache) Compact() error {
	c.compactMu.Lock()
	defer c.compactMu.Unlock()
	c.load()
	dir := c.ix.opt.Dir
	const name = CacheName + ".new"
	if err := dir.Unlink(name); err != nil && !notExist(err) {
		return err
	}
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	fresh := &Cache{ix: c.ix, limit: c.limit, loaded: true, file: f}
	old := make([]uint32, c.ix.Len()) // what was copied
	if err = c.copyTo(fresh, old); err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.broken {
			err = os.ErrClosed
		} else if err = c.copyChanged(fresh, old); err == nil {
			err = dir.Rename(name, dir, CacheName)
		}
	}
	if err != nil {
		_ = f.Close()
		_ = dir.Unlink(name)
		return err
	}
	if c.file != nil {
		_ = c.file.Close()
	}
	c.file, c.off, c.size, c.buf = fresh.file, fresh.off, fresh.size, fresh.buf
	c.records, c.lastDir, c.fresh = fresh.records, fresh.lastDir, fresh.fresh
	c.epoch++
	return nil
}

// copyTo copies the entries of messages, the newest first, up to three
// quarters of the limit.
func (c *Cache) copyTo(fresh *Cache, old []uint32) error {
	var buf []byte
	for r := Row(len(old) - 1); r >= 0 && fresh.size < c.limit/4*3; r-- {
		if c.ix.Gone(r) {
			continue
		}
		c.mu.RLock()
		if int(r) < len(c.off) {
			old[r] = c.off[r]
		}
		err := c.copyOne(fresh, r, old[r], &buf)
		c.mu.RUnlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// copyOne copies the record at off of row r. mu must be held.
func (c *Cache) copyOne(fresh *Cache, r Row, off uint32, buf *[]byte) error {
	if off == 0 {
		return nil
	}
	rec, payload, ok := c.read(int64(off)*8, *buf)
	if !ok || rec.uid != c.ix.UID(r) || rec.parser >= parserSpecial {
		return nil // damaged: left out
	}
	*buf = payload[:0]
	return fresh.append(rec, payload, r)
}

// copyChanged copies what was put or dropped since copyTo and writes the rest.
// mu must be held.
func (c *Cache) copyChanged(fresh *Cache, old []uint32) error {
	var buf []byte
	for r := range c.off {
		if r < len(old) && (c.off[r] == old[r] || old[r] == 0 && fresh.size >= c.limit/4*3) {
			continue
		}
		if c.off[r] == 0 {
			if r >= len(old) {
				continue // not copied, and perhaps no row: off is longer than that
			}
			if r < len(fresh.off) {
				fresh.off[r] = 0
			}
			fresh.fresh = append(fresh.fresh, dirEntry{c.ix.UID(Row(r)), 0})
			continue
		}
		if err := c.copyOne(fresh, Row(r), c.off[r], &buf); err != nil {
			return err
		}
	}
	if err := fresh.begin(); err != nil {
		return err
	}
	if len(fresh.fresh) > 0 {
		fresh.directory()
	}
	return fresh.flush()
}
