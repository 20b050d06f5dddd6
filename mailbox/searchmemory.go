package mailbox

import (
	"encoding/binary"
	"slices"

	"roost/index"
)

// This file keeps what searches have read of headers, beside the columns of
// SORT: so that the next one reads no header of a message that it knows.

// Bounds on the columns of header fields of a mailbox.
const (
	maxFieldColumns = 8        // the one not used for longest goes
	maxFieldOctets  = 32 << 20 // of all together; what is beyond is read each time
)

// A fieldColumn is the entries of the fields of one name, as headerEntries
// makes them, by row.
type fieldColumn struct {
	fieldName
	at   []uint32 // where the entry begins in text, plus 1; 0: not known
	text []byte   // entries, each behind its length
}

func (fc *fieldColumn) has(row index.Row) bool { return int(row) < len(fc.at) && fc.at[row] != 0 }

// get gives the entry of a row that the column has.
func (fc *fieldColumn) get(row index.Row) []byte {
	b := fc.text[fc.at[row]-1:]
	n, k := binary.Uvarint(b)
	return b[k : k+int(n)]
}

// set adds the entry of a row.
func (fc *fieldColumn) set(row index.Row, entry []byte) {
	if int(row) >= len(fc.at) {
		fc.at = slices.Grow(fc.at, int(row)+1-len(fc.at))[:int(row)+1]
	}
	fc.at[row] = uint32(len(fc.text) + 1)
	fc.text = append(binary.AppendUvarint(fc.text, uint64(len(entry))), entry...)
}

func (fc *fieldColumn) memory() int { return cap(fc.text) + 4*cap(fc.at) }

// fieldColumnLocked gives the column called name, which it makes if it is not
// there, as the one used last.
func (sc *sortColumns) fieldColumnLocked(name fieldName) *fieldColumn {
	i := slices.IndexFunc(sc.fields, func(fc *fieldColumn) bool { return fc.fieldName == name })
	fc := &fieldColumn{fieldName: name}
	if i >= 0 {
		fc = sc.fields[i]
		sc.fields = slices.Delete(sc.fields, i, i+1)
	}
	sc.fields = append(sc.fields, fc)
	return fc
}

// fieldMemoryLocked is what the columns of header fields take.
func (sc *sortColumns) fieldMemoryLocked() (n int) {
	for _, fc := range sc.fields {
		n += fc.memory()
	}
	return n
}

// A fieldMemory is what one search has of the columns of its mailbox. They may
// be given up meanwhile: then it is of no more use to others.
type fieldMemory struct {
	sc      *sortColumns
	ix      *index.Index
	sent    bool
	columns []*fieldColumn // by fieldPlan.columns
	room    int            // octets that may still be added
}

// remember gives the memory for a search in ix; nil if it compares text in a
// way that nothing is kept for, or needs nothing of headers.
func (sc *sortColumns) remember(ix *index.Index, p *fieldPlan) *fieldMemory {
	if p.empty() || p.compare != 0 || len(p.columns) > maxFieldColumns {
		return nil
	}
	m := &fieldMemory{sc: sc, ix: ix, sent: len(p.sent) > 0}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.forIndexLocked(ix)
	before := len(sc.fields)
	for _, name := range p.columns {
		m.columns = append(m.columns, sc.fieldColumnLocked(name))
	}
	// Those that are asked for stay. A new one needs room.
	isNew := len(sc.fields) > before
	for len(sc.fields) > len(p.columns) && (len(sc.fields) > maxFieldColumns || isNew && sc.fieldMemoryLocked() > maxFieldOctets/4*3) {
		sc.fields = slices.Delete(sc.fields, 0, 1)
	}
	m.room = maxFieldOctets - sc.fieldMemoryLocked()
	return m
}

// done is the end of the search.
func (m *fieldMemory) done() {
	if m != nil {
		m.sc.mu.Lock()
		defer m.sc.mu.Unlock()
		m.sc.measureLocked()
	}
}

// knowsLocked says whether everything that the search needs of row is there.
func (m *fieldMemory) knowsLocked(row index.Row) bool {
	if m.sc.ix != m.ix || m.sent && (int(row) >= len(m.sc.sent) || m.sc.sent[row] == unknownSentDay) {
		return false
	}
	for _, fc := range m.columns {
		if !fc.has(row) {
			return false
		}
	}
	return true
}

// store adds what a worker has learned, and forgets it there.
func (m *fieldMemory) store(l *learnedFields) {
	if m == nil || len(l.rows) == 0 {
		return
	}
	m.sc.mu.Lock()
	defer m.sc.mu.Unlock()
	if m.sc.ix == m.ix {
		if m.sent {
			m.sc.fitLocked(int(slices.Max(l.rows)) + 1)
		}
		for i, row := range l.rows {
			if m.sent {
				m.sc.setDateLocked(row, l.dates[i], l.sent[i])
			}
			m.fieldsLocked(row, l, i)
		}
	}
	l.rows, l.sent, l.dates, l.ends, l.text = l.rows[:0], l.sent[:0], l.dates[:0], l.ends[:0], l.text[:0]
}

// fieldsLocked adds the entries of the message at place i of l.
func (m *fieldMemory) fieldsLocked(row index.Row, l *learnedFields, i int) {
	for k, fc := range m.columns {
		entry := l.entry(i*len(m.columns) + k)
		if need := len(entry) + 8; !fc.has(row) && need <= m.room {
			fc.set(row, entry)
			m.room -= need
		}
	}
}

// learnedFields is what a worker has read since it stored it.
type learnedFields struct {
	rows  []index.Row
	sent  []int32
	dates []int64
	ends  []int // of the entries in text, for each row one a column
	text  []byte
}

func (l *learnedFields) add(row index.Row, e *headerEntries) {
	l.rows = append(l.rows, row)
	l.sent = append(l.sent, e.sent)
	l.dates = append(l.dates, e.date)
	for _, entry := range e.fields {
		l.text = append(l.text, entry...)
		l.ends = append(l.ends, len(l.text))
	}
}

func (l *learnedFields) entry(k int) []byte {
	start := 0
	if k > 0 {
		start = l.ends[k-1]
	}
	return l.text[start:l.ends[k]]
}
