package session

import (
	"context"
	"strings"

	"roost/wire"
)

// This file is LANGUAGE (RFC 5255 §3). All text is English: "i-default", the
// one that every server must have, and "en" are the same words.

// languages are the tags of the languages, as LANGUAGE lists them.
var languages = []string{"i-default", "en"}

// languageCmd is LANGUAGE.
type languageCmd struct{ ranges []string }

// parseLanguage reads
//
//	language-cmd = "LANGUAGE" *(SP lang-range-quoted)
func parseLanguage(sc *wire.Scanner) (runner, error) {
	c := languageCmd{ranges: scanAStrings(sc)}
	return &c, sc.End()
}

func (c *languageCmd) run(ctx context.Context, s *Session) error {
	if len(c.ranges) == 0 {
		s.writeLanguages(languages...)
		return nil
	}
	for _, want := range c.ranges {
		tag, ok := lookUpLanguage(want)
		if !ok {
			continue
		}
		s.writeLanguages(tag)
		if s.state == notAuthenticated {
			return nil // namespaces are those of a user
		}
		return runNamespace(ctx, s) // RFC 5255 §3.2, the examples
	}
	return no("", "language not supported")
}

// lookUpLanguage gives the language for a range: the range is cut from its end
// until there is one (RFC 4647 §3.4). "default" is what the administrator
// prefers, and `*` anything.
func lookUpLanguage(want string) (string, bool) {
	want = strings.ToLower(want)
	if want == "default" || want == "*" {
		return languages[0], true
	}
	for want != "" {
		for _, tag := range languages {
			if want == tag {
				return tag, true
			}
		}
		i := strings.LastIndexByte(want, '-')
		if i > 1 && want[i-2] == '-' { // a single letter goes with what follows it
			i -= 2
		}
		want = want[:max(i, 0)]
	}
	return "", false
}

// writeLanguages writes
//
//	language-data = "LANGUAGE" SP "(" lang-tag-quoted *(SP lang-tag-quoted) ")"
func (s *Session) writeLanguages(tags ...string) {
	s.w.Untagged()
	s.w.Raw("LANGUAGE ")
	s.w.Open()
	for _, tag := range tags {
		s.w.Item()
		s.w.AString(tag)
	}
	s.w.Close()
	s.w.CRLF()
}
