package session

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/wire"
)

// This file reads the arguments of SEARCH (RFC 9051 §6.4.4 and §9, RFC 3501
// §6.4.4, RFC 4731, RFC 5032, RFC 5182, RFC 7162 §3.1.5, RFC 8514 §4.3).

// searchReturn is the set of result options.
type searchReturn uint8

const (
	returnMin searchReturn = 1 << iota
	returnMax
	returnAll
	returnCount
	returnSave
	returnPartial // RFC 9394, RFC 5267 §4.4
)

var searchReturnNames = map[string]searchReturn{
	"MIN": returnMin, "MAX": returnMax, "ALL": returnAll, "COUNT": returnCount, "SAVE": returnSave,
	"PARTIAL": returnPartial,
}

// searchCmd is SEARCH or UID SEARCH.
type searchCmd struct {
	uid      bool
	extended bool // RETURN was given: the answer is ESEARCH
	ret      searchReturn
	partial  partialRange
	charset  bool // CHARSET was given
	// badCharset means that strings cannot be understood: an unknown CHARSET,
	// or octets that are not valid in it. The answer is NO, not BAD.
	badCharset bool
	criteria   *mailbox.Criteria
	filters    []filterUse // FILTER keys that are still to be expanded

	contexts bool        // UPDATE and CONTEXT are allowed
	update   bool        // the result is to be updated (RFC 5267 §4.3)
	items    []fetchItem // of UPDATE (RFC 5465 §7)

	bounded bool     // the limit on messages holds (RFC 9738)
	lowest  imap.UID // which ends here; 0: it was not reached
}

// scanSearch reads the arguments of SEARCH.
//
//	search         = "SEARCH" [search-return-opts] SP search-program
//	search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)
func scanSearch(sc *wire.Scanner, uid bool) *searchCmd {
	c := &searchCmd{uid: uid, bounded: true, contexts: true}
	sc.SP()
	if sc.TakeName("RETURN") {
		sc.SP()
		c.scanReturn(sc)
		sc.SP()
	}
	p := searchParser{sc: sc, cmd: c}
	if sc.TakeName("CHARSET") {
		c.charset = true
		sc.SP()
		p.charset(sc.AString())
		sc.SP()
	}
	c.criteria = p.keys()
	return c
}

// scanReturn reads the result options. None at all is ALL.
//
//	search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
func (c *searchCmd) scanReturn(sc *wire.Scanner) {
	c.extended = true
	sc.List(func() {
		name := sc.Name()
		if c.contexts && c.scanContext(sc, name) {
			return
		}
		opt, ok := searchReturnNames[name]
		if !ok {
			sc.Fail("unknown result option")
		}
		if opt == returnPartial {
			sc.SP()
			c.partial = scanPartial(sc)
		}
		if opt&(returnPartial|returnAll) != 0 && c.ret&returnPartial != 0 || opt == returnPartial && c.ret&returnAll != 0 {
			sc.Fail("only one of PARTIAL and ALL, and only once") // RFC 9394 §3.1
		}
		c.ret |= opt
	})
	if c.ret == 0 && !c.update {
		c.ret = returnAll
	}
}

// searchParser reads keys into a tree.
type searchParser struct {
	sc    *wire.Scanner
	cmd   *searchCmd
	ascii bool // CHARSET US-ASCII
	depth int
}

// charset notes the charset of the strings that follow.
func (p *searchParser) charset(name string) {
	switch strings.ToUpper(name) {
	case "UTF-8":
	case "US-ASCII":
		p.ascii = true
	default:
		p.cmd.badCharset = true
	}
}

// keys reads search-key *(SP search-key), which mean AND.
func (p *searchParser) keys() *mailbox.Criteria {
	of := []*mailbox.Criteria{p.key()}
	for p.sc.Take(' ') {
		of = append(of, p.key())
	}
	return mailbox.And(of...)
}

