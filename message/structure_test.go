package message

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestStructureGolden compares ENVELOPE and BODYSTRUCTURE of the corpus, and the
// offsets of its parts, with what was reviewed once.
func TestStructureGolden(t *testing.T) {
	var got strings.Builder
	for _, s := range corpus {
		p := mustParse(t, []byte(s.msg))
		fmt.Fprintf(&got, "== %s\n%s\n%s\n", s.name, wireText(p.AppendEnvelope(nil)), wireText(p.AppendBodyStructure(nil)))
		dumpParts(&got, p, "")
	}
	file := filepath.Join("testdata", "structure.golden")
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	name := ""
	for i := range max(len(g), len(w)) {
		if i < len(g) && strings.HasPrefix(g[i], "== ") {
			name = g[i]
		}
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s, line %d:\n got %s\nwant %s", name, i+1, at(g, i), at(w, i))
		}
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "(end)"
}

// wireText makes a wire form readable in one line.
func wireText(b []byte) string {
	return strings.NewReplacer("\r", "‹CR›", "\n", "‹LF›", "\t", "‹TAB›").Replace(strings.ToValidUTF8(string(b), "‹8›"))
}

func dumpParts(b *strings.Builder, p *Part, path string) {
	fmt.Fprintf(b, "  %s[%d %d %d] served %d+%d lines %d\n", path, p.Header, p.Body, p.End, p.HeaderSize, p.BodySize, p.Lines)
	if p.Message != nil {
		dumpParts(b, p.Message, path+"m.")
	}
	for i, c := range p.Children {
		dumpParts(b, c, fmt.Sprintf("%s%d.", path, i+1))
	}
}

// checkTree holds what is true of every tree: offsets are nested and in order,
// sizes are those of the served octets, and the wire forms are balanced.
func checkTree(t testing.TB, msg []byte, root *Part) {
	t.Helper()
	if root.Header != 0 || root.End != int64(len(msg)) {
		t.Fatalf("root is [%d, %d), message has %d octets", root.Header, root.End, len(msg))
	}
	if n, err := ServedSize(bytes.NewReader(msg), int64(len(msg))); err != nil || n != root.Size() {
		t.Fatalf("served size %d, %v; root has %d", n, err, root.Size())
	}
	parts := 0
	root.Walk(func(p *Part) bool {
		parts++
		if p.Header > p.Body || p.Body > p.End {
			t.Fatalf("part [%d %d %d]", p.Header, p.Body, p.End)
		}
		lf, bare := countLines(msg[p.Body:p.End], false)
		if p.BodySize != p.End-p.Body+bare || p.Lines != lf {
			t.Fatalf("part [%d %d %d]: size %d, lines %d, want %d, %d", p.Header, p.Body, p.End, p.BodySize, p.Lines, p.End-p.Body+bare, lf)
		}
		if _, bare := countLines(msg[p.Header:p.Body], false); p.HeaderSize != p.Body-p.Header+bare {
			t.Fatalf("part [%d %d %d]: header size %d", p.Header, p.Body, p.End, p.HeaderSize)
		}
		from := p.Body
		for _, c := range p.Children {
			if c.Header < from || c.End > p.End {
				t.Fatalf("child [%d %d] in [%d %d]", c.Header, c.End, from, p.End)
			}
			from = c.End
		}
		if m := p.Message; m != nil && (m.Header != p.Body || m.End != p.End) {
			t.Fatalf("message [%d %d] in [%d %d]", m.Header, m.End, p.Body, p.End)
		}
		if p.Type == "" || p.Subtype == "" || p.Encoding == "" || p.IsMultipart() != p.isMultipartType() {
			t.Fatalf("part %q/%q in %q with %d children", p.Type, p.Subtype, p.Encoding, len(p.Children))
		}
		return true
	})
	if parts > maxCacheParts {
		t.Fatalf("%d parts", parts)
	}
	checkWire(t, root.AppendEnvelope(nil))
	checkWire(t, root.AppendBody(nil))
	checkWire(t, root.AppendBodyStructure(nil))
}

