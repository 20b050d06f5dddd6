package session

import (
	"roost/wire"
)

// This file reads the arguments of NOTIFY (RFC 5465 §8).

// notifyEvents is a set of events.
type notifyEvents uint8

const (
	eventNew notifyEvents = 1 << iota
	eventExpunge
	eventFlags
	eventAnnotation // only to check the rules of the grammar: not supported
	eventName
	eventSubscription
	eventMailboxMetadata
	eventServerMetadata

	eventsOfMessages = eventNew | eventExpunge | eventFlags | eventAnnotation
)

var notifyEventNames = map[string]notifyEvents{
	"MESSAGENEW": eventNew, "MESSAGEEXPUNGE": eventExpunge, "FLAGCHANGE": eventFlags, "ANNOTATIONCHANGE": eventAnnotation,
	"MAILBOXNAME": eventName, "SUBSCRIPTIONCHANGE": eventSubscription,
	"MAILBOXMETADATACHANGE": eventMailboxMetadata, "SERVERMETADATACHANGE": eventServerMetadata,
}

// badEvent is told with an event that is not supported: all that are.
const badEvent = "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)"

// A notifyGroup is one event-group.
type notifyGroup struct {
	filter  mailboxFilter // kind SELECTED: or SELECTED-DELAYED
	delayed bool
	events  notifyEvents
	items   []fetchItem // of MessageNew
}

// notifyCmd is NOTIFY.
type notifyCmd struct {
	set    bool // else NONE
	status bool
	groups []notifyGroup
	alien  bool // an event that is not supported
}

// maxNotifyGroups bounds the groups of one command.
const maxNotifyGroups = 100

// parseNotify reads
//
//	notify       = "NOTIFY" SP (notify-set / notify-none)
//	notify-set   = "SET" [SP "STATUS"] SP event-groups
//	notify-none  = "NONE"
//	event-groups = event-group *(SP event-group)
func parseNotify(sc *wire.Scanner) (runner, error) {
	var c notifyCmd
	sc.SP()
	switch sc.Word() {
	case "NONE":
		return &c, sc.End()
	case "SET":
		c.set = true
	default:
		sc.Fail("expected SET or NONE")
	}
	sc.SP()
	if sc.TakeName("STATUS") {
		c.status = true
		sc.SP()
	}
	c.scanGroup(sc)
	for sc.Take(' ') {
		c.scanGroup(sc)
		if len(c.groups) > maxNotifyGroups {
			sc.Fail("too many groups of events")
		}
	}
	return &c, sc.End()
}

// scanGroup reads
//
//	event-group               = "(" filter-mailboxes SP events ")"
//	filter-mailboxes-selected = "selected" / "selected-delayed"
//	events                    = ("(" event *(SP event) ")") / "NONE"
func (c *notifyCmd) scanGroup(sc *wire.Scanner) {
	var g notifyGroup
	sc.Open()
	if sc.TakeName("SELECTED-DELAYED") {
		g.filter.kind, g.delayed = "SELECTED", true
	} else {
		g.filter = scanMailboxFilter(sc)
	}
	sc.SP()
	if sc.Peek() != '(' {
		if sc.Word() != "NONE" {
			sc.Fail("expected events or NONE")
		}
	} else if sc.List(func() { c.scanEvent(sc, &g) }) == 0 {
		sc.Fail("expected an event")
	}
	if !sc.Close() {
		sc.Fail("expected `)` behind the events")
	}
	if text := c.refuse(&g); text != "" {
		sc.Fail(text)
	}
	c.groups = append(c.groups, g)
}

// scanEvent reads
//
//	message-event = ("MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"]) / "MessageExpunge" / "FlagChange" / ...
func (c *notifyCmd) scanEvent(sc *wire.Scanner, g *notifyGroup) {
	event, known := notifyEventNames[sc.Word()]
	if !known || event == eventAnnotation {
		c.alien = true
	}
	g.events |= event
	if event == eventNew && sc.Follows(" (") {
		sc.SP()
		g.items = scanFetchItems(sc)
	}
}

// scanFetchItems reads a list of data items. They never set \Seen: the server
// sends what they name on its own.
//
//	"(" fetch-att *(SP fetch-att) ")"
func scanFetchItems(sc *wire.Scanner) []fetchItem {
	var f fetchCmd
	if sc.List(func() { f.scanItem(sc) }) == 0 {
		sc.Fail("expected a data item")
	}
	for i := range f.items {
		f.items[i].seen = false
	}
	return f.items
}

// refuse says what a group may not be (RFC 5465 §5, §6.1, §8).
func (c *notifyCmd) refuse(g *notifyGroup) string {
	const both = eventNew | eventExpunge
	selected := g.filter.kind == "SELECTED"
	switch {
	case g.events&eventsOfMessages != 0 && g.events&both != both:
		return "MessageNew and MessageExpunge go together, and with FlagChange"
	case selected && g.events&^eventsOfMessages != 0:
		return "only events of messages with the selected mailbox"
	case !selected && g.items != nil:
		return "data items only with the selected mailbox"
	}
	for i := range c.groups {
		if selected && c.groups[i].filter.kind == "SELECTED" {
			return "the selected mailbox can be named once"
		}
	}
	return ""
}
