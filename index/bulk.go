package index

import (
	"unsafe"

	"github.com/emersion/go-imap/v2"
)

// A Bulk is many Adds in little memory: those of a first load, of which only
// the names of the files are known.
type Bulk struct {
	Names []byte // the bases, one after the other
	Heads []BulkHead
	Exact map[int]string // Name.Exact of those with ExactInfo, by place in Heads
}

// A BulkHead is one message of a Bulk, but for its base.
type BulkHead struct {
	Letters  Letters
	Keywords KeywordSet
	Flags    Flags
	Where    Where
	Len      uint8 // of the base, in octets
}

// at gives message i, whose base begins at octet off of Names. Its Base is a
// part of Names, which never change from now on; it is empty if they end before.
func (k *Bulk) at(i, off int, a *Add) {
	h := &k.Heads[i]
	*a = Add{
		Name: Name{Letters: h.Letters, Where: h.Where}, Flags: h.Flags, Keywords: h.Keywords, Size: UnknownSize,
	}
	if off+int(h.Len) <= len(k.Names) {
		a.Base = unsafe.String(unsafe.SliceData(k.Names[off:]), int(h.Len))
	}
	if h.Where&ExactInfo != 0 {
		a.Name.Exact = k.Exact[i]
	}
}

// eachAdd calls f with every message that b adds, in order, until it gives an
// error. What it is given is f's only until it returns.
func (b *Batch) eachAdd(f func(a *Add) error) error {
	for i := range b.Adds {
		if err := f(&b.Adds[i]); err != nil {
			return err
		}
	}
	if b.Bulk == nil {
		return nil
	}
	var a Add
	off := 0
	for i := range b.Bulk.Heads {
		b.Bulk.at(i, off, &a)
		if err := f(&a); err != nil {
			return err
		}
		off += int(b.Bulk.Heads[i].Len)
	}
	return nil
}

// nAdds is the number of messages that b adds.
func (b *Batch) nAdds() int {
	if b.Bulk == nil {
		return len(b.Adds)
	}
	return len(b.Adds) + len(b.Bulk.Heads)
}

// addBulk appends the rows of k, the first of which is r and gets uid, and gives
// the UID behind the last. reserve has made room; publish makes them visible.
func (t *table) addBulk(r Row, uid imap.UID, m ModSeq, k *Bulk) imap.UID {
	var a Add
	off, start := 0, -1 // of the names of this segment; -1: it had some before
	for i := range k.Heads {
		k.at(i, off, &a)
		s, j := t.seg(r)
		if j == 0 {
			start = off
		}
		if start < 0 {
			t.add(r, uid, m, &a)
		} else {
			t.addRow(s, j, r, uid, m, &a)
			s.base[j] = uint32(off-start)<<8 | uint32(len(a.Base))
			end := off + len(a.Base)
			s.block = k.Names[start:end:end]
		}
		off += len(a.Base)
		uid++
		r++
	}
	return uid
}
