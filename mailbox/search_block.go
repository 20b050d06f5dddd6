package mailbox

import (
	"bytes"
	"errors"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/message"
)

// A search goes through the mailbox in blocks. For each block the keys are
// tried level by level, the cheapest first, and only for messages that the
// levels before left undecided.
const (
	levelColumns = iota // flags, numbers, mod-sequences: memory only
	levelFacts          // size and dates: memory, once they are known
	levelHeader         // the header, mostly from the cache
	levelBody           // the file
)

const searchBlockSize = 512

// searchBits has a bit for each message of a block.
type searchBits [searchBlockSize / 64]uint64

func (b *searchBits) set(i int)           { b[i>>6] |= 1 << (i & 63) }
func (b *searchBits) clear(i int)         { b[i>>6] &^= 1 << (i & 63) }
func (b *searchBits) put(i int, one bool) { b[i>>6] |= b2u(one) << (i & 63) }
func (b *searchBits) empty() bool         { return *b == searchBits{} }

// each yields the members in ascending order; the set may shrink meanwhile.
func (b *searchBits) each(yield func(int) bool) {
	for w, word := range b {
		for ; word != 0; word &= word - 1 {
			if !yield(w<<6 | bits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// searchBlock holds the columns of up to searchBlockSize messages.
type searchBlock struct {
	first    SeqNum
	n        int
	live     searchBits // not set: expunged, not yet told
	recent   searchBits
	flags    [searchBlockSize]Flags
	keywords [searchBlockSize]KeywordSet
	uids     [searchBlockSize]imap.UID
	modseqs  [searchBlockSize]ModSeq
	rows     [searchBlockSize]index.Row
}

// searchFacts is what is known of a message without a look at its file.
type searchFacts struct {
	size  int64 // index.UnknownSize: not known
	date  index.Date
	saved time.Time // zero: not known
}

// searchSource is what a search reads: a View, or a table in tests. Its methods
// are called by several goroutines at a time.
type searchSource interface {
	Len() int
	fill(blk *searchBlock)
	facts(row index.Row) searchFacts
	// seqFrom is the number of the message with that UID, or of the next one;
	// behind the last if there is none.
	seqFrom(uid imap.UID) SeqNum
	open(n SeqNum, ahead *index.CacheCursor) searchContent
	hasKeyword(set KeywordSet, name string) bool
}

// searchNode is a key made ready.
type searchNode struct {
	*Criteria
	level int
	leaf  int // index of its bits; -1 for AND, OR, NOT
	kids  []*searchNode
	seqs  []SeqRange // for SearchSeqs, sorted
	uids  imap.UIDSet
}

// searchPlan is a tree made ready for one mailbox.
type searchPlan struct {
	root     *searchNode
	leaves   []*searchNode
	maxLevel int
	fields   fieldPlan
	text     textPlan
}

func newSearchPlan(c *Criteria, size SeqNum, lastUID imap.UID) (*searchPlan, error) {
	return newSearchPlanFor(message.UnicodeCasemap, c, size, lastUID)
}

func newSearchPlanFor(compare message.Comparator, c *Criteria, size SeqNum, lastUID imap.UID) (*searchPlan, error) {
	if err := c.checkBounds(); err != nil {
		return nil, err
	}
	p := &searchPlan{}
	p.root = p.add(c, size, lastUID)
	p.fields.compile(compare, p.leaves)
	p.text.compile(compare, p.leaves)
	return p, nil
}

func (p *searchPlan) add(c *Criteria, size SeqNum, lastUID imap.UID) *searchNode {
	n := &searchNode{Criteria: c, leaf: -1}
	switch c.Kind {
	case SearchAnd, SearchOr, SearchNot:
		for _, kid := range c.Of {
			n.kids = append(n.kids, p.add(kid, size, lastUID))
		}
		return n
	case SearchSeqs:
		n.seqs = clampSeqs(c.Seqs, size)
	case SearchUIDs:
		n.uids = clampUIDs(c.UIDs, lastUID)
	case SearchSize, SearchDate, SearchSaveDay, SearchAge:
		n.level = levelFacts
	case SearchSent, SearchHeader, SearchAddress, SearchThreadID:
		n.level = levelHeader
	case SearchBody, SearchText, SearchEmailID:
		n.level = levelBody
	}
	n.leaf = len(p.leaves)
	p.leaves = append(p.leaves, n)
	p.maxLevel = max(p.maxLevel, n.level)
	return n
}

// clampSeqs gives the part of set that exists, sorted; `*` is size.
func clampSeqs(set imap.SeqSet, size SeqNum) []SeqRange {
	var out []SeqRange
	for _, r := range set {
		first, last := SeqNum(r.Start), SeqNum(r.Stop)
		if first == 0 {
			first = size
		}
		if last == 0 {
			last = size
		}
		if first > last {
			first, last = last, first
		}
		if first > size || first == 0 {
			continue
		}
		out = append(out, SeqRange{first, min(last, size)})
	}
	slices.SortFunc(out, func(a, b SeqRange) int { return int(int64(a.First) - int64(b.First)) })
	return out
}

// clampUIDs gives set sorted, with `*` as the last UID.
func clampUIDs(set imap.UIDSet, last imap.UID) imap.UIDSet {
	var out imap.UIDSet
	for _, r := range set {
		first, stop := r.Start, r.Stop
		if first == 0 {
			first = last
		}
		if stop == 0 {
			stop = last
		}
		if first > stop {
			first, stop = stop, first
		}
		if stop != 0 {
			out = append(out, imap.UIDRange{Start: first, Stop: stop})
		}
	}
	slices.SortFunc(out, func(a, b imap.UIDRange) int { return int(int64(a.Start) - int64(b.Start)) })
	return out
}

// searchWorker evaluates blocks, one at a time.
type searchWorker struct {
	plan *searchPlan
	src  searchSource
	now  int64        // in Unix seconds
	stop func() error // asked before each message that may need its file
	blk  searchBlock
	bits []searchBits // by leaf
	all  searchBits
	know []map[KeywordSet]bool // by leaf, for SearchKeyword

	memory  *fieldMemory // nil: nothing is remembered
	entries headerEntries
	learned learnedFields
	ahead   index.CacheCursor

	buf    []byte // of a message read whole
	whole  bytes.Reader
	parser message.BinaryParser
}

func newSearchWorker(plan *searchPlan, src searchSource, memory *fieldMemory, now time.Time, stop func() error) *searchWorker {
	return &searchWorker{
		plan: plan, src: src, memory: memory, now: now.Unix(), stop: stop,
		bits: make([]searchBits, len(plan.leaves)),
		know: make([]map[KeywordSet]bool, len(plan.leaves)),
	}
}

// block gives the matches among n messages from first.
func (w *searchWorker) block(first SeqNum, n int) (hits searchBits, err error) {
	w.blk.first, w.blk.n = first, n
	w.blk.live, w.blk.recent = searchBits{}, searchBits{}
	w.src.fill(&w.blk)
	w.all = searchBits{}
	for i := 0; i < n; i += 64 {
		w.all[i>>6] = ^uint64(0)
	}
	if n&63 != 0 {
		w.all[(n-1)>>6] = 1<<(n&63) - 1
	}
	open := w.blk.live
	for level := levelColumns; level <= w.plan.maxLevel && !open.empty(); level++ {
		if err := w.leaves(level, &open); err != nil {
			return hits, err
		}
		yes, maybe := w.eval(w.plan.root, level)
		for i := range open {
			hits[i] |= open[i] & yes[i]
			open[i] &= maybe[i] &^ yes[i]
		}
	}
	return hits, nil
}

// eval combines the leaves up to level: yes certainly match, maybe possibly do.
func (w *searchWorker) eval(n *searchNode, level int) (yes, maybe searchBits) {
	switch n.Kind {
	case SearchAnd:
		yes, maybe = w.all, w.all
		for _, kid := range n.kids {
			y, m := w.eval(kid, level)
			for i := range yes {
				yes[i] &= y[i]
				maybe[i] &= m[i]
			}
		}
	case SearchOr:
		for _, kid := range n.kids {
			y, m := w.eval(kid, level)
			for i := range yes {
				yes[i] |= y[i]
				maybe[i] |= m[i]
			}
		}
	case SearchNot:
		y, m := w.eval(n.kids[0], level)
		for i := range yes {
			yes[i] = w.all[i] &^ m[i]
			maybe[i] = w.all[i] &^ y[i]
		}
	default:
		if n.level > level {
			return searchBits{}, w.all
		}
		return w.bits[n.leaf], w.bits[n.leaf]
	}
	return yes, maybe
}

// leaves finds out the keys of one level for the messages in open. A message
// that turns out to be expunged leaves open.
func (w *searchWorker) leaves(level int, open *searchBits) error {
	if level == levelColumns {
		for _, n := range w.plan.leaves {
			if n.level == levelColumns {
				w.bits[n.leaf] = searchBits{}
				w.column(n, &w.bits[n.leaf])
			}
		}
		return nil
	}
	some := false
	for _, n := range w.plan.leaves {
		if n.level == level {
			w.bits[n.leaf] = searchBits{}
			some = true
		}
	}
	if !some {
		return nil
	}
	if err := w.stop(); err != nil {
		return err
	}
	ask := *open // of these the header or the file is needed
	if level == levelHeader && !w.plan.text.threadIDs {
		w.remembered(&ask)
	}
	defer w.memory.store(&w.learned)
	for i := range ask.each {
		err := w.message(level, i)
		if errors.Is(err, ErrExpunged) {
			open.clear(i)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// message finds out the keys of one level above the columns for message i.
func (w *searchWorker) message(level, i int) error {
	if level == levelFacts {
		return w.facts(i)
	}
	if err := w.stop(); err != nil {
		return err
	}
	c := w.src.open(w.blk.first+SeqNum(i), &w.ahead)
	defer c.Close()
	if err := w.objectIDs(level, c, i); err != nil {
		return err
	}
	if level == levelBody {
		return w.body(c, i)
	}
	if w.plan.fields.empty() {
		return nil
	}
	return w.header(c, i)
}

// column fills out for a key that only needs what is in memory.
func (w *searchWorker) column(n *searchNode, out *searchBits) {
	blk := &w.blk
	switch n.Kind {
	case SearchAll:
		*out = w.all
	case SearchFlags:
		for i := range blk.n {
			out.put(i, blk.flags[i]&n.Flags == n.Flags)
		}
	case SearchRecent:
		*out = blk.recent
	case SearchModSeq:
		for i := range blk.n {
			out.put(i, blk.modseqs[i] >= n.ModSeq)
		}
	case SearchKeyword:
		w.keyword(n, out)
	case SearchSeqs:
		last := blk.first + SeqNum(blk.n) - 1
		for _, r := range n.seqs {
			for s := max(r.First, blk.first); s <= min(r.Last, last); s++ {
				out.set(int(s - blk.first))
			}
		}
	case SearchUIDs:
		uids := blk.uids[:blk.n]
		for _, r := range n.uids {
			from, _ := slices.BinarySearch(uids, r.Start)
			for i := from; i < len(uids) && uids[i] <= r.Stop; i++ {
				out.set(i)
			}
		}
	}
}

func (w *searchWorker) keyword(n *searchNode, out *searchBits) {
	known := w.know[n.leaf]
	if known == nil {
		known = map[KeywordSet]bool{0: false}
		w.know[n.leaf] = known
	}
	lastSet, lastHas := KeywordSet(0), false
	for i := range w.blk.n {
		set := w.blk.keywords[i]
		if set != lastSet {
			has, ok := known[set]
			if !ok {
				has = w.src.hasKeyword(set, n.Text)
				known[set] = has
			}
			lastSet, lastHas = set, has
		}
		out.put(i, lastHas)
	}
}

// facts finds out sizes and dates of message i.
func (w *searchWorker) facts(i int) error {
	f := w.src.facts(w.blk.rows[i])
	for _, n := range w.plan.leaves {
		if n.level != levelFacts {
			continue
		}
		if !f.knows(n.Kind) {
			if err := w.stop(); err != nil {
				return err
			}
			c := w.src.open(w.blk.first+SeqNum(i), &w.ahead)
			err := f.learn(c, n.Kind)
			c.Close()
			if err != nil {
				return err
			}
		}
		value := f.value(n.Kind, w.now)
		w.bits[n.leaf].put(i, n.From <= value && value < n.To)
	}
	return nil
}

func (f *searchFacts) knows(kind SearchKind) bool {
	switch kind {
	case SearchSize:
		return f.size != index.UnknownSize
	case SearchSaveDay:
		return !f.saved.IsZero()
	}
	return f.date.Known
}

// learn finds out what a key of kind needs, and only that.
func (f *searchFacts) learn(c searchContent, kind SearchKind) (err error) {
	switch kind {
	case SearchSize:
		f.size, err = c.Size()
	case SearchSaveDay:
		f.saved, err = c.SaveDate()
	default:
		var t time.Time
		t, err = c.InternalDate()
		f.date = index.DateOf(t)
	}
	return err
}

// value is what a key of kind compares.
func (f *searchFacts) value(kind SearchKind, now int64) int64 {
	switch kind {
	case SearchSize:
		return f.size
	case SearchSaveDay:
		return DayOf(f.saved)
	case SearchDate:
		return floorDay(f.date.Sec + 60*int64(f.date.Zone))
	}
	return now - f.date.Sec // SearchAge
}

// viewSource reads a View.
type viewSource struct{ v *View }

func (s viewSource) Len() int { return s.v.Len() }

func (s viewSource) fill(blk *searchBlock) {
	v := s.v
	i := 0
	v.bits.each(v.row(blk.first), index.Row(v.bits.rows), func(row index.Row) bool {
		uid := v.ix.UID(row)
		blk.uids[i], blk.rows[i] = uid, row
		blk.modseqs[i], blk.flags[i], blk.keywords[i] = v.ix.State(row)
		blk.recent.put(i, len(v.recent) > 0 && v.recent.has(uid))
		blk.live.put(i, !v.ix.Gone(row))
		i++
		return i < blk.n
	})
	v.note()
}

func (s viewSource) seqFrom(uid imap.UID) SeqNum {
	return SeqNum(s.v.bits.Before(s.v.ix.RowFrom(uid)) + 1)
}

func (s viewSource) facts(row index.Row) searchFacts {
	return searchFacts{s.v.ix.Size(row), s.v.ix.Date(row), s.v.ix.SaveDate(row)}
}

func (s viewSource) open(n SeqNum, ahead *index.CacheCursor) searchContent {
	c := s.v.content(n)
	c.next = ahead
	return c
}

func (s viewSource) hasKeyword(set KeywordSet, name string) bool {
	for _, kw := range s.v.KeywordNames(set) {
		if strings.EqualFold(kw, name) {
			return true
		}
	}
	return false
}
