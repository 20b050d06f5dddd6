package session

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// DEVIATION: YOUNGER and OLDER in a context (RFC 5267) are not looked at again as
// time passes.

// This file is CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267 §4): results of SEARCH
// and SORT that are kept up to date. A change costs a search among the messages
// that changed; of SORT also a sort of the result.

const (
	maxContexts       = 16      // of a session
	maxContextResults = 1 << 20 // of all of them, 4 octets each
)

// A searchContext is one result with UPDATE.
type searchContext struct {
	tag      string
	uid      bool
	criteria *mailbox.Criteria // no message numbers in it
	by       []mailbox.SortCriterion
	items    []fetchItem // to be told of messages that come into it (RFC 5465 §7)
	uids     []imap.UID  // the result in its order
}

// scanContext reads the result option name if it is one of contexts.
//
//	modifier-context = "CONTEXT"
//	modifier-update  = "UPDATE" [[SP] "(" fetch-att *(SP fetch-att) ")"]
//
// CONTEXT is a hint (RFC 5267 §4.2) and changes nothing. The example of RFC 5465
// §7 has the space, its grammar has not.
func (c *searchCmd) scanContext(sc *wire.Scanner, name string) bool {
	switch name {
	case "CONTEXT":
	case "UPDATE":
		c.update = true
		if sc.Follows(" (") {
			sc.SP()
		}
		if sc.Peek() == '(' {
			c.items = scanFetchItems(sc)
		}
	default:
		return false
	}
	return true
}

// keepUpdated makes a context of a search that found found, in the order of its
// answer; by is nil for SEARCH. If that cannot be, the client is told (RFC 5267
// §4.3.1).
func (s *Session) keepUpdated(c *searchCmd, by []mailbox.SortCriterion, found []mailbox.SeqNum) {
	if !c.update {
		return
	}
	total := len(found)
	for _, other := range s.contexts {
		total += len(other.uids)
	}
	if len(s.contexts) >= maxContexts || total > maxContextResults || c.lowest != 0 {
		s.refuseUpdate(s.cmd.tag)
		return
	}
	sc := &searchContext{tag: s.cmd.tag, uid: c.uid, criteria: s.withoutNumbers(c.criteria), by: by, items: c.items}
	sc.uids = make([]imap.UID, len(found))
	for i, n := range found {
		sc.uids[i] = s.view.UID(n)
	}
	s.contexts = append(s.contexts, sc)
}

// refuseUpdate tells that a context is not kept, or not any more.
func (s *Session) refuseUpdate(tag string) {
	s.w.Status("", "NO", `NOUPDATE "`+tag+`"`, "this result is not updated")
}

// isUpdated says whether tag names a context: it cannot name another one.
func (s *Session) isUpdated(tag string) bool {
	return slices.ContainsFunc(s.contexts, func(c *searchContext) bool { return c.tag == tag })
}

// withoutNumbers gives c with UIDs in place of message numbers: those mean the
// messages that they meant when the command came (RFC 5267 §4.3).
func (s *Session) withoutNumbers(c *mailbox.Criteria) *mailbox.Criteria {
	if !c.Uses(mailbox.SearchSeqs) {
		return c
	}
	out := *c
	if c.Kind == mailbox.SearchSeqs {
		out.Kind, out.Seqs = mailbox.SearchUIDs, nil
		if out.UIDs = s.uidSet(s.view.NumbersWithin(c.Seqs)); len(out.UIDs) == 0 {
			out.Kind = mailbox.SearchNone
		}
	}
	out.Of = make([]*mailbox.Criteria, len(c.Of))
	for i, kid := range c.Of {
		out.Of[i] = s.withoutNumbers(kid)
	}
	return &out
}

// cancelUpdateCmd is CANCELUPDATE (RFC 5267 §4.3.5).
type cancelUpdateCmd struct{ tags []string }

// parseCancelUpdate reads
//
//	"CANCELUPDATE" 1*(SP quoted)
func parseCancelUpdate(sc *wire.Scanner) (runner, error) {
	var c cancelUpdateCmd
	for sc.SP(); ; sc.SP() {
		c.tags = append(c.tags, sc.AString())
		if len(c.tags) > maxContexts {
			sc.Fail("too many tags")
		}
		if sc.AtEnd() {
			return &c, sc.End()
		}
	}
}

