package session

import (
	"context"
	"slices"

	"roost/mailbox"
	"roost/wire"
)

// statusCmd is STATUS (RFC 9051 §6.3.11).
type statusCmd struct {
	name  string
	items []string
}

// The items of STATUS, in the order in which they are told.
const (
	statusMessages       = "MESSAGES"
	statusRecent         = "RECENT" // RFC 3501 §6.3.10
	statusUIDNext        = "UIDNEXT"
	statusUIDValidity    = "UIDVALIDITY"
	statusUnseen         = "UNSEEN"
	statusDeleted        = "DELETED"
	statusSize           = "SIZE"            // RFC 8438 too
	statusHighestModSeq  = "HIGHESTMODSEQ"   // RFC 7162 §3.1.2
	statusAppendLimit    = "APPENDLIMIT"     // RFC 7889 §4
	statusMailboxID      = "MAILBOXID"       // RFC 8474 §4.3
	statusDeletedStorage = "DELETED-STORAGE" // RFC 9208 §4.1.4
)

var statusItems = []string{
	statusMessages, statusRecent, statusUIDNext, statusUIDValidity, statusUnseen, statusDeleted, statusSize,
	statusHighestModSeq, statusAppendLimit, statusMailboxID, statusDeletedStorage,
}

// parseStatus reads
//
//	status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
func parseStatus(sc *wire.Scanner) (runner, error) {
	var c statusCmd
	sc.SP()
	c.name = sc.Mailbox()
	sc.SP()
	c.items = scanStatusItems(sc)
	return &c, sc.End()
}

// scanStatusItems reads the list of items; one given twice is told once.
func scanStatusItems(sc *wire.Scanner) []string {
	var items []string
	sc.List(func() {
		item := sc.Name()
		switch {
		case !slices.Contains(statusItems, item):
			sc.Fail("unknown status item")
		case !slices.Contains(items, item):
			items = append(items, item)
		}
	})
	if len(items) == 0 {
		sc.Fail("expected a status item")
	}
	return items
}

func (c *statusCmd) run(ctx context.Context, s *Session) error {
	st, err := s.statusOf(ctx, c.name, c.items)
	if err != nil {
		return err
	}
	s.writeStatus(c.name, c.items, st)
	return nil
}

// statusOf looks a mailbox up for STATUS.
func (s *Session) statusOf(ctx context.Context, name string, items []string) (mailbox.Status, error) {
	if slices.Contains(items, statusHighestModSeq) {
		s.enableCondstore() // RFC 7162 §3.1
	}
	st, err := s.access.Status(ctx, name, needs["STATUS"].named, mailbox.StatusItems{
		Size:        slices.Contains(items, statusSize),
		DeletedSize: slices.Contains(items, statusDeletedStorage),
	}, &s.barrier)
	if err == nil && s.view != nil && st.ID == s.mailbox.ID() {
		// Never beyond an expunge that this session was not told (RFC 7162 §3.2.10).
		st.HighestModSeq = min(st.HighestModSeq, s.view.HighestModSeq())
	}
	return st, err
}

// writeStatus writes
//
//	mailbox-data = "STATUS" SP mailbox SP "(" [status-att-list] ")"
func (s *Session) writeStatus(name string, items []string, st mailbox.Status) {
	s.w.Untagged()
	s.w.Raw("STATUS ")
	s.w.Mailbox(name)
	s.w.SP()
	s.w.Open()
	for _, item := range items {
		s.w.Item()
		s.w.Raw(item)
		s.w.SP()
		s.writeStatusValue(item, &st)
	}
	s.w.Close()
	s.w.CRLF()
}

func (s *Session) writeStatusValue(item string, st *mailbox.Status) {
	switch item {
	case statusMessages:
		s.w.Number(uint64(st.Messages))
	case statusRecent:
		s.w.Number(uint64(st.Recent))
	case statusUIDNext:
		s.w.Number(uint64(st.UIDNext))
	case statusUIDValidity:
		s.w.Number(uint64(st.UIDValidity))
	case statusUnseen:
		s.w.Number(uint64(st.Unseen))
	case statusDeleted:
		s.w.Number(uint64(st.Deleted))
	case statusSize:
		s.w.Number(uint64(st.Size))
	case statusHighestModSeq:
		s.w.Number(uint64(st.HighestModSeq))
	case statusAppendLimit:
		s.w.Number(uint64(s.opt.Limits.Append))
	case statusMailboxID:
		s.w.Raw("(" + st.ID + ")")
	case statusDeletedStorage:
		s.w.Number(uint64(st.DeletedSize))
	}
}
