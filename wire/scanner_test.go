package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-imap/v2"
)

// scan gives a Scanner on input; got collects what it asks for.
func scan(input string, oneByte bool) (*Scanner, *int) {
	var r io.Reader = strings.NewReader(input)
	if oneByte {
		r = iotest.OneByteReader(r)
	}
	asked := new(int)
	sc := NewScanner(NewInput(r), DefaultLimits(), func() error { *asked++; return nil })
	return sc, asked
}

// both runs f on the input as a whole and one octet at a time.
func both(t *testing.T, input string, f func(t *testing.T, sc *Scanner, asked *int)) {
	t.Helper()
	for _, oneByte := range []bool{false, true} {
		t.Run(fmt.Sprintf("oneByte=%v", oneByte), func(t *testing.T) {
			sc, asked := scan(input, oneByte)
			f(t, sc, asked)
		})
	}
}

func TestBegin(t *testing.T) {
	for _, tt := range []struct {
		line, tag, name, err string
	}{
		{"a1 NOOP\r\n", "a1", "NOOP", ""},
		{"a1 noop\n", "a1", "NOOP", ""}, // a bare LF
		{"a uid fetch\r\n", "a", "UID FETCH", ""},
		{"]a x\r\n", "]a", "X", ""},
		{strings.Repeat("t", 126) + " x\r\n", strings.Repeat("t", 126), "X", ""},
		{strings.Repeat("t", 127) + " x\r\n", "", "", "tag too long"},
		{"\r\n", "", "", "expected a tag"},
		{" NOOP\r\n", "", "", "expected a tag"},
		{"a+ NOOP\r\n", "", "", "invalid tag"},
		{"+ NOOP\r\n", "", "", "invalid tag"},
		{"a\r\n", "a", "", "missing argument"},
		{"a \r\n", "a", "", "expected an atom"},
		{"a  NOOP\r\n", "a", "", "expected an atom"},
		{"a UID\r\n", "a", "UID", "missing argument"},
		{"a NO\x00OP\r\n", "a", "", "NUL is not allowed"},
		{"a NO\rOP\r\n", "a", "", "CR without LF is not allowed"},
		{"a NOOP\r\r\n", "a", "", "CR without LF is not allowed"},
		{"a NO\xc3\xa9\r\n", "a", "NO", ""}, // End finds it
		{"a (NOOP)\r\n", "a", "", "expected an atom"},
		{"\x16\x03\x01 x\r\n", "", "", "expected a tag"},
		{"a\x1b[31m x\r\n", "a", "", "expected a space"},
		{"a " + strings.Repeat("x", 64<<10) + "\r\n", "a", "", "command line too long"},
	} {
		both(t, tt.line, func(t *testing.T, sc *Scanner, _ *int) {
			err := sc.Begin()
			if sc.Tag() != tt.tag || sc.Command() != tt.name || text(err) != tt.err {
				t.Errorf("%.40q: tag %q, command %q, %v; want %q, %q, %q", tt.line, sc.Tag(), sc.Command(), err, tt.tag, tt.name, tt.err)
			}
		})
	}
}

// text is the public text of a *SyntaxError.
func text(err error) string {
	var syn *SyntaxError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &syn):
		return syn.Text
	}
	return "other: " + err.Error()
}

