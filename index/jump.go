package index

import (
	"github.com/emersion/go-imap/v2"

	"roost/disk"
)

// A leap is how far a jump goes.
type leap struct {
	uids    imap.UID
	modSeqs ModSeq
}

// bigJump is for doubt about what was told.
var bigJump = leap{1 << 16, 1 << 32}

// modSeqBound is where mod-sequences stop leaping: beyond 2^53 some clients
// lose digits.
const modSeqBound ModSeq = 1 << 53

// smallJump is for n octets of records that nobody was told of. A record of a
// message is not smaller than leastAdd.
func smallJump(n int64) leap {
	const leastAdd = 8
	return leap{uids: imap.UID(max(CeilingUIDs, min(n/leastAdd, int64(bigJump.uids)))), modSeqs: CeilingModSeqs}
}

// jumped gives UIDNEXT and HIGHESTMODSEQ after a jump, which clears the
// ceilings of the account too.
func (ix *Index) jumped(by leap) (imap.UID, ModSeq) {
	next := max(ix.UIDNext(), 1)
	if k := ix.opt.Known; k.UIDValidity == ix.UIDValidity() {
		next = max(next, min(k.UIDNext, maxUID))
	}
	next += min(by.uids, maxUID-next)
	highest := max(ix.HighestModSeq(), ix.firstModSeq(), min(ix.opt.Known.ModSeq, modSeqBound))
	if highest+by.modSeqs < modSeqBound {
		highest += by.modSeqs
	} else if highest < maxModSeq {
		highest++
	}
	return next, highest
}

func jumpItems(next imap.UID, highest ModSeq) []byte {
	e := encoder{b: []byte{0}} // no mod-sequence of its own
	e.begin(itemJump, 4)
	e.num(uint64(next))
	e.num(uint64(highest))
	e.num(uint64(highest))
	e.num(uint64(highest))
	e.end()
	return e.b
}

// jumpNow is the jump of Open: in memory at once, on disk with the first Wait.
func (ix *Index) jumpNow(by leap, why string, rec *Recovery) {
	rec.Jumped = why
	next, highest := ix.jumped(by)
	ix.doJump(next, highest, highest, highest)
	if ix.needFile {
		return // the new file will have it
	}
	if ix.readOnly != nil {
		ix.rewriteLater() // what is told now cannot be made durable: Wait says so
		return
	}
	if err := ix.write(jumpItems(next, highest), ix.opt.Now().UnixNano(), true, false); err != nil {
		ix.log.Warn("cannot record a jump; a new journal is due", "dir", ix.opt.Dir.Path(), "err", err)
		ix.err = nil // a new file makes up for it
		ix.rewriteLater()
	}
}

// Jump raises UIDNEXT by 2^16 and HIGHESTMODSEQ by 2^32, and both floors to
// the latter, so that every client reads the flags again and gets complete
// answers about what is gone. It is for doubt that comes from outside: a
// client that proves higher values, a restored backup. Writer only.
func (ix *Index) Jump(reason string) (Pos, error) {
	next := func(next imap.UID) imap.UID { return next }
	return ix.jumpTo(reason, next)
}

// JumpModSeqs is Jump that leaves UIDNEXT as it is: for doubt about what
// clients know of flags and expunges, but not about UIDs. Writer only.
func (ix *Index) JumpModSeqs(reason string) (Pos, error) {
	return ix.jumpTo(reason, func(imap.UID) imap.UID { return ix.UIDNext() })
}

// jumpTo is a big jump; uidNext says where UIDNEXT goes.
func (ix *Index) jumpTo(reason string, uidNext func(jumped imap.UID) imap.UID) (Pos, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if err := ix.writable(); err != nil {
		return 0, err
	}
	next, highest := ix.jumped(bigJump)
	next = uidNext(next)
	if err := ix.write(jumpItems(next, highest), ix.opt.Now().UnixNano(), true, false); err != nil {
		return 0, err
	}
	ix.stateMu.Lock()
	ix.doJump(next, highest, highest, highest)
	ix.stateMu.Unlock()
	ix.log.Warn("UIDNEXT and HIGHESTMODSEQ jumped", "dir", ix.opt.Dir.Path(), "why", reason,
		"uidnext", uint32(next), "highestmodseq", uint64(highest))
	return Pos(ix.seq), nil
}

