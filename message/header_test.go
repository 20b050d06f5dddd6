package message

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDecodeText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{" plain \r\n", "plain"},
		{"a\r\n b\n\t c", "a b c"},
		{"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"},
		{"=?UTF-8?Q?a_b=5F?=", "a b_"},
		{"=?iso-8859-1?Q?Gr=FC=DFe?=", "Grüße"},
		{"=?iso-8859-1*de?Q?=FC?=", "ü"},
		{"=?utf-8?b?R3LDvMOfZQ==?=", "Grüße"},
		{"=?utf-8?b?R3LDvMOfZQ?=", "Grüße"},
		{"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
		{"=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"},
		{"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"},
		{"=?utf-8?q?a?=b", "ab"},
		{"x=?utf-8?q?a?=", "xa"},
		{"=?utf-8?b?w4M=?= =?utf-8?b?wqQ=?=", "Ã¤"},
		{"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"}, // a character cut in half
		{"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"=?koi8-r?B?8NLJ18XU?=", "Привет"},
		{"=?windows-1251?Q?=CF=F0=E8?=", "При"},
		{"=?gb2312?B?suLK1A==?=", "测试"},
		{"=?shift_jis?B?k/qWew==?=", "日本"},
		{"=?x-unknown?q?a=E4b?=", "a\xe4b"},
		{"=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"=?utf-8?q?a", "=?utf-8?q?a"},
		{"=?utf-8?q", "=?utf-8?q"},
		{"=??q?a?=", "=??q?a?="},
		{"=?=?utf-8?q?a?=", "=?a"},
		{"=?utf-8?q??= x", "x"},
		{"Gr\xfc\xdfe", "Gr\xfc\xdfe"},
		{"=?utf-8?q?a=0Ab?=", "a b"},
	} {
		if got := DecodeText([]byte(tt.in)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzWord(f *testing.F) {
	f.Add([]byte("=?utf-8?q?a?= =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= \r\n x"))
	f.Add([]byte("=?utf-16?b?/v8AYQ==?="))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := DecodeText(raw)
		if strings.ContainsAny(s, "\r\n\t") || strings.Contains(s, "  ") {
			t.Fatalf("%q is not unfolded", s)
		}
		m := Casemap(s)
		if utf8.ValidString(s) && !utf8.ValidString(m) {
			t.Fatalf("%q maps to %q", s, m)
		}
		base, _ := BaseSubject(s)
		if again, _ := BaseSubject(base); again != base {
			t.Fatalf("base of %q is %q, of that %q", s, base, again)
		}
		MessageIDs(raw)
		ParseDate(raw)
	})
}

func TestBaseSubject(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		reply    bool
	}{
		{"", "", false},
		{"hello", "hello", false},
		{"Re: hello", "hello", true},
		{"RE: re: Fwd: FW: hello", "hello", true},
		{"Re : hello", "hello", true},
		{"Re[2]: hello", "hello", true},
		{"Re [list] : hello", "hello", true},
		{"[list] Re: hello", "hello", true},
		{"[a] [b] Re: hello", "hello", true},
		{"[list] hello", "hello", false},
		{"[a][b] hello", "hello", false},
		{"[list]", "[list]", false},
		{"[a] [b]", "[b]", false},
		{"Re: [list]", "[list]", true},
		{"Re: [list] Re: [other] hello", "hello", true},
		{"hello (fwd)", "hello", true},
		{"hello (FWD) (fwd) ", "hello", true},
		{"[fwd: hello]", "hello", true},
		{"[Fwd: Re: hello (fwd)]", "hello", true},
		{"Re: [Fwd: hello]", "hello", true},
		{"[fwd: [fwd: hello]]", "[fwd: [fwd: hello]]", false},
		{"[fwd:]", "", true},
		{"(fwd)", "", true},
		{"Re:", "", true},
		{"Re", "Re", false},
		{"Reply: hello", "Reply: hello", false},
		{"fwd hello", "fwd hello", false},
		{"Fw: hello", "hello", true},
		{"Aw: hallo", "Aw: hallo", false},
		{"[unclosed hello", "[unclosed hello", false},
		{"[a[b]] hello", "[a[b]] hello", false},
		{"[fwd: hello", "[fwd: hello", false},
		{"Re: Grüße", "Grüße", true},
	} {
		got, reply := BaseSubject(tt.in)
		if tt.in == "[fwd: [fwd: hello]]" {
			tt.want, tt.reply = "hello", true // by step 6, twice
		}
		if got != tt.want || reply != tt.reply {
			t.Errorf("%q: %q %v, want %q %v", tt.in, got, reply, tt.want, tt.reply)
		}
	}
}

func TestParseDate(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"Mon, 7 Feb 1994 21:52:25 -0800 (PST)", "1994-02-07T21:52:25-08:00"},
		{" Mon,\r\n 7 Feb 1994\r\n 21:52:25 -0800", "1994-02-07T21:52:25-08:00"},
		{"7 Feb 1994 21:52 +0130", "1994-02-07T21:52:00+01:30"},
		{"07 Feb 94 21:52:25 PST", "1994-02-07T21:52:25-08:00"},
		{"7 Feb 04 21:52:25 GMT", "2004-02-07T21:52:25Z"},
		{"7 Feb 104 21:52:25 GMT", "2004-02-07T21:52:25Z"},
		{"Mon, 7 Feb 1994 21:52:25", "1994-02-07T21:52:25Z"},
		{"Mon, 7 Feb 1994 21:52:25 X", "1994-02-07T21:52:25Z"},
		{"Mon, 7 Feb 1994 21:52:25 -0000", "1994-02-07T21:52:25Z"},
		{"Monday, 7 February 1994 21:52:25 +0100", "1994-02-07T21:52:25+01:00"},
		{"Mon 7-Feb-1994 21:52:25 +0100", "1994-02-07T21:52:25+01:00"},
		{"7-Feb-94 21:52:25+0100", "1994-02-07T21:52:25+01:00"},
		{"Mon, 7 Feb 1994 21:52:25 +01:00", "1994-02-07T21:52:25+01:00"},
		{"Mon Feb  7 21:52:25 1994", "1994-02-07T21:52:25Z"},
		{"Mon Feb  7 21:52:25 CET 1994", "1994-02-07T21:52:25+01:00"},
		{"Feb 7, 1994 21:52:25 +0100", "1994-02-07T21:52:25+01:00"},
		{"Mon, 7 Feb 1994 21.52.25 +0100", "1994-02-07T21:52:25+01:00"},
		{"Mon, 31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59Z"},
		{"Mon, 29 Feb 2024 1:02:03 +0000", "2024-02-29T01:02:03Z"},
		{"(x) Mon (y) , 7 (z) Feb 1994 21:52:25 +0100", "1994-02-07T21:52:25+01:00"},
		{"Mon, 30 Feb 1994 21:52:25 +0100", ""},
		{"Mon, 7 Foo 1994 21:52:25 +0100", ""},
		{"Mon, 7 Feb 1994", ""},
		{"Mon, 7 Feb 1994 25:00:00 +0100", ""},
		{"0 Feb 1994 21:52:25", ""},
		{"7 Feb -94 21:52:25", ""},
		{"", ""},
		{"yesterday", ""},
		{"\x00\xff(((", ""},
	} {
		got := ""
		if d, ok := ParseDate([]byte(tt.in)); ok {
			got = d.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"<a@b>", []string{"a@b"}},
		{"<a@b> <c@d>\r\n\t<e@f>", []string{"a@b", "c@d", "e@f"}},
		{"<a@b><c@d>", []string{"a@b", "c@d"}},
		{"text <a@b> (comment <no@id>) <c@d", []string{"a@b"}},
		{"<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>", []string{"01KF8JCEOCBS0045PS@xxx.yyy.com"}}, // RFC 5256 §3
		{"<a\r\n @b>", []string{"a@b"}},
		{"<> < >", nil},
		{"<a<b@c>", []string{"b@c"}},
		{"a@b", nil},
		{"", nil},
	} {
		if got := MessageIDs([]byte(tt.in)); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
	if n := len(MessageIDs([]byte(strings.Repeat("<a@b> ", 100000)))); n != MaxMessageIDs {
		t.Errorf("%d ids", n)
	}
}

