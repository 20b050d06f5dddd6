package session

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// This file answers SORT and UID SORT (RFC 5256, RFC 5957), with RETURN as
// ESEARCH (RFC 5267 §3).

// sortCmd is SORT or UID SORT.
type sortCmd struct {
	searchCmd
	by []mailbox.SortCriterion
}

func parseSort(sc *wire.Scanner) (runner, error) {
	c := scanSort(sc, false)
	return c, sc.End()
}

func parseUIDSort(sc *wire.Scanner) (runner, error) {
	c := scanSort(sc, true)
	return c, sc.End()
}

// maxSortCriteria bounds what one SORT compares.
const maxSortCriteria = 32

var sortKeys = map[string]mailbox.SortKey{
	"ARRIVAL": mailbox.SortArrival, "CC": mailbox.SortCc, "DATE": mailbox.SortDate, "FROM": mailbox.SortFrom,
	"SIZE": mailbox.SortSize, "SUBJECT": mailbox.SortSubject, "TO": mailbox.SortTo,
	"DISPLAYFROM": mailbox.SortDisplayFrom, "DISPLAYTO": mailbox.SortDisplayTo,
}

// scanSort reads
//
//	sort            = ["UID" SP] "SORT" [search-return-opts] SP sort-criteria SP search-criteria
//	sort-criteria   = "(" sort-criterion *(SP sort-criterion) ")"
//	sort-criterion  = ["REVERSE" SP] sort-key
//	search-criteria = charset 1*(SP search-key)
func scanSort(sc *wire.Scanner, uid bool) *sortCmd {
	c := &sortCmd{searchCmd: searchCmd{uid: uid, contexts: true}}
	sc.SP()
	if sc.TakeName("RETURN") {
		sc.SP()
		c.scanReturn(sc)
		sc.SP()
	}
	n := sc.List(func() {
		var by mailbox.SortCriterion
		name := sc.Name()
		if name == "REVERSE" {
			by.Reverse = true
			sc.SP()
			name = sc.Name()
		}
		key, ok := sortKeys[name]
		if !ok {
			sc.Fail("unknown sort key")
		}
		by.Key = key
		c.by = append(c.by, by)
		if len(c.by) > maxSortCriteria {
			sc.Fail("too many sort keys")
		}
	})
	if n == 0 {
		sc.Fail("expected a sort key")
	}
	sc.SP()
	c.scanCriteria(sc)
	return c
}

// scanCriteria reads the charset, which SORT and THREAD must name, and the
// search keys.
func (c *searchCmd) scanCriteria(sc *wire.Scanner) {
	p := searchParser{sc: sc, cmd: c}
	p.charset(sc.AString())
	sc.SP()
	c.criteria = p.keys()
}

func (c *sortCmd) run(ctx context.Context, s *Session) error {
	res, order, err := c.sort(ctx, s)
	if err != nil {
		if c.ret&returnSave != 0 {
			s.saved = saved{} // RFC 9051 §6.4.4.1
		}
		return err
	}
	if c.ret&returnSave != 0 {
		s.saved = saved{s.uidSetOf(c.keptOrder(order))}
	}
	switch {
	case c.ret == returnSave:
	case c.extended:
		c.writeSorted(s, &res, order)
	default:
		c.writeSort(s, &res, order)
	}
	s.keepUpdated(&c.searchCmd, c.by, order)
	return nil
}

func (c *sortCmd) sort(ctx context.Context, s *Session) (mailbox.SearchResult, []mailbox.SeqNum, error) {
	res, err := c.search(ctx, s)
	if err != nil {
		return res, nil, err
	}
	order, err := s.view.Sort(ctx, res.Seqs, c.by, s.searchOptions("still sorting"))
	return res, order, err
}

// keptOrder is the part of the result that SAVE keeps, as searchCmd.kept.
func (c *sortCmd) keptOrder(order []mailbox.SeqNum) []mailbox.SeqNum {
	return selectOrder(&c.searchCmd, order)
}

