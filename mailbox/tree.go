package mailbox

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// treeErr puts our sentinels in front of errors of package maildir and of the disk.
func treeErr(err error) error {
	for _, pair := range [...]struct{ from, to error }{
		{maildir.ErrExist, ErrExist}, {maildir.ErrNotExist, ErrNotExist},
		{maildir.ErrName, ErrName}, {maildir.ErrGone, ErrUnavailable}, {maildir.ErrLocked, ErrUnavailable},
	} {
		if errors.Is(err, pair.from) && !errors.Is(err, pair.to) {
			return fmt.Errorf("%w: %w", pair.to, err)
		}
	}
	return diskErr(err)
}

// find gives the path of an existing mailbox. Errors: ErrName, ErrNotExist,
// ErrNotSelectable.
func (a *Account) find(name string) (string, error) {
	m, err := a.names.parse(name)
	if err != nil {
		return "", err
	}
	return a.findMailbox(m)
}

func (a *Account) findMailbox(m maildir.Mailbox) (string, error) {
	path, err := a.names.dirPath(m)
	if err == nil {
		ok, err := a.holds(path)
		if err != nil || ok {
			return path, treeErr(err)
		}
	}
	// Another spelling on disk, or a name that only the listing has.
	ls, lerr := a.listing()
	if lerr != nil {
		return "", treeErr(lerr)
	}
	i, ok := ls.byName[m.String()]
	switch {
	case !ok && err != nil:
		return "", treeErr(err)
	case !ok:
		return "", ErrNotExist
	case !ls.all[i].Selectable:
		return "", ErrNotSelectable
	}
	return joinPath(ls.all[i].Dir), nil
}

