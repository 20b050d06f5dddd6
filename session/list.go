package session

import (
	"context"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// DEVIATION: OLDNAME (RFC 9051 §6.3.9.7) is not told for names that are brought
// to NFC.

// LIST is RFC 9051 §6.3.9 with RFC 5258, RFC 5819 (STATUS), RFC 6154
// (SPECIAL-USE) and RFC 3348 (children); LSUB is RFC 3501 §6.3.9.

// listCmd is LIST.
type listCmd struct {
	extended  bool // the syntax of RFC 9051 §6.3.9
	reference string
	patterns  []string
	wildcards int
	badName   bool // the reference is not well formed: nothing matches

	sel listSelect
	ret listReturn
}

// listSelect are the selection options.
type listSelect struct {
	subscribed, specialUse, recursive bool
}

// listReturn are the return options. What is cheap is always told.
type listReturn struct {
	subscribed bool
	specialUse bool
	myRights   bool     // RFC 8440
	status     []string // nil: no STATUS
	metadata   []string // entries; nil: no METADATA
}

// parseList reads
//
//	list                = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
//	mbox-or-pat         = list-mailbox / patterns
//	patterns            = "(" list-mailbox *(SP list-mailbox) ")"
//	list-return-opts    = "RETURN" SP "(" [return-option *(SP return-option)] ")"
func parseList(sc *wire.Scanner) (runner, error) {
	var c listCmd
	sc.SP()
	if sc.Peek() == '(' {
		c.extended = true
		c.scanSelect(sc)
		sc.SP()
	}
	c.scanReference(sc)
	sc.SP()
	if sc.Peek() == '(' {
		c.extended = true
		if sc.List(func() { c.scanPattern(sc) }) == 0 {
			sc.Fail("expected a pattern")
		}
	} else {
		c.scanPattern(sc)
	}
	if !sc.AtEnd() {
		c.extended = true
		sc.SP()
		if sc.Name() != "RETURN" {
			sc.Fail("expected RETURN")
		}
		sc.SP()
		sc.List(func() { c.scanReturn(sc) })
	}
	return &c, sc.End()
}

// scanReference reads the reference name. Unlike the name of a mailbox it
// keeps a separator at its end.
func (c *listCmd) scanReference(sc *wire.Scanner) {
	name, ok := sc.ListMailbox()
	c.reference, c.badName = name, !ok
	c.wildcards += countWildcards(name)
}

func (c *listCmd) scanPattern(sc *wire.Scanner) {
	// RFC 9051 §6.3.9: what is well formed and not accepted matches nothing.
	if p, ok := sc.ListMailbox(); ok {
		c.patterns = append(c.patterns, p)
		c.wildcards += countWildcards(p)
	}
	if len(c.patterns) > maxListPatterns || c.wildcards > maxListWildcards {
		sc.Fail("too many patterns or wildcards")
	}
}

// The limits of one command, whatever is configured.
const (
	maxListPatterns  = 1000
	maxListWildcards = 1000
)

// scanSelect reads
//
//	list-select-opts = "(" [*(list-select-opt SP) ...] ")"
//
// RECURSIVEMATCH needs an option that it can modify (RFC 9051 §6.3.9.1).
func (c *listCmd) scanSelect(sc *wire.Scanner) {
	sc.List(func() {
		switch sc.Name() {
		case "SUBSCRIBED":
			c.sel.subscribed, c.ret.subscribed = true, true
		case "SPECIAL-USE":
			c.sel.specialUse, c.ret.specialUse = true, true
		case "REMOTE": // there are no remote mailboxes
		case "RECURSIVEMATCH":
			c.sel.recursive = true
		default:
			sc.Fail("unknown selection option")
		}
	})
	if c.sel.recursive && !c.sel.subscribed {
		sc.Fail("RECURSIVEMATCH needs SUBSCRIBED")
	}
}

func (c *listCmd) scanReturn(sc *wire.Scanner) {
	switch sc.Name() {
	case "SUBSCRIBED":
		c.ret.subscribed = true
	case "CHILDREN": // always told
	case "SPECIAL-USE":
		c.ret.specialUse = true
	case "STATUS":
		sc.SP()
		c.ret.status = scanStatusItems(sc)
	case "METADATA":
		c.ret.metadata = scanListMetadata(sc)
	case "MYRIGHTS":
		c.ret.myRights = true
	default:
		sc.Fail("unknown return option")
	}
}

// canonical puts reference and patterns together. Empty patterns are ignored.
func (c *listCmd) canonical(s *Session) (listPatterns, error) {
	if len(c.patterns) > s.opt.Limits.ListPatterns || c.wildcards > s.opt.Limits.ListWildcards {
		return nil, no("LIMIT", "too many patterns or wildcards")
	}
	if c.badName {
		return nil, nil
	}
	var ps listPatterns
	for _, p := range c.patterns {
		if p != "" {
			ps = append(ps, newListPattern(c.reference+p, s.account.Separator()))
		}
	}
	return ps, nil
}

func (c *listCmd) run(ctx context.Context, s *Session) error {
	if !c.extended && len(c.patterns) == 1 && c.patterns[0] == "" {
		// RFC 9051 §6.3.9: asks for the separator.
		s.writeListed(`LIST`, []imap.MailboxAttr{imap.MailboxAttrNoSelect}, "", "")
		return nil
	}
	patterns, err := c.canonical(s)
	if err != nil || len(patterns) == 0 {
		return err
	}
	reaches := patterns.reaches
	if c.sel.recursive {
		reaches = nil // what is below tells of what is above
	}
	all, err := s.access.List(ctx, reaches)
	if err != nil {
		return err
	}
	owed := map[string]bool{}
	if c.sel.recursive {
		all = withLevels(all, s.account.Separator())
		owed = childInfo(all, patterns, s.account.Separator())
	}
	for i := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.tell(ctx, s, &all[i], patterns, owed); err != nil {
			return err
		}
	}
	return nil
}