// selectOrder gives the messages that the answer names when it does not name
// all: the first, the last, those of PARTIAL.
func selectOrder(c *searchCmd, order []mailbox.SeqNum) []mailbox.SeqNum {
	if len(order) == 0 || c.ret&(returnAll|returnCount) != 0 {
		return order
	}
	var out []mailbox.SeqNum
	if c.ret&returnMin != 0 {
		out = append(out, order[0])
	}
	if c.ret&returnMax != 0 {
		out = append(out, order[len(order)-1])
	}
	if c.ret&returnPartial != 0 {
		from, to := c.partial.window(len(order))
		out = append(out, order[from:to]...)
	}
	if c.ret&(returnMin|returnMax|returnPartial) == 0 {
		return order
	}
	return out
}

// uidSetOf gives the UIDs of msgs, which are in any order.
func (s *Session) uidSetOf(msgs []mailbox.SeqNum) imap.UIDSet {
	var set imap.UIDSet
	for _, n := range msgs {
		set.AddNum(s.view.UID(n))
	}
	return set
}

// writeSort writes
//
//	sort-data = "SORT" [1*(SP nz-number) [SP search-sort-mod-seq]]
func (c *sortCmd) writeSort(s *Session, res *mailbox.SearchResult, order []mailbox.SeqNum) {
	w := s.w
	w.Untagged()
	w.Raw("SORT")
	for _, n := range order {
		w.SP()
		w.Number(c.number(s, n))
	}
	if res.ModSeq != 0 { // RFC 7162 §3.1.6
		w.Raw(" (MODSEQ ")
		w.Number(uint64(res.ModSeq))
		w.Raw(")")
	}
	w.CRLF()
}

// writeSorted writes the result in its order as ESEARCH (RFC 5267 §3).
func (c *sortCmd) writeSorted(s *Session, res *mailbox.SearchResult, order []mailbox.SeqNum) {
	w := s.w
	w.Untagged()
	w.Raw("ESEARCH (TAG ")
	w.String(s.cmd.tag)
	w.Raw(")")
	if c.uid {
		w.Raw(" UID")
	}
	if len(order) > 0 {
		if c.ret&returnMin != 0 {
			w.Raw(" MIN ")
			w.Number(c.number(s, order[0]))
		}
		if c.ret&returnMax != 0 {
			w.Raw(" MAX ")
			w.Number(c.number(s, order[len(order)-1]))
		}
		if c.ret&returnAll != 0 {
			w.Raw(" ALL ")
			c.writeOrder(s, order)
		}
	}
	if c.ret&returnPartial != 0 {
		from, to := c.partial.window(len(order))
		c.partial.write(w)
		if from == to {
			w.Raw("NIL)")
		} else {
			c.writeOrder(s, order[from:to])
			w.Raw(")")
		}
	}
	if c.ret&returnCount != 0 {
		w.Raw(" COUNT ")
		w.Number(uint64(len(order)))
	}
	if n := c.sortedModSeq(s, res, order); n != 0 {
		w.Raw(" MODSEQ ")
		w.Number(uint64(n))
	}
	w.CRLF()
}

// sortedModSeq is the highest mod-sequence among the messages that the answer
// names (RFC 7162 §3.1.10); 0 if none was asked for.
func (c *sortCmd) sortedModSeq(s *Session, res *mailbox.SearchResult, order []mailbox.SeqNum) mailbox.ModSeq {
	if res.ModSeq == 0 || c.ret&(returnAll|returnCount) != 0 {
		return res.ModSeq
	}
	var named mailbox.ModSeq
	for _, n := range selectOrder(&c.searchCmd, order) {
		named = max(named, s.view.Message(n).ModSeq)
	}
	return named
}

// writeOrder writes numbers as a set that keeps their order: a range only where
// they rise by one (RFC 5267 §3.2).
func (c *sortCmd) writeOrder(s *Session, order []mailbox.SeqNum) {
	for i := 0; i < len(order); {
		if i > 0 {
			s.w.Raw(",")
		}
		first := c.number(s, order[i])
		last := first
		for i++; i < len(order) && c.number(s, order[i]) == last+1; i++ {
			last++
		}
		s.w.Range(uint32(first), uint32(last))
		if s.w.Pending() >= 32<<10 {
			s.w.Flush() // its error stays with the Writer
		}
	}
}
