package session

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// substitute puts bound variables in.
func (p *play) substitute(text string) string {
	return variable.ReplaceAllStringFunc(text, func(s string) string {
		if v, ok := p.bound[s[1:]]; ok {
			return v
		}
		return s
	})
}

// match compares a response with a pattern and binds its variables.
func (p *play) match(pattern, got string) bool {
	if pattern == "+" {
		return got == "+ " // an empty challenge; the space at the end of a line is easily lost
	}
	var b strings.Builder
	b.WriteString(`(?s)^`)
	var names []string
	for rest := p.substitute(pattern); rest != ""; {
		i := strings.IndexByte(rest, '$')
		if i < 0 {
			b.WriteString(regexp.QuoteMeta(rest))
			break
		}
		b.WriteString(regexp.QuoteMeta(rest[:i]))
		rest = rest[i:]
		switch loc := variable.FindStringSubmatchIndex(rest); {
		case loc != nil && loc[0] == 0:
			names = append(names, rest[loc[2]:loc[3]])
			b.WriteString(`([^\s()\[\]]+)`)
			rest = rest[loc[1]:]
		case keyword.MatchString(rest): // $Junk
			b.WriteString(`\$`)
			rest = rest[1:]
		default:
			b.WriteString(`.*`)
			rest = rest[1:]
		}
	}
	b.WriteString(`$`)
	m := regexp.MustCompile(b.String()).FindStringSubmatch(got)
	if m == nil {
		return false
	}
	for i, name := range names {
		if old, ok := p.bound[name]; ok && old != m[i+1] {
			return false
		}
		p.bound[name] = m[i+1]
	}
	return true
}

// check reads responses of session n until the last of tags was answered, or
// with stop until nothing that is expected is missing. It gives what is
// missing.
func (p *play) check(n int, expected []entry, tags []string, stop bool) string {
	p.t.Helper()
	c := p.clients[n-1]
	matched := make([]bool, len(expected))
	open := func() int {
		return slices.IndexFunc(expected, func(e entry) bool { return e.kind == 'S' && !matched[slices.Index(expected, e)] })
	}
	wantsEnd := slices.ContainsFunc(expected, func(e entry) bool { return e.kind == 'S' && e.text == "closed" })
	for {
		if stop && open() < 0 || !stop && len(tags) == 0 && !wantsEnd {
			break
		}
		got := c.next()
		if got == "" {
			if !wantsEnd {
				p.t.Fatalf("session %d: connection closed; missing %v", n, p.missing(expected, matched))
			}
			i := slices.IndexFunc(expected, func(e entry) bool { return e.text == "closed" })
			matched[i] = true
			break
		}
		i := p.find(expected, matched, got)
		if i < 0 && p.described && description.MatchString(got) {
			continue
		}
		if len(tags) > 0 && isTagged(got, tags[0]) {
			if i < 0 && !strings.HasPrefix(got, tags[0]+" OK ") {
				p.t.Fatalf("session %d: %q", n, got)
			}
			tags = tags[1:]
		} else if i < 0 {
			p.t.Fatalf("session %d: unexpected %q; missing %v", n, got, p.missing(expected, matched))
		}
		if i >= 0 {
			matched[i] = true
		}
	}
	if missing := p.missing(expected, matched); len(missing) > 0 {
		return fmt.Sprintf("session %d: missing %v", n, missing)
	}
	return ""
}

// find gives the expectation that got fulfils, or -1.
func (p *play) find(expected []entry, matched []bool, got string) int {
	for _, e := range expected {
		if e.kind == '!' && p.match(e.text, got) {
			p.t.Fatalf("line %d: session %d must not get %q", e.line, e.session, got)
		}
	}
	for i, e := range expected {
		if e.kind != '!' && !matched[i] && e.text != "closed" && p.match(e.text, got) {
			return i
		}
	}
	return -1
}

func (p *play) missing(expected []entry, matched []bool) (all []string) {
	for i, e := range expected {
		if e.kind == 'S' && !matched[i] {
			all = append(all, fmt.Sprintf("line %d: %s", e.line, e.text))
		}
	}
	return all
}