// Renew gives the mailbox another UIDVALIDITY (0: keep it) and id (zero: keep
// it). Every session must end: UIDs may change too, if they ran high. The next
// Wait writes a new journal. Writer only.
func (ix *Index) Renew(uidValidity uint32, id MailboxID) (Pos, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if err := ix.writable(); err != nil {
		return 0, err
	}
	ident := *ix.ident.Load()
	if !id.IsZero() {
		ident.id = id
	}
	if uidValidity != 0 && uidValidity != ident.uidValidity {
		ident.uidValidity = uidValidity
		if ix.UIDNext() > 1<<31 {
			ix.renumber()
		}
	}
	ix.ident.Store(&ident)
	ix.rewriteLater()
	ix.clean = false
	return Pos(ix.seq), nil
}

// renumber gives all rows, and the entries of the to-unlink list, UIDs from 1.
// The cache goes by UID and so starts afresh.
func (ix *Index) renumber() {
	n := ix.Len()
	next := imap.UID(1)
	old := *ix.segs.Load()
	segs := make([]*segment, len(old))
	for k, s := range old {
		used := min(segmentRows, n-k*segmentRows)
		segs[k] = s.grown(s.rows(), used)
		for i := range used {
			segs[k].uid[i] = next
			next++
		}
	}
	ix.segs.Store(&segs)
	unlink := ix.ToUnlink()
	ix.stateMu.Lock()
	defer ix.stateMu.Unlock()
	clear(ix.st.unlink)
	for _, u := range unlink {
		u.UID = next
		next++
		ix.st.unlink[u.UID] = u
	}
	ix.st.vanished = nil
	ix.st.recent = 0
	ix.uidNext.Store(uint64(next))
	highest := ix.HighestModSeq() + 1
	ix.doJump(next, highest, highest, highest)
	ix.ceilUID = 0
	_ = ix.cache.Truncate()
}

// Rebuild makes a new Index after this one was poisoned: from the records
// before the last good sync, jumped, in a new journal that is durable on
// return. The caller scans the directory afterwards. ix is closed by it, also
// if it fails; Open is the way then.
func (ix *Index) Rebuild() (*Index, Recovery, error) {
	ix.cache.close()
	ix.rewriteMu.Lock()
	defer ix.rewriteMu.Unlock()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for ix.syncing {
		ix.cond.Wait()
	}
	file := ix.file
	ix.file, ix.closed = nil, true
	ix.cond.Broadcast()
	o := ix.opt
	o.Known = Known{UIDValidity: ix.UIDValidity(), ID: ix.ID(), UIDNext: max(ix.UIDNext(), o.Known.UIDNext), ModSeq: max(ix.HighestModSeq(), o.Known.ModSeq)}
	fresh := newIndex(o)
	fresh.ceilUID, fresh.ceilModSeq = ix.ceilUID, ix.ceilModSeq
	var rec Recovery
	if err := fresh.rebuildFrom(file, ix.syncedOff, &rec); err != nil {
		return nil, rec, err
	}
	if err := fresh.Wait(fresh.Pos()); err != nil {
		_ = fresh.Close()
		return nil, rec, err
	}
	fresh.logRecovery(&rec)
	return fresh, rec, nil
}

// rebuildFrom reads what was durable of file, which may be nil.
func (ix *Index) rebuildFrom(file disk.File, limit int64, rec *Recovery) error {
	if file == nil {
		return ix.create(rec, true)
	}
	defer func() { _ = file.Close() }()
	l := &loader{ix: ix, file: file, limit: limit}
	if err := l.load(); err != nil {
		return err
	}
	rec.Damaged, rec.Dropped, rec.Lost = l.damaged, l.dropped, len(l.damaged) > 0
	if l.hdr.uidValidity == 0 {
		return ix.create(rec, false)
	}
	ident := *ix.ident.Load()
	ident.uidValidity, ident.id = ix.opt.Known.UIDValidity, ix.opt.Known.ID // a Renew may not be in the file yet
	ix.ident.Store(&ident)
	ix.seq = l.seq
	ix.rewriteLater()
	ix.jumpNow(bigJump, "a sync failed", rec)
	return nil
}
