package mailbox

import (
	"errors"
	"fmt"
	"io/fs"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// This file is how several files become messages as a whole (design §3): an
// intent, durable before the first name; the names; the sync of the directory;
// one record. APPEND of one message leaves out the intent.

// The kinds of intents.
const (
	intentAppend = 1 // the sources are in tmp/
	intentCopy   = 2 // the sources are messages of a mailbox; names are links
)

// An addition is files of ours on their way to be messages. Their bases are
// reserved, so that no scan and no event takes them for deliveries.
type addition struct {
	mb      *Mailbox
	ix      *index.Index
	entries []index.IntentEntry
	intent  uint64 // 0: none
	ended   bool
}

// reserve begins an addition of what entries gives under mb.mu.
func (mb *Mailbox) reserve(entries func() ([]index.IntentEntry, error)) (*addition, error) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if err := mb.writableLocked(); err != nil {
		return nil, err
	}
	list, err := entries()
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		mb.work.reserved[e.Add.Base] = struct{}{}
	}
	return &addition{mb: mb, ix: mb.ix, entries: list}, nil
}

// release ends the reservation; what is there by then is found by events.
func (in *addition) release() {
	if in.ended {
		return
	}
	in.ended = true
	in.mb.mu.Lock()
	defer in.mb.mu.Unlock()
	in.releaseLocked()
}

func (in *addition) releaseLocked() {
	for _, e := range in.entries {
		delete(in.mb.work.reserved, e.Add.Base)
	}
	if len(in.mb.work.deferred) > 0 {
		in.mb.wake()
	}
}

// aliveLocked is ErrGone if the index was rebuilt meanwhile. mb.mu must be held.
func (in *addition) aliveLocked() error {
	if in.mb.ix != in.ix {
		return ErrGone
	}
	return in.mb.writableLocked()
}

// intend makes the intent durable, if there are several messages.
func (in *addition) intend(kind uint8, from string) error {
	if len(in.entries) < 2 {
		return nil
	}
	mb := in.mb
	mb.mu.Lock()
	err := in.aliveLocked()
	var a index.Applied
	if err == nil {
		id := in.ix.NewIntentID()
		a, err = mb.applyLocked(&index.Batch{Intents: []index.Intent{{ID: id, Kind: kind, From: from, Entries: in.entries}}})
		if err == nil {
			in.intent = id
		}
	}
	mb.mu.Unlock()
	if err != nil {
		return err
	}
	return mb.waitDurable(in.ix, position(a.Pos))
}

