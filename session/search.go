package session

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// This file answers SEARCH and UID SEARCH: SEARCH for IMAP4rev1 (RFC 3501
// §7.2.5, RFC 7162 §3.1.6), ESEARCH for IMAP4rev2 and for RETURN (RFC 9051
// §7.3.4, RFC 4731), the saved result (RFC 9051 §6.4.4.1, RFC 5182).

// searchCharsets are told with a CHARSET that is not among them.
const searchCharsets = "BADCHARSET (US-ASCII UTF-8)"

// progressAfter is after how long a command tells that it is still going on, so
// that the client does not take the connection for dead (RFC 9585 §3).
const progressAfter = 10 * time.Second

func parseSearch(sc *wire.Scanner) (runner, error) {
	c := scanSearch(sc, false)
	return c, sc.End()
}

func parseUIDSearch(sc *wire.Scanner) (runner, error) {
	c := scanSearch(sc, true)
	return c, sc.End()
}

// policy: while a client thinks in message numbers, none may move
// (RFC 7162 §3.2.10.2).
func (c *searchCmd) policy() mailbox.Policy {
	if !c.uid || c.criteria.Uses(mailbox.SearchSeqs) {
		return noExpunge
	}
	return everything
}

func (c *searchCmd) run(ctx context.Context, s *Session) error {
	if c.charset && s.enabled.utf8 && !s.enabled.rev2 {
		return bad("no CHARSET with UTF8=ACCEPT") // RFC 6855 §3
	}
	res, err := c.search(ctx, s)
	if err != nil {
		if c.ret&returnSave != 0 {
			s.saved = saved{} // RFC 9051 §6.4.4.1
		}
		return err
	}
	if c.ret&returnSave != 0 {
		s.saved = saved{s.uidSet(c.kept(res.Seqs))}
	}
	switch {
	case c.ret == returnSave:
	case c.extended || s.enabled.rev2:
		c.writeESearch(s, &res)
	default:
		c.writeSearch(s, &res)
	}
	if c.update {
		s.keepUpdated(c, nil, slices.AppendSeq(make([]mailbox.SeqNum, 0, res.Seqs.Len()), res.Seqs.All()))
	}
	return s.partly(nil, c.lowest)
}

// search runs the search itself.
func (c *searchCmd) search(ctx context.Context, s *Session) (mailbox.SearchResult, error) {
	if err := c.expandFilters(ctx, s); err != nil {
		return mailbox.SearchResult{}, err
	}
	if c.update && s.isUpdated(s.cmd.tag) {
		return mailbox.SearchResult{}, bad("tag reuse") // RFC 5267 §4.3
	}
	if c.badCharset {
		return mailbox.SearchResult{}, no(searchCharsets, "charset not supported, or text not valid in it")
	}
	if s.enabled.uidOnly && c.criteria.Uses(mailbox.SearchSeqs) {
		return mailbox.SearchResult{}, errUIDRequired // RFC 9586 §3.5
	}
	if c.criteria.Uses(mailbox.SearchModSeq) {
		s.enableCondstore()
	}
	c.criteria.Walk(func(k *mailbox.Criteria) {
		if k.Kind == mailbox.SearchSaved {
			k.Kind, k.UIDs = mailbox.SearchUIDs, s.saved.uids
		}
	})
	criteria := c.criteria
	if c.bounded {
		criteria, c.lowest = s.limitSearch(criteria)
	}
	return s.view.Search(ctx, criteria, s.searchOptions("still searching"))
}

// searchOptions are those of a search, sort or thread that begins now; text is
// what a client is told when it takes long.
func (s *Session) searchOptions(text string) mailbox.SearchOptions {
	return mailbox.SearchOptions{
		Now: s.opt.Now(), Comparator: s.comparator.active, Descending: s.comparator.descending,
		Progress: s.progress(text),
	}
}

// progress is told how far a command has come that begins now, and tells the
// client when it takes long (RFC 9585).
func (s *Session) progress(text string) func(done, total int) {
	last := s.opt.Now()
	return func(done, total int) {
		if now := s.opt.Now(); now.Sub(last) >= progressAfter {
			last = now
			s.writeProgress(done, total, text)
		}
	}
}

// writeProgress tells how far a long command has come (RFC 9585 §4), at once.
func (s *Session) writeProgress(done, total int, text string) {
	if done >= total {
		return // the tagged response says so
	}
	tag := `"` + s.cmd.tag + `"`
	if strings.IndexByte(tag, ']') >= 0 {
		tag = "NIL"
	}
	code := "INPROGRESS (" + tag + " " + strconv.Itoa(done) + " " + strconv.Itoa(total) + ")"
	s.w.Status("", "OK", code, text)
	s.w.Flush() // its error stays with the Writer
}