// checkWire checks b for one list of RFC 9051 §9: quoted strings of printable
// ASCII, literals of the length that they say, nothing between but atoms.
func checkWire(t testing.TB, b []byte) {
	t.Helper()
	depth := 0
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '(':
			depth++
			i++
		case c == ')':
			depth--
			i++
		case c == '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
				if b[i] < ' ' || b[i] > '~' {
					t.Fatalf("octet %d in quoted string", b[i])
				}
			}
			i++
		case c == '{':
			var n int
			if _, err := fmt.Sscanf(string(b[i:min(len(b), i+16)]), "{%d}\r\n", &n); err != nil {
				t.Fatalf("literal %.16q: %v", b[i:], err)
			}
			i += len(fmt.Sprintf("{%d}\r\n", n))
			if bytes.IndexByte(b[i:i+n], 0) >= 0 {
				t.Fatal("NUL in literal")
			}
			i += n
		case c == ' ' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z':
			i++
		default:
			t.Fatalf("octet %q at %d of %.200q", c, i, b)
		}
		if depth == 0 && i < len(b) {
			t.Fatalf("list ends at %d of %d: %.200q", i, len(b), b)
		}
	}
	if depth != 0 {
		t.Fatalf("%d brackets open in %.200q", depth, b)
	}
}

func TestTreeOfCorpus(t *testing.T) {
	for _, s := range corpus {
		t.Run(s.name, func(t *testing.T) {
			for _, msg := range []string{s.msg, strings.ReplaceAll(s.msg, "\n", "\r\n")} {
				checkTree(t, []byte(msg), mustParse(t, []byte(msg)))
			}
		})
	}
}

// LF and CRLF of the same message are one message to a client.
func TestLineEndsDoNotMatter(t *testing.T) {
	for _, s := range corpus {
		if strings.Contains(s.msg, "\r") {
			continue
		}
		lf := mustParse(t, []byte(s.msg))
		crlf := mustParse(t, []byte(strings.ReplaceAll(s.msg, "\n", "\r\n")))
		if a, b := lf.AppendBodyStructure(nil), crlf.AppendBodyStructure(nil); !bytes.Equal(a, b) {
			t.Errorf("%s: BODYSTRUCTURE\n LF   %s\n CRLF %s", s.name, a, b)
		}
		if a, b := lf.AppendEnvelope(nil), crlf.AppendEnvelope(nil); !bytes.Equal(a, b) {
			t.Errorf("%s: ENVELOPE\n LF   %s\n CRLF %s", s.name, a, b)
		}
	}
}

func TestPartLimit(t *testing.T) {
	for _, n := range []int{MaxParts - 2, MaxParts - 1, MaxParts, MaxParts + 1, 100 * MaxParts} {
		msg := []byte(manyParts(n))
		p := mustParse(t, msg)
		checkTree(t, msg, p)
		if got, want := len(p.Children), min(n, MaxParts-1); got != want {
			t.Errorf("%d parts: %d children, want %d", n, got, want)
		}
		last := p.Children[len(p.Children)-1]
		if n >= MaxParts && last.End != int64(len(msg)) {
			t.Errorf("%d parts: the last ends at %d of %d", n, last.End, len(msg))
		}
		if n < MaxParts && last.BodySize != 1 {
			t.Errorf("%d parts: the last has %d octets", n, last.BodySize)
		}
	}
}

func TestDepthLimit(t *testing.T) {
	for _, f := range []func(int) string{nested, forwarded} {
		for _, depth := range []int{MaxDepth - 2, MaxDepth - 1, MaxDepth, MaxDepth + 1, 100000} {
			msg := []byte(f(depth))
			p := mustParse(t, msg)
			checkTree(t, msg, p)
			n, last := 0, p
			p.Walk(func(q *Part) bool { n++; last = q; return true })
			if want := min(depth+1, MaxDepth); n != want {
				t.Errorf("depth %d: %d parts, want %d", depth, n, want)
			}
			if deep := depth >= MaxDepth; equalFold(last.Type, "application") != deep {
				t.Errorf("depth %d: the last is %s/%s", depth, last.Type, last.Subtype)
			}
		}
	}
}

// A message beyond 1 MiB goes through a sliding window; every cut must give what
// the message in one piece gives.
func TestLargeMessage(t *testing.T) {
	for _, pad := range []int{0, 1, 2, 3, 5, 70, 197, 201, 204, 399, 401, 1000} {
		var b strings.Builder
		b.WriteString("Subject: large\nContent-Type: multipart/mixed; boundary=" + strings.Repeat("b", 200) + "\n\n")
		for b.Len() < 2<<20 {
			b.WriteString("--" + strings.Repeat("b", 200) + "\nContent-Type: application/x\n\n")
			n := b.Len() + chunkSize - 300 + pad
			for b.Len() < n {
				b.WriteString("--not a boundary\r\n")
			}
			b.WriteString(strings.Repeat("y", pad) + "\r\n")
		}
		msg := []byte(b.String())
		got := mustParse(t, msg)
		want, err := ParseBytes(msg)
		if err != nil {
			t.Fatal(err)
		}
		checkTree(t, msg, got)
		if !bytes.Equal(got.AppendBinary(nil), want.AppendBinary(nil)) {
			t.Fatalf("pad %d: window and memory differ", pad)
		}
	}
}

