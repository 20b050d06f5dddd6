package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/maildir"
)

// This file keeps the other server's list of UIDs as ours is, so that it can go
// on where roost ended, also in a hurry (design §8).

// leaveWait is how long the end of a mailbox waits for another program that
// holds the lock of dovecot-uidlist.
const leaveWait = 2 * time.Second

// leaveForeign is part of close: it writes the list if UIDs were given since
// it was written. That it cannot be written is logged, and made up for at the
// end of the next use. The caller has the token.
func (mb *Mailbox) leaveForeign() {
	if mb.o.Foreign == nil {
		return
	}
	fs, ix := &mb.foreign, mb.index()
	if fs.stamps.kind == foreignNone {
		fs.stamps.kind = mb.o.Foreign.Default()
	}
	if fs.stamps.kind == foreignNone ||
		fs.stamps.uidNext == ix.UIDNext() && fs.stamps.uidValidity == ix.UIDValidity() && !fs.rebased.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWait)
	defer cancel()
	if err := mb.writeForeign(ctx, false); err != nil {
		mb.log.Warn("cannot bring the UID list of the other server up to date; the next end of the mailbox does it",
			"file", fs.stamps.kind.file(), "err", err)
	}
}

// leavesList reports that the end of the mailbox writes a list for another
// server.
func (mb *Mailbox) leavesList() bool {
	return mb.foreign.stamps.kind != foreignNone || mb.o.Foreign != nil && mb.o.Foreign.Default() != foreignNone
}

// errForeignWrote is why a list is not written: the next load must read it.
var errForeignWrote = errors.New("mailbox: another server wrote the list while roost served the mailbox; it is read at the next load")

// writeForeign writes the list of the kind in foreign.stamps. sizes: with all
// sizes that we know. The caller has the token.
func (mb *Mailbox) writeForeign(ctx context.Context, sizes bool) error {
	mb.mu.Lock()
	err := mb.offline
	if err == nil && mb.readOnly {
		err = ErrReadOnly
	}
	ix := mb.ix
	mb.mu.Unlock()
	if err == nil {
		err = ix.Wait(ix.Pos()) // it must not know UIDs that we could forget
	}
	if err != nil {
		return err
	}
	if ok, err := mb.o.Slot.inPlace(mb.dir.Root()); err != nil || !ok {
		return err // moved away: what serves it there writes it
	}
	if mb.foreign.stamps.kind == foreignCourier {
		err = mb.replaceForeign(ix, sizes)
	} else {
		var lock *maildir.DotLock
		if lock, err = maildir.LockUidlist(ctx, mb.o.FS, mb.dir.Root(), mb.dir.FileMode()); err == nil {
			err = errors.Join(mb.replaceForeign(ix, sizes), lock.Unlock())
		}
	}
	if err != nil {
		return err
	}
	mb.foreign.rebased.Store(false)
	return mb.recordForeign()
}

// replaceForeign is writeForeign under the lock.
func (mb *Mailbox) replaceForeign(ix *index.Index, sizes bool) error {
	fs := &mb.foreign
	now, err := stampForeign(mb.dir.Root())
	if err != nil {
		return err
	}
	now.kind = fs.stamps.kind
	if fs.recorded != nil {
		was := decodeForeign(fs.recorded)
		if now.list(now.kind).Ino != 0 && !sameList(was.list(now.kind), now.list(now.kind)) {
			return errForeignWrote
		}
		// Whatever else was written meanwhile is for the next load to see.
		now.dovecot, now.courier, now.log = was.dovecot, was.courier, was.log
	}
	now.uidValidity, now.uidNext = ix.UIDValidity(), ix.UIDNext()
	if entries := mb.newEntries(ix); entries != nil && fs.recorded != nil && !sizes {
		now.dovecot, err = maildir.AppendUidlist(mb.dir.Root(), entries)
		if err == nil {
			fs.stamps = now
		}
		if !errors.Is(err, maildir.ErrTorn) {
			return err
		}
	}
	var old *maildir.UIDList
	if now.kind == foreignDovecot {
		// A list that cannot be read has nothing to keep.
		var bad *maildir.FormatError
		if old, _, err = maildir.ReadUidlist(mb.dir.Root()); err != nil {
			if !errors.As(err, &bad) && !errors.Is(err, maildir.ErrTooLarge) {
				return err
			}
			old = nil
		}
		l := mb.foreignList(ix, old, sizes)
		now.dovecot, err = maildir.ReplaceUidlist(mb.dir.Root(), l, mb.dir.FileMode())
	} else {
		now.courier, err = maildir.ReplaceCourierUIDs(mb.dir.Root(), mb.foreignList(ix, nil, false), mb.dir.FileMode())
	}
	if err != nil {
		return err
	}
	fs.stamps = now
	return nil
}

// A list of more than appendMost octets a message has too many entries of
// messages that are gone.
const (
	appendFrom = 1 << 20
	appendMost = 256
)

