package utf7

import (
	"testing"
	"unicode/utf8"
)

var pairs = []struct{ utf8, utf7 string }{
	{"", ""},
	{"INBOX", "INBOX"},
	{"a&b", "a&-b"},
	{"&", "&-"},
	{"Entwürfe", "Entw&APw-rfe"},
	{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, // RFC 3501 §5.1.3
	{"é&", "&AOk-&-"},
	{"☺!", "&Jjo-!"},
	{"😀", "&2D3eAA-"},
	{"a\x00b\tc\x7f", "a&AAA-b&AAk-c&AH8-"},
	{"\uFFFD", "&,,0-"},
}

func TestEncode(t *testing.T) {
	for _, p := range pairs {
		if got := Encode(p.utf8); got != p.utf7 {
			t.Errorf("Encode(%q) = %q, want %q", p.utf8, got, p.utf7)
		}
	}
	if got := Encode("a\xffb"); got != "a&,,0-b" {
		t.Errorf("invalid UTF-8 encodes as %q", got)
	}
}

func TestDecode(t *testing.T) {
	for _, p := range pairs {
		if got, err := Decode(p.utf7); got != p.utf8 || err != nil {
			t.Errorf("Decode(%q) = %q, %v; want %q", p.utf7, got, err, p.utf8)
		}
	}
}

func TestDecodeInvalid(t *testing.T) {
	for _, s := range []string{
		"&",          // no end
		"a&b",        // no end
		"&AOk",       // no end
		"&AOk-&AOk-", // superfluous shift
		"&AGE-",      // printable US-ASCII in base64
		"&ACY-",      // `&` in base64
		"&AOl-",      // left-over bits
		"&AO-",       // half a character
		"&A-",        // six bits
		"&2D0-",      // lone high surrogate
		"&3gA-",      // lone low surrogate
		"&2D0AQQ-",   // high surrogate, then a letter
		"&AOk=-",     // padding
		"&AO/-",      // `/` is not in the alphabet
		"&AO\nk-",    // line end inside base64
		"é",          // 8-bit
		"a\x01",      // control
	} {
		if got, err := Decode(s); err == nil {
			t.Errorf("Decode(%q) = %q, want an error", s, got)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	for _, p := range pairs {
		f.Add(p.utf8)
		f.Add(p.utf7)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := Encode(s)
		d, err := Decode(e)
		if err != nil {
			t.Fatalf("Decode(Encode(%q)): %v", s, err)
		}
		if utf8.ValidString(s) && d != s {
			t.Fatalf("%q comes back as %q", s, d)
		}
		if d, err := Decode(s); err == nil && Encode(d) != s {
			t.Fatalf("%q decodes to %q, which encodes to %q", s, d, Encode(d))
		}
	})
}