func (c *cancelUpdateCmd) run(_ context.Context, s *Session) error {
	for _, tag := range c.tags {
		if !s.isUpdated(tag) {
			return bad("no result with this tag is updated")
		}
	}
	s.contexts = slices.DeleteFunc(s.contexts, func(sc *searchContext) bool { return slices.Contains(c.tags, sc.tag) })
	return nil
}

// A contextUpdate is a part of ADDTO or REMOVEFROM: numbers, UIDs or of
// messages, at a place in the result, 0 for a SEARCH.
type contextUpdate struct {
	at      int
	numbers []uint32
}

// writeUpdate writes
//
//	"ESEARCH" search-correlator [SP "UID"] SP what SP "(" context-position SP sequence-set *(SP context-position SP sequence-set) ")"
func (c *searchContext) writeUpdate(s *Session, what string, updates []contextUpdate) {
	if len(updates) == 0 {
		return
	}
	w := s.w
	w.Untagged()
	w.Raw("ESEARCH (TAG ")
	w.String(c.tag)
	w.Raw(")")
	if c.uid {
		w.Raw(" UID")
	}
	w.SP()
	w.Raw(what)
	w.SP()
	w.Open()
	for _, u := range updates {
		w.Item()
		w.Number(uint64(u.at))
		w.SP()
		for i := 0; i < len(u.numbers); {
			if i > 0 {
				w.Raw(",")
			}
			first := u.numbers[i]
			last := first
			for i++; i < len(u.numbers) && u.numbers[i] == last+1; i++ {
				last++
			}
			w.Range(first, last)
		}
	}
	w.Close()
	w.CRLF()
}

// number is how the context names the message uid.
func (c *searchContext) number(s *Session, uid imap.UID) uint32 {
	if c.uid {
		return uint32(uid)
	}
	return uint32(s.view.Seq(uid))
}

// contextsGone takes expunged messages out of the results, before the EXPUNGEs
// are told: their numbers still hold (RFC 5267 §4.3.4).
func (s *Session) contextsGone(ch *mailbox.Changes) {
	gone := make(map[imap.UID]mailbox.SeqNum, len(ch.Expunged)+len(ch.Gone))
	for _, e := range ch.Expunged {
		gone[e.UID] = e.Seq
	}
	for _, uid := range ch.Gone {
		if _, ok := gone[uid]; !ok {
			gone[uid] = s.view.Seq(uid)
		}
	}
	if len(gone) == 0 {
		return
	}
	for _, c := range s.contexts {
		numbers := make(map[imap.UID]uint32, len(gone))
		for uid, seq := range gone {
			numbers[uid] = uint32(seq)
			if c.uid {
				numbers[uid] = uint32(uid)
			}
		}
		c.writeUpdate(s, "REMOVEFROM", c.remove(numbers))
	}
}

// holds gives which of uids are in the result.
func (c *searchContext) holds(uids map[imap.UID]uint32) map[imap.UID]bool {
	in := make(map[imap.UID]bool, len(uids))
	if c.by == nil {
		for uid := range uids {
			if _, ok := slices.BinarySearch(c.uids, uid); ok {
				in[uid] = true
			}
		}
		return in
	}
	for _, uid := range c.uids {
		if _, ok := uids[uid]; ok {
			in[uid] = true
		}
	}
	return in
}

// remove takes messages, given with their numbers, out of the result: with
// places from the last to the first, so that each holds when its turn comes.
func (c *searchContext) remove(gone map[imap.UID]uint32) (updates []contextUpdate) {
	in := c.holds(gone)
	if len(in) == 0 {
		return nil
	}
	kept := c.uids[:0]
	after := false // the one before went too
	for i, uid := range c.uids {
		if !in[uid] {
			kept = append(kept, uid)
			after = false
			continue
		}
		updates = c.extend(updates, i, after, gone[uid])
		after = true
	}
	c.uids = kept
	slices.Reverse(updates)
	return updates
}

