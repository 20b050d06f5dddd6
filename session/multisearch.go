package session

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// This file is ESEARCH (RFC 7377): a search in several mailboxes.

// multiSearchCmd is ESEARCH.
type multiSearchCmd struct {
	searchCmd
	sources []mailboxFilter
}

// maxSearched bounds the mailboxes that one ESEARCH looks into.
const maxSearched = 10_000

// maxFilterNames bounds the names of one command.
const maxFilterNames = 1000

// A mailboxFilter names mailboxes (RFC 5465 §6, RFC 7377 §2.2).
type mailboxFilter struct {
	kind  string // "SELECTED", "PERSONAL", ...
	names []string
}

// scanMailboxFilter reads
//
//	filter-mailboxes       = filter-mailboxes-selected / filter-mailboxes-other
//	filter-mailboxes-other = "inboxes" / "personal" / "subscribed" /
//	                         ("subtree" SP one-or-more-mailbox) /
//	                         ("subtree-one" SP one-or-more-mailbox) /
//	                         ("mailboxes" SP one-or-more-mailbox)
//	one-or-more-mailbox    = mailbox / "(" mailbox *(SP mailbox) ")"
func scanMailboxFilter(sc *wire.Scanner) mailboxFilter {
	f := mailboxFilter{kind: sc.Word()}
	switch f.kind {
	case "SELECTED", "INBOXES", "PERSONAL", "SUBSCRIBED":
		return f
	case "SUBTREE", "SUBTREE-ONE", "MAILBOXES":
	default:
		sc.Fail("unknown specifier of mailboxes")
		return f
	}
	sc.SP()
	if sc.Peek() != '(' {
		f.names = []string{sc.Mailbox()}
		return f
	}
	sc.List(func() {
		f.names = append(f.names, sc.Mailbox())
		if len(f.names) > maxFilterNames {
			sc.Fail("too many mailboxes")
		}
	})
	if len(f.names) == 0 {
		sc.Fail("expected a mailbox")
	}
	return f
}

// match says whether f names the mailbox l; SELECTED names none here.
func (f *mailboxFilter) match(s *Session, l *mailbox.Listed) bool {
	sep := s.account.Separator()
	switch f.kind {
	case "PERSONAL", "INBOXES":
		// Any mailbox of a Maildir may be one that mail is delivered to, so
		// they are the same (RFC 5465 §6.3). Those of others are not personal.
		return !s.ofOthers(l.Name)
	case "SUBSCRIBED":
		return l.Subscribed
	case "MAILBOXES":
		return slices.Contains(f.names, l.Name)
	case "SUBTREE", "SUBTREE-ONE":
		for _, name := range f.names {
			rest, below := strings.CutPrefix(l.Name, name+string(sep))
			if l.Name == name || below && (f.kind == "SUBTREE" || strings.IndexByte(rest, sep) < 0) {
				return true
			}
		}
	}
	return false
}

// ofOthers reports whether name is that of another user's mailbox, or a level above.
func (s *Session) ofOthers(name string) bool {
	others := s.access.SharedPrefix()
	return others != "" && strings.HasPrefix(name+string(s.account.Separator()), others)
}

// filtersReach gives what Access.List wants: whether a filter may name a mailbox at
// or below a level.
func filtersReach(s *Session, filters []mailboxFilter) func(level string) bool {
	sep := string(s.account.Separator())
	return func(level string) bool {
		return slices.ContainsFunc(filters, func(f mailboxFilter) bool {
			switch f.kind {
			case "SUBSCRIBED":
				return true
			case "MAILBOXES", "SUBTREE", "SUBTREE-ONE":
				return slices.ContainsFunc(f.names, func(name string) bool {
					return name == level || strings.HasPrefix(name, level+sep) ||
						f.kind != "MAILBOXES" && strings.HasPrefix(level, name+sep)
				})
			}
			return false
		})
	}
}

