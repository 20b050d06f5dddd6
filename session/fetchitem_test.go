package session

import (
	"fmt"
	"strings"
	"testing"

	"roost/message"
	"roost/wire"
)

// scannerOf gives a Scanner behind the name of the command in line.
func scannerOf(t *testing.T, line string) *wire.Scanner {
	t.Helper()
	sc, err := beginLine(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return sc
}

func beginLine(line string) (*wire.Scanner, error) {
	in := wire.NewInput(strings.NewReader("a " + line + "\r\n"))
	sc := wire.NewScanner(in, wire.DefaultLimits(), func() error { return nil })
	return sc, sc.Begin()
}

// parsedFetch gives a fetchCmd in words.
func parsedFetch(c *fetchCmd) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v", c.set.describe())
	for _, it := range c.items {
		fmt.Fprintf(&b, " %s", it.label)
		if it.section.partial {
			fmt.Fprintf(&b, "+%d", it.section.count)
		}
		if it.seen {
			b.WriteByte('!')
		}
	}
	if c.hasChangedSince {
		fmt.Fprintf(&b, " since %d", c.changedSince)
	}
	if c.vanished {
		b.WriteString(" vanished")
	}
	return b.String()
}

func (s msgSet) describe() string {
	switch {
	case s.saved:
		return "$"
	case s.uid:
		return "uid " + s.uids.String()
	}
	return s.seqs.String()
}