// undo removes the first n names again.
func (in *addition) undo(n int) {
	mb := in.mb
	for _, e := range in.entries[:n] {
		if err := mb.dir.Unlink(maildir.Cur, mb.fileName(e.Add.Base, e.Add.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			mb.log.Error("cannot take back a copy", "base", e.Add.Base, "err", err)
		}
	}
	if in.intent == 0 {
		return
	}
	if err := mb.dir.Sync(maildir.Cur); err != nil {
		return // the intent stays: the next load undoes it
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.ix == in.ix {
		if _, err := mb.applyLocked(&index.Batch{IntentsDone: []uint64{in.intent}}); err != nil {
			mb.log.Warn("end an intent", "err", err)
		}
	}
}

// publish gives the messages their UIDs. The directory is durable on return;
// for one message that is done beside the sync of the journal.
func (in *addition) publish(by *View) (index.Applied, error) {
	mb := in.mb
	several := len(in.entries) > 1
	if several {
		if err := mb.dir.Sync(maildir.Cur); err != nil {
			in.undo(len(in.entries))
			return index.Applied{}, diskErr(err)
		}
	}
	a, err := in.record(by)
	if err != nil {
		in.undo(len(in.entries))
		return a, err
	}
	if several {
		return a, nil
	}
	synced := make(chan error, 1)
	go func() { synced <- mb.waitDurable(in.ix, position(a.Pos)) }() // ends by itself
	err = mb.dir.Sync(maildir.Cur)
	if werr := <-synced; err == nil {
		err = werr
	}
	return a, diskErr(err)
}

// record writes and publishes the messages and ends the reservation.
func (in *addition) record(by *View) (index.Applied, error) {
	mb := in.mb
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if err := in.aliveLocked(); err != nil {
		return index.Applied{}, err
	}
	b := index.Batch{Adds: make([]index.Add, len(in.entries))}
	for i, e := range in.entries {
		b.Adds[i] = e.Add
	}
	if in.intent != 0 {
		b.IntentsDone = []uint64{in.intent}
	}
	a, err := mb.addLocked(&b, by)
	if err != nil {
		return a, err
	}
	in.ended = true
	in.releaseLocked()
	return a, nil
}

// filled has the new messages parsed into the cache.
func (in *addition) filled(a index.Applied) {
	for i := range in.entries {
		in.mb.fill.check(a.First + index.Row(i))
	}
}

// finishIntents ends what a crash has interrupted: a batch whose names are all
// there, or can be made, becomes messages; of another one those names go that
// still have a second link, and the rest stay as new messages. If records are
// lost, the end of a batch may be among them, and with it what was expunged
// since: nothing is touched then, and what is there stays. The caller has the
// token.
func (mb *Mailbox) finishIntents(lost bool) error {
	for _, in := range mb.ix.Intents() {
		known, busy := mb.entriesKnown(in)
		if busy {
			continue // its addition still runs, and takes it back
		}
		all := known == 0 && !lost
		var renamed map[string]hint
		if all {
			var err error
			if all, renamed, err = mb.finishEntries(in); err != nil {
				return fmt.Errorf("mailbox: recover batch: %w", err)
			}
		}
		b := &index.Batch{IntentsDone: []uint64{in.ID}}
		if all {
			for _, e := range in.Entries {
				e.Add.UID = 0
				b.Adds = append(b.Adds, e.Add)
			}
			mb.log.Info("finished a batch that was interrupted", "messages", len(in.Entries))
		} else if known > 0 || lost {
			mb.log.Info("a batch that was interrupted is there by its names", "messages", known, "lost", lost)
		} else if err := mb.undoEntries(in, renamed); err != nil {
			return fmt.Errorf("mailbox: recover batch: %w", err)
		}
		if err := mb.dir.Sync(maildir.Cur); err != nil {
			return err
		}
		mb.mu.Lock()
		_, err := mb.addLocked(b, nil)
		mb.mu.Unlock()
		if err != nil {
			return err
		}
		mb.files.wantScan = true
	}
	return nil
}

// entriesKnown counts the entries of an intent that are messages already, and
// reports whether an addition is at work on them.
func (mb *Mailbox) entriesKnown(in index.Intent) (known int, busy bool) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	for _, e := range in.Entries {
		if _, ours := mb.work.reserved[e.Add.Base]; ours {
			busy = true
		}
		if mb.basesLocked().find(mb.ix, []byte(e.Add.Base)) != index.NoRow {
			known++
		}
	}
	return known, busy
}

// finishEntries reports whether the files of an intent are all there, and puts
// those in their place that are still in tmp/. renamed are those that other
// programs have given another name, by the base that we gave: the scan that
// follows takes the names up.
func (mb *Mailbox) finishEntries(in index.Intent) (all bool, renamed map[string]hint, err error) {
	missing := map[string]string{} // base by key
	for _, e := range in.Entries {
		ok, err := mb.finishEntry(in.Kind, e)
		if err != nil {
			return false, nil, err
		}
		if !ok {
			missing[string(maildir.Key([]byte(e.Add.Base)))] = e.Add.Base
		}
	}
	if len(missing) == 0 {
		return true, nil, nil
	}
	renamed = map[string]hint{}
	for _, p := range []maildir.Place{maildir.New, maildir.Cur} {
		err := mb.dir.Place(p).ReadDir(func(e disk.Entry) bool {
			n, err := maildir.ParseName(e.Name, mb.dir.Sep())
			if err != nil {
				return true
			}
			if base, ours := missing[string(maildir.Key(n.Base))]; ours {
				renamed[base] = hint{place: p, name: string(e.Name)}
			}
			return true
		})
		if err != nil {
			return false, nil, err
		}
	}
	return len(renamed) == len(missing), renamed, nil
}

// finishEntry reports whether the file of e is in its place, and puts it there
// if it is still in tmp/.
func (mb *Mailbox) finishEntry(kind uint8, e index.IntentEntry) (bool, error) {
	name := mb.fileName(e.Add.Base, e.Add.Name)
	_, err := mb.dir.Lstat(maildir.Cur, name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	if kind != intentAppend || mb.dir.Tmp() == nil {
		return false, nil
	}
	err = mb.dir.Tmp().RenameNoReplace(e.Source, mb.dir.Place(maildir.Cur), name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return false, nil
	}
	return err == nil, err
}

func (mb *Mailbox) undoEntries(in index.Intent, renamed map[string]hint) error {
	for _, e := range in.Entries {
		at, ok := renamed[e.Add.Base]
		if !ok {
			at = hint{place: maildir.Cur, name: mb.fileName(e.Add.Base, e.Add.Name)}
		}
		info, err := mb.dir.Lstat(at.place, at.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if info.Nlink > 1 {
			if err := mb.dir.Unlink(at.place, at.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
