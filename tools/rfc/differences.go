package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// A difference is a reason for which roost answers some commands otherwise than
// Dovecot.
type difference struct {
	why      string
	commands []string
}

// differencesOf reads the list called differences, whose elements begin with
// the command and end with the reason; reasons may be constants of the file.
// The order is that of the file.
func differencesOf(path string) ([]difference, error) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return nil, err
	}
	constants := map[string]string{}
	var list []difference
	text := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			s, _ := strconv.Unquote(e.Value)
			return s
		case *ast.Ident:
			return constants[e.Name]
		}
		return ""
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		all, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			constants[spec.Names[0].Name] = text(spec.Values[0])
			return false
		}
		for _, el := range all.Elts {
			if lit, ok := el.(*ast.CompositeLit); ok && spec.Names[0].Name == "differences" && len(lit.Elts) > 1 {
				list = addDifference(list, text(lit.Elts[0]), text(lit.Elts[len(lit.Elts)-1]))
			}
		}
		return false
	})
	for _, d := range list {
		if d.why == "" || d.commands[0] == "" {
			return nil, fmt.Errorf("%s: a difference that is not explained: %q", path, d.commands)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no differences found", path)
	}
	return list, nil
}

func addDifference(list []difference, command, why string) []difference {
	for i := range list {
		if list[i].why == why {
			list[i].commands = append(list[i].commands, command)
			return list
		}
	}
	return append(list, difference{why, []string{command}})
}

func writeDifferences(b *strings.Builder, list []difference) {
	b.WriteString("\n## Where answers differ from Dovecot's\n`make compare` asks roost and Dovecot 2.3 for searches, sorts, threads, envelopes, structures and previews of the same messages, many of them odd. All answers are the same but these; it fails on any other.\n\n")
	for _, d := range list {
		fmt.Fprintf(b, "- `%s`: %s\n", strings.Join(d.commands, "`, `"), d.why)
	}
}