// extend adds number, that of the result with index i, to updates; after says
// that the one before it is in them too.
func (c *searchContext) extend(updates []contextUpdate, i int, after bool, number uint32) []contextUpdate {
	at := i + 1
	if c.by == nil {
		at, after = 0, len(updates) > 0
	}
	if after {
		u := &updates[len(updates)-1]
		u.numbers = append(u.numbers, number)
		return updates
	}
	return append(updates, contextUpdate{at, []uint32{number}})
}

// A contextChange is what a context has to tell.
type contextChange struct {
	*searchContext
	removed, added []contextUpdate
	came           map[imap.UID]bool
}

func (c *contextChange) write(s *Session) {
	c.writeUpdate(s, "REMOVEFROM", c.removed)
	c.writeUpdate(s, "ADDTO", c.added)
}

// contextsChanged looks which of the messages that changed, or came, belong to
// the results now.
func (s *Session) contextsChanged(ctx context.Context, ch *mailbox.Changes) (changes []contextChange, err error) {
	candidates := map[imap.UID]uint32{}
	var set imap.UIDSet
	for _, list := range [][]mailbox.Message{ch.Flags, ch.Own, ch.New} {
		for _, m := range list {
			candidates[m.UID] = uint32(m.UID)
			set.AddNum(m.UID)
		}
	}
	if len(set) == 0 {
		return nil, nil
	}
	for i := 0; i < len(s.contexts); {
		change := contextChange{searchContext: s.contexts[i]}
		if err := change.update(ctx, s, set, candidates); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			s.logger().Warn("a result is not updated any more", "user", s.user.Name, "error", err)
			s.refuseUpdate(change.tag)
			s.contexts = slices.Delete(s.contexts, i, i+1)
			continue
		}
		changes = append(changes, change)
		i++
	}
	return changes, nil
}

// update brings the result up to date with the messages of set, which are also
// the keys of candidates.
func (c *contextChange) update(ctx context.Context, s *Session, set imap.UIDSet, candidates map[imap.UID]uint32) error {
	criteria := mailbox.And(&mailbox.Criteria{Kind: mailbox.SearchUIDs, UIDs: set}, c.criteria)
	res, err := s.view.Search(ctx, criteria, s.searchOptions("still updating"))
	if err != nil {
		return err
	}
	in := c.holds(candidates)
	out := map[imap.UID]uint32{}
	for uid := range in {
		out[uid] = c.number(s, uid)
	}
	c.came = map[imap.UID]bool{}
	var added []imap.UID
	for n := range res.Seqs.All() {
		uid := s.view.UID(n)
		delete(out, uid)
		if !in[uid] {
			added = append(added, uid)
			c.came[uid] = true
		}
	}
	c.removed = c.remove(out)
	if len(added) == 0 {
		return nil
	}
	return c.add(ctx, s, added)
}

// add puts messages, which ascend, into the result where they belong.
func (c *contextChange) add(ctx context.Context, s *Session, added []imap.UID) error {
	all := append(slices.Clone(c.uids), added...)
	slices.Sort(all)
	if len(all) > maxContextResults {
		return mailbox.ErrLimit
	}
	if c.by != nil {
		var err error
		if all, err = c.sorted(ctx, s, all); err != nil {
			return err
		}
	}
	for i, uid := range all {
		if c.came[uid] {
			c.added = c.extend(c.added, i, i > 0 && c.came[all[i-1]], c.number(s, uid))
		}
	}
	c.uids = all
	return nil
}

// sorted gives uids, which ascend, in the order of the context.
func (c *searchContext) sorted(ctx context.Context, s *Session, uids []imap.UID) ([]imap.UID, error) {
	var msgs mailbox.Seqs
	for _, uid := range uids {
		if n := s.view.Seq(uid); n != 0 {
			msgs = msgs.Add(n)
		}
	}
	order, err := s.view.Sort(ctx, msgs, c.by, s.searchOptions("still updating"))
	if err != nil {
		return nil, err
	}
	out := make([]imap.UID, len(order))
	for i, n := range order {
		out[i] = s.view.UID(n)
	}
	return out, nil
}

// merge adds items that are not there yet.
func (c *fetchCmd) merge(items []fetchItem) {
	for _, item := range items {
		if !slices.ContainsFunc(c.items, func(have fetchItem) bool {
			return have.label == item.label && have.section.count == item.section.count
		}) {
			c.items = append(c.items, item)
		}
	}
}
