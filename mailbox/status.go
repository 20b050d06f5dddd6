package mailbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/emersion/go-imap/v2"
)

// Status is what STATUS can tell; sizes cost a look at every message that was
// never measured, so they are made only if asked.
type Status struct {
	Messages, Recent, Unseen, Deleted int
	UIDNext                           imap.UID
	UIDValidity                       uint32
	HighestModSeq                     ModSeq
	Size, DeletedSize                 int64 // RFC 8438, RFC 9208 §4.1.4
	ID                                string
}

// StatusItems selects the costly items.
type StatusItems struct{ Size, DeletedSize bool }

// Status brings the mailbox up to date and describes it; \Recent stays. What it
// tells is added to b. Errors: those of Mailbox and of Mailbox.Open, but for
// ErrGone: a mailbox that vanishes meanwhile is ErrNotExist.
func (a *Account) Status(ctx context.Context, name string, items StatusItems, b *Barrier) (Status, error) {
	return statusThrough(ctx, func() (*Reach, error) {
		mb, err := a.Mailbox(ctx, name)
		return &Reach{Mailbox: mb}, err
	}, items, b)
}

// statusThrough is Status of what open gives.
func statusThrough(ctx context.Context, open func() (*Reach, error), items StatusItems, b *Barrier) (Status, error) {
	for range 3 {
		s, err := statusOnce(ctx, open, items, b)
		if !errors.Is(err, ErrGone) {
			return s, err
		}
	}
	return Status{}, fmt.Errorf("mailbox: status: %w", ErrNotExist)
}

func statusOnce(ctx context.Context, open func() (*Reach, error), items StatusItems, b *Barrier) (Status, error) {
	mb, err := open()
	if err != nil {
		return Status{}, err
	}
	defer mb.Release()
	v, err := mb.glance(ctx, true, b, "", nil)
	if err != nil {
		return Status{}, fmt.Errorf("mailbox: status: %w", err)
	}
	defer v.Close()
	s := Status{
		Messages: v.Len(), Recent: v.Recent(), UIDNext: v.UIDNext(), UIDValidity: mb.UIDValidity(),
		HighestModSeq: v.HighestModSeq(), ID: mb.ID(),
	}
	if err := s.count(ctx, v, items); err != nil {
		return Status{}, fmt.Errorf("mailbox: status: %w", err)
	}
	return s, nil
}

// count goes through the messages.
func (s *Status) count(ctx context.Context, v *View, items StatusItems) error {
	block := make([]Columns, min(s.Messages, 1024))
	for n := SeqNum(1); int(n) <= s.Messages; {
		if err := ctx.Err(); err != nil {
			return err
		}
		got := v.Columns(n, block, items.Size || items.DeletedSize)
		if got == 0 {
			return nil
		}
		for i := range block[:got] {
			if err := s.add(v, &block[i], items); err != nil {
				return err
			}
		}
		n += SeqNum(got)
	}
	return nil
}

func (s *Status) add(v *View, c *Columns, items StatusItems) (err error) {
	if c.Flags&Seen == 0 {
		s.Unseen++
	}
	deleted := c.Flags&Deleted != 0
	if deleted {
		s.Deleted++
	}
	if !items.Size && (!items.DeletedSize || !deleted) {
		return nil
	}
	size := c.Size
	if size < 0 {
		if size, err = sizeOf(v, c.Seq); err != nil {
			return err
		}
	}
	s.Size += size
	if deleted {
		s.DeletedSize += size
	}
	return nil
}

// sizeOf is the RFC822.SIZE of a message; a message that vanished counts nothing.
func sizeOf(v *View, n SeqNum) (int64, error) {
	c := v.content(n)
	defer c.Close()
	size, err := c.Size()
	if err != nil && v.Expunged(n) {
		return 0, nil
	}
	return size, err
}
