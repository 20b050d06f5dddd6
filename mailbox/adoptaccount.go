package mailbox

import (
	"context"
	"errors"
	"io/fs"

	"roost/maildir"
)

// This file is what an account takes over from another server as a whole:
// subscriptions and the counter of UIDVALIDITY.

// foreignDefault is the server whose files a new mailbox gets, so that leaving
// takes it along: the one that the account came from.
func (a *Account) foreignDefault() (kind foreignKind) {
	a.file.view(func(st *accountState) {
		switch {
		case st.adopted[foreignDovecot] > 0:
			kind = foreignDovecot
		case st.adopted[foreignCourier] > 0:
			kind = foreignCourier
		}
	})
	return kind
}

// foreignCounter is what foreignUIDValidity read last. Account.mu guards it.
type foreignCounter struct {
	root  maildir.Stamp // as it was then, and any later change shows; zero: none
	value uint32
}

// foreignUIDValidity is the last UIDVALIDITY that Dovecot gave in the account;
// 0 if it never did. Ours are above it (rule X2). It is in the name of a file:
// the root is read again only if it has changed, as it may have many mailboxes.
func (a *Account) foreignUIDValidity() uint32 {
	root, serr := maildir.StampOf(a.tree.Root())
	a.mu.Lock()
	known := a.foreign
	a.mu.Unlock()
	if serr == nil && root == known.root {
		return known.value
	}
	v, err := maildir.ReadUIDValidity(a.tree.Root())
	if err != nil {
		a.log.Warn("cannot read the UIDVALIDITY counter of Dovecot", "err", err)
		return v
	}
	if serr == nil && root.Settled(a.st.o.FS.Now(), maildir.NetworkGranule) {
		a.mu.Lock()
		a.foreign = foreignCounter{root, v}
		a.mu.Unlock()
	}
	return v
}

// leaveForeign lifts Dovecot's counter above all that we gave, if the account
// came from there.
func (a *Account) leaveForeign() {
	if a.file == nil || a.foreignDefault() != foreignDovecot {
		return
	}
	var high uint32
	a.file.view(func(st *accountState) { high = max(st.highWater, st.floor) })
	in, err := a.tree.Root().Stat()
	if err == nil && in.Nlink > 0 {
		err = maildir.RaiseUIDValidity(a.tree.Root(), high, in.Mode.Perm()&0o666)
	}
	if err != nil {
		a.log.Warn("cannot lift the UIDVALIDITY counter of Dovecot", "err", err)
	}
}

// adoptSubscriptions gives a new account the subscriptions that Courier had,
// unless it has some in the form that we and Dovecot share.
func (a *Account) adoptSubscriptions(ctx context.Context) {
	fresh := false
	a.file.view(func(st *accountState) { fresh = len(st.byID) == 0 && st.highWater == 0 })
	if !fresh {
		return
	}
	if _, err := a.tree.Root().Lstat(maildir.SubscriptionsFile); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	names, err := a.tree.ReadCourierSubscriptions()
	if err == nil && len(names) > 0 {
		ctx, cancel := context.WithTimeout(ctx, subscribeWait)
		defer cancel()
		if err = a.tree.Subscribe(ctx, true, names...); err == nil {
			a.log.Info("took over the subscriptions of Courier", "names", len(names))
		}
	}
	if err != nil {
		a.log.Warn("cannot take over the subscriptions of Courier", "err", err)
	}
}
