package mailbox

import (
	"hash/maphash"

	"roost/index"
)

// A baseTable finds the row of a base: open addressing, five octets a slot. It
// is built at the first event or scan, so that SELECT does not pay for it. The
// mutex of the Mailbox guards it.
type baseTable struct {
	seed  maphash.Seed
	rows  []index.Row // row+1; 0 is empty, deletedRow was used
	print []uint8
	used  int // slots that are not empty
}

const deletedRow = -1

func newBaseTable(ix *index.Index, live *liveBits) *baseTable {
	t := &baseTable{seed: maphash.MakeSeed()}
	t.grow(live.Len()*2 + 64)
	live.each(0, index.Row(live.rows), func(row index.Row) bool {
		t.put(ix, row)
		return true
	})
	return t
}

func (t *baseTable) grow(n int) {
	size := 64
	for size < n {
		size *= 2
	}
	t.rows, t.print, t.used = make([]index.Row, size), make([]uint8, size), 0
}

// find gives the row of base, index.NoRow if there is none.
func (t *baseTable) find(ix *index.Index, base []byte) index.Row {
	h := maphash.Bytes(t.seed, base)
	mask := uint64(len(t.rows) - 1)
	for i := h & mask; t.rows[i] != 0; i = (i + 1) & mask {
		if row := t.rows[i] - 1; t.rows[i] > 0 && t.print[i] == uint8(h>>56) && ix.Base(row) == string(base) {
			return row
		}
	}
	return index.NoRow
}

// add makes row known under its base.
func (t *baseTable) add(ix *index.Index, row index.Row) {
	if (t.used+1)*4 > len(t.rows)*3 {
		old := t.rows
		t.grow(len(old) * 2)
		for _, r := range old {
			if r > 0 {
				t.put(ix, r-1)
			}
		}
	}
	t.put(ix, row)
}

func (t *baseTable) put(ix *index.Index, row index.Row) {
	h := maphash.String(t.seed, ix.Base(row))
	mask := uint64(len(t.rows) - 1)
	i := h & mask
	for t.rows[i] != 0 {
		i = (i + 1) & mask
	}
	t.rows[i], t.print[i] = row+1, uint8(h>>56)
	t.used++
}

// remove forgets row, which is known under base.
func (t *baseTable) remove(row index.Row, base string) {
	h := maphash.String(t.seed, base)
	mask := uint64(len(t.rows) - 1)
	for i := h & mask; t.rows[i] != 0; i = (i + 1) & mask {
		if t.rows[i] == row+1 {
			t.rows[i] = deletedRow
			return
		}
	}
}

// basesLocked gives the table, built if need be. mb.mu must be held.
func (mb *Mailbox) basesLocked() *baseTable {
	if mb.bases == nil {
		mb.bases = newBaseTable(mb.ix, mb.live)
	}
	return mb.bases
}
