package mailbox

import (
	"context"
	"fmt"
	"slices"

	"roost/index"
)

// beginLocked is why v can do nothing to its mailbox; nil if it can. mb.mu must
// be held.
func (v *View) beginLocked() error {
	if v.dropped.Load() || v.ix != v.mb.ix {
		return ErrGone
	}
	return v.mb.stateLocked()
}

// writeLocked is beginLocked for what changes something.
func (v *View) writeLocked() error {
	if err := v.beginLocked(); err != nil {
		return err
	}
	if v.readOnly {
		return ErrReadOnly
	}
	return v.mb.writableLocked()
}

// mayLocked is writeLocked for what needs rights. mb.mu must be held.
func (v *View) mayLocked(need Rights) error {
	if err := v.writeLocked(); err != nil {
		return err
	}
	if !v.Rights().Has(need) {
		return ErrPermission
	}
	return nil
}

// Store is STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3). The caller reports Stored;
// Sync does not tell these changes again unless others changed the messages
// too. The change is in the journal and the files are renamed on return; a file
// that could not be renamed is tried again later.
func (v *View) Store(ctx context.Context, msgs Seqs, op StoreOp) (StoreResult, error) {
	mb := v.mb
	op, err := v.permitted(op)
	if err != nil {
		return StoreResult{}, err
	}
	if op.Mode != StoreRemove {
		mb.giveLetters(ctx, op.Keywords)
	}
	res, jobs, err := v.storeRecord(msgs, op)
	if err != nil {
		return StoreResult{}, err
	}
	v.note()
	mb.doRenames(ctx, jobs)
	return res, nil
}

// storeRecord makes the record of a STORE and publishes it.
func (v *View) storeRecord(msgs Seqs, op StoreOp) (res StoreResult, jobs []renameJob, err error) {
	mb := v.mb
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if err := v.writeLocked(); err != nil {
		return res, nil, err
	}
	words, err := mb.newWordOp(op)
	if err != nil {
		return res, nil, err
	}
	var b index.Batch
	var log []change
	res.Stored = make([]Message, 0, msgs.Len())
	for n := range msgs.All() {
		row := v.row(n)
		switch {
		case row < 0:
			continue
		case v.ix.Gone(row):
			res.Expunged = res.Expunged.Add(n)
			continue
		case !v.unchangedLocked(row, op):
			res.Modified = res.Modified.Add(n)
			continue
		}
		m := Message{Seq: n, UID: v.ix.UID(row)}
		m.ModSeq, m.Flags, m.Keywords = v.ix.State(row)
		m.Recent = len(v.recent) > 0 && v.recent.has(m.UID)
		f, k := op.apply(m.Flags), m.Keywords
		if k, err = words.apply(k); err != nil {
			mb.unannounceLocked(jobs)
			return StoreResult{}, nil, err
		}
		if f != m.Flags || k != m.Keywords {
			b.Flags = append(b.Flags, index.FlagChange{Row: row, Flags: f, Keywords: k})
			log = append(log, change{row: row, by: v, flags: f ^ m.Flags, words: k != m.Keywords})
			jobs = mb.announceLocked(&b, jobs, row, f, k)
			m.Flags, m.Keywords, m.ModSeq = f, k, 0 // filled in below
		}
		res.Stored = append(res.Stored, m)
	}
	if len(b.Flags) == 0 {
		return res, nil, nil
	}
	a, err := mb.applyLocked(&b)
	if err != nil {
		mb.unannounceLocked(jobs)
		return StoreResult{}, nil, err
	}
	current := v.cursor == mb.changes.next && !v.wantNew
	for i := range log {
		log[i].modSeq = a.ModSeq
		mb.changes.add(log[i])
	}
	if current { // more than the log holds must not look like changes by others
		v.cursor = mb.changes.next
	}
	for i := range res.Stored {
		if res.Stored[i].ModSeq == 0 {
			res.Stored[i].ModSeq = a.ModSeq
		}
	}
	res.Changed = true
	mb.publishLocked(v)
	return res, jobs, nil
}

// apply is what op makes of system flags.
func (op *StoreOp) apply(f index.Flags) index.Flags {
	switch op.Mode {
	case StoreAdd:
		return f | op.Flags
	case StoreRemove:
		return f &^ op.Flags
	}
	return f&op.kept | op.Flags
}

// permitted is what of op the user of v may do: "s" is for \Seen, "t" for
// \Deleted and "w" for the rest (RFC 4314 §4). ErrPermission: nothing.
func (v *View) permitted(op StoreOp) (StoreOp, error) {
	if v.guest == "" {
		return op, nil
	}
	r := v.Rights()
	may := r.Flags()
	asked := op.Flags != 0 || len(op.Keywords) > 0
	allowed := op.Flags&may != 0 || len(op.Keywords) > 0 && r.Has(RightWrite)
	if op.Mode == StoreReplace { // which is about all flags
		asked, allowed = true, r&FlagRights != 0
		op.kept, op.keepWords = AllFlags&^may, !r.Has(RightWrite)
	}
	if asked && !allowed {
		return op, fmt.Errorf("mailbox: store: %w", ErrPermission)
	}
	op.Flags &= may
	if !r.Has(RightWrite) {
		op.Keywords = nil
	}
	return op, nil
}

// unchangedLocked is the test of UNCHANGEDSINCE. A +FLAGS or -FLAGS fails only
// if one of its own flags changed since (RFC 7162 §3.1.12). mb.mu must be held.
func (v *View) unchangedLocked(row index.Row, op StoreOp) bool {
	if op.UnchangedSince == nil {
		return true
	}
	since := *op.UnchangedSince
	if v.ix.Told(row) <= since {
		return true
	}
	return op.Mode != StoreReplace && !v.mb.changes.touched(row, since, op.Flags, len(op.Keywords) > 0)
}

// A wordOp applies the keywords of a STORE to sets of keywords, each once.
type wordOp struct {
	mb   *Mailbox
	op   StoreOp
	sets map[index.KeywordSet]index.KeywordSet
	all  index.KeywordSet // of StoreReplace
}

// newWordOp needs mb.mu. ErrLimit: too many keywords.
func (mb *Mailbox) newWordOp(op StoreOp) (w wordOp, err error) {
	w = wordOp{mb: mb, op: op, sets: map[index.KeywordSet]index.KeywordSet{}}
	if op.Mode == StoreReplace && !op.keepWords {
		w.all, err = mb.setOf(op.Keywords)
	}
	return w, err
}

func (w *wordOp) apply(k index.KeywordSet) (index.KeywordSet, error) {
	if w.op.keepWords {
		return k, nil
	}
	if w.op.Mode == StoreReplace {
		return w.all, nil
	}
	if len(w.op.Keywords) == 0 {
		return k, nil
	}
	if out, ok := w.sets[k]; ok {
		return out, nil
	}
	names := slices.Clone(w.mb.ix.KeywordNames(k))
	for _, word := range w.op.Keywords {
		same := func(n string) bool { return equalKeyword(n, word) }
		if w.op.Mode == StoreRemove {
			names = slices.DeleteFunc(names, same)
		} else if !slices.ContainsFunc(names, same) {
			names = append(names, word)
		}
	}
	out, err := w.mb.setOf(names)
	if err == nil {
		w.sets[k] = out
	}
	return out, err
}
