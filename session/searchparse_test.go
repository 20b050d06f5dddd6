package session

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
)

// describe gives a tree in words; days are counted from 1 February 1994.
func describe(c *mailbox.Criteria) string {
	bound := func(n int64) string {
		switch {
		case n == math.MinInt64:
			return "-"
		case n == math.MaxInt64:
			return "+"
		case c.Kind != mailbox.SearchSize && c.Kind != mailbox.SearchAge:
			n -= mailbox.DayOf(time.Date(1994, 2, 1, 0, 0, 0, 0, time.UTC))
		}
		return fmt.Sprint(n)
	}
	span := "[" + bound(c.From) + "," + bound(c.To) + ")"
	list := func(name string) string {
		s := "(" + name
		for _, k := range c.Of {
			s += " " + describe(k)
		}
		return s + ")"
	}
	switch c.Kind {
	case mailbox.SearchAll:
		return "all"
	case mailbox.SearchNone:
		return "none"
	case mailbox.SearchAnd:
		return list("and")
	case mailbox.SearchOr:
		return list("or")
	case mailbox.SearchNot:
		return list("not")
	case mailbox.SearchSeqs:
		return c.Seqs.String()
	case mailbox.SearchUIDs:
		return "uid:" + c.UIDs.String()
	case mailbox.SearchSaved:
		return "$"
	case mailbox.SearchFlags:
		for i, name := range mailbox.FlagNames {
			if c.Flags == 1<<i {
				return strings.ToLower(string(name))
			}
		}
	case mailbox.SearchRecent:
		return "recent"
	case mailbox.SearchKeyword:
		return "keyword:" + c.Text
	case mailbox.SearchModSeq:
		return fmt.Sprintf("modseq:%d", c.ModSeq)
	case mailbox.SearchSize:
		return "size" + span
	case mailbox.SearchDate:
		return "date" + span
	case mailbox.SearchSaveDay:
		return "saved" + span
	case mailbox.SearchAge:
		return "age" + span
	case mailbox.SearchSent:
		return "sent" + span
	case mailbox.SearchHeader:
		return fmt.Sprintf("%s:%q", c.Field, c.Text)
	case mailbox.SearchAddress:
		return fmt.Sprintf("%s@%q", c.Field, c.Text)
	case mailbox.SearchBody:
		return fmt.Sprintf("body:%q", c.Text)
	case mailbox.SearchText:
		return fmt.Sprintf("text:%q", c.Text)
	}
	return "?"
}

func TestParseSearch(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		// RFC 9051 §6.4.4
		{`RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"`, `(and \flagged date[0,+) (not FROM@"Smith"))`},
		{`TEXT "string not in mailbox"`, `text:"string not in mailbox"`},
		{"CHARSET UTF-8 TEXT {12+}\r\nотпуск", `text:"отпуск"`},
		{"ALL", "all"}, {"1:5000", "1:5000"}, {"*", "*"}, {"2,4:*", "2,4:*"}, {"$", "$"}, {"UID $", "$"}, {"uid 3:1", "uid:1:3"},
		{"ANSWERED DELETED DRAFT FLAGGED SEEN", `(and \answered \deleted \draft \flagged \seen)`},
		{"UNANSWERED UNDELETED UNDRAFT UNFLAGGED UNSEEN", `(and (not \answered) (not \deleted) (not \draft) (not \flagged) (not \seen))`},
		{"NEW", `(and recent (not \seen))`}, {"OLD", "(not recent)"}, {"RECENT", "recent"},
		{"BCC a CC b TO c SUBJECT d FROM NIL", `(and BCC@"a" CC@"b" TO@"c" SUBJECT:"d" FROM@"NIL")`},
		{`HEADER Message-ID "<a@b>"`, `Message-ID:"<a@b>"`}, {`HEADER X-Spam ""`, `X-Spam:""`},
		{`BODY "a\"b\\"`, `body:"a\"b\\"`},
		{"BEFORE 2-Feb-1994", "date[-,1)"}, {`ON "3-feb-1994"`, "date[2,3)"}, {"SINCE 01-Feb-1994", "date[0,+)"},
		{"SENTBEFORE 2-Feb-1994", "sent[-,1)"}, {"SENTON 3-Feb-1994", "sent[2,3)"}, {"SENTSINCE 1-Feb-1994", "sent[0,+)"},
		{"SAVEDBEFORE 2-Feb-1994", "saved[-,1)"}, {"SAVEDON 3-Feb-1994", "saved[2,3)"}, {"SAVEDSINCE 1-Feb-1994", "saved[0,+)"},
		{"SAVEDATESUPPORTED", "all"}, // RFC 8514 §4.3
		{"LARGER 10", "size[11,+)"}, {"SMALLER 10", "size[0,10)"}, {"LARGER 9223372036854775807", "none"},
		{"UNSEEN YOUNGER 259200", `(and (not \seen) age[-,259201))`}, {"OLDER 10", "age[10,+)"}, // RFC 5032 §3
		{"KEYWORD $Junk UNKEYWORD work", "(and keyword:$Junk (not keyword:work))"},
		{"OR SEEN (FLAGGED NOT 1)", `(or \seen (and \flagged (not 1)))`},
		{"OR OR 1 2 3", "(or (or 1 2) 3)"}, {"NOT (1)", "(not 1)"}, {"((SEEN))", `\seen`},
		{`MODSEQ "/flags/\\draft" all 620162338`, "modseq:620162338"}, {"MODSEQ 0", "modseq:0"}, // RFC 7162 §3.1.5
		{"OR NOT MODSEQ 720162338 LARGER 50000", "(or (not modseq:720162338) size[50001,+))"},
		{"subject {4+}\r\na\r\nb unseen", `(and SUBJECT:"a\r\nb" (not \seen))`},
	} {
		sc := scannerOf(t, "SEARCH "+tt.args)
		c := scanSearch(sc, false)
		if err := sc.End(); err != nil {
			t.Errorf("%s: %v", tt.args, err)
		} else if got := describe(c.criteria); got != tt.want || c.badCharset {
			t.Errorf("%s: got %s (bad charset %v), want %s", tt.args, got, c.badCharset, tt.want)
		}
	}
}