func TestHugeHeader(t *testing.T) {
	for name, msg := range map[string]string{
		"line":                "Subject: " + strings.Repeat("x", 3<<20) + "\nTo: late@x\n\nbody\n",
		"lines":               strings.Repeat("X: y\n", 1<<20) + "\nbody\n",
		"continuations":       "Subject: x\n" + strings.Repeat(" y\r\n", 1<<20) + "\r\nbody\n",
		"never ends":          strings.Repeat("X: y\n", 1<<20) + "body\n",
		"of a part":           "Content-Type: multipart/mixed; boundary=b\n\n--b\n" + strings.Repeat("X: y\n", 1<<19) + "\nbody\n--b\n\nnext\n--b--\n",
		"of a part, boundary": "Content-Type: multipart/mixed; boundary=b\n\n--b\n" + strings.Repeat("X: y\n", 1<<19) + "--b\n\nnext\n--b--\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, []byte(msg))
			checkTree(t, []byte(msg), p)
			if strings.HasPrefix(name, "of a part") && len(p.Children) != 2 {
				t.Errorf("%d children", len(p.Children))
			}
			if want := int64(len("body\n")); !strings.HasPrefix(name, "of a part") && name != "never ends" && p.End-p.Body != want {
				t.Errorf("body has %d octets, want %d", p.End-p.Body, want)
			}
			if env := p.AppendEnvelope(nil); len(env) > 2<<20 {
				t.Errorf("envelope has %d octets", len(env))
			}
		})
	}
}

// What is kept of a message is bounded however many parts say much.
func TestKeptIsBounded(t *testing.T) {
	part := "--b\nContent-Description: " + strings.Repeat("d", 900<<10) + "\nContent-Transfer-Encoding: odd\n\nx\n"
	msg := []byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat(part, 40) + "--b--\n")
	p := mustParse(t, msg)
	checkTree(t, msg, p)
	if n := len(p.AppendBodyStructure(nil)); n > maxKept+1<<20 {
		t.Errorf("BODYSTRUCTURE has %d octets", n)
	}
	if _, err := ParseBinary(p.AppendBinary(nil)); err != nil {
		t.Error(err)
	}
}

func TestShortFile(t *testing.T) {
	msg := []byte("Subject: x\n\nbody\n")
	if _, err := Parse(bytes.NewReader(msg), int64(len(msg))+1); err == nil {
		t.Error("a file shorter than its size was parsed")
	}
	if _, err := ServedSize(bytes.NewReader(msg), int64(len(msg))+1); err == nil {
		t.Error("a file shorter than its size was counted")
	}
}

func FuzzStructure(f *testing.F) {
	for _, s := range corpus {
		f.Add([]byte(s.msg))
	}
	f.Add([]byte(nested(110)))
	f.Fuzz(func(t *testing.T, msg []byte) {
		p := mustParse(t, msg)
		checkTree(t, msg, p)
		q, err := ParseBinary(p.AppendBinary(nil))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.AppendBodyStructure(nil), q.AppendBodyStructure(nil)) {
			t.Fatal("BODYSTRUCTURE changed in the binary form")
		}
	})
}

// The line end between two delimiters that follow one another belongs to the
// second one (RFC 2046 §5.1.1).
func TestLineEndBetweenDelimiters(t *testing.T) {
	for _, nl := range []string{"\n", "\r\n"} {
		raw := strings.ReplaceAll("Content-Type: multipart/mixed; boundary=outer\n\n--outer\nContent-Type: multipart/mixed; boundary=inner\n\n--inner\n\nx\n--inner--\n--outer\n\ny\n--outer--\n", "\n", nl)
		root, err := ParseBytes([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		inner := root.Children[0]
		if got, want := raw[inner.Body:inner.End], strings.ReplaceAll("--inner\n\nx\n--inner--", "\n", nl); got != want {
			t.Errorf("inner multipart is %q, want %q", got, want)
		}
		if n := len(root.Children); n != 2 {
			t.Errorf("%d parts, want 2", n)
		}
	}
}
