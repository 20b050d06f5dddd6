package mailbox

import (
	"context"
	"errors"
	"fmt"
)

// Repair does to a mailbox now what the next use of it would do: read the index
// and mend it, merge what the files say, give UIDs, remove what was left over in
// tmp/. Messages are never deleted or rewritten by it. The error is why the
// mailbox cannot be used, or what is still wrong.
func (a *Account) Repair(ctx context.Context, name string) error {
	mb, err := a.Mailbox(ctx, name)
	if err != nil {
		return err
	}
	defer mb.Release()
	if err := mb.refresh(ctx); err != nil {
		return err
	}
	mb.purge()
	ix := mb.index()
	if err := mb.waitDurable(ix, position(ix.Pos())); err != nil {
		return err
	}
	mb.syncing <- struct{}{} // nobody is in the middle of something
	defer func() { <-mb.syncing }()
	return mb.Check()
}

// RepairAccount repairs every mailbox; tell is called after each.
func (a *Account) RepairAccount(ctx context.Context, tell func(name string, done, total int, err error)) error {
	if err := a.file.mend(); err != nil {
		return err
	}
	list, err := a.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i, l := range list {
		if !l.Exists {
			continue
		}
		err := a.Repair(ctx, l.Name)
		if errors.Is(err, ErrNotExist) {
			err = nil // deleted meanwhile
		}
		tell(l.Name, i+1, len(list), err)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

// mend writes the file anew if it is damaged.
func (af *accountFile) mend() error {
	af.wmu.Lock()
	defer af.wmu.Unlock()
	if !af.broken || af.file == nil {
		return nil
	}
	if err := af.rewrite(); err != nil {
		return fmt.Errorf("mailbox: write %s: %w", accountFileName, diskErr(err))
	}
	return nil
}