func TestParseSearchReturn(t *testing.T) {
	for _, tt := range []struct {
		args     string
		extended bool
		ret      searchReturn
	}{
		{"ALL", false, 0},
		{"RETURN () ALL", true, returnAll},
		{"RETURN (MIN MAX) ALL", true, returnMin | returnMax},
		{"return (count save all) ALL", true, returnCount | returnSave | returnAll},
		{"RETURN (SAVE) CHARSET UTF-8 ALL", true, returnSave},
	} {
		sc := scannerOf(t, "SEARCH "+tt.args)
		c := scanSearch(sc, false)
		if err := sc.End(); err != nil || c.extended != tt.extended || c.ret != tt.ret {
			t.Errorf("%s: extended %v, options %b, error %v", tt.args, c.extended, c.ret, err)
		}
	}
}

func TestParseSearchCharset(t *testing.T) {
	for args, bad := range map[string]bool{
		"CHARSET US-ASCII TEXT a":         false,
		"CHARSET us-ascii TEXT {2+}\r\né": true,
		"CHARSET X-UNKNOWN TEXT a":        true,
		"TEXT {1+}\r\n\xe9":               true,
		"TEXT {2+}\r\né":                  false,
		"CHARSET \"utf-8\" SUBJECT a":     false,
	} {
		sc := scannerOf(t, "SEARCH "+args)
		c := scanSearch(sc, false)
		if err := sc.End(); err != nil || c.badCharset != bad {
			t.Errorf("%q: bad charset %v, error %v", args, c.badCharset, err)
		}
	}
}

func TestParseSearchErrors(t *testing.T) {
	for _, args := range []string{
		"", "FOO", "FOO bar", "NOT", "OR 1", "OR 1 ", "(1", "(1 2", "()", "1)", "1 ", "1  2", "KEYWORD", `KEYWORD \Seen`, "KEYWORD \"a\"",
		"BEFORE", "BEFORE 32-Jan-2020", "BEFORE 1-Foo-2020", "ON 2020-01-01", "SINCE 1-Jan-20",
		"LARGER", "LARGER x", "LARGER -1", "LARGER 9223372036854775808", "OLDER 0", "YOUNGER 4294967296",
		"UID", "UID 0", "UID x", "HEADER a", "MODSEQ", `MODSEQ "/flags/a" 5`, `MODSEQ "/other/a" all 5`, `MODSEQ "/flags/a" some 5`,
		"RETURN", "RETURN ALL", "RETURN (FOO) ALL", "RETURN (MIN)", "CHARSET", "CHARSET UTF-8", "SENT 1-Jan-2020", "SAVED 1-Jan-2020",
		strings.Repeat("(", 33) + "1" + strings.Repeat(")", 33),
		strings.Repeat("NOT ", 33) + "1",
		strings.Repeat("OR 1 ", 33) + "1",
	} {
		sc := scannerOf(t, "SEARCH "+args)
		scanSearch(sc, false)
		if err := sc.End(); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}

func FuzzParseSearch(f *testing.F) {
	for _, s := range []string{
		`RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"`, "OR (1:* $) UID 3:*", `MODSEQ "/flags/\\draft" all 6`,
		"CHARSET UTF-8 HEADER a {3+}\r\nabc", "OLDER 5 LARGER 7 KEYWORD x", "((NOT (NEW)))",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, args string) {
		sc, err := beginLine("SEARCH " + args)
		if err != nil {
			return
		}
		c := scanSearch(sc, false)
		if sc.End() != nil {
			return
		}
		depth := 0
		var walk func(c *mailbox.Criteria, d int)
		walk = func(c *mailbox.Criteria, d int) {
			depth = max(depth, d)
			for _, k := range c.Of {
				walk(k, d+1)
			}
		}
		walk(c.criteria, 0)
		if depth > 2*mailbox.MaxSearchDepth {
			t.Fatalf("tree of depth %d", depth)
		}
		if describe(c.criteria) == "" {
			t.Fatal("no tree")
		}
	})
}
