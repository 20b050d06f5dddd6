package mailbox

import (
	"context"
	"errors"
	"slices"

	"roost/index"
)

// DEVIATION: a Date whose time cannot be read counts as no date (RFC 5256 §2.2, a
// SHOULD): INTERNALDATE is used.

// This file is SORT (RFC 5256, RFC 5957): the order of messages.

// A SortKey is what SORT compares.
type SortKey uint8

// The keys of RFC 5256 §3 and RFC 5957 §4.
const (
	SortArrival SortKey = iota // INTERNALDATE
	SortDate                   // sent date
	SortSize                   // RFC822.SIZE
	SortSubject                // base subject
	SortFrom                   // mailbox of the first address
	SortTo
	SortCc
	SortDisplayFrom // display name of the first address
	SortDisplayTo
)

// A SortCriterion is a key and its direction.
type SortCriterion struct {
	Key     SortKey
	Reverse bool
}

// textOf is the column of a key that compares strings.
var textOf = map[SortKey]int{
	SortSubject: textSubject, SortFrom: textFrom, SortTo: textTo, SortCc: textCc,
	SortDisplayFrom: textDisplayFrom, SortDisplayTo: textDisplayTo,
}

// Sort gives msgs in the order of by, the first criterion being the most
// important; messages that are equal in all of them stay in the order of their
// numbers. The columns that it compares are made at first use, which may read
// files, and kept in memory. Errors: ctx's, and those of reading files; no lock
// is held meanwhile.
func (v *View) Sort(ctx context.Context, msgs Seqs, by []SortCriterion, opts SearchOptions) ([]SeqNum, error) {
	order := slices.AppendSeq(make([]SeqNum, 0, msgs.Len()), msgs.All())
	columns, err := v.sortKeys(ctx, order, by, &opts)
	if err != nil || len(order) < 2 {
		return order, err
	}
	perm := sortPerm(len(order), columns)
	sorted := make([]SeqNum, len(order))
	for i, at := range perm {
		sorted[i] = order[at]
	}
	return sorted, nil
}

// sortKeys makes numbers for each of by, in whose order msgs are to be.
func (v *View) sortKeys(ctx context.Context, msgs []SeqNum, by []SortCriterion, opts *SearchOptions) ([][]uint64, error) {
	columns := make([][]uint64, len(by))
	var need keySet
	for i, c := range by {
		columns[i] = make([]uint64, len(msgs))
		_, text := textOf[c.Key]
		switch {
		case text:
			need |= keyTexts
		case c.Key == SortDate:
			need |= keyDates
		default:
			if err := v.factKeys(ctx, msgs, c.Key, columns[i]); err != nil {
				return nil, err
			}
		}
	}
	if need != 0 {
		err := v.columns(ctx, msgs, need, opts, func(sc *sortColumns, texts *textColumn, _ *refColumn) {
			for i, c := range by {
				if field, ok := textOf[c.Key]; ok {
					v.textKeys(msgs, texts, field, opts.Descending, columns[i])
				} else if c.Key == SortDate {
					v.dateKeys(msgs, sc, columns[i])
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for i, c := range by {
		if c.Reverse {
			for k := range columns[i] {
				columns[i][k] = ^columns[i][k]
			}
		}
	}
	return columns, nil
}

// orderOf maps numbers with a sign to others in the same order.
func orderOf(n int64) uint64 { return uint64(n) ^ 1<<63 }

func (v *View) dateKeys(msgs []SeqNum, sc *sortColumns, out []uint64) {
	for i, n := range msgs {
		if row := v.row(n); row >= 0 {
			out[i] = orderOf(sc.dates[row])
		}
	}
}

func (v *View) textKeys(msgs []SeqNum, texts *textColumn, field int, descending bool, out []uint64) {
	rank := texts.ranks()
	for i, n := range msgs {
		row := v.row(n)
		if row < 0 {
			continue
		}
		out[i] = uint64(rank[texts.get(row)[field]&^replyBit])
		if descending {
			out[i] = uint64(len(rank)) - out[i]
		}
	}
}

// factKeys are those of ARRIVAL and SIZE, which the table of the index holds.
func (v *View) factKeys(ctx context.Context, msgs []SeqNum, key SortKey, out []uint64) error {
	for i, n := range msgs {
		row := v.row(n)
		if row < 0 {
			continue
		}
		var err error
		if key == SortSize {
			var size int64
			if size = v.ix.Size(row); size == index.UnknownSize {
				size, err = v.askSize(ctx, n)
			}
			out[i] = orderOf(size)
		} else {
			d := v.ix.Date(row)
			if !d.Known {
				d, err = v.askDate(ctx, n)
			}
			out[i] = orderOf(d.Sec)
		}
		if err != nil && !errors.Is(err, ErrExpunged) {
			return err
		}
	}
	v.note()
	return nil
}

func (v *View) askSize(ctx context.Context, n SeqNum) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c := v.content(n)
	defer c.Close()
	return c.Size()
}

func (v *View) askDate(ctx context.Context, n SeqNum) (index.Date, error) {
	if err := ctx.Err(); err != nil {
		return index.Date{}, err
	}
	c := v.content(n)
	defer c.Close()
	t, err := c.InternalDate()
	return index.DateOf(t), err
}

// sortPerm gives the order of n things by columns, the first of which counts
// most. It is stable: one pass of a stable sort for each, the last first.
func sortPerm(n int, columns [][]uint64) []int32 {
	perm := make([]int32, n)
	for i := range perm {
		perm[i] = int32(i)
	}
	if n < 2 {
		return perm
	}
	pairs := make([]keyed, 2*n)
	for c := len(columns) - 1; c >= 0; c-- {
		for i, at := range perm {
			pairs[i] = keyed{columns[c][at], at}
		}
		for i, p := range radixSort(pairs[:n], pairs[n:]) {
			perm[i] = p.at
		}
	}
	return perm
}

// keyed is the place of a thing with what it is sorted by.
type keyed struct {
	key uint64
	at  int32
}

// radixSort sorts a by key and keeps the order of equal ones; tmp is as long.
// The result is one of them. It takes a pass for each octet in which the keys
// differ.
func radixSort(a, tmp []keyed) []keyed {
	low, high, sorted := a[0].key, a[0].key, true
	for i := 1; i < len(a); i++ {
		sorted = sorted && a[i-1].key <= a[i].key
		low, high = min(low, a[i].key), max(high, a[i].key)
	}
	if sorted {
		return a
	}
	for shift := 0; shift < 64 && (high-low)>>shift != 0; shift += 8 {
		var start [256]int
		for i := range a {
			start[byte((a[i].key-low)>>shift)]++
		}
		sum := 0
		for d, n := range start {
			start[d] = sum
			sum += n
		}
		for i := range a {
			d := byte((a[i].key - low) >> shift)
			tmp[start[d]] = a[i]
			start[d]++
		}
		a, tmp = tmp, a
	}
	return a
}