func TestTokens(t *testing.T) {
	type want = string
	str := func(f func(*Scanner) string) func(*Scanner) want { return f }
	atom := str((*Scanner).Atom)
	astring := str((*Scanner).AString)
	quoted := str((*Scanner).String)
	nstring := func(sc *Scanner) want { s, ok := sc.NString(); return fmt.Sprint(s, ok) }
	number := func(sc *Scanner) want { return fmt.Sprint(sc.Number()) }
	nz := func(sc *Scanner) want { return fmt.Sprint(sc.NZNumber()) }
	n64 := func(sc *Scanner) want { return fmt.Sprint(sc.Number64()) }
	seqs := func(sc *Scanner) want { s, saved := sc.SeqSet(); return fmt.Sprint(s.String(), saved) }
	uids := func(sc *Scanner) want { return sc.UIDSet().String() }
	known := func(sc *Scanner) want { return sc.KnownUIDs().String() }
	flags := func(sc *Scanner) want { return fmt.Sprint(sc.Flags()) }
	date := func(sc *Scanner) want { return sc.Date().Format(time.DateOnly) }
	datetime := func(sc *Scanner) want { return sc.DateTime().Format(time.RFC3339) }
	mailbox := str((*Scanner).Mailbox)
	mailbox8 := func(sc *Scanner) want { sc.UTF8 = true; return sc.Mailbox() }
	mailboxSep := func(sc *Scanner) want { sc.Separator = '/'; return sc.Mailbox() }
	pattern := func(sc *Scanner) want { s, ok := sc.ListMailbox(); return fmt.Sprint(s, ok) }
	list := func(sc *Scanner) want {
		var all []string
		n := sc.List(func() { all = append(all, sc.Atom()) })
		return fmt.Sprint(n, all)
	}

	for _, tt := range []struct {
		read    func(*Scanner) want
		in, out string
		err     string
	}{
		{atom, "abc", "abc", ""},
		{atom, "a]", "", "unexpected text behind the last argument"},
		{atom, `a"b`, "", "unexpected text behind the last argument"},
		{atom, "", "", "expected an atom"},
		{astring, "a]b", "a]b", ""},
		{astring, "NIL", "NIL", ""},
		{astring, "a{b", "", "unexpected text behind the last argument"},
		{astring, "%", "", "expected a string"},
		{astring, "*", "", "expected a string"},
		{astring, "~a", "~a", ""},
		{astring, "~{3}", "", "unexpected text behind the last argument"},
		{astring, `"a b"`, "a b", ""},
		{quoted, `""`, "", ""},
		{quoted, `"a\"\\b"`, `a"\b`, ""},
		{quoted, `"a\b"`, "", "invalid escape in a quoted string"},
		{quoted, `"a\`, "", "invalid escape in a quoted string"},
		{quoted, `"a`, "", "quoted string without end"},
		{quoted, "\"\xc3\xa9\xff\"", "\xc3\xa9\xff", ""},
		{quoted, "abc", "", "expected a string"},
		{quoted, "{3}\r\nabc", "abc", ""},
		{quoted, "{3+}\r\na\nb", "a\nb", ""},
		{quoted, "{0}\r\n", "", ""},
		{quoted, "{0+}\r\n", "", ""},
		{quoted, "{5+}\r\na\r\nbc", "a\r\nbc", ""},
		{quoted, "{3+}\r\na\x00b", "", "NUL is not allowed"},
		{quoted, "{03+}\r\nabc", "", "invalid literal"},
		{quoted, "{-1}\r\n", "", "invalid literal"},
		{quoted, "{}\r\n", "", "invalid literal"},
		{quoted, "{+}\r\n", "", "invalid literal"},
		{quoted, "{3++}\r\n", "", "invalid literal"},
		{quoted, "{131073}\r\n", "", "literal too big"},
		{quoted, "{4294967296}\r\n", "", "literal too big"},
		{quoted, "{18446744073709551616}\r\n", "", "literal too big"},
		{quoted, "{99999999999999999999999999+}\r\n", "", "literal too big"},
		{nstring, "nil", "false", ""},
		{nstring, `"nil"`, "niltrue", ""},
		{nstring, "x", "", "expected a string or NIL"},
		{number, "0", "0", ""},
		{number, "4294967295", "4294967295", ""},
		{number, "4294967296", "", "number too large"},
		{number, "-1", "", "expected a number"},
		{nz, "0", "", "number must not be or begin with 0"},
		{nz, "01", "", "number must not be or begin with 0"},
		{nz, "10", "10", ""},
		{n64, "9223372036854775807", "9223372036854775807", ""},
		{n64, "9223372036854775808", "", "number too large"},
		{seqs, "1", "1false", ""},
		{seqs, "$", "true", ""},
		{seqs, "5:2", "2:5false", ""},
		{seqs, "1,3,2", "1:3false", ""},
		{seqs, "1,3,5:9,7:12", "1,3,5:12false", ""},
		{seqs, "*", "*false", ""},
		{seqs, "*:3", "3:*false", ""},
		{seqs, "3:*,*,7,1", "1,3:*false", ""},
		{seqs, "*:*", "*false", ""},
		{seqs, "4294967295,*", "4294967295,*false", ""},
		{seqs, "0", "", "number must not be or begin with 0"},
		{seqs, "1:", "", "expected a number"},
		{seqs, "1,", "", "expected a number"},
		{seqs, ",1", "", "expected a number"},
		{seqs, "1:2:3", "", "unexpected text behind the last argument"},
		{seqs, "4294967296", "", "number too large"},
		{uids, "$", "$", ""},
		{uids, "7,1:3", "1:3,7", ""},
		{known, "1:3", "1:3", ""},
		{known, "1:*", "", "`*` and `$` are not allowed in this set"},
		{known, "$", "", "`*` and `$` are not allowed in this set"},
		{flags, `(\Seen $Junk)`, `[\Seen $Junk]`, ""},
		{flags, `()`, `[]`, ""},
		{flags, `\Seen x`, `[\Seen x]`, ""},
		{flags, `(\Seen`, "", "expected a space or `)` in a list"},
		{flags, `(\*)`, "", "expected an atom"},
		{flags, `\\Seen`, "", "expected an atom"},
		{flags, "\"x\"", "", "expected an atom"},
		{date, "1-Feb-2020", "2020-02-01", ""},
		{date, `"29-feb-2020"`, "2020-02-29", ""},
		{date, "30-Feb-2020", "", "invalid date"},
		{date, "2020-02-01", "", "invalid date"},
		{datetime, `" 7-Feb-1994 21:52:25 -0800"`, "1994-02-07T21:52:25-08:00", ""},
		{datetime, `"07-Feb-1994 21:52:25 +0000"`, "1994-02-07T21:52:25Z", ""},
		{datetime, `"7-Feb-1994 21:52:25 +0530"`, "1994-02-07T21:52:25+05:30", ""},
		{datetime, `"07-Feb-1994 24:52:25 +0000"`, "", "invalid date"},
		{datetime, `"07-Feb-1994 21:52:25.5 +0000"`, "", "invalid date"},
		{datetime, "x", "", "expected a date"},
		{mailbox, "inbox", "INBOX", ""},
		{mailbox, `"InBox"`, "INBOX", ""},
		{mailbox, "{5}\r\ninbox", "INBOX", ""},
		{mailbox, "Entw&APw-rfe", "Entwürfe", ""},
		{mailbox, `"a&b"`, "", "mailbox name is not valid modified UTF-7"},
		{mailbox, "\"\xc3\xa9\"", "é", ""}, // COMPAT: see decodeMixed
		{mailbox, "\"P &- m/Gr\xc3\xbc&AN8-e\"", "P & m/Grüße", ""},
		{mailbox, "\"\xc3\xa9&a\"", "", "mailbox name is not valid modified UTF-7"},
		{mailbox, "\"&\xc3\xa9-\"", "", "mailbox name is not valid modified UTF-7"},
		{mailbox, "\"\xc3\"", "", "mailbox name is not valid modified UTF-7"},
		{mailbox8, "\"\xc3\xa9&\"", "é&", ""},
		{mailbox8, "\"\xc3\"", "", "mailbox name is not valid UTF-8"},
		{mailboxSep, "a/b/", "a/b", ""},
		{mailboxSep, "/", "/", ""},
		{mailboxSep, "INBOX/", "INBOX", ""},
		{pattern, "%", "%true", ""},
		{pattern, "a*]", "a*]true", ""},
		{pattern, `"&"`, "false", ""},
		{pattern, `""`, "true", ""},
		{pattern, "(", "", "expected a pattern"},
		{list, "()", "0 []", ""},
		{list, "(a b)", "2 [a b]", ""},
		{list, "(a  b)", "", "expected an atom"},
		{list, "(a b", "", "expected a space or `)` in a list"},
		{list, "a", "", "expected '('"},
	} {
		both(t, "t x "+tt.in+"\r\nu NOOP\r\n", func(t *testing.T, sc *Scanner, _ *int) {
			if err := sc.Begin(); err != nil {
				t.Fatal(err)
			}
			sc.SP()
			got := tt.read(sc)
			err := sc.End()
			if text(err) != tt.err || err == nil && got != tt.out {
				t.Errorf("%q: %q, %v; want %q, %q", tt.in, got, err, tt.out, tt.err)
			}
		})
	}
}

// TestSkip holds that after any error the next command is found, and that no
// octet of a literal is taken for a command (RFC 7888 §3).
func TestSkip(t *testing.T) {
	const next = "b NOOP\r\n"
	for _, tt := range []struct {
		name, in string
		fatal    bool
	}{
		{"no error", "a X\r\n", false},
		{"bad argument", "a X (\r\n", false},
		{"announced, never asked for", "a X ( {5}\r\n", false},
		{"on its way", "a X ( {7+}\r\nz LOGIN\r\n", false},
		{"literal8", "a X ( ~{7+}\r\nz LOGIN\r\n", false},
		{"several", "a X ( {3+}\r\nabc {2+}\r\nde foo {4}\r\n", false},
		{"in quotes", "a X \"foo {3+}\r\nabc\r\n", false},
		{"behind a long line", "a X ( " + strings.Repeat("y", 70<<10) + " {3+}\r\nabc\r\n", false},
		{"too big, announced", "a X {999999999}\r\n", false},
		{"too big, on its way", "a X {200000+}\r\n" + strings.Repeat("y", 200000) + " more\r\n", false},
		{"NUL inside", "a X {3+}\r\na\x00b {3+}\r\nabc\r\n", false},
		{"far too big", "a X {2000000+}\r\n", true},
		{"overflow", "a X {99999999999999999999+}\r\n", true},
		{"line without end", "a " + strings.Repeat("y", 2<<20), true},
		{"many", "a X ( " + strings.Repeat("{500000+}\r\n"+strings.Repeat("y", 500000), 3), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, oneByte := range []bool{false, true} {
				sc, _ := scan(tt.in+next, oneByte)
				if sc.Begin() == nil && sc.Command() == "X" && !sc.AtEnd() {
					sc.SP()
					_ = sc.String()
					sc.End()
				}
				err := sc.Skip()
				var syn *SyntaxError
				if fatal := errors.As(err, &syn) && syn.Fatal; fatal != tt.fatal || err != nil && !fatal {
					t.Fatalf("Skip: %v, fatal %v wanted", err, tt.fatal)
				}
				if tt.fatal {
					continue
				}
				if err := sc.Begin(); err != nil || sc.Tag() != "b" || sc.Command() != "NOOP" {
					t.Errorf("next command is %q %q, %v", sc.Tag(), sc.Command(), err)
				}
			}
		})
	}
}