// simpleKeys are the keys without argument.
var simpleKeys = map[string]*mailbox.Criteria{
	"ALL":        {Kind: mailbox.SearchAll},
	"ANSWERED":   mailbox.HasFlags(mailbox.Answered),
	"DELETED":    mailbox.HasFlags(mailbox.Deleted),
	"DRAFT":      mailbox.HasFlags(mailbox.Draft),
	"FLAGGED":    mailbox.HasFlags(mailbox.Flagged),
	"SEEN":       mailbox.HasFlags(mailbox.Seen),
	"UNANSWERED": mailbox.Not(mailbox.HasFlags(mailbox.Answered)),
	"UNDELETED":  mailbox.Not(mailbox.HasFlags(mailbox.Deleted)),
	"UNDRAFT":    mailbox.Not(mailbox.HasFlags(mailbox.Draft)),
	"UNFLAGGED":  mailbox.Not(mailbox.HasFlags(mailbox.Flagged)),
	"UNSEEN":     mailbox.Not(mailbox.HasFlags(mailbox.Seen)),
	"RECENT":     {Kind: mailbox.SearchRecent},
	"NEW":        mailbox.And(&mailbox.Criteria{Kind: mailbox.SearchRecent}, mailbox.Not(mailbox.HasFlags(mailbox.Seen))),
	"OLD":        mailbox.Not(&mailbox.Criteria{Kind: mailbox.SearchRecent}),
	// Every mailbox here knows its save dates (RFC 8514 §4.3).
	"SAVEDATESUPPORTED": {Kind: mailbox.SearchAll},
}

// key reads one search key.
func (p *searchParser) key() *mailbox.Criteria {
	sc := p.sc
	if p.depth++; p.depth > mailbox.MaxSearchDepth {
		sc.Fail("search keys nested too deeply")
	}
	defer func() { p.depth-- }()
	if sc.Err() != nil {
		return &mailbox.Criteria{Kind: mailbox.SearchNone}
	}
	switch c := sc.Peek(); {
	case c == '(':
		sc.Open()
		k := p.keys()
		if !sc.Close() {
			sc.Fail("expected a space or `)` behind a search key")
		}
		return k
	case c == '*' || c == '$' || isDigit(c):
		set, saved := sc.SeqSet()
		if saved {
			return &mailbox.Criteria{Kind: mailbox.SearchSaved}
		}
		return &mailbox.Criteria{Kind: mailbox.SearchSeqs, Seqs: set}
	}
	name := sc.Name()
	if k, ok := simpleKeys[name]; ok {
		return k
	}
	if sc.Err() == nil {
		return p.argumentKey(name)
	}
	return &mailbox.Criteria{Kind: mailbox.SearchNone}
}

// argumentKey reads the arguments of the key called name.
func (p *searchParser) argumentKey(name string) *mailbox.Criteria {
	sc := p.sc
	sc.SP()
	if k := p.dateKey(name); k != nil {
		return k
	}
	switch name {
	case "BCC", "CC", "FROM", "TO":
		return &mailbox.Criteria{Kind: mailbox.SearchAddress, Field: name, Text: p.text()}
	case "SUBJECT":
		return &mailbox.Criteria{Kind: mailbox.SearchHeader, Field: name, Text: p.text()}
	case "HEADER":
		field := sc.AString()
		sc.SP()
		return &mailbox.Criteria{Kind: mailbox.SearchHeader, Field: field, Text: p.text()}
	case "BODY":
		return &mailbox.Criteria{Kind: mailbox.SearchBody, Text: p.text()}
	case "TEXT":
		return &mailbox.Criteria{Kind: mailbox.SearchText, Text: p.text()}
	case "KEYWORD":
		return p.keyword()
	case "UNKEYWORD":
		return mailbox.Not(p.keyword())
	case "LARGER":
		return mailbox.Larger(sc.Number64())
	case "SMALLER":
		return mailbox.Smaller(sc.Number64())
	case "OLDER":
		return mailbox.Older(sc.NZNumber())
	case "YOUNGER":
		return mailbox.Younger(sc.NZNumber())
	case "MODSEQ":
		return p.modSeq()
	case "FILTER": // RFC 5466 §3.1
		return p.filter()
	case "NOT":
		return mailbox.Not(p.key())
	case "OR":
		a := p.key()
		sc.SP()
		return &mailbox.Criteria{Kind: mailbox.SearchOr, Of: []*mailbox.Criteria{a, p.key()}}
	case "UID":
		return p.uids()
	case "UIDAFTER": // RFC 9738 §3.2
		return uidRange(uint64(sc.NZNumber())+1, math.MaxUint32)
	case "UIDBEFORE":
		return uidRange(1, uint64(sc.NZNumber())-1)
	case "EMAILID": // RFC 8474 §6
		return &mailbox.Criteria{Kind: mailbox.SearchEmailID, Text: p.objectID()}
	case "THREADID":
		return &mailbox.Criteria{Kind: mailbox.SearchThreadID, Text: p.objectID()}
	}
	sc.Fail("unknown search key")
	return &mailbox.Criteria{Kind: mailbox.SearchNone}
}

