package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"roost/disk"
	"roost/maildir"
)

// subscribeWait is how long another program may hold the lock of the file.
const subscribeWait = 10 * time.Second

// A subscriptionList is what the file said when it looked like stamp.
type subscriptionList struct {
	names []maildir.Mailbox
	stamp disk.Info
}

// noSubscriptions is what a missing file says.
var noSubscriptions = &subscriptionList{}

// subscriptions gives the subscribed names, in the order of the file. The same
// pointer means that nothing has changed.
func (a *Account) subscriptions() (*subscriptionList, error) {
	before, err := a.tree.Root().Lstat(maildir.SubscriptionsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return noSubscriptions, nil
	}
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	last := a.subscribed
	a.mu.Unlock()
	if last != nil && sameStamp(last.stamp, before) && last.stamp.Size == before.Size {
		return last, nil
	}
	subs, _, err := a.tree.ReadSubscriptions()
	if err != nil {
		return nil, err
	}
	now := &subscriptionList{subs.Names(), before}
	if a.st.o.FS.Now().Sub(latest(before)) > stampAge {
		// Read after it had been still for long: a later change has another time.
		a.mu.Lock()
		a.subscribed = now
		a.mu.Unlock()
	}
	return now, nil
}

// Subscribe adds a name to the subscriptions, or removes it (RFC 9051 §6.3.7,
// §6.3.8). Only a name that is in the tree can be added (ErrNotExist); any may
// be removed, and removing one that is not there is no error. Nothing else ever
// removes a subscription, DELETE does not. It is durable on return.
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error {
	m, err := a.names.parse(name)
	if err != nil {
		return fmt.Errorf("mailbox: subscribe: %w", err)
	}
	if on {
		if err := a.mayBeSubscribed(m); err != nil {
			return fmt.Errorf("mailbox: subscribe: %w", err)
		}
	}
	return a.subscribe(ctx, m, on)
}

// subscribe writes the file.
func (a *Account) subscribe(ctx context.Context, m maildir.Mailbox, on bool) error {
	if err := a.takeTurn(ctx); err != nil {
		return err
	}
	defer a.giveTurn()
	ctx, cancel := context.WithTimeout(ctx, subscribeWait)
	defer cancel()
	if err := a.tree.Subscribe(ctx, on, m); err != nil {
		return fmt.Errorf("mailbox: subscribe: %w", treeErr(err))
	}
	a.changed()
	return nil
}

// mayBeSubscribed is nil for mailboxes and for levels above them.
func (a *Account) mayBeSubscribed(m maildir.Mailbox) error {
	_, err := a.findMailbox(m)
	if err == nil {
		return nil
	}
	ls, lerr := a.listing()
	if lerr != nil {
		return treeErr(lerr)
	}
	if _, ok := ls.byName[m.String()]; ok || ls.hasBelow(m) {
		return nil
	}
	return err
}
