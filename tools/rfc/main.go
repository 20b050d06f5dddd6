// Command rfc writes docs/compliance.md from the marks in the code: the list of
// capabilities in session/capability.go, the citations `RFC 9051 §6.4.5`, the
// comments that begin with DEVIATION: and COMPAT:, and the differences that
// tools/compare allows. Run it with `make rfc`.
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	out := flag.String("o", "docs/compliance.md", "file to write")
	flag.Parse()
	text, err := generate(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "rfc:", err)
		os.Exit(1)
	}
	if err := os.WriteFile(*out, []byte(text), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "rfc:", err)
		os.Exit(1)
	}
}

// marks is what the code says of RFCs.
type marks struct {
	cited       map[string]map[string]int // RFC to package to citations
	tests       map[string]int            // RFC to transcripts that cite it
	transcripts int
	deviations  []mark
	compat      []mark
}

// A mark is a comment that begins with DEVIATION: or COMPAT:.
type mark struct{ file, text string }

func generate(root string) (string, error) {
	m, err := collect(root)
	if err != nil {
		return "", err
	}
	caps, err := capabilities(filepath.Join(root, "session", "capability.go"))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("\n## Capabilities\n\n| capability | RFC | offered |\n|---|---|---|\n")
	for _, c := range caps {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.name, c.rfc, c.states)
	}
	b.WriteString("| `AUTH=PLAIN`, `AUTH=LOGIN` | RFC 4616 | before login, where passwords may be sent |\n")
	b.WriteString("| `AUTH=SCRAM-SHA-256`, `AUTH=SCRAM-SHA-1` | RFC 7677, RFC 5802 | before login, if the stored password of every user allows it |\n")
	b.WriteString(notDone)
	b.WriteString("\n## Deviations\nOn purpose, each with its place in the code.\n\n")
	writeMarks(&b, m.deviations)
	b.WriteString("\n## For the sake of clients\nWhat is accepted or done beyond the RFCs because real clients need it.\n\n")
	writeMarks(&b, m.compat)
	differences, err := differencesOf(filepath.Join(root, "tools", "compare", "differences.go"))
	if err != nil {
		return "", err
	}
	writeDifferences(&b, differences)
	fmt.Fprintf(&b, "\n## RFCs\nWhere the code cites them, and how many of the %d transcripts in `session/testdata` do.\n\n| RFC | cited in | transcripts |\n|---|---|---|\n", m.transcripts)
	for _, rfc := range sortedRFCs(m) {
		var in []string
		for pkg := range m.cited[rfc] {
			in = append(in, pkg)
		}
		slices.Sort(in)
		fmt.Fprintf(&b, "| [RFC %s](https://www.rfc-editor.org/rfc/rfc%s) | %s | %d |\n", rfc, rfc, strings.Join(in, ", "), m.tests[rfc])
	}
	return b.String(), nil
}

const head = `# Compliance

Made by ` + "`make rfc`" + ` from the marks in the code; do not edit. A test holds the list of capabilities against the code.

Both IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051) are offered; ` + "`ENABLE IMAP4rev2`" + ` switches what differs. Every capability can be switched off with ` + "`[imap] disable`" + `.
`

const notDone = `
Not offered, on purpose: URLAUTH (RFC 4467; clients stopped using it), CONVERT (RFC 5259), ANNOTATE (RFC 5257, experimental), JMAPACCESS (RFC 9698; there is no JMAP), SEARCH=FUZZY (RFC 6203; a search that is not exact needs an index of words), MAILBOX-REFERRALS (RFC 2193).
`

func writeMarks(b *strings.Builder, list []mark) {
	slices.SortFunc(list, func(x, y mark) int {
		return cmp.Or(strings.Compare(x.file, y.file), strings.Compare(x.text, y.text))
	})
	for _, m := range list {
		fmt.Fprintf(b, "- `%s`: %s\n", m.file, m.text)
	}
}

