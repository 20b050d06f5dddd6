package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// DEVIATION: AnnotationChange is answered with BADEVENT, because there is no
// ANNOTATE; the STATUS of another mailbox that this client changed itself is not
// left out (RFC 5465 §5, a SHOULD).

// This file is NOTIFY (RFC 5465): what the client wants to be told of without
// asking. Mailboxes that it has not selected stay loaded and cost nothing until
// something happens in them.

// notifying is what NOTIFY asked for; without groups after NOTIFY NONE.
type notifying struct {
	s      *Session
	groups []notifyGroup
	status bool

	// Of the selected mailbox, whatever that is.
	selected notifyEvents
	delayed  bool
	items    []fetchItem
	own      imap.UIDSet // appended by this session, not to be told as new

	tree  *mailbox.TreeWatch // nil: no groups
	boxes map[string]*notified
	held  *notified       // it changed while it was selected
	stale bool            // boxes may not be what groups want
	moved map[string]bool // names that may mean another mailbox than box.watch
	again *time.Timer     // after names could not be read; nil: none

	mu      sync.Mutex // guards all below: others wake
	due     []*notified
	treeDue bool
}

// notified is one mailbox that is followed.
type notified struct {
	name   string
	events notifyEvents
	watch  *mailbox.Watch
	told   mailbox.Pulse
	gone   bool
}

func (c *notifyCmd) run(ctx context.Context, s *Session) error {
	if c.alien {
		return no(badEvent, "not all of these events are supported")
	}
	if !c.set {
		s.stopNotify()
		s.notify = &notifying{s: s}
		return nil
	}
	if s.view != nil && s.notify != nil && s.notify.selected == 0 { // RFC 5465 §3.1: like NOOP
		policy := everything
		if s.in.Buffered() > 0 {
			policy = noExpunge
		}
		if err := s.sync(ctx, policy); err != nil {
			return err
		}
	}
	n := &notifying{s: s, groups: c.groups, status: c.status, boxes: map[string]*notified{}}
	for i := range c.groups {
		g := &c.groups[i]
		if g.filter.kind == "SELECTED" {
			n.selected, n.delayed, n.items = g.events, g.delayed, g.items
		}
		for k := range g.items {
			if g.items[k].kind == fetchModSeq {
				s.enableCondstore()
			}
		}
	}
	if err := n.start(ctx); err != nil {
		n.close()
		return err
	}
	s.stopNotify()
	s.notify = n
	return nil
}

// errOverflow is the answer where too much is asked for.
var errOverflow = no("NOTIFICATIONOVERFLOW", "too many mailboxes, ask for fewer")

// start registers for everything and tells the STATUS that was asked for. Names
// are watched before they are listed, mailboxes before they are described: there
// is no gap.
func (n *notifying) start(ctx context.Context) error {
	others := slices.ContainsFunc(n.groups, func(g notifyGroup) bool { return g.filter.kind != "SELECTED" && g.events != 0 })
	if !others {
		return nil
	}
	var filters []mailboxFilter
	for i := range n.groups {
		filters = append(filters, n.groups[i].filter)
	}
	tree, list, err := n.s.access.WatchTree(ctx, filtersReach(n.s, filters), n.wakeTree)
	if errors.Is(err, mailbox.ErrLimit) {
		return errOverflow
	}
	if err != nil {
		return err
	}
	n.tree = tree
	for i := range list {
		n.tellNoAccess(&list[i])
		events := n.eventsOf(&list[i]) & eventsOfMessages
		if events == 0 {
			continue
		}
		box, err := n.follow(ctx, list[i].Name, events)
		switch {
		case err != nil:
			return err
		case box == nil || n.isSelected(box):
		case n.status:
			n.tellAll(box)
		}
	}
	return nil
}

// tellNoAccess tells of a mailbox that can be seen and not be read that it will not
// be told of (RFC 5465 §3.1).
func (n *notifying) tellNoAccess(l *mailbox.Listed) {
	if !l.Exists || l.Rights.Has(mailbox.RightRead) {
		return
	}
	readable := *l
	readable.Rights |= mailbox.RightRead
	if n.eventsOf(&readable)&eventsOfMessages != 0 {
		n.s.writeListed("LIST", []imap.MailboxAttr{`\NoAccess`}, l.Name, "")
	}
}

