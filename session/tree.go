package session

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"roost/wire"
)

// createCmd is CREATE (RFC 9051 §6.3.4, RFC 6154 §3).
type createCmd struct {
	name string
	use  []imap.MailboxAttr
}

// maxUses is how many attributes one CREATE may name.
const maxUses = 32

// parseCreate reads
//
//	create       = "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]
//	create-param = "USE" SP "(" [use-attr *(SP use-attr)] ")"
func parseCreate(sc *wire.Scanner) (runner, error) {
	var c createCmd
	sc.SP()
	c.name = sc.Mailbox()
	if !sc.AtEnd() {
		sc.SP()
		if n := sc.List(func() {
			if sc.Name() != "USE" {
				sc.Fail("unknown parameter")
				return
			}
			sc.SP()
			sc.List(func() {
				c.use = append(c.use, imap.MailboxAttr(sc.Flag()))
				if len(c.use) > maxUses {
					sc.Fail("too many attributes")
				}
			})
		}); n == 0 {
			sc.Fail("missing parameter")
		}
	}
	return &c, sc.End()
}

func (c *createCmd) run(ctx context.Context, s *Session) error {
	id, err := s.access.Create(ctx, c.name, s.need().parent, c.use)
	if err != nil {
		return err
	}
	s.ownNames(ctx, c.name, "")
	if s.offers("OBJECTID") {
		return s.ok("MAILBOXID ("+id+")", "") // RFC 8474 §4.1
	}
	return nil
}

// nameCmd is a command whose only argument is a mailbox.
type nameCmd struct {
	name string
	do   func(ctx context.Context, s *Session, name string) error
}

func (c *nameCmd) run(ctx context.Context, s *Session) error { return c.do(ctx, s, c.name) }

// oneName is the parse of such a command:
//
//	delete      = "DELETE" SP mailbox
//	subscribe   = "SUBSCRIBE" SP mailbox
//	unsubscribe = "UNSUBSCRIBE" SP mailbox
func oneName(do func(ctx context.Context, s *Session, name string) error) func(*wire.Scanner) (runner, error) {
	return func(sc *wire.Scanner) (runner, error) {
		sc.SP()
		c := nameCmd{name: sc.Mailbox(), do: do}
		return &c, sc.End()
	}
}

// runDelete is DELETE (RFC 9051 §6.3.5). The session that deletes the mailbox
// it has selected goes on without one; others get BYE.
func runDelete(ctx context.Context, s *Session, name string) error {
	if s.view != nil && name != "INBOX" {
		mb, err := s.reach(ctx, name)
		if err == nil {
			own := mb.Mailbox == s.mailbox
			mb.Release()
			if own {
				s.closeMailbox()
				s.w.Status("", "OK", "CLOSED", "mailbox is going to be deleted")
			}
		}
	}
	err := s.access.Delete(ctx, name, s.need().named)
	if err == nil {
		s.ownNames(ctx, "", name)
	}
	return err
}

// runSubscribe is SUBSCRIBE (RFC 9051 §6.3.7), runUnsubscribe UNSUBSCRIBE
// (RFC 9051 §6.3.8).
func runSubscribe(ctx context.Context, s *Session, name string) error {
	return s.subscribe(ctx, name, true)
}

func runUnsubscribe(ctx context.Context, s *Session, name string) error {
	return s.subscribe(ctx, name, false)
}

func (s *Session) subscribe(ctx context.Context, name string, on bool) error {
	err := s.access.Subscribe(ctx, name, s.need().named, on)
	if err == nil {
		s.ownSubscription(ctx, name, on)
	}
	return err
}

// renameCmd is RENAME (RFC 9051 §6.3.6).
type renameCmd struct{ from, to string }

// parseRename reads
//
//	rename = "RENAME" SP mailbox SP mailbox
func parseRename(sc *wire.Scanner) (runner, error) {
	var c renameCmd
	sc.SP()
	c.from = sc.Mailbox()
	sc.SP()
	c.to = sc.Mailbox()
	return &c, sc.End()
}

func (c *renameCmd) run(ctx context.Context, s *Session) error {
	err := s.access.Rename(ctx, c.from, c.to, s.need().named, s.need().parent)
	switch {
	case err != nil:
	case c.from == "INBOX": // it stays
		s.ownNames(ctx, c.to, "")
	default:
		s.ownNames(ctx, c.to, c.from)
	}
	return err
}
