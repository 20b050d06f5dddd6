package index

import (
	"sync/atomic"
	"unsafe"

	"github.com/emersion/go-imap/v2"

	"roost/slab"
)

// segmentRows is how many rows a segment holds at most.
const segmentRows = 4096

// maxBase is the longest base in octets: no file name is longer (NAME_MAX).
const maxBase = 255

// unknownDate is the packed form of the zero Date.
const unknownDate = int64(-1) << 63

// goneBit marks an expunged row in the name word.
const goneBit = uint64(1) << 40

// A segment is up to segmentRows rows as a struct of arrays, all of the same
// length, which is its capacity: how many rows count is the table's Len.
//
// One writer, many readers without a lock. A row is written with plain stores
// before Len covers it and with atomic ones afterwards. uid never changes. A
// reader that must see flags at least as new as a mod-sequence loads modseq,
// then flags; the writer stores flags, then modseq.
type segment struct {
	modseq []uint64
	date   []int64  // seconds << 16 | zone, or unknownDate
	size   []int64  // or UnknownSize
	name   []uint64 // Letters, Where << 32, goneBit
	uid    []imap.UID
	flags  []uint32               // Flags | KeywordSet << 8
	saved  []uint32               // seconds since 1970; 0: unknown
	base   []uint32               // offset in names << 8 | length
	names  atomic.Pointer[[]byte] // what readers see
	block  []byte                 // writer only: names and what is not published yet
}

// rowWords is what the columns of a row take in memory, in words of 8 octets.
const rowWords = 6

// newSegment makes a segment for n rows.
func newSegment(n int) *segment { return segmentIn(make([]uint64, rowWords*n)) }

// segmentIn makes a segment whose columns are in words, which are zero and
// rowWords a row.
func segmentIn(words []uint64) *segment {
	n := len(words) / rowWords
	halves := slab.As[uint32](words[4*n:])
	s := &segment{
		modseq: words[:n:n],
		date:   slab.As[int64](words[n : 2*n]),
		size:   slab.As[int64](words[2*n : 3*n]),
		name:   words[3*n : 4*n : 4*n],
		uid:    slab.As[imap.UID](halves[:n]),
		flags:  halves[n : 2*n : 2*n],
		saved:  halves[2*n : 3*n : 3*n],
		base:   halves[3*n : 4*n : 4*n],
	}
	s.names.Store(new([]byte))
	return s
}

func (s *segment) rows() int { return len(s.uid) }

// grown gives a segment with room for n rows that holds the first used rows of
// s. Readers that still have s see the rows as they were.
func (s *segment) grown(n, used int) *segment {
	g := newSegment(n)
	copy(g.modseq, s.modseq[:used])
	copy(g.date, s.date[:used])
	copy(g.size, s.size[:used])
	copy(g.name, s.name[:used])
	copy(g.uid, s.uid[:used])
	copy(g.flags, s.flags[:used])
	copy(g.saved, s.saved[:used])
	copy(g.base, s.base[:used])
	g.block = s.block
	g.showNames()
	return g
}

// addName puts base into the block of names and gives its reference. ok is
// false if the block is full (16 MiB): then the segment must be repacked.
// Readers may see the reference after showNames only.
func (s *segment) addName(base string) (ref uint32, ok bool) {
	n := len(s.block)
	if n+len(base) > 1<<24 {
		return 0, false
	}
	// Octets that readers can see never change: append writes behind them.
	s.block = append(s.block, base...)
	return uint32(n)<<8 | uint32(len(base)), true
}

// showNames publishes the names added so far.
func (s *segment) showNames() {
	block := s.block
	s.names.Store(&block)
}

// repacked gives a copy of s whose block holds only the names in use.
func (s *segment) repacked(used int) *segment {
	g := s.grown(s.rows(), used)
	g.block = nil
	for i := range used {
		g.base[i], _ = g.addName(s.baseOf(i))
	}
	g.showNames()
	return g
}

// baseOf gives the base of row i; the string shares the block, whose octets
// never change once they are visible.
func (s *segment) baseOf(i int) string {
	ref := atomic.LoadUint32(&s.base[i])
	off, n := int(ref>>8), int(ref&0xff)
	if n == 0 {
		return ""
	}
	return unsafe.String(&(*s.names.Load())[off : off+n][0], n)
}

func packDate(d Date) int64 {
	if !d.Known {
		return unknownDate
	}
	sec := min(max(d.Sec, -(1<<46)), 1<<46)
	return sec<<16 | int64(uint16(min(max(d.Zone, -1439), 1439)))
}

func unpackDate(v int64) Date {
	if v == unknownDate {
		return Date{}
	}
	return Date{Sec: v >> 16, Zone: int16(uint16(v)), Known: true}
}

func packFlags(f Flags, k KeywordSet) uint32 { return uint32(f) | uint32(k)<<8 }

func unpackFlags(v uint32) (Flags, KeywordSet) { return Flags(v), KeywordSet(v >> 8) }

func packName(n Name) uint64 { return uint64(n.Letters) | uint64(n.Where&allWhere)<<32 }

func unpackName(v uint64) Name {
	return Name{Letters: Letters(v), Where: Where(v>>32) & allWhere}
}
