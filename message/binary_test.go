package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func TestDecoders(t *testing.T) {
	for _, tt := range []struct{ enc, in, want string }{
		{"BASE64", "eA==", "x"},
		{"BASE64", "eHl6", "xyz"},
		{"BASE64", "eHl\r\n6\n", "xyz"},
		{"BASE64", "e*H-l 6", "xyz"},
		{"BASE64", "eHl6e", "xyz"},
		{"BASE64", "eHl6eA", "xyzx"},
		{"BASE64", "eHl6eHk", "xyzxy"},
		{"BASE64", "eA==eA==", "xx"},
		{"BASE64", "eA==\njunk", "x\x8e\xe9\xe4"},
		{"BASE64", "====", ""},
		{"BASE64", "", ""},
		{"QUOTED-PRINTABLE", "a=3Db", "a=b"},
		{"QUOTED-PRINTABLE", "a=3db=c3=A4", "a=bä"},
		{"QUOTED-PRINTABLE", "soft =\nbreak", "soft break"},
		{"QUOTED-PRINTABLE", "soft= \t\r\nbreak", "softbreak"},
		{"QUOTED-PRINTABLE", "pad  \t\nx", "pad\r\nx"},
		{"QUOTED-PRINTABLE", "pad  \r\nx", "pad\r\nx"},
		{"QUOTED-PRINTABLE", "bad =XY =4 =", "bad =XY =4 "},
		{"QUOTED-PRINTABLE", "end =", "end "},
		{"QUOTED-PRINTABLE", "end=4", "end=4"},
		{"QUOTED-PRINTABLE", "end  ", "end"},
		{"QUOTED-PRINTABLE", "a\rb", "a\rb"},
		{"QUOTED-PRINTABLE", "a=\rb", "a=\rb"},
		{"QUOTED-PRINTABLE", "a\n\n.b\n", "a\r\n\r\n.b\r\n"},
		{"QUOTED-PRINTABLE", strings.Repeat(" ", 3000) + "\nx", strings.Repeat(" ", 2048) + "\r\nx"},
		{"8BIT", "a\nb\r\nc\rd", "a\r\nb\r\nc\rd"},
	} {
		for step := range len(tt.in) + 1 { // every way to cut
			if step > 40 {
				break
			}
			d := newDecoder(tt.enc, true)
			var out []byte
			for rest := []byte(tt.in); len(rest) > 0; {
				n := min(len(rest), max(step, 1))
				out = d.decode(out, rest[:n])
				rest = rest[n:]
			}
			if out = d.finish(out); string(out) != tt.want {
				t.Errorf("%s %.40q in steps of %d: %.40q, want %.40q", tt.enc, tt.in, step, out, tt.want)
				break
			}
		}
	}
}

func TestBinary(t *testing.T) {
	part := func(ctype, cte, body string) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: " + ctype + "\nContent-Transfer-Encoding: " + cte + "\n\n" + body + "\n--b--\n"
	}
	for name, tt := range map[string]struct{ msg, want string }{
		"base64":              {part("application/x", "base64", "AAEK"), "\x00\x01\n"},
		"base64 text":         {part("text/plain", "base64", base64.StdEncoding.EncodeToString([]byte("a\nb\r\nc"))), "a\r\nb\r\nc"},
		"quoted-printable":    {part("text/plain", "quoted-printable", "a=0Ab\nc =\nd"), "a\nb\r\nc d"},
		"7bit":                {part("text/plain", "7bit", "a\nb"), "a\r\nb"},
		"8bit with NUL":       {part("text/plain", "8bit", "a\x00\nb"), "a\x00\r\nb"},
		"binary, LF file":     {part("application/x", "binary", "a\nb"), "a\r\nb"},
		"binary, CRLF file":   {strings.Replace(strings.ReplaceAll(part("application/x", "binary", "a@b"), "\n", "\r\n"), "@", "\n", 1), "a\nb"},
		"text in binary CRLF": {strings.Replace(strings.ReplaceAll(part("text/x", "binary", "a@b"), "\n", "\r\n"), "@", "\n", 1), "a\r\nb"},
	} {
		p := mustParse(t, []byte(tt.msg))
		b, ok, err := p.Binary(strings.NewReader(tt.msg), []int{1})
		if !ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
			continue
		}
		got := read(t, b)
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		if nul, err := b.HasNUL(); err != nil || nul != strings.Contains(tt.want, "\x00") {
			t.Errorf("%s: HasNUL %v, %v", name, nul, err)
		}
		for _, step := range []int64{1, 2, 5} {
			checkPartials(t, b, got, step)
		}
	}
	msg := part("application/x", "x-uuencode", "x")
	if _, ok, err := mustParse(t, []byte(msg)).Binary(strings.NewReader(msg), []int{1}); !ok || !errors.Is(err, ErrUnknownCTE) {
		t.Errorf("unknown encoding: %v, %v", ok, err)
	}
	if _, ok, err := mustParse(t, []byte(msg)).Binary(strings.NewReader(msg), []int{2}); ok || err != nil {
		t.Errorf("no such part: %v, %v", ok, err)
	}
	b, ok, err := mustParse(t, []byte(msg)).Binary(strings.NewReader(msg), nil)
	if !ok || err != nil || read(t, b) != string(served([]byte(msg))) {
		t.Errorf("BINARY[]: %v, %v", ok, err)
	}
}

