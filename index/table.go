package index

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/slab"
)

// A table is the messages of an Index in UID order. See segment for the rules
// between its one writer and its readers.
type table struct {
	segs atomic.Pointer[[]*segment]
	n    atomic.Int32 // rows; stored last
	live atomic.Int32 // rows not gone

	exactMu sync.RWMutex
	exact   map[Row]string // guarded by exactMu: Name.Exact of rows with ExactInfo
}

func newTable() *table {
	t := &table{exact: map[Row]string{}}
	t.segs.Store(new([]*segment))
	return t
}

// seg gives the segment of r and the place in it.
func (t *table) seg(r Row) (*segment, int) {
	return (*t.segs.Load())[r/segmentRows], int(r % segmentRows)
}

// replace puts s in the place of segment i, or behind the last.
func (t *table) replace(i int, s *segment) {
	old := *t.segs.Load()
	segs := make([]*segment, max(len(old), i+1))
	copy(segs, old)
	segs[i] = s
	t.segs.Store(&segs)
}

// reserve makes room for n more rows.
func (t *table) reserve(n int) {
	have := int(t.n.Load())
	var words []uint64 // of full segments that are to come
	if full := (have+n)/segmentRows - len(*t.segs.Load()); full > 1 {
		words = slab.Make[uint64](full * segmentRows * rowWords)
	}
	for at := have; at < have+n; {
		i, used := at/segmentRows, at%segmentRows
		want := min(segmentRows, used+have+n-at)
		segs := *t.segs.Load()
		switch {
		case i == len(segs) && want == segmentRows && len(words) > 0:
			t.replace(i, segmentIn(words[:segmentRows*rowWords]))
			words = words[segmentRows*rowWords:]
		case i == len(segs):
			t.replace(i, newSegment(roundRows(want)))
		case segs[i].rows() < want:
			t.replace(i, segs[i].grown(roundRows(want), used))
		}
		at += want - used
	}
}

// roundRows is the capacity of a segment that needs n rows: powers of two from 16.
func roundRows(n int) int {
	c := 16
	for c < n {
		c *= 2
	}
	return min(c, segmentRows)
}

// add appends a row; publish makes it visible. reserve must have made room.
func (t *table) add(r Row, uid imap.UID, m ModSeq, a *Add) {
	s, i := t.seg(r)
	t.addRow(s, i, r, uid, m, a)
	s.base[i], _ = s.addName(a.Base) // at most 4,096 names of 255 octets fit
}

// addRow is add without the base; r is row i of s.
func (t *table) addRow(s *segment, i int, r Row, uid imap.UID, m ModSeq, a *Add) {
	s.uid[i] = uid
	s.modseq[i] = uint64(m)
	s.flags[i] = packFlags(a.Flags, a.Keywords)
	s.date[i] = packDate(a.Date)
	s.size[i] = max(a.Size, UnknownSize)
	s.saved[i] = packTime(a.SaveDate)
	s.name[i] = packName(a.Name)
	if a.Name.Where&ExactInfo != 0 {
		t.setExact(r, a.Name.Exact)
	}
}

// publish makes n more rows visible.
func (t *table) publish(n int) {
	from := t.Len()
	for k := from / segmentRows; k*segmentRows < from+n; k++ {
		(*t.segs.Load())[k].showNames()
	}
	t.live.Add(int32(n))
	t.n.Add(int32(n))
}

func (t *table) setExact(r Row, text string) {
	t.exactMu.Lock()
	t.exact[r] = text
	t.exactMu.Unlock()
}

func (t *table) setFlags(r Row, f Flags, k KeywordSet, m ModSeq) {
	s, i := t.seg(r)
	atomic.StoreUint32(&s.flags[i], packFlags(f, k))
	atomic.StoreUint64(&s.modseq[i], uint64(m))
}

func (t *table) setName(r Row, n Name) {
	if n.Where&ExactInfo != 0 {
		t.setExact(r, n.Exact)
	}
	s, i := t.seg(r)
	atomic.StoreUint64(&s.name[i], packName(n)|atomic.LoadUint64(&s.name[i])&goneBit)
}

func (t *table) setBase(r Row, base string) {
	s, i := t.seg(r)
	ref, ok := s.addName(base)
	if !ok {
		k := int(r) / segmentRows
		s = s.repacked(min(segmentRows, int(t.n.Load())-k*segmentRows))
		ref, _ = s.addName(base)
		t.replace(k, s)
	}
	s.showNames()
	atomic.StoreUint32(&s.base[i], ref)
}

func (t *table) setMeta(r Row, m *Meta) {
	s, i := t.seg(r)
	if m.Size >= 0 {
		atomic.StoreInt64(&s.size[i], m.Size)
	}
	if m.Date.Known {
		atomic.StoreInt64(&s.date[i], packDate(m.Date))
	}
	if !m.SaveDate.IsZero() {
		atomic.StoreUint32(&s.saved[i], packTime(m.SaveDate))
	}
}

