package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync/atomic"

	"github.com/emersion/go-imap/v2"

	"roost/slab"
)

// The base of a journal is a row of sections. Layout, little-endian:
//
//	off size field
//	  0    4 magic       "rsec"
//	  4    4 CRC         CRC-32C of octets 8 to the end of the payload
//	  8    1 kind        sectionItems, sectionRows
//	  9    3             zero
//	 12    4 length      payload octets
//	 16   16 mailbox id
//	 32    8 generation  as in the header
//	 40    8 seed        as in the header
//	 48    4 UIDVALIDITY
//	 52    4 UIDNEXT     when the section was written
//	 56    8 HIGHESTMODSEQ
//	 64    4 first UID   of the rows; 0 for items
//	 68    4 last UID
//	 72    4 count       rows
//	 76    4 number      of the section in the file, from 0
//	 80    8 sequence    of the first frame
//	 88    8             zero
//	 96    n payload, then zeroes up to a multiple of 8
//
// Items are as in a batch. Rows are columns one after the other: mod-sequence
// (8), date (8), size (8), letters (4), UID (4), flags and keyword set (4),
// save date (4), where (1), length of the base (1), each times count; then the
// bases.
type section struct {
	kind       byte
	length     int
	crc        uint32
	id         MailboxID
	generation uint64
	seed       uint64
	validity   uint32
	uidNext    imap.UID
	highest    ModSeq
	first      imap.UID
	last       imap.UID
	count      int
	number     uint32
	firstSeq   uint64
}

const (
	sectionHeader = 96
	sectionItems  = 1
	sectionRows   = 2

	rowSize        = 8 + 8 + 8 + 4 + 4 + 4 + 4 + 1 + 1
	maxItems       = 16 << 20 // payload of a section of items
	itemsPerStep   = 4096     // entries of a list in one section
	maxRowsPayload = segmentRows * (rowSize + maxBase)
)

var sectionMagic = [4]byte{'r', 's', 'e', 'c'}

// appendSection appends a section with payload to b.
func appendSection(b []byte, s section, payload []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, sectionHeader)...)
	return endSection(append(b, payload...), at, &s)
}