func TestLargeBinary(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789\n"), 200000)
	enc := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	b.WriteString("Content-Type: application/x\nContent-Transfer-Encoding: base64\n\n")
	for len(enc) > 0 {
		n := min(76, len(enc))
		b.WriteString(enc[:n] + "\n")
		enc = enc[n:]
	}
	p := mustParse(t, []byte(b.String()))
	r := &countingReader{r: strings.NewReader(b.String())}
	body, _, err := p.Binary(r, []int{1})
	if err != nil || read(t, body) != string(data) {
		t.Fatalf("decoded %d octets, %v", body.Size(), err)
	}
	r.n = 0
	var pos Position
	var out bytes.Buffer
	for off := int64(0); off < body.Size(); off += 50000 {
		if _, err := body.WritePartial(&out, off, 50000, &pos); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), data) {
		t.Error("partials differ")
	}
	if r.n > 2*int64(b.Len()) {
		t.Errorf("read %d octets of %d", r.n, b.Len())
	}
	out.Reset()
	if _, err := body.WritePartial(&out, 7, 10, &pos); err != nil || out.String() != string(data[7:17]) {
		t.Errorf("backwards: %q, %v", out.String(), err)
	}
}

func TestBinaryForm(t *testing.T) {
	for _, s := range append(corpus, sample{"rfc", rfcExample}, sample{"deep", nested(200)}, sample{"forwarded", forwarded(200)}, sample{"many", manyParts(20000)}) {
		p := mustParse(t, []byte(s.msg))
		enc := p.AppendBinary(nil)
		q, err := ParseBinary(enc)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		checkTree(t, []byte(s.msg), q)
		if !bytes.Equal(q.AppendBinary(nil), enc) {
			t.Errorf("%s: not the same again", s.name)
		}
		for i, f := range []func(*Part, []byte) []byte{(*Part).AppendEnvelope, (*Part).AppendBody, (*Part).AppendBodyStructure} {
			if a, b := f(p, nil), f(q, nil); !bytes.Equal(a, b) {
				t.Errorf("%s, %d: %s, want %s", s.name, i, b, a)
			}
		}
		if env, ok := BinaryEnvelope(enc); !ok || !bytes.Equal(env, p.AppendEnvelope(nil)) {
			t.Errorf("%s: BinaryEnvelope %v %s", s.name, ok, env)
		}
		for n := range min(len(enc), 300) { // every prefix is refused
			if _, err := ParseBinary(enc[:n]); err == nil {
				t.Errorf("%s: cut at %d was read", s.name, n)
			}
		}
		if _, err := ParseBinary(append(bytes.Clone(enc), 0)); err == nil {
			t.Errorf("%s: with more behind it was read", s.name)
		}
	}
	if _, err := ParseBinary([]byte{Version + 1}); !errors.Is(err, ErrVersion) {
		t.Errorf("other version: %v", err)
	}
}

// One parser reads many forms: what it read before, or refused, leaves no trace.
func TestBinaryParser(t *testing.T) {
	var parser BinaryParser
	for round := range 3 {
		for i, s := range append(corpus, sample{"many", manyParts(300)}) {
			enc := mustParse(t, []byte(s.msg)).AppendBinary(nil)
			if i%2 == round%2 {
				if _, err := parser.Parse(enc[:len(enc)-1]); err == nil {
					t.Fatalf("%s: cut off and read", s.name)
				}
			}
			got, err := parser.Parse(enc)
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			want, err := ParseBinary(enc)
			if err != nil {
				t.Fatal(err)
			}
			checkTree(t, []byte(s.msg), got)
			if a, b := got.AppendBodyStructure(nil), want.AppendBodyStructure(nil); !bytes.Equal(a, b) {
				t.Errorf("%s: %s, want %s", s.name, a, b)
			}
		}
	}
}

func FuzzBinary(f *testing.F) {
	for _, s := range corpus {
		p, err := ParseBytes([]byte(s.msg))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseBinary(b)
		if err != nil {
			return
		}
		p.AppendBodyStructure(nil)
		p.AppendBody(nil)
		p.Walk(func(q *Part) bool {
			if q.Header > q.Body || q.Body > q.End || q.End > p.End || q.Header < p.Header || q.Size() < 0 {
				t.Fatalf("part [%d %d %d]", q.Header, q.Body, q.End)
			}
			return true
		})
		q, err := ParseBinary(p.AppendBinary(nil))
		if err != nil || !bytes.Equal(q.AppendBinary(nil), p.AppendBinary(nil)) {
			t.Fatalf("not the same again: %v", err)
		}
	})
}