// holds reports whether the directory at path is a mailbox.
func (a *Account) holds(path string) (bool, error) {
	ok, err := a.pathExists(path)
	if err != nil || !ok || path == "" || !a.names.layout.Nested {
		return ok, err
	}
	for _, sub := range []string{"cur", "new"} {
		if ok, err = a.pathExists(path + "/" + sub); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

func joinPath(dir []string) string { return strings.Join(dir, "/") }

// hasBelow reports whether mailboxes are below m.
func (ls *listing) hasBelow(m maildir.Mailbox) bool {
	return slices.ContainsFunc(ls.all, func(l maildir.Listed) bool {
		return l.Selectable && len(l.Name) > len(m) && l.Name.Under(m)
	})
}

// target parses a name that is to be made; one separator at its end is allowed.
func (a *Account) target(name string) (maildir.Mailbox, error) {
	m, err := a.names.parse(strings.TrimSuffix(name, string(a.names.sep)))
	if errors.Is(err, ErrNotExist) {
		return nil, fmt.Errorf("outside the prefix: %w", ErrName)
	}
	return m, err
}

// Create makes a mailbox and missing superiors; a trailing separator is
// allowed. use needs CREATE-SPECIAL-USE (RFC 6154 §3); a use that another
// mailbox was created for moves to this one. It gives MAILBOXID. Errors:
// ErrName, ErrExist, ErrUseAttr, and those of the disk.
func (a *Account) Create(ctx context.Context, name string, use []imap.MailboxAttr) (id string, err error) {
	uses, err := parseUses(use)
	if err != nil {
		return "", fmt.Errorf("mailbox: create: %w", err)
	}
	m, err := a.target(name)
	if err != nil {
		return "", fmt.Errorf("mailbox: create: %w", err)
	}
	return a.createFor(ctx, m, uses, "")
}

// createFor is Create for a guest, or for the owner if that is empty.
func (a *Account) createFor(ctx context.Context, m maildir.Mailbox, uses []string, guest string) (id string, err error) {
	if err := a.takeTurn(ctx); err != nil {
		return "", err
	}
	defer a.giveTurn()
	defer a.changed()
	mb, err := a.create(ctx, m, guest)
	if err != nil {
		return "", fmt.Errorf("mailbox: create: %w", err)
	}
	defer mb.Release()
	if len(uses) > 0 {
		if err := a.setUses(m, mb, uses); err != nil {
			return "", fmt.Errorf("mailbox: create: %w", errors.Join(err, a.remove(ctx, m)))
		}
	}
	if err := mb.o.Slot.sync(); err != nil { // MAILBOXID is told without a barrier
		return "", fmt.Errorf("mailbox: create: %w", err)
	}
	return mb.ID(), nil
}

// create makes m and its superiors, and gives it as a live mailbox. The caller
// has the turn.
//
// What is made inherits the access control list of the nearest mailbox above; a
// crash before that leaves mailboxes of the owner alone. guest is as heritage
// has it.
func (a *Account) create(ctx context.Context, m maildir.Mailbox, guest string) (*Mailbox, error) {
	if m.IsInbox() {
		return nil, ErrExist
	}
	path, err := a.names.dirPath(m)
	if err != nil {
		return nil, err
	}
	switch _, err := a.findMailbox(m); {
	case err == nil:
		return nil, ErrExist
	case !errors.Is(err, ErrNotExist) && !errors.Is(err, ErrNotSelectable):
		return nil, err
	}
	if err := a.quota.roomFor(m, true); err != nil {
		return nil, err
	}
	from := a.heritage(m, guest)
	if err := a.createSuperiors(ctx, m, from); err != nil {
		return nil, err
	}
	a.discardIndex(path)
	if err := a.tree.Create(m); err != nil {
		return nil, treeErr(err)
	}
	mb, err := a.mailboxAt(ctx, path)
	if err == nil && !from.IsZero() {
		if err = a.inheritACL(from, mb.index().ID()); err != nil {
			mb.Release()
		}
	}
	if err != nil {
		return nil, errors.Join(treeErr(err), a.remove(context.WithoutCancel(ctx), m))
	}
	return mb, nil
}

// createSuperiors makes the mailboxes above m that are missing (RFC 9051
// §6.3.4); a name that is a level above others already stays as it is. They
// inherit the list of from, unless that is zero.
func (a *Account) createSuperiors(ctx context.Context, m maildir.Mailbox, from index.MailboxID) error {
	for n := 1; n < len(m); n++ {
		above := slices.Clone(m[:n])
		_, err := a.findMailbox(above)
		if err == nil || errors.Is(err, ErrNotSelectable) {
			continue
		}
		if !errors.Is(err, ErrNotExist) {
			return err
		}
		ls, err := a.listing()
		if err != nil {
			return treeErr(err)
		}
		if ls.hasBelow(above) {
			continue
		}
		if err := a.tree.Create(above); err != nil && !errors.Is(err, maildir.ErrExist) {
			return treeErr(err)
		}
		if !from.IsZero() {
			if err := a.inheritAt(ctx, above, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// inheritAt is inheritACL for the mailbox m, which is new.
func (a *Account) inheritAt(ctx context.Context, m maildir.Mailbox, from index.MailboxID) error {
	path, err := a.names.dirPath(m)
	if err != nil {
		return err
	}
	mb, err := a.mailboxAt(ctx, path) // not by what roost.account knows of the place
	if err != nil {
		return treeErr(err)
	}
	defer mb.Release()
	return a.inheritACL(from, mb.index().ID())
}

// setUses notes what m was created for, and takes it from other mailboxes.
func (a *Account) setUses(m maildir.Mailbox, mb *Mailbox, uses []string) error {
	var id index.MailboxID
	if n, err := hex.Decode(id[:], []byte(mb.ID())); err != nil || n != len(id) {
		return fmt.Errorf("mailbox id %q: %w", mb.ID(), ErrUnavailable)
	}
	path, err := a.names.dirPath(m)
	if err != nil {
		return err
	}
	return a.file.update(func(st *accountState) ([]byte, error) {
		r := mailboxRecord{ID: id, Dir: path, UIDValidity: mb.UIDValidity()}
		if old := st.byID[id]; old != nil {
			r = *old
		}
		r.Uses = uses
		payload := encodeMailbox(&r)
		for other, old := range st.byID {
			left := slices.DeleteFunc(slices.Clone(old.Uses), func(u string) bool { return slices.Contains(uses, u) })
			if other != id && len(left) < len(old.Uses) {
				changed := *old
				changed.Uses = left
				payload = append(payload, encodeMailbox(&changed)...)
			}
		}
		return payload, nil
	})
}

// Delete removes a mailbox and its messages, not the mailboxes below it (RFC
// 9051 §6.3.5). Sessions that have it selected find ErrGone. It is durable on
// return; the files are removed in the background. Errors: ErrName (INBOX),
// ErrNotExist, ErrHasChildren (only a level above mailboxes).
func (a *Account) Delete(ctx context.Context, name string) error {
	m, err := a.names.parse(name)
	if err != nil {
		return fmt.Errorf("mailbox: delete: %w", err)
	}
	return a.deleteMailbox(ctx, m)
}

func (a *Account) deleteMailbox(ctx context.Context, m maildir.Mailbox) error {
	if m.IsInbox() {
		return fmt.Errorf("mailbox: delete INBOX: %w", ErrName)
	}
	if err := a.takeTurn(ctx); err != nil {
		return err
	}
	defer a.giveTurn()
	defer a.changed()
	if err := a.remove(ctx, m); err != nil {
		return fmt.Errorf("mailbox: delete: %w", err)
	}
	a.tellGrants()
	return nil
}

// remove is Delete of a mailbox that is not INBOX. The caller has the turn.
func (a *Account) remove(ctx context.Context, m maildir.Mailbox) error {
	path, err := a.findMailbox(m)
	if errors.Is(err, ErrNotExist) || errors.Is(err, ErrNotSelectable) {
		return a.removeLevel(m, err)
	}
	if err != nil {
		return err
	}
	info, err := a.lstatPath(path)
	if err != nil {
		return treeErr(err)
	}
	// Before: nothing of ours is written there any more. After: nobody who came
	// in between stays.
	if err := a.evict(ctx, info.Identity); err != nil {
		return err
	}
	if err := a.tree.Delete(m); err != nil {
		return treeErr(err)
	}
	ctx = context.WithoutCancel(ctx)
	if err := a.evict(ctx, info.Identity); err != nil {
		return err
	}
	a.discardIndex(path)
	a.quota.recount()
	err = a.file.updateAlways(func(st *accountState) ([]byte, error) {
		if r := st.byDir[path]; r != nil {
			return encodeForget(r.ID), nil
		}
		return nil, nil
	})
	a.purgeTrash()
	return err
}

// removeLevel deletes a directory of the fs layout that is only a level; cause
// is why it is no mailbox.
func (a *Account) removeLevel(m maildir.Mailbox, cause error) error {
	ls, err := a.listing()
	if err != nil {
		return treeErr(err)
	}
	if ls.hasBelow(m) {
		return ErrHasChildren
	}
	i, ok := ls.byName[m.String()]
	if !ok {
		return cause
	}
	parent, last, done, err := a.parentOf(a.tree.Root(), ls.all[i].Dir)
	if err != nil {
		return treeErr(err)
	}
	defer done()
	err = parent.Rmdir(last)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", ErrHasChildren, err) // levels without mailboxes, or files that are not ours
	}
	if err != nil {
		return treeErr(err)
	}
	return treeErr(parent.Sync())
}

// discardIndex removes what an index tree has for the mailbox at path. What
// cannot be removed is found out when a mailbox is opened there.
func (a *Account) discardIndex(path string) {
	if a.ownIndex == nil || path == "" {
		return
	}
	dir, err := openPath(a.st.o.FS, a.ownIndex, a.index, path)
	if err != nil {
		return
	}
	defer dir.Close()
	for _, name := range []string{index.JournalName, index.CacheName} {
		if err := dir.Unlink(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("remove index of a deleted mailbox", "path", dir.Path(), "file", name, "err", err)
		}
	}
	if parent, last, done, err := a.parentOf(a.ownIndex, parts(path)); err == nil {
		parent.Rmdir(last) // stays if it holds others
		done()
	}
}

// purgeTrash removes the files of deleted mailboxes in the background.
func (a *Account) purgeTrash() {
	a.bg.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		done := make(chan struct{})
		defer close(done)
		go func() { // ends with this call
			select {
			case <-a.stop:
				cancel()
			case <-done:
			}
		}()
		if err := a.tree.EmptyTrash(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("empty trash of deleted mailboxes", "err", err)
		}
	})
}

// identityOf is the identity of the directory at path, false if there is none.
func (a *Account) identityOf(path string) (disk.Identity, bool) {
	info, err := a.lstatPath(path)
	return info.Identity, err == nil
}