// tell writes the responses for one name, if it is to be told.
func (c *listCmd) tell(ctx context.Context, s *Session, l *mailbox.Listed, patterns listPatterns, owed map[string]bool) error {
	selected := (!c.sel.subscribed || l.Subscribed) && (!c.sel.specialUse || len(l.SpecialUse) > 0)
	matches := patterns.match(l.Name)
	hidden, isOwed := owed[l.Name] // something below is selected; and a part of that does not match
	switch {
	case !matches:
		return nil
	case selected && l.NonExistent && !c.sel.subscribed:
		// Only a level above mailboxes, or a subscription of what is gone.
		if !l.HasChildren || !patterns.matchLevel(l.Name) {
			return nil
		}
	case !selected && !(isOwed && hidden):
		return nil
	}
	attrs := c.attributes(s, l)
	childInfo := ""
	if isOwed {
		childInfo = ` ("CHILDINFO" ("SUBSCRIBED"))`
	}
	if c.ret.status == nil || !l.Exists || !selected {
		s.writeListed("LIST", attrs, l.Name, childInfo)
		if l.Exists && selected {
			c.tellMore(ctx, s, l)
		}
		return nil
	}
	// Before LIST: a mailbox that cannot be selected is told as such (RFC 5819 §2).
	st, err := s.statusOf(ctx, l.Name, c.ret.status)
	switch {
	case errors.Is(err, mailbox.ErrNotExist), errors.Is(err, mailbox.ErrNotSelectable), errors.Is(err, mailbox.ErrPermission):
		attrs = append(attrs, imap.MailboxAttrNoSelect)
	case err != nil:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.logger().Warn("no status in LIST", "user", s.user.Name, "error", err)
	}
	s.writeListed("LIST", attrs, l.Name, childInfo)
	if err == nil {
		s.writeStatus(l.Name, c.ret.status, st)
	}
	if err == nil || errors.Is(err, mailbox.ErrPermission) {
		c.tellMore(ctx, s, l)
	}
	return nil
}

// tellMore tells what comes behind the LIST response of a mailbox.
func (c *listCmd) tellMore(ctx context.Context, s *Session, l *mailbox.Listed) {
	if c.ret.metadata != nil {
		s.listMetadata(ctx, l.Name, c.ret.metadata)
	}
	if c.ret.myRights {
		s.writeMyRights(l.Name, l.Rights)
	}
}

