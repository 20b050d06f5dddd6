package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// served is the plain meaning of the served form.
func served(stored []byte) []byte {
	var out []byte
	for i, c := range stored {
		if c == '\n' && (i == 0 || stored[i-1] != '\r') {
			out = append(out, '\r')
		}
		if c == 0 {
			c = 0x80
		}
		out = append(out, c)
	}
	return out
}

// read writes b whole and checks its size.
func read(t testing.TB, b Body) string {
	t.Helper()
	var out bytes.Buffer
	n, err := b.WriteTo(&out)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	if n != b.Size() || int64(out.Len()) != n {
		t.Fatalf("size %d, wrote %d, got %d", b.Size(), n, out.Len())
	}
	return out.String()
}

// checkPartials reads b in steps, with and without a Position, and compares.
func checkPartials(t testing.TB, b Body, whole string, step int64) {
	t.Helper()
	var pos Position
	for off := int64(0); off <= b.Size()+step; off += step {
		want := whole[min(off, b.Size()):min(off+step, b.Size())]
		for i, p := range []*Position{&pos, nil} {
			var out bytes.Buffer
			n, err := b.WritePartial(&out, off, step, p)
			if err != nil || out.String() != want || n != int64(len(want)) || n != b.PartialSize(off, step) {
				t.Fatalf("partial <%d.%d> (%d): %d, %v, %.60q, want %.60q", off, step, i, n, err, out.String(), want)
			}
		}
	}
}

func TestServedForm(t *testing.T) {
	for _, s := range corpus {
		t.Run(s.name, func(t *testing.T) {
			msg := []byte(s.msg)
			p := mustParse(t, msg)
			b, ok, err := p.Section(bytes.NewReader(msg), Section{})
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			whole := read(t, b)
			if whole != string(served(msg)) {
				t.Fatalf("BODY[] is %.200q", whole)
			}
			for _, step := range []int64{1, 2, 3, 7, 64} {
				checkPartials(t, b, whole, step)
			}
			if got := sectionText(t, p, s.msg, Section{Spec: HeaderSpec}) + sectionText(t, p, s.msg, Section{Spec: Text}); got != whole {
				t.Fatalf("HEADER and TEXT are %.200q", got)
			}
			if got := sectionText(t, p, s.msg, Section{Spec: HeaderFieldsNot}); got != sectionText(t, p, s.msg, Section{Spec: HeaderSpec}) {
				t.Fatalf("HEADER.FIELDS.NOT of nothing is %.200q", got)
			}
			wb := WholeBody(bytes.NewReader(msg), int64(len(msg)), p.Size())
			if read(t, wb) != whole {
				t.Fatal("WholeBody differs")
			}
		})
	}
}

func sectionText(t testing.TB, p *Part, msg string, s Section) string {
	t.Helper()
	b, ok, err := p.Section(strings.NewReader(msg), s)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return "NIL"
	}
	return read(t, b)
}

// The example of RFC 9051 §6.4.5.1.
const rfcExample = `Subject: top
Content-Type: multipart/mixed; boundary=A

--A

one
--A
Content-Type: application/octet-stream

two
--A
Content-Type: message/rfc822

Subject: third
Content-Type: multipart/mixed; boundary=B

--B

three.one
--B
Content-Type: application/octet-stream

three.two
--B--
--A
Content-Type: multipart/mixed; boundary=C

--C
Content-Type: image/gif

four.one
--C
Content-Type: message/rfc822

Subject: four.two
Content-Type: multipart/mixed; boundary=D

--D

four.two.one
--D
Content-Type: multipart/alternative; boundary=E

--E

four.two.two.one
--E
Content-Type: text/richtext

four.two.two.two
--E--
--D--
--C--
--A--
`