// dateKey reads the keys that compare a date; nil if name is none of them.
func (p *searchParser) dateKey(name string) *mailbox.Criteria {
	kind := mailbox.SearchDate
	switch {
	case strings.HasPrefix(name, "SENT"):
		kind, name = mailbox.SearchSent, name[len("SENT"):]
	case strings.HasPrefix(name, "SAVED"):
		kind, name = mailbox.SearchSaveDay, name[len("SAVED"):]
	}
	var compare func(mailbox.SearchKind, mailbox.Day) *mailbox.Criteria
	switch name {
	case "BEFORE":
		compare = mailbox.Before
	case "ON":
		compare = mailbox.On
	case "SINCE":
		compare = mailbox.Since
	default:
		return nil
	}
	return compare(kind, mailbox.DayOf(p.sc.Date()))
}

// uids reads the set of the key UID.
func (p *searchParser) uids() *mailbox.Criteria {
	set := scanMsgSet(p.sc, true)
	if set.saved {
		return &mailbox.Criteria{Kind: mailbox.SearchSaved}
	}
	return &mailbox.Criteria{Kind: mailbox.SearchUIDs, UIDs: set.uids}
}

// uidRange is the messages with UIDs from first to last, none if that is less.
func uidRange(first, last uint64) *mailbox.Criteria {
	if first > last {
		return &mailbox.Criteria{Kind: mailbox.SearchNone}
	}
	return &mailbox.Criteria{Kind: mailbox.SearchUIDs, UIDs: imap.UIDSet{{Start: imap.UID(first), Stop: imap.UID(last)}}}
}

// objectID reads
//
//	objectid = 1*255(ALPHA / DIGIT / "_" / "-")
func (p *searchParser) objectID() string {
	id := p.sc.Atom()
	for i := range len(id) {
		if c := id[i]; c != '_' && c != '-' && !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') {
			p.sc.Fail("not an object identifier")
			break
		}
	}
	if len(id) > 255 {
		p.sc.Fail("object identifier too long")
	}
	return id
}

// text reads a string to look for.
func (p *searchParser) text() string {
	s := p.sc.AString()
	for i := 0; p.ascii && i < len(s); i++ {
		if s[i] >= 0x80 {
			p.cmd.badCharset = true
		}
	}
	if !utf8.ValidString(s) {
		p.cmd.badCharset = true
	}
	return s
}

// keyword reads the name of a keyword; one that nobody uses matches nothing.
func (p *searchParser) keyword() *mailbox.Criteria {
	name := string(p.sc.Flag())
	if strings.HasPrefix(name, "\\") {
		p.sc.Fail("system flags have search keys of their own")
	}
	return &mailbox.Criteria{Kind: mailbox.SearchKeyword, Text: name}
}

// modSeq reads the arguments of MODSEQ. There is one mod-sequence for all
// metadata of a message, so the entry is read and ignored (RFC 7162 §3.1.5).
//
//	search-modsequence = "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer
func (p *searchParser) modSeq() *mailbox.Criteria {
	sc := p.sc
	if sc.Peek() == '"' {
		if entry := sc.String(); sc.Err() == nil && !strings.HasPrefix(strings.ToLower(entry), "/flags/") {
			sc.Fail("unknown metadata entry")
		}
		sc.SP()
		switch sc.Name() {
		case "PRIV", "SHARED", "ALL":
		default:
			sc.Fail("unknown type of metadata entry")
		}
		sc.SP()
	}
	return &mailbox.Criteria{Kind: mailbox.SearchModSeq, ModSeq: mailbox.ModSeq(sc.Number64())}
}