func TestParseFetch(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])", "2:4 FLAGS BODY[HEADER.FIELDS (DATE FROM)]!"}, // RFC 9051 §6.4.5
		{"FETCH 1 ALL", "1 FLAGS INTERNALDATE RFC822.SIZE ENVELOPE"},
		{"FETCH 1 fast", "1 FLAGS INTERNALDATE RFC822.SIZE"},
		{"FETCH 1 FULL", "1 FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY"},
		{"FETCH 1:* FLAGS", "1:* FLAGS"},
		{"FETCH $ (UID flags UID)", "$ UID FLAGS"},
		{"UID FETCH 7,3:5 FLAGS", "uid 3:5,7 UID FLAGS"},
		{"FETCH 1 BODY", "1 BODY"},
		{"FETCH 1 (BODY BODYSTRUCTURE BODY[])", "1 BODY BODYSTRUCTURE BODY[]!"},
		{"FETCH 1 BODY.PEEK[]<0.2048>", "1 BODY[]<0>+2048"},
		{"FETCH 1 (BODY[] BODY.PEEK[])", "1 BODY[]!"},
		{"FETCH 1 (BODY.PEEK[] BODY[])", "1 BODY[]!"},
		{"FETCH 1 (BODY.PEEK[1]<0.5> BODY.PEEK[1]<0.9>)", "1 BODY[1]<0>+5 BODY[1]<0>+9"},
		{"FETCH 1 body[4.2.2.1]", "1 BODY[4.2.2.1]!"},
		{"FETCH 1 body.peek[4.1.mime]", "1 BODY[4.1.MIME]"},
		{"FETCH 1 body.peek[3.header]", "1 BODY[3.HEADER]"},
		{"FETCH 1 body.peek[3.header.fields.not (a \"b c\")]<9223372036854775807.1>", "1 BODY[3.HEADER.FIELDS.NOT (a \"b c\")]<9223372036854775807>+1"},
		{"FETCH 1 body.peek[text]", "1 BODY[TEXT]"},
		{"FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)", "1 RFC822! RFC822.HEADER RFC822.TEXT! RFC822.SIZE"},
		{"FETCH 1 (BINARY[1] BINARY.PEEK[2.1]<5.6> BINARY.SIZE[3])", "1 BINARY[1]! BINARY[2.1]<5>+6 BINARY.SIZE[3]"},
		{"FETCH 1 BINARY[]", "1 BINARY[]!"},
		{"FETCH 1 (UID) (CHANGEDSINCE 12345)", "1 UID MODSEQ since 12345"}, // RFC 7162 §3.1.4.1
		{"FETCH 1 FLAGS (CHANGEDSINCE 0)", "1 FLAGS MODSEQ since 0"},
		{"UID FETCH 1:* FLAGS (CHANGEDSINCE 345 VANISHED)", "uid 1:* UID FLAGS MODSEQ since 345 vanished"}, // RFC 7162 §3.2.6
		{"FETCH 1 (MODSEQ SAVEDATE)", "1 MODSEQ SAVEDATE"},
	} {
		sc := scannerOf(t, tt.line)
		c := scanFetch(sc, sc.Command() == "UID FETCH")
		if err := sc.End(); err != nil {
			t.Errorf("%s: %v", tt.line, err)
		} else if got := parsedFetch(c); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

func TestParseFetchErrors(t *testing.T) {
	for _, line := range []string{
		"FETCH", "FETCH 1", "FETCH 1 ", "FETCH 0 FLAGS", "FETCH 1: FLAGS", "FETCH 1,, FLAGS", "FETCH 4294967296 FLAGS",
		"FETCH 1 ()", "FETCH 1 (FLAGS", "FETCH 1 FLAGS)", "FETCH 1 (FLAGS  UID)", "FETCH 1 (FLAGS UID )",
		"FETCH 1 (ALL)", "FETCH 1 (ALL FLAGS)", "FETCH 1 ALL FLAGS", "FETCH 1 NONE", "FETCH 1 FLAGS UID",
		"FETCH 1 BODY[MIME]", "FETCH 1 BODY[0]", "FETCH 1 BODY[01]", "FETCH 1 BODY[1.]", "FETCH 1 BODY[1", "FETCH 1 BODY[.1]",
		"FETCH 1 BODY[HEADER.FIELDS]", "FETCH 1 BODY[HEADER.FIELDS ()]", "FETCH 1 BODY[HEADER.FIELDS (a]", "FETCH 1 BODY[1.FOO]",
		"FETCH 1 BODY[HEADER.1]", "FETCH 1 BODY[4294967296]",
		"FETCH 1 BODY[]<0>", "FETCH 1 BODY[]<0.0>", "FETCH 1 BODY[]<0.01>", "FETCH 1 BODY[]<-1.5>", "FETCH 1 BODY[]<9223372036854775808.1>", "FETCH 1 BODY[]<0.5",
		"FETCH 1 BINARY", "FETCH 1 BINARY[TEXT]", "FETCH 1 BINARY[1.MIME]", "FETCH 1 BINARY.SIZE[1]<0.5>",
		"FETCH 1 BODYSTRUCTURE[1]", "FETCH 1 RFC822[]",
		"FETCH 1 FLAGS (VANISHED CHANGEDSINCE 1)", "UID FETCH 1 FLAGS (VANISHED)", "FETCH 1 FLAGS ()", "FETCH 1 FLAGS (FOO)",
		"FETCH 1 FLAGS (CHANGEDSINCE)", "FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)", "FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
		"FETCH 1 (" + strings.Repeat("BODY.PEEK[1]<0.1> ", 3000) + "UID) x",
	} {
		sc := scannerOf(t, line)
		scanFetch(sc, sc.Command() == "UID FETCH")
		if err := sc.End(); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

// The names of header fields come back as sent, in a form that any client can
// read (RFC 9051 §7.5.2).
func TestSectionLabel(t *testing.T) {
	s := section{Section: message.Section{
		Path: []int{1, 2}, Spec: message.HeaderFields, Fields: []string{"X-a", "", `a"b`, "a\r\nb", "é"},
	}}
	want := "BODY[1.2.HEADER.FIELDS (X-a \"\" \"a\\\"b\" {4}\r\na\r\nb {2}\r\né)]"
	if got := s.label("BODY"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseFetch(f *testing.F) {
	for _, s := range []string{
		"1:* (FLAGS BODY[HEADER.FIELDS (DATE FROM)])", "1 ALL", "$ (UID BODY.PEEK[1.2.MIME]<0.5>)",
		"1 BINARY.SIZE[1.2]", "1 (FLAGS) (CHANGEDSINCE 5 VANISHED)", "2 RFC822.TEXT", "1 BODY[HEADER.FIELDS ({3+}\r\nabc)]",
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, args string, uid bool) {
		name := "FETCH "
		if uid {
			name = "UID FETCH "
		}
		sc, err := beginLine(name + args)
		if err != nil {
			return
		}
		c := scanFetch(sc, uid)
		if sc.End() != nil {
			return
		}
		if len(c.items) == 0 || len(c.items) > maxFetchItems {
			t.Fatalf("%d items", len(c.items))
		}
		// What was understood must be understood again from its own names.
		for _, it := range c.items {
			line := "FETCH 1 " + it.label
			if it.section.partial {
				line = strings.TrimSuffix(line, ">") + fmt.Sprintf(".%d>", it.section.count)
			}
			if strings.ContainsAny(it.label, "\r") {
				continue // the label has a literal as servers send it
			}
			sc := scannerOf(t, line)
			again := scanFetch(sc, false)
			if err := sc.End(); err != nil || again.items[0].label != it.label {
				t.Fatalf("%q: %v", line, err)
			}
		}
	})
}
