package mailbox

import (
	"bytes"
	"math"
	"slices"

	"roost/index"
	"roost/maildir"
	"roost/slab"
)

// This file makes messages of many listed names without a look at the files:
// there are too many, or nobody else can be at work here.

// publishMany makes messages of the names in list, which are of no message, and
// gives back those that need a look.
func (mb *Mailbox) publishMany(list []int32) (again []hint, err error) {
	l := &mb.files.listing
	if mb.files.gone != nil { // any of them may be a message under another base
		for _, i := range list {
			name, p := l.File(int(i))
			again = append(again, hint{place: p, name: string(name)})
		}
		return again, nil
	}
	list = sortNames(l, list)
	if mb.files.adopted != nil {
		again, err = mb.publishAdopted(list)
	} else {
		again, err = mb.publishNames(list)
	}
	if err == nil && mb.files.first {
		mb.recentOfFirst()
	}
	return again, err
}

// needsLookLocked reports that it is not certain what a listed name is: the file
// of an expunged message, or, in a sorted list, the second one of the base last.
// mb.mu must be held.
func (mb *Mailbox) needsLookLocked(n maildir.Name, last []byte) bool {
	return bytes.Equal(n.Base, last) || len(mb.work.unlink) > 0
}

// publishAdopted makes arrivals of names, for another server's UIDs to be put in.
func (mb *Mailbox) publishAdopted(list []int32) (again []hint, err error) {
	l := &mb.files.listing
	f := &found{arrivals: make([]arrival, 0, len(list))}
	var last []byte
	for _, i := range list {
		n, p := l.At(int(i))
		mb.mu.Lock()
		look := mb.needsLookLocked(n, last)
		mb.mu.Unlock()
		if last = n.Base; look {
			again = append(again, hint{place: p, name: n.String()})
			continue
		}
		f.arrivals = append(f.arrivals, arrival{add: index.Add{
			Base: string(n.Base), Name: indexName(n, p), Size: index.UnknownSize,
		}, print: l.Inode(int(i))})
	}
	mb.adoptArrivals(f)
	_, err = mb.publishFound(f)
	return again, err
}

// namesAhead is how many names are fetched into the processor's cache before
// they are looked at in an order that is not theirs.
const namesAhead = 64

// publishNames is publishFound for names that nobody looked at: the index gets
// them all at once, without an arrival for each, which would be much memory.
func (mb *Mailbox) publishNames(list []int32) (again []hint, err error) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.ended != nil {
		return nil, mb.ended
	}
	l := &mb.files.listing
	if mb.ix.Len() == 0 {
		mb.bases = nil // SELECT need not wait for it
	}
	var b index.Batch
	m := mb.newMergeLocked(&b)
	k := &index.Bulk{Names: slab.Make[byte](l.Octets(list))[:0], Heads: slab.Make[index.BulkHead](len(list))[:0]}
	b.Bulk = k
	kept := list[:0]
	var last []byte
	for j, i := range list {
		if j%namesAhead == 0 {
			l.Fetch(list[j:min(j+namesAhead, len(list))])
		}
		n, p := l.At(int(i))
		if mb.needsLookLocked(n, last) {
			again = append(again, hint{place: p, name: n.String()})
			continue
		}
		last = n.Base
		if mb.isKnownLocked(n.Base) {
			continue // published meanwhile, or about to be
		}
		name := indexName(n, p)
		head := index.BulkHead{Letters: name.Letters, Where: name.Where, Len: uint8(len(n.Base))}
		head.Flags, head.Keywords = m.ofLetters(name.Letters)
		if name.Exact != "" {
			if k.Exact == nil {
				k.Exact = map[int]string{}
			}
			k.Exact[len(k.Heads)] = name.Exact
		}
		k.Names = append(k.Names, n.Base...)
		k.Heads = append(k.Heads, head)
		kept = append(kept, i)
	}
	if len(kept) == 0 {
		return again, nil
	}
	a, err := mb.addLocked(&b, nil)
	if err != nil {
		return nil, err
	}
	mb.count.Arrived.Add(uint64(len(kept)))
	if mb.inodes.told {
		for j, i := range kept {
			mb.inodes.set(a.First+index.Row(j), l.Inode(int(i)))
		}
	}
	return again, nil
}