func TestSections(t *testing.T) {
	rfc := mustParse(t, []byte(rfcExample))
	plain := "Subject: x\nTo: a@b\nsubject: y\n z\n\nbody\n"
	fwd := "Subject: o\nContent-Type: message/rfc822\n\nSubject: i\n\ninner\n"
	mp := "Content-Type: multipart/mixed; boundary=b\n\nnothing\n"
	for _, tt := range []struct {
		msg  string
		path string
		spec Spec
		want string
	}{
		{rfcExample, "1", Whole, "one"},
		{rfcExample, "2", Whole, "two"},
		{rfcExample, "2", MIME, "Content-Type: application/octet-stream\r\n\r\n"},
		{rfcExample, "1", MIME, "\r\n"},
		{rfcExample, "3", HeaderSpec, "Subject: third\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"},
		{rfcExample, "3", MIME, "Content-Type: message/rfc822\r\n\r\n"},
		{rfcExample, "3.1", Whole, "three.one"},
		{rfcExample, "3.2", Whole, "three.two"},
		{rfcExample, "4.1", Whole, "four.one"},
		{rfcExample, "4.1", MIME, "Content-Type: image/gif\r\n\r\n"},
		{rfcExample, "4.2", HeaderSpec, "Subject: four.two\r\nContent-Type: multipart/mixed; boundary=D\r\n\r\n"},
		{rfcExample, "4.2.1", Whole, "four.two.one"},
		{rfcExample, "4.2.2.1", Whole, "four.two.two.one"},
		{rfcExample, "4.2.2.2", Whole, "four.two.two.two"},
		{rfcExample, "4.2.2.2", MIME, "Content-Type: text/richtext\r\n\r\n"},
		{rfcExample, "5", Whole, "NIL"},
		{rfcExample, "1.1", Whole, "NIL"},
		{rfcExample, "3.3", Whole, "NIL"},
		{rfcExample, "4.2.2.2.1", Whole, "NIL"},
		{rfcExample, "0", Whole, "NIL"},
		{rfcExample, "1", HeaderSpec, ""},
		{rfcExample, "4", Text, ""},
		{plain, "1", Whole, "body\r\n"},
		{plain, "1", MIME, "Subject: x\r\nTo: a@b\r\nsubject: y\r\n z\r\n\r\n"},
		{plain, "1.1", Whole, "NIL"},
		{plain, "2", Whole, "NIL"},
		{plain, "", Text, "body\r\n"},
		{plain, "1", Text, ""},
		{plain, "", MIME, "NIL"},
		{fwd, "1", Whole, "Subject: i\r\n\r\ninner\r\n"},
		{fwd, "1.1", Whole, "inner\r\n"},
		{fwd, "1", HeaderSpec, "Subject: i\r\n\r\n"},
		{fwd, "1", Text, "inner\r\n"},
		{fwd, "1.1.1", Whole, "NIL"},
		{fwd, "", Text, "Subject: i\r\n\r\ninner\r\n"},
		{mp, "1", Whole, ""},
		{mp, "1", MIME, ""},
		{mp, "2", Whole, "NIL"},
	} {
		p := rfc
		if tt.msg != rfcExample {
			p = mustParse(t, []byte(tt.msg))
		}
		var path []int
		for _, s := range strings.FieldsFunc(tt.path, func(r rune) bool { return r == '.' }) {
			n := 0
			fmt.Sscan(s, &n)
			path = append(path, n)
		}
		if got := sectionText(t, p, tt.msg, Section{Path: path, Spec: tt.spec}); got != tt.want {
			t.Errorf("%q spec %d: %q, want %q", tt.path, tt.spec, got, tt.want)
		}
	}
}

func TestHeaderFields(t *testing.T) {
	const msg = "Received: a\n\tb\nSubject: x\nnonsense\nReceived : c\nX-\xe9: y\nsubject: y\n\n z\nbody\n"
	for _, tt := range []struct {
		fields []string
		not    bool
		want   string
	}{
		{nil, false, "\r\n"},
		{[]string{"SUBJECT"}, false, "Subject: x\r\nsubject: y\r\n\r\n"},
		{[]string{"received", "nope"}, false, "Received: a\r\n\tb\r\nReceived : c\r\n\r\n"},
		{[]string{"X-\xe9"}, false, "X-\xe9: y\r\n\r\n"},
		{[]string{"nonsense"}, false, "\r\n"},
		{[]string{"received", "subject"}, true, "nonsense\r\nX-\xe9: y\r\n\r\n"},
		{[]string{"subj"}, false, "\r\n"},
	} {
		for _, m := range []string{msg, strings.ReplaceAll(msg, "\n", "\r\n")} {
			p := mustParse(t, []byte(m))
			spec := HeaderFields
			if tt.not {
				spec = HeaderFieldsNot
			}
			if got := sectionText(t, p, m, Section{Spec: spec, Fields: tt.fields}); got != tt.want {
				t.Errorf("%v %v: %q, want %q", tt.fields, tt.not, got, tt.want)
			}
			head := []byte(m[:p.Body])
			if got := read(t, FilterHeader(head, tt.fields, tt.not)); got != tt.want {
				t.Errorf("FilterHeader %v %v: %q, want %q", tt.fields, tt.not, got, tt.want)
			}
		}
	}
	for _, m := range []string{"Subject: x\nTo: y\n", "Subject: x\nTo: y", ""} { // no blank line and no body
		want := ""
		if m != "" {
			want = "Subject: x\r\n"
		}
		if got := sectionText(t, mustParse(t, []byte(m)), m, Section{Spec: HeaderFields, Fields: []string{"subject"}}); got != want {
			t.Errorf("%q: %q, want %q", m, got, want)
		}
	}
}