// newEntries are what only has to be added to a large list; nil if that is not
// all that changed. A UIDNEXT above the last message must be in the header.
func (mb *Mailbox) newEntries(ix *index.Index) (entries []maildir.UIDEntry) {
	s := &mb.foreign.stamps
	mb.mu.Lock()
	live := mb.live
	mb.mu.Unlock()
	if s.kind != foreignDovecot || s.dovecot.Size < cmp.Or(mb.o.Foreign.AppendFrom, appendFrom) || s.dovecot.Size > appendMost*int64(live.Len()) ||
		s.uidValidity != ix.UIDValidity() || s.uidNext >= ix.UIDNext() || mb.foreign.rebased.Load() {
		return nil
	}
	next := s.uidNext
	live.each(ix.RowFrom(s.uidNext), index.Row(live.rows), func(row index.Row) bool {
		next = ix.UID(row) + 1
		entries = append(entries, maildir.UIDEntry{UID: uint32(next - 1), Base: ix.Base(row)})
		return true
	})
	if next != ix.UIDNext() {
		return nil
	}
	return entries
}

// sameList compares what shows that nobody wrote.
func sameList(a, b maildir.FileStamp) bool {
	return a.Ino == b.Ino && a.Mtime == b.Mtime && a.Size == b.Size
}

// foreignList is our list, with the fields that old has for the same messages.
func (mb *Mailbox) foreignList(ix *index.Index, old *maildir.UIDList, sizes bool) *maildir.UIDList {
	l := &maildir.UIDList{UIDValidity: ix.UIDValidity(), UIDNext: uint32(ix.UIDNext()), GUID: ix.ID().String()}
	fields := map[string]string{}
	if old != nil {
		if old.GUID != "" {
			l.GUID = old.GUID
		}
		l.Header = old.Header
		for i := range old.Entries {
			if e := &old.Entries[i]; e.Fields != "" {
				fields[e.Base] = e.Fields
			}
		}
	}
	mb.mu.Lock()
	live := mb.live
	mb.mu.Unlock()
	l.Entries = make([]maildir.UIDEntry, 0, live.Len())
	live.each(0, index.Row(live.rows), func(row index.Row) bool {
		e := maildir.UIDEntry{UID: uint32(ix.UID(row)), Base: ix.Base(row)}
		e.Fields = fields[e.Base]
		if size := ix.Size(row); sizes && size != index.UnknownSize {
			if _, virtual := maildir.Sizes([]byte(e.Base)); virtual < 0 && !strings.Contains(" "+e.Fields, " W") {
				e.Fields = strings.TrimPrefix(fmt.Sprintf("%s W%d", e.Fields, size), " ")
			}
		}
		l.Entries = append(l.Entries, e)
		return true
	})
	return l
}

// An Exported is what Dovecot goes on with in one mailbox.
type Exported struct {
	Name          string
	UIDValidity   uint32
	UIDNext       imap.UID
	HighestModSeq ModSeq
	Messages      int
	// Unnamed are keywords that got no letter: 26 are taken. Dovecot does not
	// learn of them.
	Unnamed []string
}

// ExportDovecot writes what Dovecot needs to go on in the mailbox: its
// dovecot-uidlist (version 3), dovecot-keywords and the letters of keywords in
// the names of files, all durable on return; from then on they are kept up to
// date. Errors: those of Mailbox, and of the disk.
func (a *Account) ExportDovecot(ctx context.Context, name string) (Exported, error) {
	mb, err := a.Mailbox(ctx, name)
	if err != nil {
		return Exported{}, err
	}
	defer mb.Release()
	out, err := mb.exportDovecot(ctx)
	if err != nil {
		return Exported{}, fmt.Errorf("mailbox: export: %w", diskErr(err))
	}
	out.Name = name
	return out, nil
}

func (mb *Mailbox) exportDovecot(ctx context.Context) (Exported, error) {
	mb.foreign.dovecot.Store(true)
	used := mb.usedKeywords()
	mb.giveLetters(ctx, used)
	mb.reconcile()
	for left := -1; ctx.Err() == nil; {
		_, n := mb.catchUp(ctx)
		if n == 0 || n == left {
			break
		}
		left = n
	}
	mb.syncDirs()
	select {
	case mb.syncing <- struct{}{}:
	case <-ctx.Done():
		return Exported{}, ctx.Err()
	}
	defer func() { <-mb.syncing }()
	if mb.foreign.stamps.kind != foreignDovecot {
		// Another server's list is left as it is; what Dovecot had here is old.
		mb.foreign.stamps = foreignStamps{kind: foreignDovecot}
		mb.foreign.recorded = nil
	}
	if err := mb.writeForeign(ctx, true); err != nil {
		return Exported{}, err
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	out := Exported{
		UIDValidity: mb.ix.UIDValidity(), UIDNext: mb.ix.UIDNext(), HighestModSeq: mb.ix.HighestModSeq(), Messages: mb.live.Len(),
	}
	for _, name := range used {
		if mb.words.names.Slot(name) < 0 {
			out.Unnamed = append(out.Unnamed, name)
		}
	}
	return out, nil
}

// usedKeywords are the keywords that messages have, in their order.
func (mb *Mailbox) usedKeywords() (names []string) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	sets := map[index.KeywordSet]struct{}{}
	seen := map[string]bool{}
	mb.live.each(0, index.Row(mb.live.rows), func(row index.Row) bool {
		k := mb.ix.Keywords(row)
		if _, ok := sets[k]; ok {
			return true
		}
		sets[k] = struct{}{}
		for _, name := range mb.ix.KeywordNames(k) {
			if key := strings.ToLower(name); !seen[key] {
				seen[key] = true
				names = append(names, name)
			}
		}
		return true
	})
	return names
}
