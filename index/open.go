package index

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// clockSlack is how far the clock may be behind the last record unnoticed:
// steps of time synchronisation.
const clockSlack = 5 * time.Second

// writtenSlack is how much later than its last record a journal that was closed
// may have been written or given other times.
const writtenSlack = 10 * time.Second

// Open reads the index in o.Dir, or begins a new one in memory, which the
// first Wait after the first batch writes. Damage is repaired as far as that can be and told in
// Recovery; the error is ErrVersion, or that of reading, and then nothing was
// changed. Wait(Pos()) must have returned before anything is told.
func Open(o Options) (*Index, Recovery, error) {
	ix := newIndex(o)
	l := &loader{ix: ix}
	var rec Recovery
	var err error
	l.file, err = o.Dir.OpenFile(JournalName, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
		ix.readOnly = err
		l.file, err = o.Dir.Open(JournalName)
	}
	switch {
	case notExist(err):
		if err := ix.create(&rec, true); err != nil {
			return nil, rec, err
		}
	case err != nil:
		return nil, rec, fmt.Errorf("index: open journal: %w", err)
	default:
		if err := ix.open(l, &rec); err != nil {
			_ = l.file.Close()
			return nil, rec, err
		}
	}
	rec.ReadOnly = ix.readOnly
	ix.logRecovery(&rec)
	return ix, rec, nil
}

// create begins a new journal; maybe blank: there is none in the directory.
func (ix *Index) create(rec *Recovery, maybeBlank bool) error {
	rec.Created = true
	id := identity{uidValidity: ix.opt.Known.UIDValidity, id: ix.opt.Known.ID, generation: random64()}
	if err := ix.identify(&id, rec); err != nil {
		return err
	}
	ix.ident.Store(&id)
	ix.seq, ix.important, ix.needFile = 1, 1, true
	ix.pos.Store(ix.seq)
	k := ix.opt.Known
	if k.UIDNext <= 1 && k.ModSeq > 0 && !rec.NewUIDValidity {
		ix.raiseHighest(k.ModSeq) // it was blank: goes on as it was
	} else {
		ix.raiseHighest(ix.firstModSeq())
	}
	if k.UIDNext > 1 && !rec.NewUIDValidity {
		ix.jumpNow(bigJump, "the journal is missing", rec)
	} else if maybeBlank && ix.opt.Raise != nil {
		ix.blank, ix.clean, ix.synced = true, true, ix.seq
	}
	return nil
}

// Blank reports whether nothing was ever recorded: there is no journal, and
// Known can say all that is to be said of the next Open. It becomes durable by
// Raise, with the very values of the mailbox; whoever sets Raise sees to it that
// Known has the id and UIDVALIDITY by then.
func (ix *Index) Blank() bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.blank
}

// firstModSeq is where a new journal begins, by the time: above whatever
// another server or an older journal gave.
func (ix *Index) firstModSeq() ModSeq {
	return ModSeq(min(max(ix.opt.Now().Unix(), 1), 1<<33-1)) << 20
}

// identify fills in what id lacks.
func (ix *Index) identify(id *identity, rec *Recovery) error {
	if id.uidValidity == 0 {
		v, err := ix.opt.NewUIDValidity()
		if err != nil {
			return fmt.Errorf("index: new UIDVALIDITY: %w", err)
		}
		if v == 0 {
			return errors.New("index: new UIDVALIDITY is 0")
		}
		id.uidValidity, rec.NewUIDValidity = v, true
	}
	if id.id.IsZero() {
		id.id = ix.opt.NewID()
	}
	return nil
}

// open takes over the journal that l has open.
func (ix *Index) open(l *loader, rec *Recovery) error {
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("index: open journal: %w", err)
	}
	if err := l.load(); err != nil {
		return fmt.Errorf("index: read journal: %w", err)
	}
	rec.Damaged, rec.Torn, rec.Clean, rec.Dropped = l.damaged, l.torn, l.clean, l.dropped
	rec.Lost = len(l.damaged) > 0 || l.cut
	if l.hdr.uidValidity == 0 {
		return ix.openLost(l, rec)
	}
	ix.file, ix.info, ix.hdr, ix.seed = l.file, info, l.hdr, l.seed
	ix.end, ix.alloc, ix.grow = l.end, l.size, growMin
	ix.seq, ix.synced, ix.syncedOff = l.seq, l.seq, l.end
	if !l.clean && l.seq >= l.hdr.firstSeq && ix.readOnly == nil {
		// Its process may have been killed before its sync, and the power may
		// still fail: the first Wait syncs what will be told now.
		ix.synced, ix.syncedOff = l.seq-1, min(l.synced, l.end)
	}
	ix.pos.Store(ix.seq)
	ix.important, ix.clean = l.seq, l.clean
	ix.definedNames, ix.definedSets = len(*ix.words.names.Load()), len(ix.words.ids)
	if len(l.damaged) > 0 || l.badCopy || info.Nlink > 1 || !l.hdr.isOwn(info) {
		ix.rewriteLater()
	}
	if l.torn > 0 && !ix.needFile {
		ix.cutTail(l)
	}
	ix.dropUnusedWords()
	if why := ix.bigTrouble(l); why != "" {
		ix.jumpNow(bigJump, why, rec)
	} else if l.torn > 0 || !l.clean && ix.opt.Fsync != FsyncAlways {
		// Not told to anyone; but flags may have been, where syncs are left out.
		ix.jumpNow(smallJump(l.torn), "the last records are torn", rec)
	}
	return nil
}

