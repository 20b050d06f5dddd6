package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

func TestWriter(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(*Writer)
		want  string
	}{
		{"atom", func(w *Writer) { w.Atom("a.b") }, "a.b"},
		{"no atom", func(w *Writer) { w.Atom("a b") }, `"a b"`},
		{"astring", func(w *Writer) { w.AString("nil") }, `"nil"`},
		{"quoted", func(w *Writer) { w.String(`a"\b`) }, `"a\"\\b"`},
		{"empty", func(w *Writer) { w.String("") }, `""`},
		{"line end", func(w *Writer) { w.String("a\r\nb") }, "{4}\r\na\r\nb"},
		{"NUL", func(w *Writer) { w.String("a\x00b") }, "{3}\r\na\x80b"},
		{"8-bit", func(w *Writer) { w.String("é") }, "{2}\r\né"},
		{"UTF-8", func(w *Writer) { w.UTF8 = true; w.String("é") }, `"é"`},
		{"not UTF-8", func(w *Writer) { w.UTF8 = true; w.String("\xff") }, "{1}\r\n\xff"},
		{"long", func(w *Writer) { w.String(strings.Repeat("x", 1025)) }, "{1025}\r\n" + strings.Repeat("x", 1025)},
		{"NIL", func(w *Writer) { w.NString("x", false) }, "NIL"},
		{"mailbox", func(w *Writer) { w.Mailbox("a/b") }, `"a/b"`},
		{"mailbox in UTF-7", func(w *Writer) { w.Mailbox("é&") }, `"&AOk-&-"`},
		{"mailbox in UTF-8", func(w *Writer) { w.UTF8 = true; w.Mailbox("é&") }, `"é&"`},
		{"mailbox with line end", func(w *Writer) { w.Mailbox("a\r\nb") }, `"a&AA0ACg-b"`},
		{"flags", func(w *Writer) { w.Flags([]imap.Flag{`\Seen`, `$Junk`, `\*`, "a\r\nb"}) }, "(\\Seen $Junk \\* {4}\r\na\r\nb)"},
		{"set", func(w *Writer) { w.SeqSet(imap.SeqSet{{Start: 1, Stop: 1}, {Start: 3, Stop: 0}}) }, "1,3:*"},
		{"UIDs", func(w *Writer) { w.UIDs([]imap.UID{1, 2, 3, 7, 5, 6}) }, "1:3,7,5:6"},
		{"date", func(w *Writer) { w.DateTime(time.Date(2020, 2, 1, 3, 4, 5, 0, time.FixedZone("", -3600))) }, `" 1-Feb-2020 03:04:05 -0100"`},
		{"date out of range", func(w *Writer) { w.DateTime(time.Date(12020, 2, 1, 3, 4, 5, 0, time.UTC)) }, `" 1-Feb-9999 03:04:05 +0000"`},
		{"list", func(w *Writer) {
			w.Open()
			w.Item()
			w.Number(1)
			w.Item()
			w.Open()
			w.Close()
			w.Close()
		}, "(1 ())"},
		{"status", func(w *Writer) { w.Status("a1", "NO", "TRYCREATE", "no\r\nsuch") }, "a1 NO [TRYCREATE] no  such\r\n"},
		{"status looks like a code", func(w *Writer) { w.Status("", "OK", "", "[ALERT] x") }, "* OK . [ALERT] x\r\n"},
		{"empty text", func(w *Writer) { w.Status("", "OK", "", "") }, "* OK .\r\n"},
		{"code with line end", func(w *Writer) { w.Status("", "OK", "X\r\n", "é") }, "* OK [X  ] ??\r\n"},
		{"continue", func(w *Writer) { w.Continue("") }, "+ .\r\n"},
		{"number", func(w *Writer) { w.UntaggedNumber(3, "EXISTS") }, "* 3 EXISTS\r\n"},
		{"literal", func(w *Writer) { w.Literal([]byte("a\x00")) }, "{2}\r\na\x00"},
		{"streamed", func(w *Writer) {
			w.LiteralHeader(5, true)
			io.WriteString(w, "ab")
			w.LiteralFrom(strings.NewReader("cdefg"), 3)
			w.CRLF()
		}, "~{5}\r\nabcde\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			w := NewWriter(&out)
			tt.write(w)
			if err := w.Flush(); err != nil || out.String() != tt.want {
				t.Errorf("%q, %v; want %q", out.String(), err, tt.want)
			}
		})
	}
}

func TestLiteralMismatch(t *testing.T) {
	for name, f := range map[string]func(*Writer){
		"short":    func(w *Writer) { w.LiteralHeader(5, false); io.WriteString(w, "ab"); w.Raw(")"); w.CRLF() },
		"long":     func(w *Writer) { w.LiteralHeader(1, false); io.WriteString(w, "ab") },
		"reader":   func(w *Writer) { w.LiteralHeader(5, false); w.LiteralFrom(strings.NewReader("ab"), 5) },
		"too much": func(w *Writer) { w.LiteralHeader(1, false); w.LiteralFrom(strings.NewReader("ab"), 2) },
	} {
		w := NewWriter(io.Discard)
		f(w)
		if err := w.Flush(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestBarrier: nothing is sent before the hook has agreed, and nothing at all
// when it does not.
func TestBarrier(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	calls := 0
	w.BeforeFlush = func() error {
		if calls++; out.Len() > 0 && calls == 1 {
			t.Error("sent before the barrier")
		}
		return nil
	}
	for range 10000 {
		w.UntaggedNumber(1, "EXISTS")
	}
	if calls != 1 || out.Len() < flushSize {
		t.Errorf("%d calls, %d octets sent", calls, out.Len())
	}
	w.Flush()
	sent := out.Len()
	broken := errors.New("disk")
	w.BeforeFlush = func() error { return broken }
	w.UntaggedNumber(2, "EXISTS")
	if err := w.Flush(); err != broken || out.Len() != sent {
		t.Errorf("%v, %d octets sent after it", err, out.Len()-sent)
	}
	if !w.Reset() {
		t.Fatal("no last word possible at a line start")
	}
	w.BeforeFlush = nil
	w.Status("", "BYE", "", "x")
	if err := w.Flush(); err != nil || !strings.HasSuffix(out.String(), "EXISTS\r\n* BYE x\r\n") {
		t.Errorf("%v %q", err, out.String()[sent:])
	}
}

func TestResetInsideALine(t *testing.T) {
	w := NewWriter(io.Discard)
	w.Untagged()
	w.Flush()
	w.BeforeFlush = func() error { return io.EOF }
	w.Raw("x")
	w.Flush()
	if w.Reset() {
		t.Error("a BYE would have gone into the middle of a line")
	}
}

func TestRewind(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	w.Raw("a")
	mark := w.Mark()
	w.Raw("b")
	if !w.Rewind(mark) {
		t.Error("cannot rewind")
	}
	w.Raw("c")
	w.Flush()
	if out.String() != "ac" || w.Rewind(mark) {
		t.Errorf("%q", out.String())
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkFetchFlags formats the FETCH responses of 100,000 messages.
func BenchmarkFetchFlags(b *testing.B) {
	w := NewWriter(discard{})
	b.ReportAllocs()
	for b.Loop() {
		for n := uint64(1); n <= 100_000; n++ {
			w.Untagged()
			w.Number(n)
			w.Raw(" FETCH (UID ")
			w.Number(n + 5000)
			w.SP()
			w.Raw(`FLAGS (\Seen`)
			w.Raw("))")
			w.CRLF()
		}
		w.Flush()
	}
}
