package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFileSize bounds a configuration file; nesting, and with it the recursion of
// the TOML parser, cannot exceed it.
const maxFileSize = 64 << 10

// Load reads and validates the file at path. The Config is nil if and only if the
// Problems hold an Error.
func Load(path string) (*Config, Problems) {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	data, err := readFile(path)
	if err != nil {
		return nil, Problems{{File: path, Text: err.Error(), Remedy: "name the file with --config, or write one with roost init"}}
	}
	return Parse(data, path)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: open file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("config: read file: %w", err)
	}
	return data, nil
}

// Parse validates data, the contents of the file name. Relative paths in it count
// from the directory of name. The Config is nil if and only if the Problems hold
// an Error.
func Parse(data []byte, name string) (*Config, Problems) {
	p := &parser{file: name, cfg: Default(), lines: map[string]int{}}
	if len(data) > maxFileSize {
		p.add(Error, "", fmt.Sprintf("the file is larger than %v", Size(maxFileSize)), "is it really a configuration?")
		return nil, p.problems
	}
	var root map[string]toml.Primitive
	md, err := toml.Decode(string(data), &root)
	if err != nil {
		p.syntax(err)
		return nil, p.problems
	}
	p.md = &md
	p.table(root, "", reflect.ValueOf(p.cfg).Elem())
	p.resolve()
	p.validate()
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
	if p.problems.Err() != nil {
		return nil, p.problems
	}
	return p.cfg, p.problems
}

type parser struct {
	file     string
	cfg      *Config
	md       *toml.MetaData
	lines    map[string]int // dotted key to the line where it was given
	problems Problems
}

func (p *parser) add(s Severity, key, text, remedy string) {
	p.problems = append(p.problems, Problem{File: p.file, Line: p.lines[key], Key: key, Severity: s, Text: text, Remedy: remedy})
}

func (p *parser) errorf(key, remedy, format string, args ...any) {
	p.add(Error, key, fmt.Sprintf(format, args...), remedy)
}

func (p *parser) syntax(err error) {
	pr := Problem{File: p.file, Text: err.Error(), Remedy: "compare with config.toml.example"}
	var pe toml.ParseError
	if errors.As(err, &pe) {
		pr.Line, pr.Key = pe.Position.Line, pe.LastKey
		pr.Text = strings.TrimPrefix(pe.Message, "toml: ")
		if strings.Contains(pr.Text, `got '\n'`) && pr.Line > 1 {
			pr.Line-- // the library has gone past the line that is incomplete
		}
	}
	p.problems = append(p.problems, pr)
}

// located takes any value and refuses it, because the TOML library tells the line
// of a key only in an error.
type located struct{ value any }

var errLocate = errors.New("config: locate key")

// UnmarshalTOML keeps v.
func (l *located) UnmarshalTOML(v any) error {
	l.value = v
	return errLocate
}

// locate returns the value of prim and notes the line of its key.
func (p *parser) locate(prim toml.Primitive, key string) any {
	var l located
	var pe toml.ParseError
	if err := p.md.PrimitiveDecode(prim, &l); errors.As(err, &pe) {
		p.lines[key] = pe.Position.Line
	}
	return l.value
}

// table stores the keys of t, a table named prefix, in the fields of v.
func (p *parser) table(t map[string]toml.Primitive, prefix string, v reflect.Value) {
	fields := fieldsOf(v)
	for _, name := range sortedKeys(t) {
		key := join(prefix, name)
		value := p.locate(t[name], key)
		f, ok := fields[name]
		if !ok {
			p.unknown(key, name, prefix, fields)
			continue
		}
		if f.value.Kind() == reflect.Struct {
			var sub map[string]toml.Primitive
			if _, isTable := value.(map[string]any); !isTable || p.md.PrimitiveDecode(t[name], &sub) != nil {
				p.errorf(key, fmt.Sprintf("write a line [%s] and the keys below it", key), "it must be a table")
				continue
			}
			p.table(sub, key, f.value)
			continue
		}
		p.set(key, value, f)
	}
}

func (p *parser) unknown(key, name, prefix string, fields map[string]field) {
	remedy := "remove it"
	if near := nearest(name, sortedKeys(fields)); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", join(prefix, near))
	} else if at := whereIs(name); at != "" {
		remedy = fmt.Sprintf("did you mean %q?", at)
	}
	p.add(Warning, key, "unknown key, ignored", remedy)
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
