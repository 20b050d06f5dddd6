package mailbox

import (
	"math/bits"
	"sort"

	"roost/index"
)

const (
	liveBlockRows = 32768 // rows a block
	liveWordRows  = 64
	liveRankRows  = 512 // rows a rank entry
)

// A liveBlock says which of 32,768 rows are messages (4 KiB) and how many
// there are before every 512th (128 octets).
type liveBlock struct {
	bits [liveBlockRows / liveWordRows]uint64
	rank [liveBlockRows / liveRankRows]uint16
	n    int32
}

func (b *liveBlock) count() {
	n := 0
	for i := range b.rank {
		b.rank[i] = uint16(n)
		for _, w := range b.bits[i*8 : i*8+8] {
			n += bits.OnesCount64(w)
		}
	}
	b.n = int32(n)
}

// before gives the number of live rows of the block before its row k.
func (b *liveBlock) before(k int) int {
	n := int(b.rank[k/liveRankRows])
	w := k / liveWordRows
	for i := k / liveRankRows * 8; i < w; i++ {
		n += bits.OnesCount64(b.bits[i])
	}
	return n + bits.OnesCount64(b.bits[w]&(1<<(k%liveWordRows)-1))
}

// find gives the row of the block that has n live rows before it; n is below b.n.
func (b *liveBlock) find(n int) int {
	g := sort.Search(len(b.rank), func(i int) bool { return int(b.rank[i]) > n }) - 1
	n -= int(b.rank[g])
	for i := g * 8; ; i++ {
		w := b.bits[i]
		c := bits.OnesCount64(w)
		if n >= c {
			n -= c
			continue
		}
		for ; n > 0; n-- {
			w &= w - 1
		}
		return i*liveWordRows + bits.TrailingZeros64(w)
	}
}

// liveBits says which rows of a table are messages, and turns rows into message
// numbers and back. A value never changes: a change makes a new one that shares
// the blocks that stayed, so that a View costs a pointer.
type liveBits struct {
	rows    int // rows from here on do not exist yet
	blocks  []*liveBlock
	prefix  []int32 // live rows before each block, and their total
	removed uint64  // counts the changes that took a bit away
}

var noLiveBits = &liveBits{prefix: []int32{0}}

// fullLiveBits has a message in each of n rows.
func fullLiveBits(n int) *liveBits { return noLiveBits.grown(0, n) }

// Len is the number of messages.
func (l *liveBits) Len() int { return int(l.prefix[len(l.blocks)]) }

// Has reports whether row is a message.
func (l *liveBits) Has(row index.Row) bool {
	if row < 0 || int(row) >= l.rows {
		return false
	}
	k := int(row) % liveBlockRows
	return l.blocks[int(row)/liveBlockRows].bits[k/liveWordRows]>>(k%liveWordRows)&1 != 0
}

// Before is the number of messages in rows before row.
func (l *liveBits) Before(row index.Row) int {
	if int(row) >= l.rows {
		return l.Len()
	}
	b := int(row) / liveBlockRows
	return int(l.prefix[b]) + l.blocks[b].before(int(row)%liveBlockRows)
}

// Seq is the number of the message in row; 0 if there is none.
func (l *liveBits) Seq(row index.Row) SeqNum {
	if !l.Has(row) {
		return 0
	}
	return SeqNum(l.Before(row) + 1)
}

// Row is the row of message n; -1 if there is none.
func (l *liveBits) Row(n SeqNum) index.Row {
	if n == 0 || int64(n) > int64(l.Len()) {
		return -1
	}
	if l.Len() == l.rows { // nothing was ever expunged
		return index.Row(n - 1)
	}
	k := int32(n - 1)
	b := sort.Search(len(l.blocks), func(i int) bool { return l.prefix[i+1] > k })
	return index.Row(b*liveBlockRows + l.blocks[b].find(int(k-l.prefix[b])))
}

// each calls f for the messages in rows from..to-1, ascending, until it is false.
func (l *liveBits) each(from, to index.Row, f func(index.Row) bool) {
	for row := int(from); row < min(int(to), l.rows); {
		k := row % liveBlockRows
		w := l.blocks[row/liveBlockRows].bits[k/liveWordRows] >> (k % liveWordRows)
		if w == 0 {
			row = (row/liveWordRows + 1) * liveWordRows
			continue
		}
		row += bits.TrailingZeros64(w)
		if row >= int(to) || !f(index.Row(row)) {
			return
		}
		row++
	}
}