func sortedRFCs(m *marks) []string {
	var out []string
	for rfc := range m.cited {
		out = append(out, rfc)
	}
	for rfc := range m.tests {
		if m.cited[rfc] == nil {
			out = append(out, rfc)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	return out
}

var citation = regexp.MustCompile(`RFC (\d{3,5})`)

func collect(root string) (*marks, error) {
	m := &marks{cited: map[string]map[string]int{}, tests: map[string]int{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "tools" || name == "demo") {
			return fs.SkipDir
		}
		switch {
		case d.IsDir():
			return nil
		case filepath.Ext(name) == ".imap":
			return m.transcript(path)
		case filepath.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			return m.source(root, path)
		}
		return nil
	})
	return m, err
}

func (m *marks) transcript(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m.transcripts++
	seen := map[string]bool{}
	for _, c := range citation.FindAllStringSubmatch(string(data), -1) {
		if !seen[c[1]] {
			seen[c[1]] = true
			m.tests[c[1]]++
		}
	}
	return nil
}

func (m *marks) source(root, path string) error {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	pkg := filepath.ToSlash(filepath.Dir(rel))
	for _, group := range f.Comments {
		text := group.Text()
		for _, c := range citation.FindAllStringSubmatch(text, -1) {
			if m.cited[c[1]] == nil {
				m.cited[c[1]] = map[string]int{}
			}
			m.cited[c[1]][pkg]++
		}
		m.find(filepath.ToSlash(rel), text)
	}
	return nil
}

// find takes the marks out of a comment: each goes to the end of its paragraph.
func (m *marks) find(file, text string) {
	sc := bufio.NewScanner(strings.NewReader(text))
	var kind, found string
	flush := func() {
		switch kind {
		case "DEVIATION:":
			m.deviations = append(m.deviations, mark{file, strings.TrimSpace(found)})
		case "COMPAT:":
			m.compat = append(m.compat, mark{file, strings.TrimSpace(found)})
		}
		kind, found = "", ""
	}
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" {
			flush()
			continue
		}
		for _, k := range []string{"DEVIATION:", "COMPAT:"} {
			if before, after, ok := strings.Cut(line, k); ok {
				if kind != "" {
					found += " " + before
				}
				flush()
				kind, line = k, after
			}
		}
		if kind != "" {
			found += " " + strings.TrimSpace(line)
		}
	}
	flush()
}

// A row is one capability of the list.
type row struct{ name, rfc, states string }

// capabilities reads capabilityList: names, states, conditions, and the RFC in
// the comment behind each row.
func capabilities(path string) ([]row, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	comments := map[int]string{}
	for _, g := range f.Comments {
		for _, c := range g.List {
			comments[fset.Position(c.Pos()).Line] += c.Text
		}
	}
	var rows []row
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || spec.Names[0].Name != "capabilityList" || len(spec.Values) != 1 {
			return true
		}
		list, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return false
		}
		last := ""
		for _, el := range list.Elts {
			lit, ok := el.(*ast.CompositeLit)
			if !ok {
				continue
			}
			r := row{}
			conditional := false
			for _, kv := range lit.Elts {
				kv, ok := kv.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				switch key := kv.Key.(*ast.Ident).Name; key {
				case "name":
					r.name, _ = strconv.Unquote(kv.Value.(*ast.BasicLit).Value)
				case "states":
					r.states = map[string]string{"anyState": "always", "notAuthenticated": "before login", "loggedIn": "after login"}[kv.Value.(*ast.Ident).Name]
				case "when":
					conditional = true
				case "value":
					r.name += "="
				}
			}
			for line := fset.Position(lit.Pos()).Line; line <= fset.Position(lit.End()).Line; line++ {
				if c := strings.TrimPrefix(comments[line], "// "); c != "" && (strings.HasPrefix(c, "RFC") || strings.HasPrefix(c, "draft")) {
					r.rfc, _, _ = strings.Cut(c, ";")
				}
			}
			if r.rfc == "" {
				r.rfc = implied(r.name, last)
			}
			last = r.rfc
			if conditional {
				r.states += ", where it applies"
			}
			rows = append(rows, r)
		}
		return false
	})
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: no capabilityList found", path)
	}
	return rows, nil
}

// implied is the RFC of a row without a comment of its own.
func implied(name, before string) string {
	switch name {
	case "IMAP4rev1":
		return "RFC 3501"
	case "IMAP4rev2", "STARTTLS", "LOGINDISABLED":
		return "RFC 9051"
	}
	return before
}