func (t *table) expunge(r Row, m ModSeq) {
	s, i := t.seg(r)
	atomic.StoreUint64(&s.name[i], atomic.LoadUint64(&s.name[i])|goneBit)
	atomic.StoreUint64(&s.modseq[i], uint64(m))
	t.live.Add(-1)
}

func packTime(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(min(max(t.Unix(), 1), 1<<32-1))
}

func unpackTime(v uint32) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.Unix(int64(v), 0).UTC()
}

// Len is the number of rows, gone ones included.
func (t *table) Len() int { return int(t.n.Load()) }

// Live is the number of messages.
func (t *table) Live() int { return int(t.live.Load()) }

// RowFrom is the first row, gone or not, with a UID of at least uid; Len if
// there is none.
func (t *table) RowFrom(uid imap.UID) Row {
	n := t.Len()
	segs := *t.segs.Load()
	k := sort.Search((n+segmentRows-1)/segmentRows, func(k int) bool {
		last := min(segmentRows, n-k*segmentRows) - 1
		return segs[k].uid[last] >= uid
	})
	if k*segmentRows >= n {
		return Row(n)
	}
	uids := segs[k].uid[:min(segmentRows, n-k*segmentRows)]
	lo, hi := 0, len(uids)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); uids[mid] < uid {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return Row(k*segmentRows + lo)
}

// RowOf is the row of the message uid; NoRow if it is unknown or gone.
func (t *table) RowOf(uid imap.UID) Row {
	if r := t.RowFrom(uid); int(r) < t.Len() && t.UID(r) == uid && !t.Gone(r) {
		return r
	}
	return NoRow
}

// UID is the UID of row r.
func (t *table) UID(r Row) imap.UID {
	s, i := t.seg(r)
	return s.uid[i]
}

// Flags is the system flags of row r, as decided.
func (t *table) Flags(r Row) Flags {
	s, i := t.seg(r)
	f, _ := unpackFlags(atomic.LoadUint32(&s.flags[i]))
	return f
}

// Keywords is the keywords of row r, as decided.
func (t *table) Keywords(r Row) KeywordSet {
	s, i := t.seg(r)
	_, k := unpackFlags(atomic.LoadUint32(&s.flags[i]))
	return k
}

// ModSeq is the mod-sequence of row r itself; what a client is told is Told.
// For a row that is gone it is that of the expunge.
func (t *table) ModSeq(r Row) ModSeq {
	s, i := t.seg(r)
	return ModSeq(atomic.LoadUint64(&s.modseq[i]))
}

// Date is the INTERNALDATE of row r.
func (t *table) Date(r Row) Date {
	s, i := t.seg(r)
	return unpackDate(atomic.LoadInt64(&s.date[i]))
}

// Size is the size of row r in octets as the caller measured it, or UnknownSize.
func (t *table) Size(r Row) int64 {
	s, i := t.seg(r)
	return atomic.LoadInt64(&s.size[i])
}

// SaveDate is when row r was added (RFC 8514), in whole seconds; the zero time
// if it is unknown.
func (t *table) SaveDate(r Row) time.Time {
	s, i := t.seg(r)
	return unpackTime(atomic.LoadUint32(&s.saved[i]))
}

// Name is what the file name of row r says, as last agreed.
func (t *table) Name(r Row) Name {
	s, i := t.seg(r)
	n := unpackName(atomic.LoadUint64(&s.name[i]))
	if n.Where&ExactInfo != 0 {
		t.exactMu.RLock()
		n.Exact = t.exact[r]
		t.exactMu.RUnlock()
	}
	return n
}

// EachInNew calls f with the messages from row r on whose files are in new/, as
// last agreed, ascending.
func (t *table) EachInNew(r Row, f func(Row)) {
	n, segs := t.Len(), *t.segs.Load()
	for int(r) < n {
		s, i := segs[r/segmentRows], int(r%segmentRows)
		names := s.name[i:min(segmentRows, i+n-int(r))]
		for k := range names {
			if v := atomic.LoadUint64(&names[k]); v&(uint64(InNew)<<32|goneBit) == uint64(InNew)<<32 {
				f(r + Row(k))
			}
		}
		r += Row(len(names))
	}
}

// Base is the base of row r. The string stays valid, but keeps the names of
// up to 4,096 messages in memory: clone it to keep it.
func (t *table) Base(r Row) string {
	// The block may be repacked between the two loads of baseOf; then seg gives
	// another segment object, so one load of seg is enough.
	s, i := t.seg(r)
	return s.baseOf(i)
}

// Gone reports whether row r was expunged. Its columns keep what they held.
func (t *table) Gone(r Row) bool {
	s, i := t.seg(r)
	return atomic.LoadUint64(&s.name[i])&goneBit != 0
}