func TestLiteralAsksOnce(t *testing.T) {
	both(t, "a LOGIN {4}\r\nuser {3}\r\npwd\r\n", func(t *testing.T, sc *Scanner, asked *int) {
		sc.Begin()
		sc.SP()
		user := sc.AString()
		sc.SP()
		password := sc.AString()
		if err := sc.End(); err != nil || user != "user" || password != "pwd" || *asked != 2 {
			t.Errorf("%q %q %v, asked %d times", user, password, err, *asked)
		}
	})
}

func TestTooBigIsRefusedInsteadOfAsked(t *testing.T) {
	both(t, "a X {200000}\r\nb NOOP\r\n", func(t *testing.T, sc *Scanner, asked *int) {
		sc.Begin()
		sc.SP()
		_ = sc.String()
		var syn *SyntaxError
		if err := sc.End(); !errors.As(err, &syn) || syn.Code != "TOOBIG" || !syn.Refused || *asked != 0 {
			t.Errorf("%+v, asked %d times", err, *asked)
		}
	})
}

func TestLiteralMinus(t *testing.T) {
	for size, want := range map[int]string{4096: "", 4097: "literal too big"} {
		sc, _ := scan(fmt.Sprintf("a X {%d+}\r\n%s\r\n", size, strings.Repeat("y", size)), false)
		sc.Limits.LiteralMinus = true
		sc.Begin()
		sc.SP()
		_ = sc.String()
		if got := text(sc.End()); got != want {
			t.Errorf("%d octets: %q, want %q", size, got, want)
		}
		if err := sc.Skip(); err != nil {
			t.Error(err)
		}
	}
}

