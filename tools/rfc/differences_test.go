package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDifferencesOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.go")
	write := func(body string) {
		if err := os.WriteFile(path, []byte("package x\n"+body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("const a = \"one reason\"\nvar other = []int{1, 2}\nvar differences = []d{\n{\"X\", \"\", 1, a},\n{\"Y \\\"q\\\"\", \"\", 0, \"another\"},\n{\"Z\", \"\", 2, a},\n}\n")
	list, err := differencesOf(path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	writeDifferences(&b, list)
	if want := "- `X`, `Z`: one reason\n- `Y \"q\"`: another\n"; !strings.HasSuffix(b.String(), "\n\n"+want) {
		t.Errorf("%s", b.String())
	}
	for _, body := range []string{"", "var differences = []d{{\"X\", \"\"}}", "var differences = []d{{\"X\", unknown}}"} {
		if write(body); body != "" {
			if _, err := differencesOf(path); err == nil {
				t.Errorf("%s: no error", body)
			}
		}
	}
}

// The file says what the code says.
func TestComplianceListsDifferences(t *testing.T) {
	list, err := differencesOf("../compare/differences.go")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	writeDifferences(&b, list)
	text, err := os.ReadFile("../../docs/compliance.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), b.String()) {
		t.Error("docs/compliance.md is old: run make rfc")
	}
}