// parseMultiSearch reads
//
//	esearch             = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program
//	esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"
//
// There are no scope options.
func parseMultiSearch(sc *wire.Scanner) (runner, error) {
	c := &multiSearchCmd{}
	c.uid, c.extended = true, true
	sc.SP()
	if sc.TakeName("IN") {
		sc.SP()
		sc.List(func() {
			c.sources = append(c.sources, scanMailboxFilter(sc))
			if len(c.sources) > maxFilterNames {
				sc.Fail("too many mailboxes")
			}
		})
		if len(c.sources) == 0 {
			sc.Fail("expected a specifier of mailboxes")
		}
		sc.SP()
	} else {
		c.sources = []mailboxFilter{{kind: "SELECTED"}}
	}
	if sc.TakeName("RETURN") {
		sc.SP()
		c.scanReturn(sc)
		sc.SP()
	}
	if c.ret == 0 {
		c.ret = returnAll // RFC 7377 §2.1
	}
	if c.ret&returnSave != 0 && slices.ContainsFunc(c.sources, func(f mailboxFilter) bool { return f.kind != "SELECTED" }) {
		sc.Fail("SAVE is for the selected mailbox only") // RFC 7377 §2.2
	}
	p := searchParser{sc: sc, cmd: &c.searchCmd}
	if sc.TakeName("CHARSET") {
		c.charset = true
		sc.SP()
		p.charset(sc.AString())
		sc.SP()
	}
	c.criteria = p.keys()
	return c, sc.End()
}

func (c *multiSearchCmd) run(ctx context.Context, s *Session) error {
	inSelected := slices.ContainsFunc(c.sources, func(f mailboxFilter) bool { return f.kind == "SELECTED" })
	if inSelected && s.view == nil {
		return bad("select a mailbox first") // RFC 7377 §2.2
	}
	if c.charset && s.enabled.utf8 && !s.enabled.rev2 {
		return bad("no CHARSET with UTF8=ACCEPT") // RFC 6855 §3
	}
	if err := c.expandFilters(ctx, s); err != nil {
		return err
	}
	names, err := c.resolve(ctx, s)
	if err != nil {
		return err
	}
	if inSelected {
		if err := c.inSelected(ctx, s); err != nil {
			if c.ret&returnSave != 0 {
				s.saved = saved{} // RFC 9051 §6.4.4.1
			}
			return err
		}
	} else if err := c.refused(); err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch err := c.inOther(ctx, s, name); {
		case err == nil:
		case errors.Is(err, mailbox.ErrNotExist), errors.Is(err, mailbox.ErrNotSelectable),
			errors.Is(err, mailbox.ErrPermission), errors.Is(err, mailbox.ErrGone):
			// Gone meanwhile, or not to be told apart from that (RFC 7377 §5).
		case errors.Is(err, mailbox.ErrUnavailable):
			failed = err // the others can be searched all the same
		default:
			return err
		}
		if err := s.w.Err(); err != nil {
			return err
		}
	}
	return failed
}

// refused is the answer to a charset that is not known.
func (c *searchCmd) refused() error {
	if c.badCharset {
		return no(searchCharsets, "charset not supported, or text not valid in it")
	}
	return nil
}

// resolve gives the mailboxes to look into, each once, but for the selected one
// if that is named as such.
func (c *multiSearchCmd) resolve(ctx context.Context, s *Session) ([]string, error) {
	seen := map[string]bool{}
	others := false
	for _, f := range c.sources {
		if f.kind == "SELECTED" {
			seen[s.access.NameOf(s.mailbox)] = true
		} else {
			others = true
		}
	}
	if !others {
		return nil, nil
	}
	all, err := s.access.List(ctx, filtersReach(s, c.sources))
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range all {
		l := &all[i]
		if !l.Exists || seen[l.Name] {
			continue
		}
		if slices.ContainsFunc(c.sources, func(f mailboxFilter) bool { return f.match(s, l) }) {
			seen[l.Name] = true
			names = append(names, l.Name)
		}
	}
	for _, f := range c.sources {
		for _, name := range f.names {
			if f.kind == "MAILBOXES" && !seen[name] && s.ofOthers(name) {
				seen[name] = true // what is named needs no "l" (RFC 7377 §2.2)
				names = append(names, name)
			}
		}
	}
	if len(names) > maxSearched {
		return nil, no("LIMIT", "too many mailboxes")
	}
	return names, nil
}

