package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"roost/maildir"
)

// Rename is RFC 9051 §6.3.6: mailboxes below name move too, missing superiors
// of newname are made, and INBOX gives its messages to a new mailbox and stays.
// Subscriptions do not follow. It is durable on return. Errors: ErrNotExist,
// ErrExist (also for a name below newname; nothing was renamed), ErrName
// (into itself), and those of the disk.
func (a *Account) Rename(ctx context.Context, name, newname string) error {
	from, err := a.names.parse(name)
	if err != nil {
		return fmt.Errorf("mailbox: rename: %w", err)
	}
	to, err := a.target(newname)
	if err != nil {
		return fmt.Errorf("mailbox: rename: %w", err)
	}
	return a.renameMailbox(ctx, from, to)
}

func (a *Account) renameMailbox(ctx context.Context, from, to maildir.Mailbox) (err error) {
	if err := a.takeTurn(ctx); err != nil {
		return err
	}
	defer a.giveTurn()
	defer a.changed()
	if from.IsInbox() {
		err = a.renameInbox(ctx, to)
	} else {
		err = a.rename(ctx, from, to)
	}
	if err != nil {
		return fmt.Errorf("mailbox: rename: %w", err)
	}
	return nil
}

// renameInbox moves every message of INBOX to a new mailbox. INBOX keeps its
// UIDVALIDITY, what is below it stays.
func (a *Account) renameInbox(ctx context.Context, to maildir.Mailbox) error {
	dest, err := a.create(ctx, to, "")
	if err != nil {
		return err
	}
	defer dest.Release()
	moved, err := a.drainInbox(ctx, dest)
	if err != nil && moved == 0 {
		return errors.Join(err, a.remove(context.WithoutCancel(ctx), to))
	}
	inbox, ierr := a.metadataID(ctx, maildir.Inbox)
	if ierr == nil {
		ierr = a.copyMetadata(inbox, dest.index().ID())
	}
	if ierr == nil {
		ierr = a.copyACL(inbox, dest.index().ID())
	}
	if ierr != nil {
		a.log.Error("annotations or rights of INBOX are not copied", "err", ierr)
	}
	return err
}

func (a *Account) drainInbox(ctx context.Context, dest *Mailbox) (moved int, err error) {
	inbox, err := a.mailboxAt(ctx, "")
	if err != nil {
		return 0, treeErr(err)
	}
	defer inbox.Release()
	var b Barrier
	v, err := inbox.Open(ctx, false, &b)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	if n := v.Len(); n > 0 {
		res, err := v.Move(ctx, Seqs{{1, SeqNum(n)}}, dest)
		moved = len(res.Dest)
		if err != nil {
			return moved, err
		}
	}
	return moved, b.Wait()
}

func (a *Account) rename(ctx context.Context, from, to maildir.Mailbox) error {
	if to.IsInbox() {
		return ErrExist
	}
	if to.Under(from) && len(to) > len(from) {
		return fmt.Errorf("into itself: %w", ErrName)
	}
	plan, err := a.checkRename(from, to)
	if err == nil {
		err = a.quota.roomFor(to, false)
	}
	if err != nil {
		return err
	}
	for _, path := range plan.renew {
		// Its UIDVALIDITY changes: whoever has it selected must go.
		if id, ok := a.identityOf(path); ok {
			if err := a.evict(ctx, id); err != nil {
				return err
			}
		}
	}
	if err := a.createSuperiors(ctx, to, a.heritage(to, "")); err != nil {
		return err
	}
	a.announceMoves(plan.paths)
	moves, err := a.tree.Rename(from, to)
	if err != nil {
		a.announceMoves(nil)
		return treeErr(err)
	}
	paths := make(map[string]string, len(moves))
	for _, mv := range moves {
		paths[joinPath(mv.From.Dir)] = joinPath(mv.To.Dir)
	}
	a.moveSlots(paths)
	a.announceMoves(nil)
	a.moveIndexes(moves)
	return a.file.updateAlways(func(st *accountState) ([]byte, error) {
		var payload []byte
		for _, mv := range moves {
			old := st.byDir[joinPath(mv.From.Dir)]
			if old == nil {
				continue
			}
			r := *old
			r.Dir = joinPath(mv.To.Dir)
			r.Renew = r.Renew || r.UIDValidity <= st.used(r.Dir)
			payload = append(payload, encodeMailbox(&r)...)
		}
		return payload, nil
	})
}

// A renamePlan is what a RENAME will do.
type renamePlan struct {
	paths map[string]string // of directories, old to new
	renew []string          // old paths of the mailboxes that will need a new UIDVALIDITY
}

// checkRename refuses what cannot be before anything is touched.
func (a *Account) checkRename(from, to maildir.Mailbox) (renamePlan, error) {
	plan := renamePlan{paths: map[string]string{}}
	ls, err := a.listing()
	if err != nil {
		return plan, treeErr(err)
	}
	for _, l := range ls.all {
		if !l.Name.Under(from) {
			continue
		}
		name := append(slices.Clone(to), l.Name[len(from):]...)
		if _, taken := ls.byName[name.String()]; taken {
			return plan, ErrExist
		}
		path, err := a.names.dirPath(name)
		if err != nil {
			return plan, err
		}
		old := joinPath(l.Dir)
		plan.paths[old] = path
		a.file.view(func(st *accountState) {
			if r := st.byDir[old]; r != nil && r.UIDValidity <= st.used(path) {
				plan.renew = append(plan.renew, old)
			}
		})
	}
	if len(plan.paths) == 0 {
		return plan, ErrNotExist
	}
	if _, taken := ls.byName[to.String()]; taken {
		return plan, ErrExist
	}
	return plan, nil
}

// announceMoves tells live mailboxes that their directories are about to move,
// or with nil that none is any more.
func (a *Account) announceMoves(paths map[string]string) {
	a.st.mu.Lock()
	defer a.st.mu.Unlock()
	for _, lm := range a.live {
		lm.slot.announce(paths[lm.slot.path()])
	}
}

// moveSlots tells live mailboxes where their directories are now.
func (a *Account) moveSlots(paths map[string]string) {
	a.st.mu.Lock()
	defer a.st.mu.Unlock()
	for _, lm := range a.live {
		if path, ok := paths[lm.slot.path()]; ok {
			lm.slot.move(path)
		}
	}
}

// moveIndexes renames the directories of an index tree as those of the mail
// were. An index that cannot follow is made anew; UIDVALIDITY and the ceilings
// of UIDs are in roost.account.
func (a *Account) moveIndexes(moves []maildir.Move) {
	if a.ownIndex == nil {
		return
	}
	for i, mv := range moves {
		if i > 0 && a.names.layout.Nested {
			return // they went with the first
		}
		if err := a.moveIndex(mv.From.Dir, mv.To.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.log.Error("index does not follow its mailbox", "from", joinPath(mv.From.Dir), "to", joinPath(mv.To.Dir), "err", err)
		}
	}
}

func (a *Account) moveIndex(from, to []string) error {
	source, last, done, err := a.parentOf(a.ownIndex, from)
	if err != nil {
		return err
	}
	defer done()
	if len(to) > 1 {
		dir, err := a.openIndexDir(joinPath(to[:len(to)-1])) // made if missing
		if err != nil {
			return err
		}
		dir.Close()
	}
	a.discardIndex(joinPath(to))
	dest, newlast, destDone, err := a.parentOf(a.ownIndex, to)
	if err != nil {
		return err
	}
	defer destDone()
	if err := source.RenameNoReplace(last, dest, newlast); err != nil {
		return err
	}
	return errors.Join(dest.Sync(), source.Sync())
}
