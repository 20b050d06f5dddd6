package session

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"roost/mailbox"
	"roost/wire"
)

// This file is FILTERS (RFC 5466): search keys that the account keeps under a
// name, as annotations.

// The places of filters among the annotations of the account; the private one
// counts if both are there (RFC 5466 §3.2).
const (
	privateFilters = "/private/filters/values/"
	sharedFilters  = "/shared/filters/values/"
)

const (
	maxFilterDepth = 8   // of filters in filters; the RFC wants 3
	maxFilterUses  = 100 // in one command
)

// A filterUse is a FILTER key: node is what the filter takes the place of.
type filterUse struct {
	node *mailbox.Criteria
	name string
}

// filter reads the argument of FILTER.
//
//	filter-name = 1*<any ATOM-CHAR except "/">
func (p *searchParser) filter() *mailbox.Criteria {
	name := p.sc.Atom()
	if strings.Contains(name, "/") {
		p.sc.Fail("a filter has no `/` in its name")
	}
	node := &mailbox.Criteria{Kind: mailbox.SearchNone}
	p.cmd.filters = append(p.cmd.filters, filterUse{node, name})
	return node
}

// expandFilters puts the search keys of all filters in their places.
func (c *searchCmd) expandFilters(ctx context.Context, s *Session) error {
	if len(c.filters) == 0 {
		return nil
	}
	if c.badCharset {
		return &response{"BAD", searchCharsets, "FILTER is for UTF-8"} // RFC 5466 §3.1
	}
	e := filterExpansion{lookUp: func(name string) ([]byte, error) {
		for _, place := range [...]string{privateFilters, sharedFilters} {
			value, err := s.account.MetadataValue(ctx, "", place+name)
			if value != nil || err != nil {
				return value, err
			}
		}
		return nil, nil
	}}
	err := e.expand(c.filters)
	c.filters = nil
	return err
}

// filterExpansion is the state of one expansion.
type filterExpansion struct {
	lookUp func(name string) ([]byte, error) // nil: there is no such filter
	inside []string                          // the filters that are being expanded
	uses   int
}

// expand recurses no deeper than maxFilterDepth.
func (e *filterExpansion) expand(uses []filterUse) error {
	for _, use := range uses {
		if e.uses++; e.uses > maxFilterUses {
			return no("LIMIT", "too many filters")
		}
		undefined := func(why string) error { return no("UNDEFINED-FILTER "+use.name, why) }
		// Names of annotations do not differ in case.
		same := func(name string) bool { return strings.EqualFold(name, use.name) }
		if slices.ContainsFunc(e.inside, same) || len(e.inside) == maxFilterDepth {
			return undefined("filters use each other in a circle, or too deeply")
		}
		value, err := e.lookUp(use.name)
		if err != nil {
			return err
		}
		if value == nil {
			return undefined("no such filter")
		}
		c, err := parseFilter(value)
		if err != nil {
			return undefined("the filter is no valid search")
		}
		e.inside = append(e.inside, use.name)
		err = e.expand(c.filters)
		e.inside = e.inside[:len(e.inside)-1]
		if err != nil {
			return err
		}
		*use.node = *c.criteria
	}
	return nil
}

// parseFilter reads the value of a filter, in UTF-8:
//
//	search-criteria = search-key *(SP search-key)
func parseFilter(value []byte) (*searchCmd, error) {
	in := wire.NewInput(bytes.NewReader(slices.Concat([]byte("f SEARCH "), value, []byte("\r\n"))))
	sc := wire.NewScanner(in, wire.DefaultLimits(), func() error { return nil })
	if err := sc.Begin(); err != nil {
		return nil, err
	}
	c := &searchCmd{}
	sc.SP()
	p := searchParser{sc: sc, cmd: c}
	c.criteria = p.keys()
	if err := sc.End(); err != nil {
		return nil, err
	}
	if c.badCharset {
		return nil, no(searchCharsets, "a filter is in UTF-8")
	}
	if in.Buffered() > 0 {
		return nil, bad("a filter is one line")
	}
	return c, nil
}

// checkFilter says whether value may be stored as the annotation entry: if that
// is the place of a filter, it must be a search (RFC 5466 §3.2).
func checkFilter(entry string, value []byte) error {
	lower := strings.ToLower(entry)
	name, ok := strings.CutPrefix(lower, privateFilters)
	if !ok {
		name, ok = strings.CutPrefix(lower, sharedFilters)
	}
	if !ok || value == nil {
		return nil
	}
	if name == "" || strings.Contains(name, "/") {
		return bad("not a name for a filter")
	}
	if _, err := parseFilter(value); err != nil {
		return bad("a filter must be a complete search")
	}
	return nil
}
