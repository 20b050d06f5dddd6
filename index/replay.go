package index

import (
	"bytes"
	"time"

	"github.com/emersion/go-imap/v2"
)

// The do functions make one change to memory. Apply calls them with a batch
// that was written, replay with what it reads. They accept what was done
// already: a compacted base may be newer than the frames behind it.

func (ix *Index) doFlags(r Row, f Flags, k KeywordSet, m ModSeq) {
	ix.setFlags(r, f, k, m)
}

func (ix *Index) doAgreed(r Row, n Name, base string) {
	if base != "" && base != ix.Base(r) {
		ix.setBase(r, base)
	}
	ix.setName(r, n)
}

// doExpunge removes uid, whose row is r or NoRow.
func (ix *Index) doExpunge(uid imap.UID, r Row, m ModSeq, u *ToUnlink, sec int64) {
	if r != NoRow {
		ix.expunge(r, m)
		delete(ix.st.pending, r)
	}
	ix.st.vanished = addVanished(ix.st.vanished, uid, m, sec)
	if u != nil {
		ix.st.unlink[uid] = *u
	}
}

// doJump makes the values of a jump those of the mailbox.
func (ix *Index) doJump(uidNext imap.UID, highest, expungeFloor, flagFloor ModSeq) {
	ix.raiseUIDNext(uidNext)
	ix.raiseHighest(highest)
	raise(&ix.expungeFloor, uint64(expungeFloor))
	raise(&ix.flagFloor, uint64(flagFloor))
	ix.forgetVanished()
	// The directories were proved equal to records that may be lost: they are
	// to be read again. Which ones they are is still known.
	ix.st.stamps = Stamps{New: Stamp{Ino: ix.st.stamps.New.Ino}, Cur: Stamp{Ino: ix.st.stamps.Cur.Ino}}
}

// forgetVanished drops the ranges at or below the expunge floor: they are
// never asked for again.
func (ix *Index) forgetVanished() {
	floor := ix.ExpungeFloor()
	list := ix.st.vanished
	for len(list) > 0 && list[0].modseq <= floor {
		list = list[1:]
	}
	if len(list) == 0 {
		list = nil
	}
	ix.st.vanished = list
}

// trim keeps the list of expunged UIDs within its bounds.
func (ix *Index) trim(sec int64) {
	if len(ix.st.vanished) <= keepRanges {
		return
	}
	var floor ModSeq
	if ix.st.vanished, floor = trimVanished(ix.st.vanished, sec); floor != 0 {
		raise(&ix.expungeFloor, uint64(floor))
	}
}

// Bounds of what is kept of a newer minor version.
const (
	maxUnknown     = 1024
	maxUnknownSize = 4096
)

// replayed is what replay tells beside the changes it makes.
type replayed struct {
	clean bool // a clean mark
	bad   bool // some item could not be read
}

// replayBatch makes the changes of the payload of a batch.
func (ix *Index) replayBatch(payload []byte, pos Pos, nanos int64) replayed {
	d := decoder{b: payload}
	m := ModSeq(d.num() & (1<<63 - 1))
	ix.raiseHighest(m)
	out := ix.replayItems(d.b, m, pos, nanos)
	out.bad = out.bad || d.bad
	return out
}

// replayItems makes the changes of items. The Index is not shared yet.
func (ix *Index) replayItems(payload []byte, m ModSeq, pos Pos, nanos int64) (out replayed) {
	for len(payload) > 0 {
		it, rest, ok := nextItem(payload)
		if !ok {
			out.bad = true
			break
		}
		payload = rest
		switch {
		case it.kind == itemClean:
			out.clean = true
		case it.kind == 0 || it.kind > lastItem:
			if len(ix.st.unknown) < maxUnknown && len(it.body) <= maxUnknownSize {
				ix.st.unknown = append(ix.st.unknown, item{it.kind, bytes.Clone(it.body)})
			}
		default:
			d := decoder{b: it.body}
			if it.kind <= itemExpunges {
				ix.replayMessages(it.kind, &d, m, pos, nanos/int64(time.Second))
			} else {
				ix.replayRest(it.kind, &d)
			}
			out.bad = out.bad || d.bad
		}
	}
	ix.trim(nanos / int64(time.Second))
	return out
}

