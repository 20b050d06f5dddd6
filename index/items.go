package index

import (
	"maps"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// The kinds of items. FORMAT.md has their bodies. A number is never used again
// for something else; kinds that a reader does not know are kept.
const (
	itemKeywords      = 1
	itemSets          = 2
	itemAdds          = 3
	itemFlags         = 4
	itemRenames       = 5
	itemAgreed        = 6
	itemMeta          = 7
	itemExpunges      = 8
	itemUnlinked      = 9
	itemIntents       = 10
	itemIntentsDone   = 11
	itemRecent        = 12
	itemStamps        = 13
	itemUIDNext       = 14
	itemRenamesSynced = 15
	itemJump          = 16
	itemClean         = 17
	itemVanished      = 18 // base only, as are those that follow
	itemToUnlink      = 19
	itemScalars       = 20
	itemExact         = 21
	itemOurs          = 22

	lastItem = itemOurs
)

// addRoom is what an Add mostly takes beside its base.
const addRoom = 24

// encodeBatch appends the payload of b to e: the mod-sequence, then items.
// It leaves out what is added if nobody reads that.
func (ix *Index) encodeBatch(e *encoder, b *Batch, m ModSeq, adds bool) {
	e.num(uint64(m))
	ix.encodeWords(e, ix.definedNames, ix.definedSets)
	if adds && b.nAdds() > 0 {
		ix.encodeAdds(e, b)
	}
	if len(b.Flags) > 0 {
		e.begin(itemFlags, len(b.Flags))
		for _, f := range b.Flags {
			e.uidDelta(ix.UID(f.Row))
			e.octet(byte(f.Flags & AllFlags))
			e.num(uint64(f.Keywords))
		}
		e.end()
	}
	if b.RenamesSynced != 0 {
		if rows := ix.pendingUpTo(b.RenamesSynced); len(rows) > 0 {
			e.begin(itemRenamesSynced, len(rows))
			for _, r := range rows {
				e.uidDelta(ix.UID(r))
				e.name(ix.Name(r))
			}
			e.end()
		}
	}
	if len(b.Renames) > 0 {
		e.begin(itemRenames, len(b.Renames))
		for _, r := range b.Renames {
			e.uidDelta(ix.UID(r.Row))
			e.name(ix.Name(r.Row))
			e.name(r.To)
		}
		e.end()
	}
	if len(b.Agreed) > 0 {
		e.begin(itemAgreed, len(b.Agreed))
		for _, a := range b.Agreed {
			e.uidDelta(ix.UID(a.Row))
			e.name(a.Name)
			e.str(a.Base)
		}
		e.end()
	}
	if len(b.Meta) > 0 {
		e.begin(itemMeta, len(b.Meta))
		for _, m := range b.Meta {
			e.uidDelta(ix.UID(m.Row))
			e.int(max(m.Size, UnknownSize))
			e.date(m.Date)
			e.num(uint64(packTime(m.SaveDate)))
		}
		e.end()
	}
	if len(b.Expunges) > 0 {
		e.begin(itemExpunges, len(b.Expunges))
		for _, x := range b.Expunges {
			e.uidDelta(ix.UID(x.Row))
			if !x.Unlink {
				e.octet(0)
				continue
			}
			e.octet(1)
			e.toUnlink(ix.entryFor(x))
		}
		e.end()
	}
	ix.encodeRest(e, b)
}

func (ix *Index) encodeAdds(e *encoder, b *Batch) {
	room := addRoom * b.nAdds()
	for i := range b.Adds {
		room += len(b.Adds[i].Base)
	}
	if b.Bulk != nil {
		room += len(b.Bulk.Names)
	}
	e.b = slices.Grow(e.b, room)
	e.begin(itemAdds, b.nAdds())
	next := ix.UIDNext()
	_ = b.eachAdd(func(a *Add) error { // which has no error
		uid := max(next, a.UID)
		e.uidDelta(uid)
		e.add(a)
		next = uid + 1
		return nil
	})
	e.end()
}

// encodeRest appends what is not about messages in the table.
func (ix *Index) encodeRest(e *encoder, b *Batch) {
	if len(b.Unlinked) > 0 {
		e.begin(itemUnlinked, len(b.Unlinked))
		for _, uid := range b.Unlinked {
			e.uidDelta(uid)
		}
		e.end()
	}
	if len(b.Intents) > 0 {
		e.begin(itemIntents, len(b.Intents))
		for i := range b.Intents {
			e.intent(&b.Intents[i])
		}
		e.end()
	}
	if len(b.IntentsDone) > 0 {
		e.begin(itemIntentsDone, len(b.IntentsDone))
		for _, id := range b.IntentsDone {
			e.num(id)
		}
		e.end()
	}
	if b.FirstRecent != 0 {
		e.begin(itemRecent, int(b.FirstRecent))
		e.end()
	}
	if b.Stamps != nil {
		e.stamps(*b.Stamps)
	}
	if b.UIDNext != 0 {
		e.begin(itemUIDNext, int(b.UIDNext))
		e.end()
	}
}

func (e *encoder) toUnlink(u ToUnlink) {
	e.str(u.Base)
	e.name(u.Name)
	e.int(u.Size)
	e.mtime(u.Mtime)
}

func (d *decoder) toUnlink(uid imap.UID) ToUnlink {
	u := ToUnlink{UID: uid, Base: d.str(maxBase), Name: d.name(), Size: d.int(), Mtime: d.mtime()}
	if !validBase(u.Base) {
		d.fail()
	}
	return u
}

func (e *encoder) intent(in *Intent) {
	e.num(in.ID)
	e.octet(in.Kind)
	e.str(in.From)
	e.num(uint64(len(in.Entries)))
	for i := range in.Entries {
		e.add(&in.Entries[i].Add)
		e.str(in.Entries[i].Source)
	}
}

func (d *decoder) intent() Intent {
	in := Intent{ID: d.num(), Kind: d.octet(), From: d.str(maxBase)}
	for range d.count() {
		if d.bad {
			break
		}
		in.Entries = append(in.Entries, IntentEntry{Add: d.add(), Source: d.str(maxBase)})
	}
	return in
}

func (e *encoder) stamps(s Stamps) {
	e.begin(itemStamps, 2)
	for _, s := range [...]Stamp{s.New, s.Cur} {
		e.num(s.Ino)
		e.int(s.Mtime)
		e.int(s.Ctime)
	}
	e.end()
}

// encodeWords appends the definitions of names from the given one on, and of sets.
func (ix *Index) encodeWords(e *encoder, fromName, fromSet int) {
	if names := *ix.words.names.Load(); len(names) > fromName {
		e.begin(itemKeywords, len(names)-fromName)
		for i, name := range names[fromName:] {
			e.octet(byte(fromName + i))
			e.str(name)
		}
		e.end()
	}
	if ids := ix.words.ids; len(ids) > fromSet {
		e.begin(itemSets, len(ids)-fromSet)
		for i, set := range ids[fromSet:] {
			e.num(uint64(fromSet + i))
			e.str(set)
		}
		e.end()
	}
}

// entryFor is the to-unlink entry of x.
func (ix *Index) entryFor(x Expunge) ToUnlink {
	return ToUnlink{UID: ix.UID(x.Row), Base: ix.Base(x.Row), Name: ix.Name(x.Row), Size: x.Size, Mtime: x.Mtime}
}

// pendingUpTo gives the rows whose renames were all announced up to pos.
func (ix *Index) pendingUpTo(pos Pos) []Row {
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	var rows []Row
	for r, p := range ix.st.pending {
		if p.pos <= pos {
			rows = append(rows, r)
		}
	}
	slices.Sort(rows)
	return rows
}

// encodeLists gives the payloads of the sections behind the rows: everything
// that grows, in steps. Writer excluded.
func (ix *Index) encodeLists() [][]byte {
	var out [][]byte
	var e encoder
	flush := func(least int) {
		if len(e.b) > least {
			out = append(out, e.b)
			e = encoder{}
		}
	}
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	for chunk := range slices.Chunk(ix.st.vanished, itemsPerStep) {
		e.begin(itemVanished, len(chunk))
		for _, v := range chunk {
			e.uidDelta(v.first)
			e.num(uint64(v.last - v.first))
			e.num(uint64(v.modseq))
			e.int(v.sec)
		}
		e.end()
		flush(1 << 16)
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ix.st.unlink)), itemsPerStep) {
		e.begin(itemToUnlink, len(chunk))
		for _, uid := range chunk {
			e.uidDelta(uid)
			e.toUnlink(ix.st.unlink[uid])
		}
		e.end()
		flush(1 << 16)
	}
	for _, id := range slices.Sorted(maps.Keys(ix.st.intents)) {
		in := ix.st.intents[id]
		for rest := in.Entries; ; { // a long one comes in pieces
			in.Entries = rest[:min(len(rest), itemsPerStep)]
			rest = rest[len(in.Entries):]
			e.begin(itemIntents, 1)
			e.intent(&in)
			e.end()
			flush(1 << 16)
			if len(rest) == 0 {
				break
			}
		}
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ix.st.pending)), itemsPerStep) {
		e.begin(itemOurs, len(chunk))
		for _, r := range chunk {
			names := ix.st.pending[r].names
			e.uidDelta(ix.UID(r))
			e.num(uint64(len(names)))
			for _, n := range names {
				e.name(n)
			}
		}
		e.end()
		flush(1 << 16)
	}
	for _, it := range ix.st.unknown {
		e.begin(it.kind, 0)
		e.b = append(e.b[:e.start], it.body...)
		e.end()
		flush(1 << 16)
	}
	ix.exactMu.RLock()
	defer ix.exactMu.RUnlock()
	rows := slices.DeleteFunc(slices.Sorted(maps.Keys(ix.exact)), ix.Gone)
	for chunk := range slices.Chunk(rows, itemsPerStep) {
		e.begin(itemExact, len(chunk))
		for _, r := range chunk {
			e.uidDelta(ix.UID(r))
			e.str(ix.exact[r])
		}
		e.end()
		flush(1 << 16)
	}
	flush(0)
	return out
}

// encodeScalars gives the payload of the section before the rows.
func (ix *Index) encodeScalars() []byte {
	var e encoder
	ix.encodeWords(&e, 0, 1)
	e.begin(itemScalars, 6)
	e.num(uint64(ix.UIDNext()))
	e.num(uint64(ix.HighestModSeq()))
	e.num(uint64(ix.ExpungeFloor()))
	e.num(uint64(ix.FlagFloor()))
	e.num(uint64(ix.FirstRecent()))
	e.num(ix.lastIntent.Load())
	e.end()
	e.stamps(ix.Stamps())
	return e.b
}