// eventsOf are the events that are wanted of the mailbox l when it is not
// selected.
func (n *notifying) eventsOf(l *mailbox.Listed) notifyEvents {
	var events notifyEvents
	for i := range n.groups {
		if g := &n.groups[i]; g.filter.match(n.s, l) {
			events |= g.events
		}
	}
	if !l.Exists || !l.Rights.Has(mailbox.RightRead) {
		events &^= eventsOfMessages
	}
	return events
}

// follow adds a mailbox; nil: it is not there, or cannot be read, which is told.
func (n *notifying) follow(ctx context.Context, name string, events notifyEvents) (*notified, error) {
	if len(n.boxes) >= n.s.opt.Limits.NotifyMailboxes {
		return nil, errOverflow
	}
	box := &notified{name: name, events: events}
	err := error(mailbox.ErrGone)
	for try := 0; try < 3 && errors.Is(err, mailbox.ErrGone); try++ { // it was replaced just now
		box.watch, box.told, err = n.s.access.Watch(ctx, name, needs["NOTIFY"].named, func() { n.wake(box) }, &n.s.barrier)
	}
	switch {
	case err == nil:
		n.boxes[name] = box
		return box, nil
	case errors.Is(err, mailbox.ErrLimit):
		return nil, errOverflow
	case errors.Is(err, mailbox.ErrNotExist), errors.Is(err, mailbox.ErrNotSelectable), errors.Is(err, mailbox.ErrGone):
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	n.s.logger().Warn("mailbox cannot be watched", "user", n.s.user.Name, "mailbox", name, "error", err)
	n.s.writeListed("LIST", []imap.MailboxAttr{`\NoAccess`}, name, "") // RFC 5465 §3.1
	return nil, nil
}

// wake notes that something happened in a mailbox. It is called with locks held.
func (n *notifying) wake(box *notified) {
	n.mu.Lock()
	n.due = append(n.due, box)
	n.mu.Unlock()
	n.s.t.notice()
}

// wakeTree notes that names, subscriptions or annotations may have changed.
func (n *notifying) wakeTree() {
	n.mu.Lock()
	n.treeDue = true
	n.mu.Unlock()
	n.s.t.notice()
}

// stopNotify forgets what was asked for.
func (s *Session) stopNotify() {
	if s.notify != nil {
		s.notify.close()
		s.notify = nil
		s.t.listen(nil, nil, 0)
	}
}

// retryNames is after how long names are read again that could not be read.
const retryNames = time.Second

func (n *notifying) close() {
	if n.again != nil {
		n.again.Stop()
	}
	if n.tree != nil {
		n.tree.Close()
	}
	for _, box := range n.boxes {
		box.close()
	}
	n.tree, n.boxes = nil, nil
}

func (b *notified) close() {
	if !b.gone {
		b.gone = true
		b.watch.Close()
	}
}

// isSelected says whether box is the mailbox that the session has selected: its
// events are those of SELECTED alone.
func (n *notifying) isSelected(box *notified) bool {
	return n.s.view != nil && n.s.mailbox == box.watch.Mailbox()
}

// tellNotified tells what happened in mailboxes that are not selected, and of
// names, if anything did. It writes and does not flush.
func (s *Session) tellNotified(ctx context.Context) error {
	n := s.notify
	if n == nil || n.tree == nil {
		return nil
	}
	n.mu.Lock()
	due, tree := n.due, n.treeDue
	n.due, n.treeDue = nil, false
	n.mu.Unlock()
	if held := n.held; held != nil && !held.gone && !n.isSelected(held) {
		n.held = nil
		due = append(due, held)
	}
	if !tree && !n.stale && len(due) == 0 {
		return nil
	}
	if tree || n.stale {
		if err := n.tellTree(ctx); err != nil {
			return n.failed(ctx, err, due)
		}
	}
	for _, box := range due {
		if box.gone {
			continue
		}
		if n.isSelected(box) {
			n.held = box
			box.watch.Look(&s.barrier) // so that it wakes again
			continue
		}
		n.tellBox(box)
	}
	if n.stale {
		if err := n.tellTree(ctx); err != nil {
			return n.failed(ctx, err, nil)
		}
	}
	return nil
}

// failed ends the notifications where there are too many of them (RFC 5465
// §5.8). Another error says that the names could not be read: due waits for
// another try.
func (n *notifying) failed(ctx context.Context, err error, due []*notified) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.Is(err, errOverflow):
		n.stale = true
		n.mu.Lock()
		n.due = append(due, n.due...)
		n.mu.Unlock()
		n.s.logger().Warn("names cannot be read", "user", n.s.user.Name, "error", err)
		n.again = time.AfterFunc(retryNames, n.wakeTree)
		return nil
	}
	n.s.w.Status("", "OK", "NOTIFICATIONOVERFLOW", "too many mailboxes, no more notifications")
	n.s.stopNotify()
	n.s.notify = &notifying{s: n.s}
	return nil
}

