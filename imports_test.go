package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowedImports is the map of the project: which of our packages each package
// may import outside its tests. docs/architecture.md explains it.
var allowedImports = map[string][]string{
	".":                  {"auth", "config", "disk", "index", "maildir", "mailbox", "message", "server", "session", "utf7", "wire"},
	"server":             {"auth", "config", "disk", "maildir", "mailbox", "session"},
	"config":             {},
	"session":            {"wire", "mailbox", "message", "auth", "deflate"},
	"wire":               {"utf7"},
	"auth":               {},
	"mailbox":            {"index", "maildir", "message", "disk", "slab"},
	"index":              {"disk", "slab"},
	"maildir":            {"utf7", "disk", "slab"},
	"message":            {},
	"utf7":               {},
	"deflate":            {},
	"disk":               {},
	"slab":               {},
	"disk/disktest":      {"disk"},
	"testmail":           {},
	"tools/demo":         {"testmail"},
	"oracle":             {},
	"tools/crash":        {"oracle"},
	"tools/migrate-test": {},
	"tools/compare":      {"testmail"},
	"tools/rfc":          {},
	"tools/versus":       {"oracle", "testmail"},
	"tools/scale":        {"disk", "disk/disktest", "mailbox", "maildir"},
}

// onlyImporters are the outside packages that only the named packages may use.
var onlyImporters = map[string][]string{
	"github.com/prometheus/client_golang":       {"server"},
	"github.com/fsnotify/fsnotify":              {"maildir"},
	"github.com/BurntSushi/toml":                {"config"},
	"github.com/klauspost/compress":             {"deflate"},
	"golang.org/x/sys/unix":                     {"disk", "maildir", "server", "."},
	"github.com/emersion/go-imap/v2/imapserver": {},
}

func TestImportMap(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || file == "demo") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		allowed, known := allowedImports[pkg]
		if !known {
			t.Errorf("%s: package %s is not in the map", file, pkg)
			return nil
		}
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if ours, ok := strings.CutPrefix(name, "roost/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which the map does not allow", file, ours)
			}
			for prefix, users := range onlyImporters {
				if (name == prefix || strings.HasPrefix(name, prefix+"/")) && !slices.Contains(users, pkg) {
					t.Errorf("%s imports %s, which only %v may", file, name, users)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range allowedImports {
		if !seen[pkg] && pkg != path.Clean("") {
			t.Errorf("package %s of the map has no files", pkg)
		}
	}
}

// Every key of the configuration does something: a package beside config reads
// its field.
func TestEverySettingIsUsed(t *testing.T) {
	fields := map[string]string{}
	for path, file := range parsePackage(t, "config") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			f, ok := n.(*ast.Field)
			if ok && f.Tag != nil && len(f.Names) == 1 && strings.Contains(f.Tag.Value, `toml:"`) {
				fields[f.Names[0].Name] = path
			}
			return true
		})
	}
	if len(fields) < 50 {
		t.Fatalf("only %d settings found", len(fields))
	}
	for _, dir := range []string{".", "server"} {
		for path, file := range parsePackage(t, dir) {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					delete(fields, sel.Sel.Name)
				}
				return true
			})
		}
	}
	for name, path := range fields {
		t.Errorf("%s: nothing reads %s", path, name)
	}
}

func parsePackage(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*ast.File{}
	for _, path := range paths {
		if out[path], err = parser.ParseFile(token.NewFileSet(), path, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
