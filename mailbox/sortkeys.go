package mailbox

import (
	"context"
	"errors"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"roost/index"
	"roost/message"
)

// This file keeps what SORT and THREAD compare: columns by row, in memory,
// made at first use from the header fields that the cache holds.

// keySet is a set of columns.
type keySet uint8

const (
	keyDates keySet = 1 << iota // sent dates
	keyTexts                    // base subjects and addresses
	keyRefs                     // message ids
)

// Unknown values of the columns.
const unknownDate = -1 << 63

// keepTexts and keepRefs bound what a mailbox keeps of a column in memory after
// the command that made it; dates, eight octets a message, are always kept.
const (
	keepTexts = 64 << 20
	keepRefs  = 64 << 20
)

// sortColumns are the columns of one mailbox. They grow with use and end with
// the live mailbox.
type sortColumns struct {
	mu    sync.Mutex // guards all below; held for memory only
	ix    *index.Index
	dates []int64 // Unix seconds
	sent  []int32 // the day in the Date field, as long as dates
	texts *textColumn
	refs  *refColumn

	fields []*fieldColumn // the one used last is last

	octets atomic.Int64 // of all columns, when they were last used
}

// memory estimates the octets that the columns take.
func (sc *sortColumns) memory() int64 { return sc.octets.Load() }

func (sc *sortColumns) measureLocked() {
	n := 8*cap(sc.dates) + 4*cap(sc.sent) + sc.fieldMemoryLocked()
	if sc.texts != nil {
		n += sc.texts.memory()
	}
	if sc.refs != nil {
		n += sc.refs.memory()
	}
	sc.octets.Store(int64(n))
}

// forIndexLocked forgets what belongs to another index.
func (sc *sortColumns) forIndexLocked(ix *index.Index) {
	if sc.ix != ix {
		sc.ix, sc.dates, sc.sent, sc.texts, sc.refs, sc.fields = ix, nil, nil, nil, nil, nil
	}
}

// fitLocked makes room for n rows.
func (sc *sortColumns) fitLocked(n int) {
	if have := len(sc.dates); have < n {
		sc.dates = slices.Grow(sc.dates, n-have)[:n]
		sc.sent = slices.Grow(sc.sent, n-have)[:n]
		for i := have; i < n; i++ {
			sc.dates[i], sc.sent[i] = unknownDate, unknownSentDay
		}
	}
}

// setDateLocked notes when a message was sent; date may be unknownDate.
func (sc *sortColumns) setDateLocked(row index.Row, date int64, day int32) {
	if date != unknownDate {
		sc.dates[row] = date
	}
	sc.sent[row] = day
}

// A textRow is the strings of one message by their numbers in a textColumn.
type textRow [textKeys]uint32

// The strings of a textRow.
const (
	textSubject = iota // the highest bit: it is a reply or forward
	textFrom
	textTo
	textCc
	textDisplayFrom
	textDisplayTo
	textKeys
)

const replyBit = 1 << 31

// textColumn is the strings of messages as a comparator orders them. The same
// string is kept once.
type textColumn struct {
	compare message.Comparator
	rows    []textRow // by row; a subject of 0: not known
	numbers map[string]uint32
	keys    []string // by number
	order   []uint32 // numbers by key
	rank    []uint32 // places in order, by number
	size    int      // of the keys
}

func newTextColumn(c message.Comparator) *textColumn {
	return &textColumn{compare: c, numbers: map[string]uint32{"": 1}, keys: []string{"", ""}, order: []uint32{1}, rank: []uint32{0, 0}}
}

func (tc *textColumn) number(key string) uint32 {
	n, ok := tc.numbers[key]
	if !ok {
		n = uint32(len(tc.keys))
		tc.keys = append(tc.keys, key)
		tc.numbers[key] = n
		tc.size += len(key)
	}
	return n
}

func (tc *textColumn) set(row index.Row, keys *[textKeys]string, reply bool) {
	if int(row) >= len(tc.rows) {
		tc.rows = slices.Grow(tc.rows, int(row)+1-len(tc.rows))[:int(row)+1]
	}
	r := &tc.rows[row]
	for i, key := range keys {
		r[i] = tc.number(key)
	}
	if reply {
		r[textSubject] |= replyBit
	}
}

func (tc *textColumn) get(row index.Row) textRow {
	if int(row) < len(tc.rows) && tc.rows[row][textSubject] != 0 {
		return tc.rows[row]
	}
	return textRow{1, 1, 1, 1, 1, 1}
}

