package message

import (
	"bytes"
	"testing"
)

// FuzzFieldSet holds FieldSet against FilterHeader.
func FuzzFieldSet(f *testing.F) {
	for _, s := range []string{
		"From: a\nTo: b\n folded\r\nSubject: c\n\n", "from:x", "\n", "\r\n", "", "A\x00: b\r\nfrom : c\n\tfold\n\nbody",
		"From: a\r\r\nnocolon\nfrom", "From: a\r", ": x\nfrom:\n",
	} {
		f.Add([]byte(s), "from", "X-Other", false)
		f.Add([]byte(s), "Subject", "to", true)
	}
	f.Fuzz(func(t *testing.T, header []byte, a, b string, not bool) {
		body := FilterHeader(header, []string{a, b}, not)
		var want bytes.Buffer
		if _, err := body.WriteTo(&want); err != nil {
			t.Fatal(err)
		}
		if got := NewFieldSet([]string{a, b}, not).Append([]byte("x"), header); string(got[1:]) != want.String() {
			t.Fatalf("header %q:\ngot  %q\nwant %q", header, got[1:], want.String())
		}
	})
}