// attributes are those of RFC 9051 §7.3.1. IMAP4rev1 clients that do not use
// the extended syntax know \Noselect only.
func (c *listCmd) attributes(s *Session, l *mailbox.Listed) []imap.MailboxAttr {
	var attrs []imap.MailboxAttr
	switch {
	case l.NonExistent && (c.extended || s.enabled.rev2):
		attrs = append(attrs, imap.MailboxAttrNonExistent)
	case !l.Exists:
		attrs = append(attrs, imap.MailboxAttrNoSelect)
	}
	switch {
	case l.HasChildren:
		attrs = append(attrs, imap.MailboxAttrHasChildren)
	case l.NoInferiors:
		attrs = append(attrs, imap.MailboxAttrNoInferiors)
	default:
		attrs = append(attrs, imap.MailboxAttrHasNoChildren)
	}
	if c.ret.subscribed && l.Subscribed {
		attrs = append(attrs, imap.MailboxAttrSubscribed)
	}
	// RFC 6154 §2 allows them also to who does not ask.
	return append(attrs, l.SpecialUse...)
}

// withLevels adds the levels above names that do not exist: RECURSIVEMATCH may
// have to tell them (RFC 9051 §6.3.9.6, table 3).
func withLevels(all []mailbox.Listed, sep byte) []mailbox.Listed {
	known := make(map[string]bool, len(all))
	for _, l := range all {
		known[l.Name] = true
	}
	out := make([]mailbox.Listed, 0, len(all))
	for _, l := range all {
		if l.NonExistent && l.Subscribed {
			for _, above := range levelsAbove(l.Name, sep) {
				if !known[above] {
					known[above] = true
					out = append(out, mailbox.Listed{Name: above, NonExistent: true})
				}
			}
		}
		out = append(out, l)
	}
	return out
}

// levelsAbove gives the names above name, from the top.
func levelsAbove(name string, sep byte) []string {
	var out []string
	for i := 1; i < len(name); i++ {
		if name[i] == sep {
			out = append(out, name[:i])
		}
	}
	return out
}

// childInfo gives the names that have a subscribed name below them. The value
// says whether one of those is not told itself, because it does not match
// (RFC 9051 §6.3.9.3, rule 2 B).
func childInfo(all []mailbox.Listed, patterns listPatterns, sep byte) map[string]bool {
	owed := map[string]bool{}
	for _, l := range all {
		if !l.Subscribed {
			continue
		}
		hidden := !patterns.match(l.Name)
		for _, above := range levelsAbove(l.Name, sep) {
			owed[above] = owed[above] || hidden
		}
	}
	return owed
}

// writeListed writes a LIST or LSUB response; extra is what follows the name.
//
//	mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox [SP mbox-list-extended]
func (s *Session) writeListed(what string, attrs []imap.MailboxAttr, name, extra string) {
	s.w.Untagged()
	s.w.Raw(what)
	s.w.SP()
	s.w.Open()
	for _, a := range attrs {
		s.w.Item()
		s.w.Flag(imap.Flag(a))
	}
	s.w.Close()
	s.w.SP()
	s.w.String(string(s.account.Separator()))
	s.w.SP()
	s.w.Mailbox(name)
	s.w.Raw(extra)
	s.w.CRLF()
}

// lsubCmd is LSUB.
type lsubCmd struct{ listCmd }

// parseLsub reads
//
//	lsub = "LSUB" SP mailbox SP list-mailbox
func parseLsub(sc *wire.Scanner) (runner, error) {
	var c lsubCmd
	sc.SP()
	c.scanReference(sc)
	sc.SP()
	c.scanPattern(sc)
	return &c, sc.End()
}

// run lists the subscribed names. With `%` at the end a level above a
// subscribed name is told as \Noselect although it is not subscribed
// (RFC 3501 §6.3.9).
func (c *lsubCmd) run(ctx context.Context, s *Session) error {
	patterns, err := c.canonical(s)
	if err != nil || len(patterns) == 0 {
		return err
	}
	all, err := s.access.List(ctx, patterns.reaches)
	if err != nil {
		return err
	}
	sep := s.account.Separator()
	all = slices.DeleteFunc(all, func(l mailbox.Listed) bool { return !l.Subscribed })
	told := make(map[string]bool, len(all))
	for _, l := range all {
		told[l.Name] = true
	}
	for _, l := range all {
		for _, above := range levelsAbove(l.Name, sep) {
			if !told[above] && patterns.matchLevel(above) {
				told[above] = true
				s.writeListed("LSUB", []imap.MailboxAttr{imap.MailboxAttrNoSelect}, above, "")
			}
		}
		if !patterns.match(l.Name) {
			continue
		}
		var attrs []imap.MailboxAttr
		if !l.Exists {
			attrs = append(attrs, imap.MailboxAttrNoSelect)
		}
		s.writeListed("LSUB", attrs, l.Name, "")
	}
	return nil
}
