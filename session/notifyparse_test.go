package session

import (
	"strings"
	"testing"

	"roost/wire"
)

// FuzzNotify: whatever the arguments, what NOTIFY and UPDATE read keeps the
// rules of RFC 5465 §5 and §6.1, and data items never set \Seen.
func FuzzNotify(f *testing.F) {
	for _, line := range []string{
		"NOTIFY NONE", "NOTIFY SET (selected NONE)",
		"NOTIFY SET STATUS (selected-delayed (MessageNew (UID BODY[]) MessageExpunge FlagChange)) (subtree (A b) (MailboxName))",
		"NOTIFY SET (mailboxes (A {1+}\r\nb) (MessageNew MessageExpunge AnnotationChange X))",
		"SEARCH RETURN (UPDATE (UID BODY[HEADER.FIELDS (To)]) COUNT CONTEXT) 1:3 UNSEEN",
		"UID SORT RETURN (UPDATE) (REVERSE DATE) UTF-8 ALL", `CANCELUPDATE "a" "b"`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		sc := wire.NewScanner(wire.NewInput(strings.NewReader("a "+line+"\r\n")), wire.DefaultLimits(), func() error { return nil })
		if sc.Begin() != nil {
			return
		}
		switch sc.Command() {
		case "NOTIFY":
			r, err := parseNotify(sc)
			if err != nil {
				return
			}
			selected := 0
			for _, g := range r.(*notifyCmd).groups {
				const both = eventNew | eventExpunge
				if g.events&eventsOfMessages != 0 && g.events&both != both {
					t.Errorf("%q: events %b", line, g.events)
				}
				if g.filter.kind == "SELECTED" {
					selected++
				} else if g.items != nil {
					t.Errorf("%q: items", line)
				}
				for _, item := range g.items {
					if item.seen {
						t.Errorf("%q: sets \\Seen", line)
					}
				}
			}
			if selected > 1 || len(r.(*notifyCmd).groups) > maxNotifyGroups {
				t.Errorf("%q: %d times selected", line, selected)
			}
		case "SEARCH", "UID SORT":
			parse := parseSearch
			if sc.Command() == "UID SORT" {
				parse = parseUIDSort
			}
			if r, err := parse(sc); err == nil {
				c, ok := r.(*searchCmd)
				if !ok {
					c = &r.(*sortCmd).searchCmd
				}
				if c.items != nil && !c.update {
					t.Errorf("%q: items without UPDATE", line)
				}
			}
		case "CANCELUPDATE":
			if r, err := parseCancelUpdate(sc); err == nil && len(r.(*cancelUpdateCmd).tags) == 0 {
				t.Errorf("%q: no tag", line)
			}
		}
	})
}
