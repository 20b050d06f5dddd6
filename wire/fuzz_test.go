package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-imap/v2"
)

// script reads commands with methods chosen by plan and tells all that
// happened. The same octets must give the same story however they arrive.
func script(r io.Reader, plan []byte) string {
	var b strings.Builder
	in := NewInput(r)
	limits := Limits{Line: 200, Literal: 100, Literals: 150, Count: 3, Depth: 3, Ranges: 4, Discard: 300}
	sc := NewScanner(in, limits, func() error { b.WriteString("+ "); return nil })
	for n := 0; n < 50; n++ {
		err := sc.Begin()
		fmt.Fprintf(&b, "[%q %q ", sc.Tag(), sc.Command())
		for i := 0; err == nil && i < len(plan) && !sc.AtEnd(); i++ {
			if plan[i]&0x80 != 0 {
				sc.SP()
			}
			switch plan[i] & 0x0f {
			case 0:
				fmt.Fprintf(&b, "%q", sc.Atom())
			case 1:
				fmt.Fprintf(&b, "%q", sc.AString())
			case 2:
				fmt.Fprintf(&b, "%q", sc.String())
			case 3:
				s, ok := sc.NString()
				fmt.Fprintf(&b, "%q%v", s, ok)
			case 4:
				fmt.Fprint(&b, sc.Number(), sc.Take(','), sc.NZNumber64())
			case 5:
				s, saved := sc.SeqSet()
				fmt.Fprint(&b, s, saved)
			case 6:
				fmt.Fprint(&b, sc.UIDSet())
			case 7:
				fmt.Fprint(&b, sc.Flags())
			case 8:
				fmt.Fprint(&b, sc.DateTime().Format(time.RFC3339))
			case 9:
				fmt.Fprint(&b, sc.Date().Format(time.DateOnly))
			case 10:
				fmt.Fprintf(&b, "%q", sc.Mailbox())
			case 11:
				s, ok := sc.ListMailbox()
				fmt.Fprintf(&b, "%q%v", s, ok)
			case 12:
				if lr := sc.LiteralReader(120); lr != nil {
					if plan[i]&0x10 != 0 {
						data, err := io.ReadAll(lr)
						fmt.Fprintf(&b, "%q %v", data, err)
					}
					if plan[i]&0x20 != 0 {
						fmt.Fprint(&b, lr.Close())
					}
				}
			case 13:
				fmt.Fprint(&b, sc.List(func() { fmt.Fprintf(&b, "%q", sc.AString()) }))
			case 14:
				fmt.Fprintf(&b, "%q%v", sc.Name(), sc.TakeName("BODY"))
			case 15:
				sc.UTF8 = !sc.UTF8
			}
		}
		if err == nil {
			err = sc.End()
		}
		fmt.Fprintf(&b, " %v] ", err)
		var syn *SyntaxError
		if err := sc.Skip(); err != nil {
			fmt.Fprintf(&b, "end %v", err)
			break
		} else if sc.Err() != nil && !errors.As(sc.Err(), &syn) {
			break
		}
	}
	return b.String()
}

func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {4}\r\nuser {3+}\r\npwd\r\nb NOOP\r\n",
		"a UID FETCH 1:*,5,$ (FLAGS)\r\nb STORE 1 +FLAGS (\\Seen x)\r\n",
		"a APPEND inbox (\\Seen) \" 7-Feb-1994 21:52:25 -0800\" ~{3+}\r\nabc\r\n",
		"a SEARCH SINCE 1-Feb-2020 TEXT \"a\\\"b\" {2+}\r\nxx (a b)\r\n",
		"a LIST \"\" %&AOk-*\nb X {500}\r\nc X {200+}\r\n",
		"\x00\r\r\n a+ \r\n{1+}\r\na\r\n",
	} {
		f.Add([]byte(s), []byte{0x81, 0x81, 0x82, 0x87, 0x88, 0xbc})
		f.Add([]byte(s), []byte{0x85, 0x8d, 0x80, 0x83, 0x84, 0x89})
	}
	f.Fuzz(func(t *testing.T, input, plan []byte) {
		whole := script(bytes.NewReader(input), plan)
		single := script(iotest.OneByteReader(bytes.NewReader(input)), plan)
		if whole != single {
			t.Errorf("whole:  %s\nsingle: %s", whole, single)
		}
	})
}

// FuzzWriter: what the Writer makes of any string, the Scanner reads back, and
// no line end leaves it but its own.
func FuzzWriter(f *testing.F) {
	f.Add("INBOX", uint32(1), uint32(5))
	f.Add("a\r\n* 1 EXPUNGE", uint32(0), uint32(0))
	f.Add("é&\x00\\\"", uint32(7), uint32(7))
	f.Fuzz(func(t *testing.T, s string, first, last uint32) {
		for _, utf8Mode := range []bool{false, true} {
			var out bytes.Buffer
			w := NewWriter(&out)
			w.UTF8 = utf8Mode
			w.Raw("t x ")
			w.String(s)
			w.SP()
			w.AString(s)
			w.SP()
			w.Mailbox(s)
			w.SP()
			w.NString(s, s != "")
			w.SP()
			w.SeqSet(imap.SeqSet{{Start: first, Stop: last}})
			w.CRLF()
			w.Status("t", "OK", s, s)
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			sc := NewScanner(NewInput(&out), DefaultLimits(), func() error { return nil })
			sc.UTF8 = utf8Mode
			sc.Begin()
			sc.SP()
			want := strings.ReplaceAll(s, "\x00", "\x80")
			if got := sc.String(); got != want {
				t.Errorf("String(%q) reads as %q: %v", s, got, sc.Err())
			}
			sc.SP()
			if got := sc.AString(); got != want {
				t.Errorf("AString(%q) reads as %q: %v", s, got, sc.Err())
			}
			sc.SP()
			name := strings.ToValidUTF8(s, "\uFFFD")
			if EqualFold(name, "inbox") {
				name = "INBOX"
			}
			if valid := name == s || name == "INBOX"; valid && (!utf8Mode || !strings.Contains(s, "\x00")) {
				if got := sc.Mailbox(); got != name && sc.Err() == nil {
					t.Errorf("Mailbox(%q) reads as %q", s, got)
				}
			} else {
				sc.AString()
			}
			sc.SP()
			if got, ok := sc.NString(); got != want || ok != (s != "") {
				t.Errorf("NString(%q) reads as %q, %v: %v", s, got, ok, sc.Err())
			}
			sc.SP()
			set, _ := sc.SeqSet()
			if sc.Err() == nil && len(set) != 1 {
				t.Errorf("set %v", set)
			}
			if sc.End() != nil && len(s) < 4000 {
				t.Errorf("%q: %v", s, sc.Err())
			}
			rest, err := io.ReadAll(sc.in)
			if err != nil {
				t.Fatal(err)
			}
			line := string(rest)
			if sc.Err() == nil && (strings.Count(line, "\r\n") != 1 || strings.Count(line, "\n") != 1 || strings.Count(line, "\r") != 1 || strings.Contains(line, "\x00")) {
				t.Errorf("status line %q", line)
			}
		}
	})
}