// tellBox tells what changed in a mailbox, if that is wanted.
func (n *notifying) tellBox(box *notified) {
	now, err := box.watch.Look(&n.s.barrier)
	if err != nil {
		if errors.Is(err, mailbox.ErrGone) { // deleted, moved, or replaced: the list tells
			n.drop(box)
			n.stale = true
		}
		return
	}
	told, condstore := box.told, n.s.enabled.condstore
	box.told = now
	if now.UIDValidity != told.UIDValidity {
		n.tellAll(box)
		return
	}
	var items []string
	if now.UIDNext != told.UIDNext || now.Messages != told.Messages || now.Removed(told) {
		items = append(items, statusMessages, statusUIDNext)
	}
	if box.events&eventFlags != 0 {
		if condstore && now.HighestModSeq != told.HighestModSeq {
			items = append(items, statusUIDValidity)
		}
		if now.Unseen != told.Unseen {
			items = append(items, statusUnseen)
		}
	}
	if len(items) == 0 {
		return
	}
	if condstore {
		items = append(items, statusHighestModSeq)
	}
	n.writeBox(box, items)
}

// tellAll tells everything that a client needs to begin with (RFC 5465 §3.1).
func (n *notifying) tellAll(box *notified) {
	items := []string{statusMessages, statusUIDNext, statusUIDValidity}
	if box.events&eventFlags != 0 {
		items = append(items, statusUnseen, statusHighestModSeq)
	} else if n.s.enabled.condstore {
		items = append(items, statusHighestModSeq)
	}
	n.writeBox(box, items)
}

func (n *notifying) writeBox(box *notified, items []string) {
	p := &box.told
	n.s.writeStatus(box.name, items, mailbox.Status{
		Messages: p.Messages, Unseen: p.Unseen, UIDNext: p.UIDNext, UIDValidity: p.UIDValidity, HighestModSeq: p.HighestModSeq,
	})
}

func (n *notifying) drop(box *notified) {
	box.close()
	if n.boxes[box.name] == box {
		delete(n.boxes, box.name)
	}
}

// tellTree tells of names, subscriptions and annotations, and follows the
// mailboxes that groups want now.
func (n *notifying) tellTree(ctx context.Context) error {
	changes, list, err := n.tree.Changes(ctx)
	if err != nil {
		return err
	}
	for i := range changes {
		c := &changes[i]
		if c.OldName != "" {
			n.rename(c.OldName, c.Listed.Name)
		} else if c.Name {
			n.suspect(c.Listed.Name)
		}
		if events := n.eventsOf(&c.Listed) | n.eventsOf(&c.Before); c.Name && events&eventName != 0 || c.Subscription && events&eventSubscription != 0 {
			n.s.writeTreeChange(c)
		}
	}
	if list == nil && n.stale {
		list = n.tree.List() // nothing newer: names are told before what is in them
	}
	n.stale = false
	if list != nil {
		if err := n.adjust(ctx, list); err != nil {
			return err
		}
	}
	return n.tellMetadata()
}

// rename takes what was told of a mailbox, and of those below it, to the new
// names. Where the mailbox is now is found out by adjust.
func (n *notifying) rename(from, to string) {
	sep := string(n.s.account.Separator())
	for name, box := range n.boxes {
		rest, below := strings.CutPrefix(name, from)
		if !below || rest != "" && !strings.HasPrefix(rest, sep) {
			continue
		}
		delete(n.boxes, name)
		if old := n.boxes[to+rest]; old != nil {
			n.drop(old)
		}
		box.name = to + rest
		n.boxes[box.name] = box
		n.suspect(box.name)
	}
}