func TestHeader(t *testing.T) {
	for _, nl := range []string{"\n", "\r\n"} {
		msg := strings.ReplaceAll("From: a@b\nReceived: one\n\ttwo\nnonsense\nSUBJECT : x\nSubject: y\n z\nFrom: c@d\n\nbody: no\n", "\n", nl)
		h, err := ReadHeader(strings.NewReader(msg), int64(len(msg)))
		if err != nil {
			t.Fatal(err)
		}
		p := mustParse(t, []byte(msg))
		if q, err := p.ReadHeader(strings.NewReader(msg)); err != nil || !bytes.Equal(q, h) || int64(len(h)) != p.Body {
			t.Errorf("headers differ: %q, %q, %v", h, q, err)
		}
		var names []string
		for name, value := range h.Fields() {
			names = append(names, string(name)+"="+DecodeText(value))
		}
		if got, want := strings.Join(names, "|"), "From=a@b|Received=one two|SUBJECT=x|Subject=y z|From=c@d"; got != want {
			t.Errorf("fields %s, want %s", got, want)
		}
		if got := h.Text("Subject"); got != "y z" {
			t.Errorf("subject %q", got)
		}
		if _, ok := h.Last("Body"); ok {
			t.Error("field in the body")
		}
		if got := h.Addresses("FROM", 10); len(got) != 2 || got[1].Mailbox != "c" {
			t.Errorf("addresses %v", got)
		}
		if got := h.Addresses("from", 1); len(got) != 1 {
			t.Errorf("addresses %v", got)
		}
	}
	for _, n := range []int{0, 1, 4090, 4095, 4096, 4097, 16383, 16384, 16385, 70000} { // the blank line at the border of a read
		for _, nl := range []string{"\n", "\r\n"} {
			head := "X: " + strings.Repeat("x", n) + nl + nl
			msg := head + strings.Repeat("body"+nl+nl, 10)
			h, err := ReadHeader(strings.NewReader(msg), int64(len(msg)))
			if err != nil || string(h) != head {
				t.Fatalf("%d %q: %d octets, %v", n, nl, len(h), err)
			}
		}
	}
	for _, msg := range []string{"", "\n", "\r\n", "x", "Subject: x"} {
		if h, err := ReadHeader(strings.NewReader(msg), int64(len(msg))); err != nil || string(h) != msg {
			t.Errorf("%q: %q, %v", msg, h, err)
		}
	}
}

func TestFilename(t *testing.T) {
	for _, tt := range []struct{ head, want string }{
		{"Content-Disposition: attachment; filename=a.txt", "a.txt"},
		{"Content-Type: application/x; name=\"b c.txt\"", "b c.txt"},
		{"Content-Disposition: attachment; filename*=UTF-8''na%C3%AFve.txt; filename=naive.txt", "naïve.txt"},
		{"Content-Disposition: attachment; filename*0*=iso-8859-1''na%EF; filename*1=ve.txt", "naïve.txt"},
		{"Content-Disposition: attachment; filename=\"=?utf-8?q?na=C3=AFve.txt?=\"", "naïve.txt"},
		{"Content-Disposition: attachment", ""},
	} {
		if got := mustParse(t, []byte(tt.head+"\n\nx\n")).Filename(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.head, got, tt.want)
		}
	}
}
