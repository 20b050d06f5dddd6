package mailbox

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/maildir"
)

// specialUses are the attributes that a mailbox may be created for (RFC 6154
// §2, RFC 8457 §3). \All and \Flagged would be virtual mailboxes, which there
// are none of.
var specialUses = []imap.MailboxAttr{
	imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrImportant,
	imap.MailboxAttrJunk, imap.MailboxAttrSent, imap.MailboxAttrTrash,
}

// parseUses checks the attributes of CREATE USE. ErrUseAttr: one is not to be had.
func parseUses(use []imap.MailboxAttr) ([]string, error) {
	var out []string
	for _, u := range use {
		i := slices.IndexFunc(specialUses, func(s imap.MailboxAttr) bool { return strings.EqualFold(string(s), string(u)) })
		if i < 0 {
			return nil, fmt.Errorf("%s: %w", u, ErrUseAttr)
		}
		if s := string(specialUses[i]); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out, nil
}

// A useCandidate is a mailbox that may get an attribute.
type useCandidate struct {
	name  string // without prefix
	index int    // of the answer
}

// assignUses gives the special uses of mailboxes: those set by CREATE USE, and
// for an attribute that nobody was created for the one mailbox whose configured
// name fits best. mailboxes are names without prefix, chosen what CREATE USE
// set, by index.
func assignUses(mailboxes []maildir.Mailbox, chosen [][]string, byName map[string]string) [][]imap.MailboxAttr {
	out := make([][]imap.MailboxAttr, len(mailboxes))
	taken := map[string]bool{}
	for i, uses := range chosen {
		for _, u := range uses {
			out[i] = append(out[i], imap.MailboxAttr(u))
			taken[u] = true
		}
	}
	candidates := map[string][]useCandidate{}
	for i, m := range mailboxes {
		if m.IsInbox() {
			continue
		}
		name := m.String()
		attr, ok := byName[name]
		if !ok {
			attr, ok = byName[asciiLower(name)]
		}
		if ok && !taken[attr] {
			candidates[attr] = append(candidates[attr], useCandidate{name, i})
		}
	}
	for attr, cs := range candidates {
		best := slices.MinFunc(cs, func(a, b useCandidate) int { return compareUse(attr, a.name, b.name) })
		out[best.index] = append(out[best.index], imap.MailboxAttr(attr))
	}
	for i := range out {
		slices.Sort(out[i])
	}
	return out
}

// compareUse orders names that all stand for attr: the attribute's own name
// first ("Sent" before "Sent Items"), then the shorter one.
func compareUse(attr, a, b string) int {
	own := func(s string) int {
		if asciiLower(s) == asciiLower(strings.TrimPrefix(attr, `\`)) {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(own(a), own(b)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// foldUses adds the configured names in small letters, so that "sent items" is
// known too.
func foldUses(byName map[string]string) map[string]string {
	out := make(map[string]string, 2*len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if folded := asciiLower(name); out[folded] == "" {
			out[folded] = byName[name]
		}
	}
	maps.Copy(out, byName)
	return out
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