// suspect notes that a name may mean another mailbox now.
func (n *notifying) suspect(name string) {
	if n.moved == nil {
		n.moved = map[string]bool{}
	}
	n.moved[name] = true
}

// adjust follows what groups want of list, and nothing else.
func (n *notifying) adjust(ctx context.Context, list []mailbox.Listed) error {
	wanted := map[string]notifyEvents{}
	for i := range list {
		if events := n.eventsOf(&list[i]) & eventsOfMessages; events != 0 {
			wanted[list[i].Name] = events
		}
	}
	for name, box := range n.boxes {
		if wanted[name] == 0 {
			n.drop(box)
		}
	}
	for i := range list {
		name := list[i].Name
		events := wanted[name]
		if events == 0 {
			continue
		}
		if box := n.boxes[name]; box != nil {
			box.events = events
			if n.moved[name] {
				if err := n.reopen(ctx, box); err != nil {
					return err
				}
			}
			continue
		}
		box, err := n.follow(ctx, name, events)
		if err != nil {
			return err
		}
		if box != nil && !n.isSelected(box) && (n.status || box.told.Messages > 0 || box.told.UIDNext > 1) {
			n.tellAll(box)
		}
	}
	n.moved = nil
	return nil
}

// reopen looks which live mailbox a name means now: another program may have
// moved the directory, or put another one in its place.
func (n *notifying) reopen(ctx context.Context, box *notified) error {
	mb, err := n.s.access.Mailbox(ctx, box.name, needs["NOTIFY"].named)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return nil // the list, or the mailbox itself, will tell
	}
	same := mb.Mailbox == box.watch.Mailbox()
	mb.Release()
	if same {
		return nil
	}
	told := box.told
	n.drop(box)
	fresh, err := n.follow(ctx, box.name, box.events)
	if fresh == nil || err != nil {
		return err
	}
	now := fresh.told
	if fresh.told = told; now != told && !n.isSelected(fresh) {
		n.tellBox(fresh)
	}
	return nil
}

// tellMetadata tells which annotations changed (RFC 5464 §4.4.2).
//
//	metadata-resp = "METADATA" SP mailbox SP entry-list
func (n *notifying) tellMetadata() error {
	changes, overflow := n.tree.Metadata()
	if overflow {
		return errOverflow
	}
	for _, c := range changes {
		wanted := false
		if c.Mailbox == "" {
			wanted = slices.ContainsFunc(n.groups, func(g notifyGroup) bool { return g.events&eventServerMetadata != 0 })
		} else {
			wanted = n.eventsOf(&mailbox.Listed{Name: c.Mailbox, Subscribed: n.subscribed(c.Mailbox)})&eventMailboxMetadata != 0
		}
		if !wanted || len(c.Entries) == 0 {
			continue
		}
		n.s.w.Untagged()
		n.s.w.Raw("METADATA ")
		n.s.w.Mailbox(c.Mailbox)
		for _, entry := range c.Entries {
			n.s.w.SP()
			n.s.w.AString(entry)
		}
		n.s.w.CRLF()
	}
	return nil
}

func (n *notifying) subscribed(name string) bool { return n.tree.Subscribed(name) }

// writeTreeChange writes the LIST response for a name (RFC 5465 §5.4, §5.5).
func (s *Session) writeTreeChange(c *mailbox.TreeChange) {
	list := listCmd{extended: true, ret: listReturn{subscribed: true}}
	attrs := list.attributes(s, &c.Listed)
	if c.OldName == "" {
		s.writeListed("LIST", attrs, c.Listed.Name, "")
		return
	}
	s.w.Untagged()
	s.w.Raw("LIST ")
	s.w.Open()
	for _, a := range attrs {
		s.w.Item()
		s.w.Flag(imap.Flag(a))
	}
	s.w.Close()
	s.w.SP()
	s.w.String(string(s.account.Separator()))
	s.w.SP()
	s.w.Mailbox(c.Listed.Name)
	s.w.Raw(` ("OLDNAME" (`)
	s.w.Mailbox(c.OldName)
	s.w.Raw("))")
	s.w.CRLF()
}