// replayMessages reads items that change messages.
func (ix *Index) replayMessages(kind byte, d *decoder, m ModSeq, pos Pos, sec int64) {
	n := d.count()
	if kind == itemAdds {
		ix.reserve(n)
	}
	added := 0
	for range n {
		if d.bad {
			break
		}
		switch kind {
		case itemKeywords:
			id, name := d.octet(), d.str(MaxKeyword)
			if name != "" {
				ix.words.defineName(id, name)
			}
			continue
		case itemSets:
			set, ids := d.num(), d.str(MaxKeywords)
			if set < maxSets {
				ix.words.defineSet(KeywordSet(set), ids)
			}
			continue
		}
		uid := d.uidDelta()
		switch kind {
		case itemAdds:
			a := d.add()
			a.Keywords = ix.knownSet(a.Keywords)
			if r := Row(ix.Len() + added); !d.bad && uid >= ix.UIDNext() && validBase(a.Base) && ix.follows(r, uid) {
				ix.add(r, uid, m, &a)
				added++
				ix.raiseUIDNext(uid + 1)
			}
		case itemFlags:
			f, k := Flags(d.octet())&AllFlags, KeywordSet(d.num()&0xffffff)
			if r := ix.RowOf(uid); r != NoRow && !d.bad {
				ix.doFlags(r, f, ix.knownSet(k), m)
			}
		case itemRenames:
			from, to := d.name(), d.name()
			if r := ix.RowOf(uid); r != NoRow && !d.bad {
				ix.st.addOurs(r, from, pos)
				ix.st.addOurs(r, to, pos)
			}
		case itemAgreed:
			name, base := d.name(), d.str(maxBase)
			if base != "" && !validBase(base) {
				d.fail()
			}
			if r := ix.RowOf(uid); r != NoRow && !d.bad {
				ix.doAgreed(r, name, base)
			}
		case itemMeta:
			meta := Meta{Size: d.int(), Date: d.date(), SaveDate: unpackTime(uint32(d.num()))}
			if r := ix.RowOf(uid); r != NoRow && !d.bad {
				ix.setMeta(r, &meta)
			}
		case itemExpunges:
			var u *ToUnlink
			if d.octet() != 0 {
				entry := d.toUnlink(uid)
				u = &entry
			}
			if !d.bad {
				ix.raiseUIDNext(uid + 1)
				ix.doExpunge(uid, ix.RowOf(uid), m, u, sec)
			}
		}
	}
	ix.publish(added)
}

// follows reports whether uid is above that of the row before r.
func (ix *Index) follows(r Row, uid imap.UID) bool { return r == 0 || ix.UID(r-1) < uid }

// replayRest reads the other items.
func (ix *Index) replayRest(kind byte, d *decoder) {
	switch kind {
	case itemRecent:
		ix.st.recent = max(ix.st.recent, clampUID(d.num()))
		return
	case itemUIDNext:
		ix.raiseUIDNext(clampUID(d.num()))
		return
	case itemJump, itemScalars:
		d.num()
		next, highest := clampUID(d.num()), ModSeq(d.num())
		expunge, flag := ModSeq(d.num()), ModSeq(d.num())
		if d.bad || max(highest, expunge, flag) > maxModSeq {
			d.fail()
			return
		}
		ix.doJump(next, max(highest, expunge, flag), expunge, flag)
		if kind == itemScalars {
			ix.st.recent = clampUID(d.num())
			raise(&ix.lastIntent, d.num())
		}
		return
	}
	for range d.count() {
		if d.bad {
			break
		}
		ix.replayEntry(kind, d)
	}
}

// replayEntry reads one entry of a list.
func (ix *Index) replayEntry(kind byte, d *decoder) {
	switch kind {
	case itemUnlinked:
		delete(ix.st.unlink, d.uidDelta())
	case itemIntents:
		if in := d.intent(); !d.bad {
			for i := range in.Entries {
				in.Entries[i].Add.Keywords = ix.knownSet(in.Entries[i].Add.Keywords)
			}
			in.Entries = append(ix.st.intents[in.ID].Entries, in.Entries...) // a long one comes in pieces
			ix.st.intents[in.ID] = in
			raise(&ix.lastIntent, in.ID)
		}
	case itemIntentsDone:
		delete(ix.st.intents, d.num())
	case itemStamps:
		ix.st.stamps.New = ix.st.stamps.Cur // two entries: new/, then cur/
		ix.st.stamps.Cur = Stamp{Ino: d.num(), Mtime: d.int(), Ctime: d.int()}
	case itemRenamesSynced:
		uid, name := d.uidDelta(), d.name()
		if r := ix.RowOf(uid); r != NoRow && !d.bad {
			ix.setName(r, name)
			delete(ix.st.pending, r)
		}
	case itemVanished:
		first, more := d.uidDelta(), d.num()
		v := vanished{first: first, last: min(clampUID(uint64(first)+more&0xffffffff), maxUID-1), modseq: ModSeq(d.num()), sec: d.int()}
		n := len(ix.st.vanished)
		if !d.bad && v.modseq > ix.ExpungeFloor() && v.modseq <= maxModSeq && v.last >= v.first &&
			(n == 0 || ix.st.vanished[n-1].modseq <= v.modseq) {
			ix.st.vanished = append(ix.st.vanished, v)
			ix.raiseUIDNext(v.last + 1)
			ix.raiseHighest(v.modseq)
		}
	case itemToUnlink:
		uid := d.uidDelta()
		if u := d.toUnlink(uid); !d.bad {
			ix.raiseUIDNext(uid + 1)
			ix.st.unlink[uid] = u
		}
	case itemExact:
		uid, text := d.uidDelta(), d.str(maxBase)
		if r := ix.RowOf(uid); r != NoRow && !d.bad {
			ix.setExact(r, text)
		}
	case itemOurs:
		r := ix.RowOf(d.uidDelta())
		for range d.count() {
			if n := d.name(); r != NoRow && !d.bad {
				ix.st.addOurs(r, n, 0)
			}
		}
	}
}

// knownSet is k, or the empty set if its definition was lost.
func (ix *Index) knownSet(k KeywordSet) KeywordSet {
	if int(k) < len(ix.words.ids) {
		return k
	}
	return 0
}