// openLost starts afresh beside a journal of which nothing could be read.
func (ix *Index) openLost(l *loader, rec *Recovery) error {
	if err := l.file.Close(); err != nil {
		return err
	}
	if ix.readOnly != nil {
		return fmt.Errorf("index: journal holds nothing and cannot be written: %w", ix.readOnly)
	}
	return ix.create(rec, false)
}

// Begin ends that the Index is blank: the next Wait makes its journal. Writer
// only.
func (ix *Index) Begin() {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.blank {
		ix.blank, ix.clean, ix.synced = false, false, ix.seq-1
	}
}

// rewriteLater leaves the file as it is: the next Wait writes another.
func (ix *Index) rewriteLater() {
	ix.needFile, ix.blank = true, false
	ix.seq++ // so that someone waits
	ix.pos.Store(ix.seq)
	ix.important = ix.seq
}

// bigTrouble tells why more than a torn tail may be lost; "" if nothing.
func (ix *Index) bigTrouble(l *loader) string {
	now := ix.opt.Now()
	k := ix.opt.Known
	switch last := time.Unix(0, l.lastTime); {
	case len(l.damaged) > 0:
		return "records that were durable are damaged"
	case !l.hdr.isOwn(ix.info) && l.hasHeader:
		return "the journal is a copy of another file"
	case k.UIDValidity == ix.UIDValidity() && k.UIDNext > ix.UIDNext()+CeilingUIDs,
		k.UIDValidity == ix.UIDValidity() && k.ModSeq > ix.HighestModSeq()+CeilingModSeqs:
		return "the account knows of later UIDs or mod-sequences"
	case l.clean && max(ix.info.Mtime.Sub(last), ix.info.Ctime.Sub(last)) > writtenSlack:
		return "the journal was touched after it was closed: an old copy may have been put in its place"
	case last.After(now.Add(clockSlack)):
		return "the clock is behind the last record"
	case !l.clean && now.Sub(last) > heartbeatLimit:
		return "the journal was not closed and its last record is old"
	}
	return ""
}

// cutTail takes away what lies behind the last frame. What cannot be cut is
// left to a new file. If the zeroes are lost with the power, what was cut is
// torn again: no frame among it knows of a sync behind the cut.
func (ix *Index) cutTail(l *loader) {
	if ix.readOnly != nil {
		return
	}
	for at, to := l.end, min(l.end+l.torn, l.size); at < to; {
		n, err := ix.file.WriteAt(zeroes[:min(to-at, int64(len(zeroes)))], at)
		if err != nil {
			ix.log.Warn("cannot cut the journal", "dir", ix.opt.Dir.Path(), "err", err)
			ix.rewriteLater()
			return
		}
		at += int64(n)
	}
}

// dropUnusedWords forgets keywords that no message has, once they are many.
// The numbers of sets change, so that a new file is due.
func (ix *Index) dropUnusedWords() {
	names, sets := len(*ix.words.names.Load()), len(ix.words.ids)
	if ix.readOnly != nil || names < MaxKeywords/2 && sets < 1024 {
		return
	}
	used := make([]bool, sets)
	for r := range Row(ix.Len()) {
		if !ix.Gone(r) {
			used[ix.Keywords(r)] = true
		}
	}
	for _, in := range ix.st.intents {
		for i := range in.Entries {
			used[in.Entries[i].Add.Keywords] = true
		}
	}
	old := ix.words
	fresh := newKeywords()
	to := make([]KeywordSet, sets)
	for k, set := range *old.sets.Load() {
		if used[k] {
			to[k], _ = fresh.setOf(set) // not more than there were
		}
	}
	if len(*fresh.names.Load()) == names && len(fresh.ids) > sets/2 {
		return
	}
	ix.words = fresh
	for r := range Row(ix.Len()) {
		f, k := ix.Flags(r), ix.Keywords(r)
		s, i := ix.seg(r)
		s.flags[i] = packFlags(f, to[k])
	}
	for _, in := range ix.st.intents {
		for i := range in.Entries {
			in.Entries[i].Add.Keywords = to[in.Entries[i].Add.Keywords]
		}
	}
	ix.rewriteLater()
}

func (ix *Index) logRecovery(rec *Recovery) {
	dir := ix.opt.Dir.Path()
	if rec.Torn > 0 {
		ix.log.Info("cut a torn tail off the journal", "dir", dir, "octets", rec.Torn)
	}
	for _, d := range rec.Damaged {
		ix.log.Error("the journal is damaged", "dir", dir, "file", JournalName, "from", d.From, "to", d.To)
	}
	if len(rec.Dropped) > 0 {
		ix.log.Error("messages get new UIDs: the record of theirs is damaged", "dir", dir, "uids", rec.Dropped.String())
	}
	if rec.Jumped != "" {
		ix.log.Warn("UIDNEXT and HIGHESTMODSEQ jumped", "dir", dir, "why", rec.Jumped,
			"uidnext", uint32(ix.UIDNext()), "highestmodseq", uint64(ix.HighestModSeq()))
	}
	if rec.NewUIDValidity && !rec.Created || len(rec.Damaged) > 0 && rec.NewUIDValidity {
		ix.log.Error("no copy of the UIDVALIDITY is left: a new one", "dir", dir, "uidvalidity", ix.UIDValidity())
	}
	if rec.ReadOnly != nil {
		ix.log.Warn("the journal cannot be written", "dir", dir, "err", rec.ReadOnly)
	}
}