// TestLiteralCaps: Cyrus CVE-2024-34055, many literals in one command.
func TestLiteralCaps(t *testing.T) {
	one := "{100000+}\r\n" + strings.Repeat("y", 100000) + " "
	for name, in := range map[string]string{
		"octets": "a X " + strings.Repeat(one, 11) + "\r\n",
		"number": "a X " + strings.Repeat("{1+}\r\ny ", 257) + "\r\n",
	} {
		sc, _ := scan(in, false)
		sc.Begin()
		n := 0
		for ; sc.Err() == nil && n < 1000; n++ {
			sc.SP()
			_ = sc.String()
		}
		var syn *SyntaxError
		if !errors.As(sc.Err(), &syn) || syn.Code != "TOOBIG" {
			t.Errorf("%s: %v after %d", name, sc.Err(), n)
		}
	}
}

func TestLiteralReader(t *testing.T) {
	both(t, "a APPEND {5}\r\nhe\x00lo {3+}\r\nyou ~{0}\r\n)\r\nb NOOP\r\n", func(t *testing.T, sc *Scanner, asked *int) {
		sc.Begin()
		var got []string
		for range 3 {
			sc.SP()
			lr := sc.LiteralReader(100)
			if lr == nil {
				t.Fatal(sc.Err())
			}
			if *asked != 0 && len(got) == 0 {
				t.Error("asked before Accept")
			}
			b, err := io.ReadAll(lr)
			if err != nil || int64(len(b)) != lr.Size() || lr.Binary() != (len(got) == 2) {
				t.Errorf("%q, %v", b, err)
			}
			got = append(got, string(b))
			if err := lr.Close(); err != nil {
				t.Fatal(err)
			}
		}
		sc.Expect(')')
		if err := sc.End(); err != nil || strings.Join(got, "|") != "he\x00lo|you|" || *asked != 2 {
			t.Errorf("%q, %v, asked %d times", got, err, *asked)
		}
	})
}

func TestLiteralReaderRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		read bool
	}{
		"not asked for":   {"a APPEND {5}\r\nb NOOP\r\n", false},
		"on its way":      {"a APPEND {5+}\r\nhello (more) {3+}\r\nyou\r\nb NOOP\r\n", false},
		"half read":       {"a APPEND {5+}\r\nhello\r\nb NOOP\r\n", true},
		"asked, then not": {"a APPEND {5}\r\nhello\r\nb NOOP\r\n", true},
	} {
		both(t, tt.in, func(t *testing.T, sc *Scanner, _ *int) {
			sc.Begin()
			sc.SP()
			lr := sc.LiteralReader(100)
			if tt.read {
				if _, err := io.ReadFull(lr, make([]byte, 2)); err != nil {
					t.Fatal(err)
				}
			}
			if err := sc.Skip(); err != nil {
				t.Fatal(name, err)
			}
			if err := sc.Begin(); err != nil || sc.Command() != "NOOP" {
				t.Errorf("%s: %q %v", name, sc.Command(), err)
			}
		})
	}
}

func TestLiteralReaderTooBig(t *testing.T) {
	sc, asked := scan("a APPEND {101}\r\nb NOOP\r\n", false)
	sc.Begin()
	sc.SP()
	var syn *SyntaxError
	if lr := sc.LiteralReader(100); lr != nil || !errors.As(sc.Err(), &syn) || syn.Code != "TOOBIG" || !syn.Refused || *asked != 0 {
		t.Errorf("%v %v", lr, sc.Err())
	}
	if err := sc.Skip(); err != nil || sc.Begin() != nil || sc.Tag() != "b" {
		t.Errorf("%v, %q", err, sc.Tag())
	}
}