// kept is the part of the result that SAVE keeps (RFC 9051 §6.4.4.1, table 4).
func (c *searchCmd) kept(found mailbox.Seqs) mailbox.Seqs {
	if len(found) == 0 || c.ret&(returnAll|returnCount) != 0 || c.ret&(returnMin|returnMax|returnPartial) == 0 {
		return found
	}
	var out mailbox.Seqs
	if c.ret&returnPartial != 0 { // RFC 9394 §3.2
		all := slices.AppendSeq(make([]mailbox.SeqNum, 0, found.Len()), found.All())
		some := selectOrder(c, all)
		slices.Sort(some)
		for _, n := range slices.Compact(some) {
			out = out.Add(n)
		}
		return out
	}
	first, last := found[0].First, found[len(found)-1].Last
	if c.ret&returnMin != 0 {
		out = out.Add(first)
	}
	if c.ret&returnMax != 0 && (last != first || len(out) == 0) {
		out = out.Add(last)
	}
	return out
}

// uidSet gives the UIDs of msgs.
func (s *Session) uidSet(msgs mailbox.Seqs) imap.UIDSet {
	var set imap.UIDSet
	for n := range msgs.All() {
		uid := s.view.UID(n)
		if k := len(set); k > 0 && set[k-1].Stop+1 == uid {
			set[k-1].Stop = uid
			continue
		}
		set = append(set, imap.UIDRange{Start: uid, Stop: uid})
	}
	return set
}

// writeSearch writes the answer of IMAP4rev1, also when nothing was found.
//
//	"SEARCH" [1*(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]]
func (c *searchCmd) writeSearch(s *Session, res *mailbox.SearchResult) {
	w := s.w
	w.Untagged()
	w.Raw("SEARCH")
	for n := range res.Seqs.All() {
		w.SP()
		w.Number(c.number(s, n))
	}
	if res.ModSeq != 0 {
		w.Raw(" (MODSEQ ")
		w.Number(uint64(res.ModSeq))
		w.Raw(")")
	}
	w.CRLF()
}

// number is message n as the answer names it.
func (c *searchCmd) number(s *Session, n mailbox.SeqNum) uint64 {
	if c.uid {
		return uint64(s.view.UID(n))
	}
	return uint64(n)
}

// writeESearch writes the extended answer.
//
//	esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
func (c *searchCmd) writeESearch(s *Session, res *mailbox.SearchResult) {
	w, ret := s.w, c.ret
	if ret == 0 && !c.update {
		ret = returnAll // RFC 9051 §6.4.4
	}
	w.Untagged()
	w.Raw("ESEARCH (TAG ")
	w.String(s.cmd.tag)
	w.Raw(")")
	if c.uid {
		w.Raw(" UID")
	}
	if found := res.Seqs; len(found) > 0 {
		if ret&returnMin != 0 {
			w.Raw(" MIN ")
			w.Number(c.number(s, found[0].First))
		}
		if ret&returnMax != 0 {
			w.Raw(" MAX ")
			w.Number(c.number(s, found[len(found)-1].Last))
		}
		if ret&returnAll != 0 {
			w.Raw(" ALL ")
			c.writeSet(s, found)
		}
	}
	if ret&returnPartial != 0 {
		c.writePartial(s, res.Seqs)
	}
	if ret&returnCount != 0 {
		w.Raw(" COUNT ")
		w.Number(uint64(res.Seqs.Len()))
	}
	if n := c.modSeq(s, res); n != 0 {
		w.Raw(" MODSEQ ")
		w.Number(uint64(n))
	}
	w.CRLF()
}

// writePartial writes the page of found that PARTIAL asks for.
func (c *searchCmd) writePartial(s *Session, found mailbox.Seqs) {
	c.partial.write(s.w)
	if from, to := c.partial.window(found.Len()); from < to {
		c.writeSet(s, slice(found, from, to))
	} else {
		s.w.Raw("NIL")
	}
	s.w.Raw(")")
}

// slice gives the members of found from index from up to before to.
func slice(found mailbox.Seqs, from, to int) mailbox.Seqs {
	var out mailbox.Seqs
	for _, r := range found {
		n := int(r.Last-r.First) + 1
		first, last := max(from, 0), min(to, n)
		if first < last {
			out = append(out, mailbox.SeqRange{First: r.First + mailbox.SeqNum(first), Last: r.First + mailbox.SeqNum(last) - 1})
		}
		from, to = from-n, to-n
	}
	return out
}

// writeSet writes msgs as a set.
func (c *searchCmd) writeSet(s *Session, msgs mailbox.Seqs) {
	if c.uid {
		s.w.UIDSet(s.uidSet(msgs))
		return
	}
	for i, r := range msgs {
		if i > 0 {
			s.w.Raw(",")
		}
		s.w.Range(uint32(r.First), uint32(r.Last))
	}
}

// modSeq is the highest mod-sequence among the messages that the answer names
// (RFC 4731 §3.2); 0 if none was asked for.
func (c *searchCmd) modSeq(s *Session, res *mailbox.SearchResult) mailbox.ModSeq {
	if res.ModSeq == 0 || c.ret&(returnMin|returnMax|returnPartial) == 0 {
		return res.ModSeq
	}
	named := res.ModSeq
	if c.ret&(returnAll|returnCount) == 0 {
		named = 0
		for n := range c.kept(res.Seqs).All() {
			named = max(named, s.view.Message(n).ModSeq)
		}
	}
	return named
}