// A header block beyond 1 MiB is filtered while it streams by.
func TestHeaderFieldsOfHugeHeader(t *testing.T) {
	var b, want strings.Builder
	for i := range 40000 {
		fmt.Fprintf(&b, "X-Filler-%d: %s\n", i, strings.Repeat("f", i%80))
		if i%1000 == 0 {
			fmt.Fprintf(&b, "Subject: %d\n folded\n", i)
			fmt.Fprintf(&want, "Subject: %d\r\n folded\r\n", i)
		}
	}
	fmt.Fprintf(&b, "Subject:%s\n\nbody\n", strings.Repeat("s", 200000))
	fmt.Fprintf(&want, "Subject:%s\r\n\r\n", strings.Repeat("s", 200000))
	p := mustParse(t, []byte(b.String()))
	body, _, err := p.Section(strings.NewReader(b.String()), Section{Spec: HeaderFields, Fields: []string{"Subject"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, body); got != want.String() {
		t.Fatalf("got %d octets, want %d", len(got), want.Len())
	}
	checkPartials(t, body, want.String(), 50000)
}

// Partials of a message larger than any buffer, at and around the borders.
func TestLargePartials(t *testing.T) {
	var b strings.Builder
	b.WriteString("Subject: large\n\n")
	for i := 0; b.Len() < 2*chunkSize+1000; i++ {
		b.WriteString(strings.Repeat("x", i%97) + []string{"\n", "\r\n", "\n\n", "\r"}[i%4])
	}
	msg := []byte(b.String())
	p := mustParse(t, msg)
	body, _, _ := p.Section(bytes.NewReader(msg), Section{})
	whole := read(t, body)
	if whole != string(served(msg)) {
		t.Fatal("BODY[] differs")
	}
	for _, step := range []int64{16 << 10, 64<<10 - 1, chunkSize, chunkSize + 1} {
		checkPartials(t, body, whole, step)
	}
	var pos Position
	for _, off := range []int64{200000, 100, 131071, 131072, 131073, 5, 1 << 31, 1 << 62, -1} { // backwards too
		var out bytes.Buffer
		n, err := body.WritePartial(&out, off, 10, &pos)
		want := ""
		if off >= 0 && off < int64(len(whole)) {
			want = whole[off : off+10]
		}
		if err != nil || out.String() != want || n != int64(len(want)) {
			t.Errorf("<%d.10>: %q, %v, want %q", off, out.String(), err, want)
		}
	}
	if n := body.PartialSize(1, 1<<63-1); n != body.Size()-1 {
		t.Errorf("<1.max> has %d octets", n)
	}
}

// countingReader counts the octets read.
type countingReader struct {
	r io.ReaderAt
	n int64
}

func (c *countingReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(b, off)
	c.n += int64(n)
	return n, err
}

// Partials in sequence with a Position read the message about once, not once
// for each of them.
func TestSequentialPartialsAreLinear(t *testing.T) {
	msg := []byte("Subject: x\n\n" + strings.Repeat(strings.Repeat("y", 70)+"\n", 200000))
	p := mustParse(t, msg)
	r := &countingReader{r: bytes.NewReader(msg)}
	body, _, _ := p.Section(r, Section{})
	var pos Position
	const step = 64 << 10
	for off := int64(0); off < body.Size(); off += step {
		if _, err := body.WritePartial(io.Discard, off, step, &pos); err != nil {
			t.Fatal(err)
		}
	}
	if r.n > 4*int64(len(msg)) {
		t.Errorf("read %d octets of a message of %d", r.n, len(msg))
	}
}

func TestFileChangedWhileWritten(t *testing.T) {
	msg := []byte("Subject: x\n\n" + strings.Repeat("line\n", 100))
	p := mustParse(t, msg)
	more := append(bytes.Clone(msg[:len(msg)-5]), "\n\n\n\n\n"...)
	fewer := append(bytes.Clone(msg[:len(msg)-5]), "xxxxx"...)
	for name, file := range map[string][]byte{"short": msg[:100], "empty": nil, "more line ends": more, "fewer line ends": fewer} {
		body, _, _ := p.Section(bytes.NewReader(file), Section{})
		var out bytes.Buffer
		n, err := body.WriteTo(&out)
		if !errors.Is(err, ErrChanged) {
			t.Errorf("%s: error %v", name, err)
		}
		if n > body.Size() || n != int64(out.Len()) {
			t.Errorf("%s: wrote %d, said %d, of %d", name, out.Len(), n, body.Size())
		}
	}
}

func FuzzSection(f *testing.F) {
	for i, s := range corpus {
		f.Add([]byte(s.msg), byte(i%5), byte(i%3), uint16(i), uint16(1+i%9))
	}
	f.Fuzz(func(t *testing.T, msg []byte, spec, part byte, off, n uint16) {
		p := mustParse(t, msg)
		s := Section{Spec: Spec(spec % 6), Fields: []string{"Subject", "from"}}
		for k := part % 4; k > 0; k-- {
			s.Path = append(s.Path, int(part>>4)%3+1)
		}
		b, ok, err := p.Section(bytes.NewReader(msg), s)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		whole := read(t, b)
		if strings.IndexByte(whole, 0) >= 0 {
			t.Fatal("NUL served")
		}
		var out bytes.Buffer
		if _, err := b.WritePartial(&out, int64(off), int64(n), nil); err != nil {
			t.Fatal(err)
		}
		if want := whole[min(int(off), len(whole)):min(int(off)+int(n), len(whole))]; out.String() != want {
			t.Fatalf("partial %q, want %q", out.String(), want)
		}
		if len(whole) < 4096 {
			checkPartials(t, b, whole, int64(n%50)+1)
		}
	})
}
