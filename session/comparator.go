package session

import (
	"context"
	"strings"

	"roost/message"
	"roost/wire"
)

// This file is COMPARATOR (RFC 5255 §4): how SEARCH, SORT and THREAD compare
// text in this session.

// comparator is the one in use.
type comparator struct {
	active     message.Comparator
	descending bool
}

// String is the name in the registry, with the direction (RFC 4790 §3.3).
func (c comparator) String() string {
	if c.descending {
		return "-" + c.active.String()
	}
	return c.active.String()
}

// maxComparators bounds the arguments of COMPARATOR and LANGUAGE.
const maxComparators = 100

// comparatorCmd is COMPARATOR.
type comparatorCmd struct{ wanted []string }

// parseComparator reads
//
//	comparator-cmd = "COMPARATOR" *(SP comp-order-quoted)
func parseComparator(sc *wire.Scanner) (runner, error) {
	c := comparatorCmd{wanted: scanAStrings(sc)}
	return &c, sc.End()
}

// scanAStrings reads *(SP astring).
func scanAStrings(sc *wire.Scanner) (all []string) {
	for !sc.AtEnd() {
		sc.SP()
		all = append(all, sc.AString())
		if len(all) > maxComparators {
			sc.Fail("too many arguments")
		}
	}
	return all
}

func (c *comparatorCmd) run(_ context.Context, s *Session) error {
	if len(c.wanted) == 0 {
		s.writeComparator(nil)
		return nil
	}
	var found []comparator
	for _, want := range c.wanted {
		for _, have := range matchComparators(want) {
			if !hasComparator(found, have) {
				found = append(found, have)
			}
		}
	}
	if len(found) == 0 {
		return no("BADCOMPARATOR", "no such comparator")
	}
	s.comparator = found[0]
	s.writeComparator(found)
	return nil
}

func hasComparator(all []comparator, c comparator) bool {
	for _, have := range all {
		if have == c {
			return true
		}
	}
	return false
}

// matchComparators gives the comparators that one argument stands for, the most
// useful first.
func matchComparators(order string) (found []comparator) {
	if strings.EqualFold(order, "default") {
		return []comparator{{}}
	}
	wild, descending := strings.CutPrefix(order, "-")
	if !descending {
		wild = strings.TrimPrefix(order, "+")
	}
	if len(wild) > 254 {
		return nil
	}
	wild = strings.ToLower(wild)
	for i, name := range message.Comparators {
		if matchWild(wild, name) {
			found = append(found, comparator{message.Comparator(i), descending})
		}
	}
	return found
}

// matchWild says whether name is wild, in which `*` stands for any characters
// (RFC 4790 §3.2).
func matchWild(wild, name string) bool {
	parts := strings.Split(wild, "*")
	if len(parts) == 1 {
		return wild == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		_, rest, ok = strings.Cut(rest, part)
		if !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, parts[last])
}

// writeComparator writes
//
//	comparator-data = "COMPARATOR" SP comp-sel-quoted [SP "(" comp-id-quoted *(SP comp-id-quoted) ")"]
//
// The list only if several matched (RFC 5255 §4.8).
func (s *Session) writeComparator(found []comparator) {
	s.w.Untagged()
	s.w.Raw("COMPARATOR ")
	s.w.AString(s.comparator.String())
	if len(found) > 1 {
		s.w.SP()
		s.w.Open()
		for _, c := range found {
			s.w.Item()
			s.w.AString(c.active.String())
		}
		s.w.Close()
	}
	s.w.CRLF()
}