// inSelected looks into the selected mailbox.
func (c *multiSearchCmd) inSelected(ctx context.Context, s *Session) error {
	one := c.searchCmd
	one.criteria = c.criteria.Clone() // search resolves `$` in place
	res, err := one.search(ctx, s)
	if err != nil {
		return err
	}
	if c.ret&returnSave != 0 {
		s.saved = saved{s.uidSet(c.kept(res.Seqs))}
	}
	if c.ret != returnSave {
		c.write(s, s.view, s.mailbox, s.access.NameOf(s.mailbox), &res)
	}
	return nil
}

// inOther looks into another mailbox, without a trace: nothing there changes,
// not even \Recent. The saved result names none of its messages.
func (c *multiSearchCmd) inOther(ctx context.Context, s *Session, name string) error {
	mb, err := s.reach(ctx, name)
	if err != nil {
		return err
	}
	defer mb.Release()
	view, err := mb.Open(ctx, true, &s.barrier)
	if err != nil {
		return err
	}
	defer view.Close()
	criteria := c.criteria.Clone()
	criteria.Walk(func(k *mailbox.Criteria) {
		if k.Kind == mailbox.SearchSaved {
			k.Kind = mailbox.SearchNone
		}
	})
	res, err := view.Search(ctx, criteria, s.searchOptions("still searching"))
	if err != nil {
		return err
	}
	c.write(s, view, mb.Mailbox, name, &res)
	return nil
}

// write writes what was found in one mailbox, if anything was.
//
//	search-correlator = SP "(" one-correlator *(SP one-correlator) ")"
//	one-correlator    = ("TAG" SP tag-string) / ("MAILBOX" SP astring) / ("UIDVALIDITY" SP nz-number)
func (c *multiSearchCmd) write(s *Session, v *mailbox.View, mb *mailbox.Mailbox, name string, res *mailbox.SearchResult) {
	found := res.Seqs
	if len(found) == 0 {
		return
	}
	w := s.w
	w.Untagged()
	w.Raw("ESEARCH (TAG ")
	w.String(s.cmd.tag)
	w.Raw(" MAILBOX ")
	w.Mailbox(name)
	w.Raw(" UIDVALIDITY ")
	w.Number(uint64(mb.UIDValidity()))
	w.Raw(") UID")
	if c.ret&returnMin != 0 {
		w.Raw(" MIN ")
		w.Number(uint64(v.UID(found[0].First)))
	}
	if c.ret&returnMax != 0 {
		w.Raw(" MAX ")
		w.Number(uint64(v.UID(found[len(found)-1].Last)))
	}
	if c.ret&returnAll != 0 {
		w.Raw(" ALL ")
		w.UIDSet(uidsOf(v, found))
	}
	if c.ret&returnPartial != 0 {
		c.partial.write(w)
		if from, to := c.partial.window(found.Len()); from < to {
			w.UIDSet(uidsOf(v, slice(found, from, to)))
		} else {
			w.Raw("NIL")
		}
		w.Raw(")")
	}
	if c.ret&returnCount != 0 {
		w.Raw(" COUNT ")
		w.Number(uint64(found.Len()))
	}
	if n := c.modSeqIn(v, res); n != 0 {
		w.Raw(" MODSEQ ")
		w.Number(uint64(n))
	}
	w.CRLF()
}

// modSeqIn is searchCmd.modSeq in another mailbox.
func (c *multiSearchCmd) modSeqIn(v *mailbox.View, res *mailbox.SearchResult) mailbox.ModSeq {
	if res.ModSeq == 0 || c.ret&(returnAll|returnCount) != 0 {
		return res.ModSeq
	}
	var named mailbox.ModSeq
	for n := range c.kept(res.Seqs).All() {
		named = max(named, v.Message(n).ModSeq)
	}
	return named
}

// uidsOf gives the UIDs of msgs, which are ascending.
func uidsOf(v *mailbox.View, msgs mailbox.Seqs) imap.UIDSet {
	var set imap.UIDSet
	for n := range msgs.All() {
		uid := v.UID(n)
		if k := len(set); k > 0 && set[k-1].Stop+1 == uid {
			set[k-1].Stop = uid
			continue
		}
		set = append(set, imap.UIDRange{Start: uid, Stop: uid})
	}
	return set
}