func TestDepth(t *testing.T) {
	sc, _ := scan("a X "+strings.Repeat("(", 60000)+"\r\n", false)
	sc.Begin()
	sc.SP()
	n := 0
	for sc.Err() == nil {
		sc.Open()
		n++
	}
	if text(sc.Err()) != "too deeply nested" || n != 33 {
		t.Errorf("%v at %d", sc.Err(), n)
	}
}

func TestRangeCap(t *testing.T) {
	sc, _ := scan("a X "+strings.Repeat("1:2,", 10001)+"5\r\n", false)
	sc.Begin()
	sc.SP()
	sc.SeqSet()
	var syn *SyntaxError
	if !errors.As(sc.Err(), &syn) || syn.Code != "LIMIT" {
		t.Error(sc.Err())
	}
}

func TestEOF(t *testing.T) {
	for in, want := range map[string]error{
		"":                 io.EOF,
		"a":                io.ErrUnexpectedEOF,
		"a X {5}\r\nab":    io.ErrUnexpectedEOF,
		"a X {2}\r\nab":    io.ErrUnexpectedEOF,
		"a X {2}\r\nab\r":  io.ErrUnexpectedEOF,
		"a X (\r\n":        nil,
		"a X ( {5+}\r\nab": io.ErrUnexpectedEOF,
	} {
		both(t, in, func(t *testing.T, sc *Scanner, _ *int) {
			if sc.Begin() == nil {
				sc.SP()
				_ = sc.String()
				sc.End()
			}
			if err := sc.Skip(); !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", in, err, want)
			}
		})
	}
}

func TestReplace(t *testing.T) {
	in := NewInput(strings.NewReader("a STARTTLS\r\nb NOOP\r\n"))
	sc := NewScanner(in, DefaultLimits(), nil)
	if err := sc.Begin(); err != nil || sc.End() != nil {
		t.Fatal(err)
	}
	if err := in.Replace(strings.NewReader("")); err != ErrPipelined {
		t.Errorf("octets behind STARTTLS: %v", err)
	}
}

func TestSetsAgreeWithImap(t *testing.T) {
	for _, in := range []string{"1:3,7,9:12", "5,3,1", "2:9,1:10", "9:*,1", "*,4", "3:1,*:2"} {
		sc, _ := scan("a X "+in+"\r\n", false)
		sc.Begin()
		sc.SP()
		got, _ := sc.SeqSet()
		var want imap.SeqSet
		for _, r := range strings.Split(in, ",") {
			var a, b uint32
			first, last, isRange := strings.Cut(r, ":")
			fmt.Sscan(first, &a)
			if b = a; isRange {
				b = 0
				fmt.Sscan(last, &b)
			}
			want.AddRange(a, b)
		}
		if got.String() != want.String() {
			t.Errorf("%s: %s, package imap has %s", in, got, want)
		}
	}
}
