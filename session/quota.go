package session

import (
	"context"
	"errors"

	"roost/mailbox"
	"roost/wire"
)

// DEVIATION: SETQUOTA sets limits of the user below those of the administrator
// and no others (RFC 9208 §4.1.3 leaves it to policy).

// This file is QUOTA (RFC 9208). All mailboxes of a user are under one quota
// root, whose name is empty; that of another user is called as the level that has
// the user's mailboxes. What is added to a mailbox counts for its owner.

// quotaRoot is its name.
const quotaRoot = ""

// getQuotaCmd is GETQUOTA (RFC 9208 §4.1.1).
type getQuotaCmd struct{ root string }

// parseGetQuota reads
//
//	getquota        = "GETQUOTA" SP quota-root-name
//	quota-root-name = astring
func parseGetQuota(sc *wire.Scanner) (runner, error) {
	var c getQuotaCmd
	sc.SP()
	c.root = sc.AString()
	return &c, sc.End()
}

func (c *getQuotaCmd) run(ctx context.Context, s *Session) error {
	return s.writeQuota(ctx, c.root)
}

// getQuotaRootCmd is GETQUOTAROOT (RFC 9208 §4.1.2). The mailbox need not
// exist.
type getQuotaRootCmd struct{ name string }

// parseGetQuotaRoot reads
//
//	getquotaroot = "GETQUOTAROOT" SP mailbox
func parseGetQuotaRoot(sc *wire.Scanner) (runner, error) {
	var c getQuotaRootCmd
	sc.SP()
	c.name = sc.Mailbox()
	return &c, sc.End()
}

func (c *getQuotaRootCmd) run(ctx context.Context, s *Session) error {
	root, err := s.access.QuotaRoot(ctx, c.name, s.need().named)
	if err != nil {
		return err
	}
	s.w.Untagged()
	s.w.Raw("QUOTAROOT ")
	s.w.Mailbox(c.name)
	s.w.SP()
	s.w.String(root)
	s.w.CRLF()
	return s.writeQuota(ctx, root)
}

// The resources (RFC 9208 §5).
const (
	resStorage = "STORAGE" // in units of 1,024 octets
	resMessage = "MESSAGE"
	resMailbox = "MAILBOX"
)

// setQuotaCmd is SETQUOTA (RFC 9208 §4.1.3).
type setQuotaCmd struct {
	root    string
	limits  mailbox.Quota
	unknown bool // a resource
	zero    bool // a limit
}

// parseSetQuota reads
//
//	setquota          = "SETQUOTA" SP quota-root-name SP setquota-list
//	setquota-list     = "(" [setquota-resource *(SP setquota-resource)] ")"
//	setquota-resource = resource-name SP resource-limit
func parseSetQuota(sc *wire.Scanner) (runner, error) {
	var c setQuotaCmd
	sc.SP()
	c.root = sc.AString()
	sc.SP()
	seen := map[string]bool{}
	sc.List(func() {
		name := sc.Word()
		sc.SP()
		n := sc.Number64()
		if seen[name] {
			sc.Fail("resource given twice")
		}
		seen[name] = true
		c.zero = c.zero || n == 0
		switch name {
		case resStorage:
			c.limits.Storage = min(n, 1<<52) << 10
		case resMessage:
			c.limits.Messages = n
		case resMailbox:
			c.limits.Mailboxes = n
		default:
			c.unknown = true
			if len(seen) > 100 {
				sc.Fail("too many resources")
			}
		}
	})
	return &c, sc.End()
}

// run sets limits of the user's own. Users own their mailboxes, and the limits of
// the administrator stay above theirs.
func (c *setQuotaCmd) run(ctx context.Context, s *Session) error {
	switch {
	case c.root != quotaRoot:
		err := s.access.SetQuota(ctx, c.root, s.need().named, c.limits)
		return noQuotaRoot(err)
	case c.unknown:
		return no("CANNOT", "unknown resource")
	case c.zero:
		return no("CANNOT", "a limit of 0 would let nothing in")
	}
	err := s.account.SetQuota(c.limits)
	if errors.Is(err, mailbox.ErrPermission) {
		return no("NOPERM", "the limit is above the one of the administrator")
	}
	if err != nil {
		return err
	}
	return s.writeQuota(ctx, quotaRoot)
}

func noQuotaRoot(err error) error {
	if errors.Is(err, mailbox.ErrNotExist) {
		return no("NONEXISTENT", "no such quota root")
	}
	return err
}

// writeQuota writes what is limited, with usage and limit.
//
//	quota-response = "QUOTA" SP quota-root-name SP quota-list
//	quota-resource = resource-name SP resource-usage SP resource-limit
func (s *Session) writeQuota(ctx context.Context, root string) error {
	limits, used, err := s.access.Quota(ctx, root, s.need().named)
	if err != nil {
		return noQuotaRoot(err)
	}
	s.w.Untagged()
	s.w.Raw("QUOTA ")
	s.w.String(root)
	s.w.SP()
	s.w.Open()
	for _, r := range [...]struct {
		name        string
		used, limit int64
		unit        int64
	}{
		{resStorage, used.Storage, limits.Storage, 1024},
		{resMessage, used.Messages, limits.Messages, 1},
		{resMailbox, used.Mailboxes, limits.Mailboxes, 1},
	} {
		if r.limit == 0 {
			continue
		}
		s.w.Item()
		s.w.Raw(r.name)
		s.w.SP()
		s.w.Number(uint64((r.used + r.unit - 1) / r.unit))
		s.w.SP()
		s.w.Number(uint64(r.limit / r.unit))
	}
	s.w.Close()
	s.w.CRLF()
	return nil
}