// missing calls f for the rows that l has and other has not, ascending.
func (l *liveBits) missing(other *liveBits, f func(index.Row)) {
	for b, block := range l.blocks {
		var there *liveBlock
		if b < len(other.blocks) {
			there = other.blocks[b]
		}
		if there == block {
			continue
		}
		for i, w := range block.bits {
			if there != nil {
				w &^= there.bits[i]
			}
			for ; w != 0; w &= w - 1 {
				f(index.Row(b*liveBlockRows + i*liveWordRows + bits.TrailingZeros64(w)))
			}
		}
	}
}

// grown gives l with messages in the rows from..to-1, which are new.
func (l *liveBits) grown(from, to int) *liveBits {
	e := liveEdit{from: l, fresh: map[int]*liveBlock{}, rows: to}
	for row := from; row < e.rows; {
		k := row % liveWordRows
		bits := ^uint64(0) << k
		end := row - k + liveWordRows
		if end > e.rows {
			bits &= 1<<(e.rows-row+k) - 1
			end = e.rows
		}
		e.block(index.Row(row)).bits[row%liveBlockRows/liveWordRows] |= bits
		row = end
	}
	out := e.done()
	out.removed = l.removed
	return out
}

// with gives l with the rows set or cleared.
func (l *liveBits) with(set, clear []index.Row) *liveBits {
	e := liveEdit{from: l, fresh: map[int]*liveBlock{}, rows: l.rows}
	for _, row := range set {
		e.block(row).bits[int(row)%liveBlockRows/liveWordRows] |= 1 << (row % liveWordRows)
		e.rows = max(e.rows, int(row)+1)
	}
	removed := l.removed
	for _, row := range clear {
		if l.Has(row) || e.fresh[int(row)/liveBlockRows] != nil {
			e.block(row).bits[int(row)%liveBlockRows/liveWordRows] &^= 1 << (row % liveWordRows)
			removed = l.removed + 1
		}
	}
	n := e.done()
	n.removed = removed
	return n
}

// joined gives the rows of l below its end and those of later from there on:
// what a View has that may not be told of expunges. It never counts as a state
// of the mailbox.
func (l *liveBits) joined(later *liveBits) *liveBits {
	e := liveEdit{from: l, fresh: map[int]*liveBlock{}, rows: max(l.rows, later.rows)}
	var set []index.Row
	first := (l.rows + liveBlockRows - 1) / liveBlockRows
	later.each(index.Row(l.rows), index.Row(min(later.rows, first*liveBlockRows)), func(r index.Row) bool {
		set = append(set, r)
		return true
	})
	for _, row := range set {
		e.block(row).bits[int(row)%liveBlockRows/liveWordRows] |= 1 << (row % liveWordRows)
	}
	e.later = later.blocks
	e.first = first
	n := e.done()
	n.removed = l.removed
	return n
}

// A liveEdit copies the blocks that it changes.
type liveEdit struct {
	from  *liveBits
	fresh map[int]*liveBlock
	rows  int
	later []*liveBlock // shared blocks from first on
	first int
}

func (e *liveEdit) block(row index.Row) *liveBlock {
	b := int(row) / liveBlockRows
	blk := e.fresh[b]
	if blk == nil {
		blk = &liveBlock{}
		if b < len(e.from.blocks) {
			*blk = *e.from.blocks[b]
		}
		e.fresh[b] = blk
	}
	return blk
}

func (e *liveEdit) done() *liveBits {
	n := (e.rows + liveBlockRows - 1) / liveBlockRows
	out := &liveBits{rows: e.rows, blocks: make([]*liveBlock, n), prefix: make([]int32, n+1)}
	for b := range out.blocks {
		blk := e.fresh[b]
		switch {
		case e.later != nil && b >= e.first:
			blk = e.later[b]
		case blk != nil:
			blk.count()
		case b < len(e.from.blocks):
			blk = e.from.blocks[b]
		default:
			blk = &liveBlock{}
		}
		out.blocks[b] = blk
		out.prefix[b+1] = out.prefix[b] + blk.n
	}
	return out
}
