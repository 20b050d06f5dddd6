package message

import (
	"bytes"
	"testing"
)

// holds says whether one of the keys of text is in what is made of raw.
func holds(raw, text string, addresses bool) bool {
	var t FieldText
	entry := t.Append(nil, []byte(raw))
	if addresses {
		entry = t.AppendAddresses(nil, []byte(raw))
	}
	for _, key := range t.Keys(text, addresses) {
		if bytes.Contains(entry, key) {
			return true
		}
	}
	return false
}

func TestFieldText(t *testing.T) {
	for _, tt := range []struct {
		raw, text string
		want      bool
	}{
		{" Roof repairs\n", "roof", true},
		{" Roof repairs\n", "roofs", false},
		{" =?utf-8?q?Gr=C3=B6=C3=9Fe?= der\n\tT\xc3\xbcr\n", "GRÖSSE", false}, // ß is no SS in RFC 5051
		{" =?utf-8?q?Gr=C3=B6=C3=9Fe?= der\n\tT\xc3\xbcr\n", "GRÖßE DER TÜR", true},
		{" =?iso-8859-1?q?=C4rger?=\n", "ärger", true},
		{" =?utf-8?q?a?= =?utf-8?q?b?=\n", "ab", true},
		{" =?utf-8?q?a=0A__b?=\n", "a b", true},
		{" =?x-nobody-knows?q?a=E4b?=\n", "a", true},
		{" =?utf-8?q?broken\n", "=?utf-8?q?broken", true},
		{" a folded\n subject\twith tabs  and spaces\n", "folded subject with tabs and spaces", true},
		{" a folded\n subject\twith tabs  and spaces\n", "folded subject\twith tabs  and", true},
		{" a folded\n subject\twith tabs  and spaces\n", "folded  subject", false},
		{" one\r\n two\r\n", "one two", true},
		{" \xff\xfe no UTF-8\n", "no utf-8", true},
		{" \"quoted\"\n", "quoted", true},
		{" \"quo\\\"ted\"\n", `quo"ted`, false},
		{" \n", "", true},
	} {
		if got := holds(tt.raw, tt.text, false); got != tt.want {
			t.Errorf("%q in %q: %v", tt.text, tt.raw, got)
		}
	}
}

// However an address is quoted, a key finds it quoted in any way.
func TestFieldTextOfAddresses(t *testing.T) {
	for _, tt := range []struct {
		raw, text string
		want      bool
	}{
		{` Ada Martin <p1@example.org>`, "ada martin <p1@", true},
		{` Ada Martin <p1@example.org>`, `"Ada Martin" <p1@example.org>`, true},
		{` "Ada Martin" <p1@example.org>`, "Ada Martin <p1@example.org>", true},
		{` "Ada Martin" <p1@example.org>`, `"Ada Martin" <p1@example.org>`, true},
		{` "O'Neil, Sean" <s@example.org>`, "O'Neil, Sean <s", true},
		{` "\"Q, Uoted\"" <q@example.org>`, `"Q, Uoted"`, true}, // as ENVELOPE tells it
		{` "\"Q, Uoted\"" <q@example.org>`, `\"Q, Uoted\"`, true},
		{` =?utf-8?q?=C3=84nne?= <AE@example.org>`, "änne <ae@", true},
		{` friends: b@example.org, c@example.org;`, "friends: b@example.org, c@", true},
		{` Ada Martin <p1@example.org>`, `"`, false},
		{` "Ada Martin" <p1@example.org>`, `"`, true},
		{` Ada Martin <p1@example.org>`, `\`, false},
		{` Ada Martin <p1@example.org>`, `" "`, false}, // nothing but quotes and space
		{` Ada Martin <p1@example.org>`, "ada  martin", false},
	} {
		if got := holds(tt.raw, tt.text, true); got != tt.want {
			t.Errorf("%q in %q: %v", tt.text, tt.raw, got)
		}
	}
}

// What one value ends with and the next begins with is no match, and neither is
// what two forms of one value do.
func TestFieldTextKeepsValuesApart(t *testing.T) {
	var ft FieldText
	entry := ft.Append(nil, []byte(" one\n"))
	entry = ft.Append(entry, []byte(" two\tthree\n"))
	for _, text := range []string{"onetwo", "one two", "threetwo", "one\ntwo"} {
		if bytes.Contains(entry, ft.Keys(text, false)[0]) {
			t.Errorf("%q is in %q", text, entry)
		}
	}
	if n := bytes.Count(entry, []byte{FieldSeparator}); n != 3 {
		t.Errorf("%d values in %q", n, entry)
	}
	if got := ft.Append(nil, []byte(" plain  \n")); string(got) != "\xffPLAIN" {
		t.Errorf("%q", got)
	}
}

// FuzzFieldText: every word of what DecodeText says is found, in whatever case,
// and what the memory held before does not matter.
func FuzzFieldText(f *testing.F) {
	f.Add([]byte(" \"A, B\" <c@d>, =?utf-8?q?=C3=84?= x\ty\n"))
	f.Add([]byte("\xff=?utf-8?b?//8=?= \x00\n a"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var used, fresh FieldText
		used.AppendAddresses(nil, []byte(" \"before\"\n\twas  this"))
		a, b := used.AppendAddresses(nil, raw), fresh.AppendAddresses(nil, raw)
		if !bytes.Equal(a, b) {
			t.Errorf("%q and %q", a, b)
		}
		for _, word := range bytes.Fields([]byte(DecodeText(raw))) {
			if key := fresh.Keys(string(word), true)[0]; !bytes.Contains(a, key) {
				t.Errorf("%q is not in %q", key, a)
			}
		}
	})
}

func BenchmarkFieldText(b *testing.B) {
	for name, raw := range map[string]string{
		"plain":   " Re: Minutes of the meeting 17\n",
		"quoted":  " \"O'Neil, Sean\" <p17@corpus.example>\n",
		"encoded": " =?utf-8?q?Gr=C3=B6=C3=9Fe_der_T=C3=BCr_17?=\n",
	} {
		b.Run(name, func(b *testing.B) {
			var t FieldText
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out = t.AppendAddresses(out[:0], []byte(raw))
			}
		})
	}
}
