package index

import (
	"fmt"
	"strings"
	"time"
)

// Apply records b and publishes it in one step. It does not wait until the
// record is durable: nothing of it may be told before Wait(Pos) returned. On
// any error nothing happened. ENOSPC and EDQUOT are temporary; a full disk
// still takes expunges, removed flags and the to-unlink list for a while.
// Writer only.
func (ix *Index) Apply(b *Batch) (Applied, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if err := ix.writable(); err != nil {
		return Applied{}, err
	}
	if err := ix.validate(b); err != nil {
		return Applied{}, err
	}
	out := Applied{First: Row(ix.Len())}
	if b.nAdds()+len(b.Flags)+len(b.Expunges) > 0 {
		out.ModSeq = ix.HighestModSeq() + 1
		if out.ModSeq > maxModSeq {
			return Applied{}, fmt.Errorf("%w: mod-sequences ran out", ErrBatch)
		}
	}
	ix.payload.b = ix.payload.b[:0]
	ix.encodeBatch(&ix.payload, b, out.ModSeq, ix.recording())
	if len(ix.payload.b) <= 1 && b.nAdds() == 0 && !b.Heartbeat { // only the mod-sequence 0
		out.Pos = Pos(ix.seq)
		return out, nil
	}
	now := ix.opt.Now().UnixNano()
	if err := ix.write(ix.payload.b, now, ix.frees(b), flagsOnly(b)); err != nil {
		return Applied{}, err
	}
	ix.definedNames, ix.definedSets = len(*ix.words.names.Load()), len(ix.words.ids)
	out.Pos = Pos(ix.seq)
	ix.publishBatch(b, out, now/int64(time.Second))
	if cap(ix.payload.b) > keepBuffer {
		ix.payload.b = nil
	}
	return out, nil
}

// recording reports whether a batch is written down now. If it is not, the file
// that is made for the next Wait holds it. mu must be held.
func (ix *Index) recording() bool { return ix.file != nil && !ix.needFile || ix.shadowing }

// keepBuffer is the largest buffer that is kept for the next batch.
const keepBuffer = 1 << 20

// writable tells why nothing can be written. mu must be held.
func (ix *Index) writable() error {
	switch {
	case ix.closed:
		return ErrClosed
	case ix.err != nil:
		return ix.err
	case ix.readOnly != nil:
		return fmt.Errorf("%w: %w", ErrReadOnly, ix.readOnly)
	}
	return nil
}

// validate checks b against the table before anything happens.
func (ix *Index) validate(b *Batch) error {
	n := Row(ix.Len())
	bad := func(r Row) bool { return r < 0 || r >= n || ix.Gone(r) }
	sets := KeywordSet(len(ix.words.ids))
	for _, f := range b.Flags {
		if bad(f.Row) || f.Keywords >= sets {
			return fmt.Errorf("%w: flags of row %d", ErrBatch, f.Row)
		}
	}
	for _, r := range b.Renames {
		if bad(r.Row) || len(r.To.Exact) > maxBase {
			return fmt.Errorf("%w: rename of row %d", ErrBatch, r.Row)
		}
	}
	for _, a := range b.Agreed {
		if bad(a.Row) || len(a.Name.Exact) > maxBase || a.Base != "" && !validBase(a.Base) {
			return fmt.Errorf("%w: name of row %d", ErrBatch, a.Row)
		}
	}
	for _, m := range b.Meta {
		if bad(m.Row) {
			return fmt.Errorf("%w: facts of row %d", ErrBatch, m.Row)
		}
	}
	for _, x := range b.Expunges {
		if bad(x.Row) {
			return fmt.Errorf("%w: expunge of row %d", ErrBatch, x.Row)
		}
	}
	for _, uid := range b.Unlinked {
		if uid == 0 {
			return fmt.Errorf("%w: UID 0", ErrBatch)
		}
	}
	for i := range b.Intents {
		if len(b.Intents[i].From) > maxBase {
			return fmt.Errorf("%w: intent", ErrBatch)
		}
		for k := range b.Intents[i].Entries {
			en := &b.Intents[i].Entries[k]
			if !validAdd(&en.Add, sets) || len(en.Source) > maxBase {
				return fmt.Errorf("%w: intent for %q", ErrBatch, en.Add.Base)
			}
		}
	}
	return ix.validateUIDs(b, sets)
}

// validateUIDs checks what is added and whether UIDs are left for it.
func (ix *Index) validateUIDs(b *Batch, sets KeywordSet) error {
	if b.nAdds() > maxRows-ix.Len() {
		return fmt.Errorf("%w: too many messages", ErrBatch)
	}
	next := ix.UIDNext()
	return b.eachAdd(func(a *Add) error {
		if !validAdd(a, sets) {
			return fmt.Errorf("%w: add %q", ErrBatch, a.Base)
		}
		if a.UID != 0 && a.UID < next {
			return fmt.Errorf("%w: UID %d, UIDNEXT %d", ErrUIDOrder, a.UID, next)
		}
		next = max(next, a.UID)
		if next >= maxUID {
			return ErrNoUIDs
		}
		next++
		return nil
	})
}

