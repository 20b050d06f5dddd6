package session

import (
	"strings"
	"testing"
)

func TestListMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "INBOX", true}, {"*", "a/b/c", true}, {"%", "INBOX", true}, {"%", "a/b", false},
		{"a/%", "a/b", true}, {"a/%", "a/b/c", false}, {"a/*", "a/b/c", true}, {"a/*", "a", false}, {"a*", "a", true},
		{"%/%", "a/b", true}, {"%/%", "a", false}, {"%/%", "a/b/c", false}, {"%/c", "a/b/c", false}, {"*/c", "a/b/c", true},
		{"inbox", "INBOX", true}, {"InBoX", "INBOX", true}, {"inb*", "INBOX", true}, {"%nbox", "INBOX", true},
		{"inbox/%", "INBOX/Sub", true}, {"inbox/sub", "INBOX/Sub", false}, {"INBOX", "INBOXES", false}, {"inboxes", "INBOXES", false},
		{"FOO", "foo", false}, {"", "", true}, {"", "a", false}, {"a", "", false},
		{"*%*", "a/b", true}, {"%%", "ab", true}, {"%*", "a/b", true}, {"*%", "a/b", true},
		{"*2", "foo2", true}, {"*2", "foo2/bar1", false}, {"*2", "foo2/bar2", true},
		{"%a%b", "xa/ab", false}, {"*a%b", "xa/ab", true}, {"%a/%b", "xa/ab", true}, {"*a*a*", "aa", true}, {"*a*a*", "a", false},
		{"%b/*c", "ab/b/c", true}, {"*b/%", "b/b/b", true}, {"%x%/y", "axx/y", true},
		{"Entwürfe", "Entwürfe", true}, {"*ü*", "Entwürfe", true},
	} {
		p := newListPattern(tt.pattern, '/')
		if got := p.match(tt.name); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

// slowMatch is the definition, without a thought for time.
func slowMatch(pattern, name string, sep byte, fold int) bool {
	// reach[j] says that the first j octets of pattern match what was read.
	reach := make([]bool, len(pattern)+1)
	reach[0] = true
	skip := func() {
		for j := range len(pattern) {
			if isWildcard(pattern[j]) && reach[j] {
				reach[j+1] = true
			}
		}
	}
	skip()
	for i := range len(name) {
		next := make([]bool, len(pattern)+1)
		for j := range len(pattern) {
			if !reach[j] {
				continue
			}
			c := pattern[j]
			switch {
			case c == '*', c == '%' && name[i] != sep:
				next[j] = true
			case c == '%':
			case c == name[i], i < fold && lowerASCII(c) == lowerASCII(name[i]):
				next[j+1] = true
			}
		}
		reach = next
		skip()
	}
	return reach[len(pattern)]
}

func FuzzListMatch(f *testing.F) {
	f.Add("%a%b/*c%", "xa/ab/c", byte('/'))
	f.Add("inb%/*", "INBOX/a", byte('/'))
	f.Add("*.%.x*", "a.b.x", byte('.'))
	f.Fuzz(func(t *testing.T, pattern, name string, sep byte) {
		if sep != '/' && sep != '.' || len(pattern) > 300 || len(name) > 300 {
			return
		}
		p := newListPattern(pattern, sep)
		if got, want := p.match(name), slowMatch(pattern, name, sep, inboxLength(name, sep)); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// Every short pattern over a small alphabet against every short name.
func TestListMatchAll(t *testing.T) {
	words := func(alphabet string, length int) []string {
		all := []string{""}
		for start := 0; length > 0; length-- {
			end := len(all)
			for _, w := range all[start:end] {
				for _, c := range alphabet {
					all = append(all, w+string(c))
				}
			}
			start = end
		}
		return all
	}
	names := words("ab/", 5)
	for _, pattern := range words("ab/%*", 5) {
		p := newListPattern(pattern, '/')
		for _, name := range names {
			if got, want := p.match(name), slowMatch(pattern, name, '/', 0); got != want {
				t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
			}
		}
	}
}

func BenchmarkListMatchWorst(b *testing.B) {
	p := newListPattern(strings.Repeat("%a*a", 8)+"b", '/')
	name := strings.Repeat("a", 255)
	for b.Loop() {
		p.match(name)
	}
}
