package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCasemap(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"Hello, World 123 {|}~@[`", "HELLO, WORLD 123 {|}~@[`"},
		{"ǆ", "Dz\u030c"}, // the example of RFC 5051 §2, small letter
		{"Ǆ", "Dz\u030c"},
		{"é", "E\u0301"},
		{"É", "E\u0301"},
		{"straße", "STRAßE"},
		{"ſ", "S"},
		{"\u212a", "K"}, // Kelvin
		{"ﬁ", "fi"},     // decomposed after it was put in title case
		{"привет", "ПРИВЕТ"},
		{"日本", "日本"},
		{"한", "\u1112\u1161\u11ab"},
		{"a\xffb", "A\xffB"},
		{"é" + strings.Repeat("abcdefgh", 20) + "é", "E\u0301" + strings.Repeat("ABCDEFGH", 20) + "E\u0301"},
	} {
		if got := Casemap(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
	for r := rune(0); r < 0x30000; r++ { // the table and the shortcuts say what mapRune says
		if !utf8.ValidRune(r) {
			continue
		}
		if got, want := Casemap(string(r)), string(mapRune(nil, r)); got != want {
			t.Fatalf("%U: %q, want %q", r, got, want)
		}
	}
	for n := range 40 { // any alignment
		s := strings.Repeat("xY", n)
		if got := Casemap(s); got != strings.ToUpper(s) {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func match(t testing.TB, msg string, keys ...TextKey) []bool {
	t.Helper()
	got, err := NewMatcher(keys...).Match(strings.NewReader(msg), mustParse(t, []byte(msg)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMatch(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	nestedMsg := "Subject: outer\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n--b\nContent-Type: text/plain\nX-Part: partheader\n\nfirst text\n--b\nContent-Type: application/pdf; name=\"secret.pdf\"\n\nbinarydata\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\ninner text\n--b\nContent-Type: message/delivery-status\n\nstatus\n--b--\nepilogue\n"
	for _, tt := range []struct {
		name, msg, key string
		body, text     bool
	}{
		{"body", nestedMsg, "FIRST Text", true, true},
		{"header", nestedMsg, "outer", false, true},
		{"header with its name", nestedMsg, "subject: outer", false, true},
		{"header of a part", nestedMsg, "PartHeader", false, true},
		{"header of an attachment", nestedMsg, "secret.pdf", false, true},
		{"attachment", nestedMsg, "binarydata", false, false},
		{"inner header", nestedMsg, "inner", true, true},
		{"inner subject", nestedMsg, "subject: inner", false, true},
		{"inner text", nestedMsg, "inner text", true, true},
		{"message/*", nestedMsg, "status", true, true},
		{"preamble", nestedMsg, "preamble", false, false},
		{"epilogue", nestedMsg, "epilogue", false, false},
		{"across parts", nestedMsg, "textinner", false, false},
		{"empty key", nestedMsg, "", true, true},
		{"base64", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" + b64([]byte("Grüße aus Köln")) + "\n", "GRÜSSE", false, false},
		{"base64 umlaut", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" + b64([]byte("Grüße aus Köln")) + "\n", "grüße AUS KÖLN", true, true},
		{"base64 raw", "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + b64([]byte("hello")) + "\n", "aGVsbG8", false, false},
		{"quoted-printable", "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe aus K=\n=F6ln\n", "grüße aus köln", true, true},
		{"latin1", "Content-Type: text/plain; charset=iso-8859-1\n\nK\xf6ln\n", "KÖLN", true, true},
		{"iso-2022-jp", "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$BF|K\\\x1b(B\n", "日本", true, true},
		{"iso-2022-jp is not ASCII", "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$BF|K\\\x1b(B\n", "F|K", false, false},
		{"shift_jis", "Content-Type: text/plain; charset=shift_jis\n\n\x93\xfa\x96\x7b\n", "日本", true, true},
		{"utf-16", "Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\n" + b64([]byte("\xfe\xff\x00h\x00i")) + "\n", "HI", true, true},
		{"unknown charset", "Content-Type: text/plain; charset=x-foo\n\nhello w\xf6rld\n", "HELLO", true, true},
		{"unknown encoding", "Content-Type: text/plain\nContent-Transfer-Encoding: x-foo\n\nhello\n", "HELLO", true, true},
		{"no charset, utf-8", "Subject: x\n\nKöln\n", "kÖln", true, true},
		{"accent is not folded", "Subject: x\n\nKoln\n", "köln", false, false},
		{"letter before an accent", "Subject: x\n\ncafé\n", "cafe", true, true},
		{"html source", "Content-Type: text/html\n\n<a href=\"http://example.org/\">x</a>\n", "href=\"http://EXAMPLE", true, true},
		{"encoded subject", "Subject: =?utf-8?q?Gr=C3=BC?=\n =?utf-8?q?=C3=9Fe?= \n\tan  alle\n\nx\n", "grüße an alle", false, true},
		{"header not in body", "Subject: findme\n\nx\n", "findme", false, true},
		{"octet-stream", "Content-Type: application/octet-stream\n\nfindme\n", "findme", false, false},
		{"invalid utf-8", "Content-Type: text/plain; charset=utf-8\n\n\xff\xfefindme\xc3\n", "findme", true, true},
	} {
		got := match(t, tt.msg, TextKey{tt.key, false}, TextKey{tt.key, true})
		if got[0] != tt.body || got[1] != tt.text {
			t.Errorf("%s: BODY %v TEXT %v, want %v %v", tt.name, got[0], got[1], tt.body, tt.text)
		}
	}
}

// White space in header fields counts as it is, and as one space.
func TestMatchWhiteSpace(t *testing.T) {
	const msg = "Subject: a  folded\n\tsubject\twith =?utf-8?q?two__spaces?=\n\nbody  text\n"
	for key, want := range map[string]bool{
		"a folded subject with two spaces": true, "a  folded subject\twith two  spaces": true, "subject:a": false,
		"folded  subject": false, "subject: a  folded": true, "a folded subject\twith": false, "spaces\n": true, "body  text": true, "body text": false,
	} {
		if got := match(t, msg, TextKey{key, true}); got[0] != want {
			t.Errorf("%q: %v", key, got[0])
		}
	}
}

// What lies behind Extent is not asked for, and what lies before it is enough.
func TestExtent(t *testing.T) {
	for _, s := range append(corpus, sample{"nested", nested(20)}, sample{"many", manyParts(100)}) {
		p := mustParse(t, []byte(s.msg))
		for _, headers := range []bool{false, true} {
			m := NewMatcher(TextKey{"nothing of that kind", headers})
			n := m.Extent(p)
			if n < 0 || n > int64(len(s.msg)) {
				t.Fatalf("%s: extent %d of %d", s.name, n, len(s.msg))
			}
			if _, err := m.Match(strings.NewReader(s.msg[:n]), p); err != nil {
				t.Errorf("%s: with %d octets of %d: %v", s.name, n, len(s.msg), err)
			}
		}
	}
	attached := "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: image/png\n\n" + strings.Repeat("x", 1000) + "\n--b--\n"
	if n := NewMatcher(TextKey{"x", false}).Extent(mustParse(t, []byte(attached))); n > 80 {
		t.Errorf("BODY reads %d octets before an attachment", n)
	}
	if n := NewMatcher(TextKey{"x", true}).Extent(mustParse(t, []byte(attached))); n < 80 || n > 120 {
		t.Errorf("TEXT reads %d octets", n)
	}
}

// A key is found wherever the borders of buffers cut it, in every encoding.
func TestMatchAcrossBuffers(t *testing.T) {
	const key = "nadel im höuhaufen 日本"
	for _, cte := range []string{"8bit", "base64", "quoted-printable"} {
		for shift := -40; shift <= 40; shift++ {
			if cte != "8bit" && shift%5 != 0 {
				continue
			}
			text := strings.Repeat("x", chunkSize-20+shift) + strings.ToUpper(key) + "yyy\n"
			switch cte {
			case "base64":
				text = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", chunkSize/4*3-20+shift) + key))
			case "quoted-printable":
				text = strings.Repeat("x", chunkSize-60+shift) + "Nadel=20im=20h=C3=B6u=\nhaufen=20=E6=97=A5=E6=9C=AC"
			}
			msg := "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " + cte + "\n\n" + text
			if got := match(t, msg, TextKey{key, false}, TextKey{"nothing", true}); !got[0] || got[1] {
				t.Fatalf("%s, shift %d: %v", cte, shift, got)
			}
		}
	}
	for shift := range 8 { // a character of another charset on the border
		msg := "Content-Type: text/plain; charset=shift_jis\n\n" + strings.Repeat("x", chunkSize-4+shift) + "\x93\xfa\x96\x7b"
		if got := match(t, msg, TextKey{"x日本", false}); !got[0] {
			t.Fatalf("shift_jis, shift %d", shift)
		}
	}
}

// The matcher finds what strings.Contains finds in the mapped text.
func TestMatchAgainstContains(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	letters := []rune("aAbBéÉ日ſ\n ")
	random := func(n int) string {
		r := make([]rune, n)
		for i := range r {
			r[i] = letters[rnd.IntN(len(letters))]
		}
		return string(r)
	}
	for range 2000 {
		body := random(rnd.IntN(60))
		var keys []TextKey
		var want []bool
		for range 5 {
			k := strings.TrimSpace(random(1 + rnd.IntN(4)))
			keys = append(keys, TextKey{k, rnd.IntN(2) == 0})
			want = append(want, strings.Contains(Casemap(body), Casemap(k)))
		}
		msg := "\n" + body
		if got := match(t, msg, keys...); !slices.Equal(got, want) {
			t.Fatalf("%+v in %q: %v, want %v", keys, body, got, want)
		}
	}
}

// Every prefix of valid UTF-8 is searched (and cut) without harm.
func TestMatchTruncatedUTF8(t *testing.T) {
	text := "häß日本𝄞é"
	for n := range len(text) + 1 {
		for _, cs := range []string{"utf-8", "us-ascii", "shift_jis", "utf-16", "iso-2022-jp", "x-none"} {
			msg := fmt.Sprintf("Subject: %s\nContent-Type: text/plain; charset=%s\n\n%s", text[:n], cs, text[:n])
			match(t, msg, TextKey{"日本", true}, TextKey{"zzz", false})
			p := mustParse(t, []byte(msg))
			if s, err := Preview(strings.NewReader(msg), p); err != nil || !utf8.ValidString(s) {
				t.Errorf("preview %q, %v", s, err)
			}
		}
	}
}

func TestMatchIsReusable(t *testing.T) {
	m := NewMatcher(TextKey{"hello", false}, TextKey{"subject", true})
	a, b := "Subject: x\n\nhel", "To: x\n\nlo hello\n"
	for range 3 {
		for msg, want := range map[string][]bool{a: {false, true}, b: {true, false}} {
			if got, err := m.Match(strings.NewReader(msg), mustParse(t, []byte(msg))); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%q: %v, %v", msg, got, err)
			}
		}
	}
	p := mustParse(t, []byte(b))
	if _, err := m.Match(bytes.NewReader(nil), p); err == nil {
		t.Error("a file that is gone was searched")
	}
}

func TestPreview(t *testing.T) {
	for _, tt := range []struct{ name, msg, want string }{
		{"plain", "Subject: x\n\nHello\n\n  World\t!\n", "Hello World !"},
		{"empty", "Subject: x\n\n", ""},
		{"quotes", "Subject: x\n\n> quoted\nreply\n> more\n", "reply"},
		{"only quotes", "Subject: x\n\n> quoted\n", "> quoted"},
		{"signature", "Subject: x\n\ntext\n-- \nAnn\n", "text"},
		{"html", "Content-Type: text/html\n\n<html><head><title>T</title><style>p {}</style></head><body><p>Hello <b>W</b>orld &amp;&nbsp;all</p><!-- x > y --><br>2 < 3<script>x()</script> end</body>", "Hello World & all 2 < 3 end"},
		{"html cut off", "Content-Type: text/html\n\n<p>Hello <a href=\"", "Hello"},
		{"alternative", "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>html\n--b\n\nplain\n--b--\n", "plain"},
		{"empty plain", "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n \n--b\nContent-Type: text/html\n\n<p>html\n--b--\n", "html"},
		{"attachment", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment\n\nno\n--b\n\nyes\n--b--\n", "yes"},
		{"image only", "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\neA==\n", ""},
		{"charset", "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n", "Grüße"},
		{"unknown charset", "Content-Type: text/plain; charset=x\n\na\xffb\n", "ab"},
		{"long quotation", "Subject: x\n\n" + strings.Repeat("> quoted\n", 1000) + "reply\n", "reply"},
		{"long style", "Content-Type: text/html\n\n<style>" + strings.Repeat("p {}\n", 2000) + "</style><p>Hello", "Hello"},
		{"invisible", "Subject: x\n\n\u200b\u200c\u00ad\u034fHi\x07\ufeff\u202e!\n", "Hi !"},
	} {
		got, err := Preview(strings.NewReader(tt.msg), mustParse(t, []byte(tt.msg)))
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	for _, text := range []string{strings.Repeat("ä", 1000), strings.Repeat("日本 ", 1000), strings.Repeat("x\n", 100000)} {
		msg := "Content-Type: text/plain; charset=utf-8\n\n" + text
		got, err := Preview(strings.NewReader(msg), mustParse(t, []byte(msg)))
		if n := utf8.RuneCountInString(got); err != nil || n > 200 || n < 199 {
			t.Errorf("%d characters, %v", n, err)
		}
	}
}