// isKnownLocked reports that base is a message, or that an addition is bringing
// it. mb.mu must be held.
func (mb *Mailbox) isKnownLocked(base []byte) bool {
	if len(mb.work.reserved) > 0 {
		if _, reserved := mb.work.reserved[string(base)]; reserved {
			return true
		}
	}
	return mb.ix.Len() > 0 && mb.basesLocked().find(mb.ix, base) != index.NoRow
}

// recentOfFirst makes \Recent what lies in new/ when a mailbox is indexed for
// the first time.
func (mb *Mailbox) recentOfFirst() {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	mb.firstRecent = mb.ix.UIDNext()
	if len(mb.work.inNew) == 0 {
		mb.recentExtra = nil
		return
	}
	var extra uidRanges
	mb.ix.EachInNew(0, func(row index.Row) {
		uid := mb.ix.UID(row)
		extra = extra.add(uidRange{uid, uid + 1})
	})
	if k := len(extra); k > 0 && extra[k-1].To == mb.firstRecent {
		mb.firstRecent = extra[k-1].From // lasts, by the mark in the journal
		extra = extra[:k-1]
	}
	mb.recentExtra = extra
}

// A name is sorted by one word: the number that it begins with, as far as that
// is below 2^38 (the year 10680), and its place in the listing. Most names are
// in order by that without a look at them.
const (
	placeBits = 26 // maildir lists no more names than that
	placeMask = 1<<placeBits - 1
	mostTime  = 1<<(64-placeBits) - 1
)

// sortNames sorts names of l, which are in the order of the listing, by rule U1;
// of two with one base that in cur/ is first (R3).
func sortNames(l *maildir.Listing, list []int32) []int32 {
	keys := slab.Make[uint64](len(list))
	for k, i := range list {
		n, _ := l.At(int(i))
		keys[k] = min(leadingNumber(n.Base), mostTime)<<placeBits | uint64(i)
	}
	keys = sortKeys(keys)
	for k, key := range keys {
		list[k] = int32(key & placeMask)
	}
	for from := 0; from < len(keys); {
		to := from + 1
		for to < len(keys) && keys[to]>>placeBits == keys[from]>>placeBits {
			to++
		}
		if to-from > 1 {
			sortSame(l, list[from:to])
		}
		from = to
	}
	return list
}

// sortKeys sorts keys whose places ascend: digit by digit of the number, from
// the lowest, leaving out those that are the same everywhere.
func sortKeys(keys []uint64) []uint64 {
	const digit = 11
	if len(keys) < 1<<digit {
		slices.Sort(keys)
		return keys
	}
	every, some := ^uint64(0), uint64(0)
	for _, k := range keys {
		every &= k
		some |= k
	}
	other := slab.Make[uint64](len(keys))
	for shift := placeBits; shift < 64; shift += digit {
		if (every^some)>>shift&(1<<digit-1) == 0 {
			continue
		}
		var at [1 << digit]int32
		for _, k := range keys {
			at[k>>shift&(1<<digit-1)]++
		}
		sum := int32(0)
		for d := range at {
			at[d], sum = sum, sum+at[d]
		}
		for _, k := range keys {
			d := k >> shift & (1<<digit - 1)
			other[at[d]] = k
			at[d]++
		}
		keys, other = other, keys
	}
	return keys
}

// sortSame sorts names that begin with the same number.
func sortSame(l *maildir.Listing, list []int32) {
	slices.SortFunc(list, func(a, b int32) int {
		x, p := l.At(int(a))
		y, q := l.At(int(b))
		if c := maildir.CompareBase(x.Base, y.Base); c != 0 {
			return c
		}
		return int(q) - int(p)
	})
}

// leadingNumber is the number that a base begins with; all that are too large
// are one.
func leadingNumber(base []byte) (n uint64) {
	for _, c := range base {
		if c < '0' || c > '9' {
			break
		}
		if n >= math.MaxUint64/10-1 {
			return math.MaxUint64
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}