// ranks gives the places of all strings in order, by number. New strings are
// sorted and merged with those that are in order already.
func (tc *textColumn) ranks() []uint32 {
	if len(tc.rank) == len(tc.keys) {
		return tc.rank
	}
	added := make([]uint32, 0, len(tc.keys)-len(tc.rank))
	for n := len(tc.rank); n < len(tc.keys); n++ {
		added = append(added, uint32(n))
	}
	slices.SortFunc(added, func(a, b uint32) int { return compareStrings(tc.keys[a], tc.keys[b]) })
	merged := make([]uint32, 0, len(tc.keys)-1)
	old := tc.order
	for _, n := range added {
		for len(old) > 0 && tc.keys[old[0]] < tc.keys[n] {
			merged = append(merged, old[0])
			old = old[1:]
		}
		merged = append(merged, n)
	}
	tc.order = append(merged, old...)
	tc.rank = slices.Grow(tc.rank, len(tc.keys)-len(tc.rank))[:len(tc.keys)]
	for place, n := range tc.order {
		tc.rank[n] = uint32(place)
	}
	return tc.rank
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// memory estimates what the column takes.
func (tc *textColumn) memory() int {
	return tc.size + 64*len(tc.keys) + 4*textKeys*cap(tc.rows)
}

// Bounds on ids: what is beyond is as if it were not written there.
const (
	maxThreadIDs   = 4 << 20  // distinct ids of a mailbox
	manyReferences = 16 << 20 // of all messages, before only two each count
)

// refColumn is the message ids of messages by number. Numbers stand for hashes
// under a secret seed, so nobody can make two ids meet.
type refColumn struct {
	seed    maphash.Seed
	numbers map[uint64]uint32
	at      []uint32 // by row: where its ids begin in lists; 0: not known
	lists   []uint32 // the number of ids, that of the message (0: none), and of its references
}

func newRefColumn() *refColumn {
	return &refColumn{seed: maphash.MakeSeed(), numbers: map[uint64]uint32{}, lists: []uint32{0}}
}

// number gives that of an id, 0 for none.
func (rc *refColumn) number(id string) uint32 {
	if id == "" {
		return 0
	}
	h := maphash.String(rc.seed, id)
	n, ok := rc.numbers[h]
	if !ok && len(rc.numbers) < maxThreadIDs {
		n = uint32(len(rc.numbers) + 1)
		rc.numbers[h] = n
	}
	return n
}

func (rc *refColumn) set(row index.Row, id string, refs []string) {
	if int(row) >= len(rc.at) {
		rc.at = slices.Grow(rc.at, int(row)+1-len(rc.at))[:int(row)+1]
	}
	if rc.at[row] != 0 {
		return // another command was faster
	}
	if len(rc.lists) > manyReferences && len(refs) > 2 {
		refs = refs[len(refs)-2:]
	}
	start := len(rc.lists)
	rc.lists = append(rc.lists, 0, rc.number(id))
	for _, ref := range refs {
		if n := rc.number(ref); n != 0 {
			rc.lists = append(rc.lists, n)
		}
	}
	rc.lists[start] = uint32(len(rc.lists) - start - 1)
	rc.at[row] = uint32(start)
}

// get gives the number of the message's own id, 0 if it has none, and of its
// references.
func (rc *refColumn) get(row index.Row) (id uint32, refs []uint32) {
	if int(row) >= len(rc.at) || rc.at[row] == 0 {
		return 0, nil
	}
	at := rc.at[row]
	ids := rc.lists[at+1 : at+1+rc.lists[at]]
	return ids[0], ids[1:]
}

func (rc *refColumn) memory() int {
	return 4*(cap(rc.at)+cap(rc.lists)) + 32*len(rc.numbers)
}

// sortLoad is one run over messages whose columns are not known yet.
type sortLoad struct {
	v       *View
	need    keySet
	compare message.Comparator
	texts   *textColumn // that of the mailbox, or of this command only
	refs    *refColumn
	rows    []index.Row
	seqs    []SeqNum
}

// columns makes sure that the columns in need are known for msgs, and calls use
// with them under their lock. Errors: ctx's, and those of reading files. A
// message whose file is gone has empty values.
func (v *View) columns(ctx context.Context, msgs []SeqNum, need keySet, opts *SearchOptions, use func(sc *sortColumns, texts *textColumn, refs *refColumn)) error {
	sc := &v.mb.sorting
	l := sortLoad{v: v, need: need, compare: opts.Comparator}
	sc.mu.Lock()
	sc.forIndexLocked(v.ix)
	sc.fitLocked(v.ix.Len())
	if need&keyTexts != 0 {
		if l.compare != message.UnicodeCasemap {
			l.texts = newTextColumn(l.compare)
		} else {
			if sc.texts == nil {
				sc.texts = newTextColumn(l.compare)
			}
			l.texts = sc.texts
		}
	}
	if need&keyRefs != 0 && sc.refs == nil {
		sc.refs = newRefColumn()
	}
	l.refs = sc.refs
	l.missing(sc, msgs)
	sc.mu.Unlock()
	if err := l.run(ctx, sc, opts.Progress); err != nil {
		return err
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.ix != v.ix {
		return ErrGone
	}
	use(sc, l.texts, l.refs)
	if sc.texts != nil && sc.texts.memory() > keepTexts {
		sc.texts = nil
	}
	if sc.refs != nil && sc.refs.memory() > keepRefs {
		sc.refs = nil
	}
	sc.measureLocked()
	return nil
}

// missing finds the messages that something is not known of.
func (l *sortLoad) missing(sc *sortColumns, msgs []SeqNum) {
	for _, n := range msgs {
		row := l.v.row(n)
		if row < 0 {
			continue
		}
		if l.need&keyDates != 0 && sc.dates[row] == unknownDate ||
			l.need&keyTexts != 0 && (int(row) >= len(l.texts.rows) || l.texts.rows[row][textSubject] == 0) ||
			l.need&keyRefs != 0 && (int(row) >= len(l.refs.at) || l.refs.at[row] == 0) {
			l.rows = append(l.rows, row)
			l.seqs = append(l.seqs, n)
		}
	}
}

// loadChunk is how many messages a worker looks at before it stores them.
const loadChunk = 64

// run reads what is missing, with several goroutines; all have ended on return.
func (l *sortLoad) run(ctx context.Context, sc *sortColumns, progress func(done, total int)) error {
	total := len(l.rows)
	if total == 0 {
		return ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	chunks := (total + loadChunk - 1) / loadChunk
	workers := min(max(2, runtime.GOMAXPROCS(0)), chunks)
	var next atomic.Int64
	var wg sync.WaitGroup
	done := make(chan int, workers)
	for range workers {
		wg.Go(func() {
			found := make([]sortFacts, loadChunk)
			var ahead index.CacheCursor
			defer ahead.Release()
			for {
				from := int(next.Add(1)-1) * loadChunk
				if from >= total || ctx.Err() != nil {
					return
				}
				n := min(loadChunk, total-from)
				for i := range n {
					if err := l.message(l.seqs[from+i], &ahead, &found[i]); err != nil {
						cancel(err)
						return
					}
				}
				l.store(sc, l.rows[from:from+n], found[:n])
				done <- n
			}
		})
	}
	go func() { // ends with the workers
		wg.Wait()
		close(done)
	}()
	sum := 0
	for n := range done {
		if sum += n; progress != nil {
			progress(sum, total)
		}
	}
	return context.Cause(ctx)
}

// sortFacts is what was found out about one message.
type sortFacts struct {
	gone  bool
	date  int64
	sent  int32
	texts [textKeys]string
	reply bool
	id    string
	refs  []string
}

// store puts what was found into the columns.
func (l *sortLoad) store(sc *sortColumns, rows []index.Row, found []sortFacts) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.ix != l.v.ix {
		return // the use of the columns finds out
	}
	sc.fitLocked(l.v.ix.Len())
	for i, row := range rows {
		f := &found[i]
		if f.gone {
			continue
		}
		if l.need&keyDates != 0 {
			sc.setDateLocked(row, f.date, f.sent)
		}
		if l.need&keyTexts != 0 {
			l.texts.set(row, &f.texts, f.reply)
		}
		if l.need&keyRefs != 0 {
			l.refs.set(row, f.id, f.refs)
		}
	}
}

// message finds out about one message.
func (l *sortLoad) message(n SeqNum, ahead *index.CacheCursor, f *sortFacts) error {
	*f = sortFacts{refs: f.refs[:0]}
	c := l.v.content(n)
	c.next = ahead
	defer c.Close()
	h, err := c.briefHeader()
	if errors.Is(err, ErrExpunged) {
		f.gone = true
		return nil
	}
	if err != nil {
		return err
	}
	fields := readSortFields(h)
	if l.need&keyDates != 0 {
		if err := l.readDate(c, fields.date, f); errors.Is(err, ErrExpunged) {
			f.gone = true
		} else if err != nil {
			return err
		}
	}
	if l.need&keyTexts != 0 {
		l.readTexts(&fields, f)
	}
	if l.need&keyRefs != 0 {
		f.id, f.refs = fields.ids()
	}
	return nil
}

// readDate finds the date in the header, as an instant, or else INTERNALDATE
// (RFC 5256 §2.2).
func (l *sortLoad) readDate(c *Content, field []byte, f *sortFacts) error {
	if f.date, f.sent = sentDate(field); f.date != unknownDate {
		return nil
	}
	t, err := c.InternalDate()
	f.date = t.Unix()
	return err
}

// readTexts makes the strings of a message.
func (l *sortLoad) readTexts(fields *sortFields, f *sortFacts) {
	subject, reply := message.BaseSubject(message.DecodeText(fields.subject))
	f.texts[textSubject], f.reply = l.compare.SortKey(subject), reply
	for _, a := range [...]struct {
		raw           []byte
		name, display int
	}{{fields.from, textFrom, textDisplayFrom}, {fields.to, textTo, textDisplayTo}, {fields.cc, textCc, -1}} {
		list := message.ParseAddresses(a.raw, 1)
		if len(list) == 0 {
			continue
		}
		f.texts[a.name] = l.compare.SortKey(list[0].Mailbox)
		if a.display >= 0 {
			f.texts[a.display] = l.compare.SortKey(displayOf(&list[0]))
		}
	}
}

// displayOf is the DISPLAY sort value of an address (RFC 5957 §3).
func displayOf(a *message.Address) string {
	if name := message.DecodeText([]byte(a.Name)); name != "" {
		return name
	}
	if a.Mailbox != "" && a.Host != "" {
		return a.Mailbox + "@" + a.Host
	}
	return a.Mailbox
}
