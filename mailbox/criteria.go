package mailbox

import (
	"math"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Bounds on a search, so that no client can buy much work with few octets.
const (
	MaxSearchTerms = 1000 // nodes of the tree
	MaxSearchDepth = 32   // of nesting
)

// SearchKind says what a Criteria tests.
type SearchKind uint8

// The kinds, each with the fields of Criteria that it uses. Everything that
// RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 5032, RFC 7162 §3.1.5 and RFC 8514 §4.3
// name is made of these.
const (
	SearchAll      SearchKind = iota // every message
	SearchNone                       // no message
	SearchAnd                        // all of Of
	SearchOr                         // at least one of Of
	SearchNot                        // not Of[0]
	SearchSeqs                       // Seqs; numbers beyond the mailbox match nothing
	SearchUIDs                       // UIDs
	SearchSaved                      // `$`; the session replaces it with UIDs
	SearchFlags                      // has all of Flags
	SearchRecent                     // \Recent in this session
	SearchKeyword                    // has the keyword Text, case-insensitively
	SearchModSeq                     // mod-sequence at least ModSeq
	SearchSize                       // From <= RFC822.SIZE < To
	SearchDate                       // From <= day of INTERNALDATE < To
	SearchSaveDay                    // From <= day of the save date < To
	SearchAge                        // From <= seconds since INTERNALDATE < To
	SearchSent                       // From <= day written in the Date field < To
	SearchHeader                     // the field named Field holds Text, or exists if Text is empty
	SearchAddress                    // the same for names and addresses, however they are quoted
	SearchBody                       // the text of the body holds Text
	SearchText                       // the header or the body holds Text
	SearchEmailID                    // EMAILID is Text (RFC 8474 §6)
	SearchThreadID                   // THREADID is Text
)

// A Criteria is a tree of search keys. Search does not change it.
type Criteria struct {
	Kind   SearchKind
	Of     []*Criteria
	Seqs   imap.SeqSet
	UIDs   imap.UIDSet
	Flags  Flags
	Field  string // name of a header field, without colon
	Text   string // UTF-8
	From   int64
	To     int64
	ModSeq ModSeq
}

// Day is a calendar date without a zone, in days since 1 January 1970.
type Day = int64

// DayOf gives the date that t shows in its own zone: what a client sees
// printed, never an instant (RFC 9051 §6.4.4: "disregarding time and timezone").
func DayOf(t time.Time) Day {
	_, offset := t.Zone()
	return floorDay(t.Unix() + int64(offset))
}

func floorDay(seconds int64) Day {
	day := seconds / 86400
	if seconds%86400 < 0 {
		day--
	}
	return day
}

// Before, On and Since turn a date into the range of a Criteria.

// Before is every day before d.
func Before(kind SearchKind, d Day) *Criteria {
	return &Criteria{Kind: kind, From: math.MinInt64, To: d}
}

// On is the day d.
func On(kind SearchKind, d Day) *Criteria {
	return &Criteria{Kind: kind, From: d, To: d + 1}
}

// Since is d and every day after it.
func Since(kind SearchKind, d Day) *Criteria {
	return &Criteria{Kind: kind, From: d, To: math.MaxInt64}
}

// Larger is RFC822.SIZE above n octets.
func Larger(n int64) *Criteria {
	if n == math.MaxInt64 {
		return &Criteria{Kind: SearchNone}
	}
	return &Criteria{Kind: SearchSize, From: n + 1, To: math.MaxInt64}
}

// Smaller is RFC822.SIZE below n octets.
func Smaller(n int64) *Criteria {
	return &Criteria{Kind: SearchSize, From: 0, To: n}
}

// Younger is INTERNALDATE within the last n seconds (RFC 5032 §2).
func Younger(n uint32) *Criteria {
	return &Criteria{Kind: SearchAge, From: math.MinInt64, To: int64(n) + 1}
}

// Older is INTERNALDATE n seconds ago or earlier (RFC 5032 §2).
func Older(n uint32) *Criteria {
	return &Criteria{Kind: SearchAge, From: int64(n), To: math.MaxInt64}
}

// Not is every message that c does not match.
func Not(c *Criteria) *Criteria {
	return &Criteria{Kind: SearchNot, Of: []*Criteria{c}}
}

// HasFlags is every message with all of f.
func HasFlags(f Flags) *Criteria {
	return &Criteria{Kind: SearchFlags, Flags: f}
}

// And joins keys; one alone stands for itself, none is every message.
func And(of ...*Criteria) *Criteria {
	switch len(of) {
	case 0:
		return &Criteria{Kind: SearchAll}
	case 1:
		return of[0]
	}
	return &Criteria{Kind: SearchAnd, Of: of}
}

// Walk calls f for c and everything below it.
func (c *Criteria) Walk(f func(*Criteria)) {
	f(c)
	for _, kid := range c.Of {
		kid.Walk(f)
	}
}

// Uses says whether a key of kind occurs in c.
func (c *Criteria) Uses(kind SearchKind) bool {
	if c.Kind == kind {
		return true
	}
	for _, kid := range c.Of {
		if kid.Uses(kind) {
			return true
		}
	}
	return false
}

// checkBounds answers ErrLimit for a tree that is too deep or has too many
// nodes. It needs no more depth than the bound itself.
func (c *Criteria) checkBounds() error {
	terms := 0
	var walk func(c *Criteria, depth int) error
	walk = func(c *Criteria, depth int) error {
		terms++
		// A nested list of keys and its NOT or OR are one level each.
		if terms > MaxSearchTerms || depth > 2*MaxSearchDepth {
			return ErrLimit
		}
		for _, kid := range c.Of {
			if err := walk(kid, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(c, 0)
}