// maxRows keeps a Row in its type.
const maxRows = 1<<31 - 1 - segmentRows

func validAdd(a *Add, sets KeywordSet) bool {
	return validBase(a.Base) && len(a.Name.Exact) <= maxBase && a.Keywords < sets
}

func validBase(s string) bool {
	return s != "" && len(s) <= maxBase && strings.IndexByte(s, '/') < 0 && strings.IndexByte(s, 0) < 0
}

// frees reports whether b helps to empty a full disk: it may use the reserve.
// To set \Deleted counts, for without it nothing can be expunged.
func (ix *Index) frees(b *Batch) bool {
	if b.nAdds()+len(b.Intents)+len(b.Agreed)+len(b.Meta) > 0 || b.Heartbeat {
		return false
	}
	for _, f := range b.Flags {
		if f.Flags&^(ix.Flags(f.Row)|Deleted) != 0 || !ix.words.within(f.Keywords, ix.Keywords(f.Row)) {
			return false
		}
	}
	return len(b.Flags)+len(b.Expunges)+len(b.Unlinked)+len(b.IntentsDone) > 0 || b.RenamesSynced != 0
}

// flagsOnly reports whether b need not be waited for in FsyncMessages.
func flagsOnly(b *Batch) bool {
	return b.nAdds()+len(b.Expunges)+len(b.Unlinked)+len(b.Intents)+len(b.IntentsDone) == 0 && b.UIDNext == 0
}

// publishBatch makes the changes of b, which was written, in memory.
func (ix *Index) publishBatch(b *Batch, at Applied, sec int64) {
	ix.publishAdds(b, at.ModSeq)
	for _, f := range b.Flags {
		ix.doFlags(f.Row, f.Flags&AllFlags, f.Keywords, at.ModSeq)
	}
	if len(b.Renames)+len(b.Expunges)+len(b.Unlinked)+len(b.Intents)+len(b.IntentsDone) > 0 ||
		b.FirstRecent != 0 || b.Stamps != nil || b.RenamesSynced != 0 {
		ix.publishState(b, at, sec)
	}
	for i := range b.Agreed {
		ix.doAgreed(b.Agreed[i].Row, b.Agreed[i].Name, b.Agreed[i].Base)
	}
	for i := range b.Meta {
		ix.setMeta(b.Meta[i].Row, &b.Meta[i])
	}
	ix.raiseUIDNext(clampUID(uint64(b.UIDNext)))
	ix.raiseHighest(at.ModSeq)
}

func (ix *Index) publishAdds(b *Batch, m ModSeq) {
	n := b.nAdds()
	if n == 0 {
		return
	}
	ix.reserve(n)
	next, r := ix.UIDNext(), Row(ix.Len())
	for i := range b.Adds {
		uid := max(next, b.Adds[i].UID)
		ix.add(r, uid, m, &b.Adds[i])
		next = uid + 1
		r++
	}
	if b.Bulk != nil {
		next = ix.addBulk(r, next, m, b.Bulk)
	}
	ix.raiseUIDNext(next)
	ix.publish(n)
}

// publishState makes the changes that stateMu guards.
func (ix *Index) publishState(b *Batch, at Applied, sec int64) {
	var synced []Row
	if b.RenamesSynced != 0 {
		synced = ix.pendingUpTo(b.RenamesSynced)
	}
	ix.stateMu.Lock()
	defer ix.stateMu.Unlock()
	for _, r := range synced {
		delete(ix.st.pending, r)
	}
	for _, r := range b.Renames {
		ix.st.addOurs(r.Row, ix.Name(r.Row), at.Pos)
		ix.st.addOurs(r.Row, r.To, at.Pos)
	}
	for _, x := range b.Expunges {
		if ix.Gone(x.Row) {
			continue // twice in one batch
		}
		var u *ToUnlink
		if x.Unlink {
			entry := ix.entryFor(x)
			entry.Base = strings.Clone(entry.Base)
			u = &entry
		}
		ix.doExpunge(ix.UID(x.Row), x.Row, at.ModSeq, u, sec)
	}
	ix.trim(sec)
	for _, uid := range b.Unlinked {
		delete(ix.st.unlink, uid)
	}
	for _, in := range b.Intents {
		ix.st.intents[in.ID] = cloneIntent(in)
	}
	for _, id := range b.IntentsDone {
		delete(ix.st.intents, id)
	}
	ix.st.recent = max(ix.st.recent, b.FirstRecent)
	if b.Stamps != nil {
		ix.st.stamps = *b.Stamps
	}
}

// cloneIntent frees the caller's slice.
func cloneIntent(in Intent) Intent {
	in.Entries = append([]IntentEntry(nil), in.Entries...)
	return in
}
