package session

import (
	"fmt"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

func TestParseStore(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{`STORE 2:4 +FLAGS (\Deleted)`, `2:4 1 false [\Deleted]`}, // RFC 9051 §6.4.6
		{`STORE 1 FLAGS.SILENT ()`, `1 0 true []`},
		{`STORE 1 -flags.silent \Seen $Junk work`, `1 2 true [\Seen $Junk work]`},
		{`UID STORE 6,4,8 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\Deleted)`, `uid 4,6,8 1 true [\Deleted] unchanged 12121230045`}, // RFC 7162 §3.1.3
		{`STORE $ (unchangedsince 0) FLAGS \foo`, `$ 0 false [\foo] unchanged 0`},
	} {
		sc := scannerOf(t, tt.line)
		c, err := scanStore(sc, sc.Command() == "UID STORE")
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		got := fmt.Sprintf("%s %d %v %v", c.set.describe(), c.mode, c.silent, c.flags)
		if c.unchangedSince != nil {
			got += fmt.Sprintf(" unchanged %d", *c.unchangedSince)
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.line, got, tt.want)
		}
	}
	for _, line := range []string{
		"STORE", "STORE 1", "STORE 1 FLAGS", `STORE 1 FLAGS (\Seen`, `STORE 1 *FLAGS (\Seen)`, `STORE 1 FLAGS.LOUD (\Seen)`,
		`STORE 1 + FLAGS (\Seen)`, `STORE 1 FLAGS (\*)`, `STORE 1 FLAGS (\\Seen)`, `STORE 1 FLAGS (a"b)`, `STORE 1 FLAGS (a) b`,
		`STORE 1 () FLAGS (a)`, `STORE 1 (UNCHANGEDSINCE) FLAGS (a)`, `STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) FLAGS (a)`,
		`STORE 1 (CHANGEDSINCE 1) FLAGS (a)`, `STORE 0 FLAGS (a)`,
	} {
		sc := scannerOf(t, line)
		if _, err := scanStore(sc, false); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

func TestStoreOp(t *testing.T) {
	s := &Session{opt: &Options{Limits: DefaultLimits()}}
	op, err := s.storeOp([]imap.Flag{`\SEEN`, `\deleted`, "Work", "work", "$Junk"})
	if err != nil || op.Flags != mailbox.Seen|mailbox.Deleted || !slices.Equal(op.Keywords, []string{"Work", "$Junk"}) {
		t.Errorf("got %+v, error %v", op, err)
	}
	for _, f := range []imap.Flag{`\Recent`, `\foo`, `\*`, imap.Flag(make([]byte, 51))} {
		if _, err := s.storeOp([]imap.Flag{f}); err == nil {
			t.Errorf("%q: no error", f)
		}
	}
}

func TestParseCopy(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"COPY 2:4 MEETING", "2:4 MEETING"}, // RFC 9051 §6.4.7
		{"UID MOVE 42:69 foo", "uid 42:69 foo"},
		{`COPY $ "a b"`, "$ a b"},
		{"COPY * inbox", "* INBOX"},
	} {
		sc := scannerOf(t, tt.line)
		c, err := scanCopy(sc, sc.Command()[:3] == "UID", false)
		if err != nil || c.set.describe()+" "+c.dest != tt.want {
			t.Errorf("%s: got %+v, error %v", tt.line, c, err)
		}
	}
	for _, line := range []string{"COPY", "COPY 1", "COPY 1 ", "COPY x y", "COPY 1 a b", "COPY 1 &", "COPY 0 a"} {
		sc := scannerOf(t, line)
		if _, err := scanCopy(sc, false, false); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

func TestParseAppend(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"APPEND saved-messages (\\Seen) {310}", `saved-messages [\Seen]  310 false false`}, // RFC 9051 §6.3.12
		{"APPEND a {0}", "a []  0 false false"},
		{`APPEND inbox () " 7-Feb-1994 21:52:25 -0800" {3+}`, "INBOX [] 1994-02-07T21:52:25-08:00 3 false false"},
		{`APPEND a "07-Feb-1994 21:52:25 +0000" ~{3}`, "a [] 1994-02-07T21:52:25Z 3 true false"}, // RFC 3516 §4.4
		{"APPEND a (\\Recent $x) UTF8 (~{3}", `a [\Recent $x]  3 true true`},                     // RFC 6855 §4
	} {
		sc := scannerOf(t, tt.line)
		r, err := parseAppend(sc)
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		m, err := scanAppendMessage(sc, 1000)
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		date := ""
		if m.date != nil {
			date = m.date.Format("2006-01-02T15:04:05Z07:00")
		}
		got := fmt.Sprintf("%s %v %s %d %v %v", r.(*appendCmd).name, m.flags, date, m.data.Size(), m.data.Binary(), m.utf8)
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.line, got, tt.want)
		}
	}
	for _, line := range []string{
		"APPEND", "APPEND a", "APPEND a ", "APPEND a x", "APPEND a (\\Seen", "APPEND a (\\Seen)", "APPEND a (\\Seen) {x}", "APPEND a {1}x",
		`APPEND a "7-Feb-1994" {3}`, `APPEND a "32-Feb-1994 21:52:25 -0800" {3}`, `APPEND a " 7-Feb-1994 21:52:25.5 -0800" {3}`,
		`APPEND a "31-Feb-1994 21:52:25 -0800" {3}`, "APPEND a UTF8 {3}", "APPEND a UTF8 ({3}", "APPEND a {1001}", "APPEND a {99999999999999999999}",
		"APPEND a () () {3}", "APPEND a CATENATE", "APPEND a \"abc\"",
	} {
		sc := scannerOf(t, line)
		_, err := parseAppend(sc)
		if err == nil {
			_, err = scanAppendMessage(sc, 1000)
		}
		if err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

// RFC 4315 §3: sources and copies in the same order, a single UID is no range.
func TestUIDCodes(t *testing.T) {
	res := mailbox.CopyResult{UIDValidity: 38505, Source: []imap.UID{304, 319, 320}, Dest: []imap.UID{3956, 3957, 3958}}
	if got, want := copyUID(&res), "COPYUID 38505 304,319:320 3956:3958"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := appendUID(38505, []imap.UID{3955}), "APPENDUID 38505 3955"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := copyUID(&mailbox.CopyResult{UIDValidity: 1}); got != "" {
		t.Errorf("nothing copied: %s", got)
	}
}

// Table 4 of RFC 9051 §6.4.4.1.
func TestSearchKept(t *testing.T) {
	found := mailbox.Seqs{{First: 3, Last: 5}, {First: 9, Last: 9}}
	for _, tt := range []struct {
		ret  searchReturn
		want mailbox.Seqs
	}{
		{returnSave, found},
		{returnSave | returnMin, mailbox.Seqs{{First: 3, Last: 3}}},
		{returnSave | returnMax, mailbox.Seqs{{First: 9, Last: 9}}},
		{returnSave | returnMin | returnMax, mailbox.Seqs{{First: 3, Last: 3}, {First: 9, Last: 9}}},
		{returnSave | returnMin | returnCount, found},
		{returnSave | returnMax | returnAll, found},
	} {
		c := searchCmd{ret: tt.ret}
		if got := c.kept(found); !slices.Equal(got, tt.want) {
			t.Errorf("options %b: got %v, want %v", tt.ret, got, tt.want)
		}
	}
	c := searchCmd{ret: returnSave | returnMin | returnMax}
	if got := c.kept(mailbox.Seqs{{First: 4, Last: 4}}); !slices.Equal(got, mailbox.Seqs{{First: 4, Last: 4}}) {
		t.Errorf("one message: %v", got)
	}
	if got := c.kept(nil); got != nil {
		t.Errorf("no message: %v", got)
	}
}