// endSection fills in the header of s, for which there is room at offset at of
// b, and behind it the payload as far as b goes.
func endSection(b []byte, at int, s *section) []byte {
	h := b[at : at+sectionHeader]
	le := binary.LittleEndian
	copy(h, sectionMagic[:])
	h[8] = s.kind
	le.PutUint32(h[12:], uint32(len(b)-at-sectionHeader))
	copy(h[16:32], s.id[:])
	le.PutUint64(h[32:], s.generation)
	le.PutUint64(h[40:], s.seed)
	le.PutUint32(h[48:], s.validity)
	le.PutUint32(h[52:], uint32(s.uidNext))
	le.PutUint64(h[56:], uint64(s.highest))
	le.PutUint32(h[64:], uint32(s.first))
	le.PutUint32(h[68:], uint32(s.last))
	le.PutUint32(h[72:], uint32(s.count))
	le.PutUint32(h[76:], s.number)
	le.PutUint64(h[80:], s.firstSeq)
	le.PutUint32(h[4:], crc32.Checksum(b[at+8:], castagnoli))
	for (len(b)-at)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// parseSection reads a section header. The CRC is not checked.
func parseSection(h []byte) (section, bool) {
	if len(h) < sectionHeader || [4]byte(h[:4]) != sectionMagic {
		return section{}, false
	}
	le := binary.LittleEndian
	s := section{
		kind:       h[8],
		length:     int(le.Uint32(h[12:])),
		crc:        le.Uint32(h[4:]),
		id:         MailboxID(h[16:32]),
		generation: le.Uint64(h[32:]),
		seed:       le.Uint64(h[40:]),
		validity:   le.Uint32(h[48:]),
		uidNext:    imap.UID(le.Uint32(h[52:])),
		highest:    ModSeq(le.Uint64(h[56:])),
		first:      imap.UID(le.Uint32(h[64:])),
		last:       imap.UID(le.Uint32(h[68:])),
		count:      int(le.Uint32(h[72:])),
		number:     le.Uint32(h[76:]),
		firstSeq:   le.Uint64(h[80:]),
	}
	switch limit := uint32(maxItems); {
	case s.validity == 0 || s.highest > 1<<63-1:
		return section{}, false
	case s.kind == sectionRows:
		if s.count < 1 || s.count > segmentRows || s.length < s.count*rowSize {
			return section{}, false
		}
		limit = maxRowsPayload
		fallthrough
	default:
		return s, le.Uint32(h[12:]) <= limit
	}
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// sectionSize is what a section with n octets of payload takes.
func sectionSize(n int) int64 { return int64(sectionHeader+n+7) &^ 7 }

// appendRows appends the payload of rows [0, n) of s that are not gone, and
// tells their UIDs and number. It may run beside the writer: what it sees of
// a row may be newer than the position it is meant for, never torn.
func appendRows(b []byte, s *segment, n int) (out []byte, first, last imap.UID, count int) {
	var live [segmentRows]uint16
	var refs [segmentRows]uint32
	for i := range n {
		if atomic.LoadUint64(&s.name[i])&goneBit == 0 {
			live[count] = uint16(i)
			count++
		}
	}
	if count == 0 {
		return b, 0, 0, 0
	}
	rows := live[:count]
	octets := count * rowSize
	for k, i := range rows {
		refs[k] = atomic.LoadUint32(&s.base[i])
		octets += int(refs[k] & 0xff)
	}
	names := *s.names.Load() // after the references: it holds them all
	first, last = s.uid[rows[0]], s.uid[rows[count-1]]
	le := binary.LittleEndian
	b = slices.Grow(b, octets)
	at := len(b)
	b = b[:at+octets]
	column := func(size int) []byte {
		from := at
		at += size * count
		return b[from:at:at]
	}
	col := column(8)
	for k, i := range rows {
		le.PutUint64(col[8*k:], atomic.LoadUint64(&s.modseq[i]))
	}
	col = column(8)
	for k, i := range rows {
		le.PutUint64(col[8*k:], uint64(atomic.LoadInt64(&s.date[i])))
	}
	col = column(8)
	for k, i := range rows {
		le.PutUint64(col[8*k:], uint64(atomic.LoadInt64(&s.size[i])))
	}
	letters := column(4)
	col = column(4)
	for k, i := range rows {
		le.PutUint32(col[4*k:], uint32(s.uid[i]))
	}
	col = column(4)
	for k, i := range rows {
		le.PutUint32(col[4*k:], atomic.LoadUint32(&s.flags[i]))
	}
	col = column(4)
	for k, i := range rows {
		le.PutUint32(col[4*k:], atomic.LoadUint32(&s.saved[i]))
	}
	col = column(1)
	for k, i := range rows {
		name := atomic.LoadUint64(&s.name[i]) // letters and where from one load
		le.PutUint32(letters[4*k:], uint32(name))
		col[k] = byte(name>>32) & byte(allWhere)
	}
	col = column(1)
	for k, ref := range refs[:count] {
		col[k] = byte(ref)
		at += copy(b[at:], names[ref>>8:ref>>8+ref&0xff])
	}
	return b, first, last, count
}

// room is the memory for segments that are read one after the other.
type room struct {
	words slab.Pool[uint64]
	names slab.Pool[byte]
}

// expect makes room for as many sections like s as stand in the octets ahead.
func (m *room) expect(s *section, ahead int64) {
	sections := max(1, float64(ahead)/float64(sectionSize(s.length)))
	m.words.Expect(int(sections * float64(s.count*rowWords)))
	m.names.Expect(int(sections * float64(s.length-s.count*rowSize)))
}

// readRows reads the rows of section s, whose header and columns are in buf
// (as far as the file goes) and whose header stands at offset at of f. ok is
// false if it is damaged; the error is that of reading. The segment is made of
// what m gives.
func readRows(f io.ReaderAt, s *section, buf []byte, at int64, m *room) (*segment, bool, error) {
	n := s.count
	cols := sectionHeader + n*rowSize
	if len(buf) < cols {
		return nil, false, nil
	}
	names := m.names.Take(s.length - n*rowSize)
	have := copy(names, buf[cols:])
	if have < len(names) {
		if ok, err := readFull(f, names[have:], at+int64(cols+have)); !ok {
			return nil, false, err
		}
	}
	crc := crc32.Checksum(buf[8:cols], castagnoli)
	if crc32.Update(crc, castagnoli, names) != s.crc {
		return nil, false, nil
	}
	if bytes.IndexByte(names, 0) >= 0 || bytes.IndexByte(names, '/') >= 0 {
		return nil, false, nil
	}
	seg := segmentIn(m.words.Take(n * rowWords))
	seg.decode(buf[sectionHeader:cols])
	off := uint32(0)
	for i, l := range buf[cols-n : cols] {
		if l == 0 || int(off)+int(l) > len(names) {
			return nil, false, nil
		}
		seg.base[i] = off<<8 | uint32(l)
		off += uint32(l)
	}
	seg.block = names
	seg.showNames()
	for i := 1; i < n; i++ {
		if seg.uid[i] <= seg.uid[i-1] {
			return nil, false, nil
		}
	}
	return seg, int(off) == len(names) && seg.uid[0] == s.first && seg.uid[n-1] == s.last && s.first > 0, nil
}

// decode fills the columns from those on disk.
func (s *segment) decode(b []byte) {
	n := len(s.uid)
	le := binary.LittleEndian
	col := b[:8*n]
	for i := range s.modseq {
		s.modseq[i] = le.Uint64(col[8*i:]) & (1<<63 - 1)
	}
	b, col = b[8*n:], b[8*n:16*n]
	for i := range s.date {
		s.date[i] = int64(le.Uint64(col[8*i:]))
	}
	b, col = b[8*n:], b[8*n:16*n]
	for i := range s.size {
		s.size[i] = max(int64(le.Uint64(col[8*i:])), UnknownSize)
	}
	b = b[8*n:]
	letters, where := b[:4*n], b[16*n:17*n]
	for i := range s.name {
		s.name[i] = uint64(le.Uint32(letters[4*i:])) | uint64(where[i]&byte(allWhere))<<32
	}
	col = b[4*n : 8*n]
	for i := range s.uid {
		s.uid[i] = imap.UID(le.Uint32(col[4*i:]))
	}
	col = b[8*n : 12*n]
	for i := range s.flags {
		s.flags[i] = le.Uint32(col[4*i:]) &^ uint32(0xff&^AllFlags)
	}
	col = b[12*n : 16*n]
	for i := range s.saved {
		s.saved[i] = le.Uint32(col[4*i:])
	}
}

// readFull fills b from offset at. ok is false if the file ends before; the
// error is any other trouble.
func readFull(f io.ReaderAt, b []byte, at int64) (ok bool, err error) {
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return true, nil
	}
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return false, nil
	}
	return false, fmt.Errorf("index: read %d octets at %d: %w", len(b), at, err)
}
