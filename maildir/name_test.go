package maildir

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseName(t *testing.T) {
	tests := []struct {
		name, base, letters string
		exact               bool // info is kept as it is
		withSeen            string
	}{
		{"a", "a", "", false, "a:2,S"},
		{"a:2,", "a", "", false, "a:2,S"},
		{"a:2,S", "a", "S", false, "a:2,S"},
		{"a:2,DFPRSTaz", "a", "DFPRSTaz", false, "a:2,S"},
		{"a:b:2,S", "a", "S", true, "a:b:2,S"},
		{"a:2,SF", "a", "FS", true, "a:2,S"},
		{"a:2,SS", "a", "S", true, "a:2,S"},
		{"a:2,FX9", "a", "F", true, "a:2,9SX"},
		{"a:2,F,rest:1", "a", "", true, "a:2,F,rest:1:2,S"},
		{"a:2,F,rest,more", "a", "F", true, "a:2,S,rest,more"},
		{"a:2,,", "a", "", true, "a:2,S,"},
		{"a:1,expS", "a", "", true, "a:1,expS:2,S"},
		{"a:", "a", "", true, "a::2,S"},
		{"a:2", "a", "", true, "a:2:2,S"},
		{"a,S=1,W=2:2,T", "a,S=1,W=2", "T", false, "a,S=1,W=2:2,S"},
		{"a;2,S", "a;2,S", "", false, "a;2,S:2,S"},
		{"\xff\x80", "\xff\x80", "", false, "\xff\x80:2,S"},
	}
	for _, tt := range tests {
		n, err := ParseName([]byte(tt.name), Colon)
		if err != nil {
			t.Errorf("%q: %v", tt.name, err)
			continue
		}
		if string(n.Base) != tt.base || n.Letters.String() != tt.letters || (len(n.Exact) > 0) != tt.exact || n.String() != tt.name {
			t.Errorf("%q: base %q letters %q exact %q", tt.name, n.Base, n.Letters, n.Exact)
		}
		if got := n.With(Seen, Colon); got != tt.withSeen {
			t.Errorf("%q with S: %q, want %q", tt.name, got, tt.withSeen)
		}
		if len(n.Info) > 0 {
			if got := FileName(string(n.Base), n.Letters, string(n.Exact), Colon); got != tt.name {
				t.Errorf("%q: made again %q", tt.name, got)
			}
		}
	}
	for _, name := range []string{"", ".", ".x", ":2,S", "a\n", "a\rb", "a\x00", "a/b", strings.Repeat("n", 256)} {
		if _, err := ParseName([]byte(name), Colon); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if n, err := ParseName([]byte("a:b;2,FS"), Semicolon); err != nil || string(n.Base) != "a:b" || n.Letters != Flagged|Seen {
		t.Errorf("semicolon: %+v %v", n, err)
	}
}

func TestLetters(t *testing.T) {
	all := Letters(1<<32 - 1)
	if got := all.String(); got != letterOf || !slices.IsSorted([]byte(got)) || len(got) != 32 {
		t.Errorf("all: %q", got)
	}
	if Keyword(0).String() != "a" || Keyword(25).String() != "z" || Keyword(26) != 0 || Keyword(-1) != 0 {
		t.Error("keyword letters")
	}
	if l := Seen | Keyword(3); !l.Has(Seen) || l.Has(Draft|Seen) || l.Keywords() != 1<<3 || l&SystemLetters != Seen {
		t.Error("sets")
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"1.M2P3.h,S=4,W=5:2,FS", "a:b:2,SSX,rest", "x:1,y", "a:2,", "b!2,S", ":2,S", "a:2,S:2,,F"} {
		f.Add([]byte(s), byte(':'), uint32(8))
	}
	f.Fuzz(func(t *testing.T, name []byte, sep byte, letters uint32) {
		s := Sep(sep)
		if s != Semicolon && s != Exclamation {
			s = Colon
		}
		n, err := ParseName(name, s)
		if err != nil {
			if validName(name, s) {
				t.Fatalf("%q refused", name)
			}
			return
		}
		if !bytes.Equal(append(slices.Clone(n.Base), n.Info...), name) || len(n.Base) == 0 || bytes.IndexByte(n.Base, byte(s)) >= 0 {
			t.Fatalf("%q: base %q info %q", name, n.Base, n.Info)
		}
		if len(n.Info) > 0 && FileName(string(n.Base), n.Letters, string(n.Exact), s) != string(name) {
			t.Fatalf("%q: not made again", name)
		}
		// Other letters: same base, those letters, everything else kept.
		renamed := n.AppendWith(nil, Letters(letters), s)
		if len(renamed) > NameMax {
			return
		}
		m, err := ParseName(renamed, s)
		if err != nil || !bytes.Equal(m.Base, n.Base) || m.Letters != Letters(letters) {
			t.Fatalf("%q with %q: %q: %+v %v", name, Letters(letters), renamed, m, err)
		}
		if unknown(m, s) != unknown(n, s) {
			t.Fatalf("%q with %q: %q lost something", name, Letters(letters), renamed)
		}
		if again := m.AppendWith(nil, Letters(letters), s); !bytes.Equal(again, renamed) {
			t.Fatalf("%q: not stable: %q", renamed, again)
		}
		CompareBase(n.Base, m.Base)
		Sizes(n.Base)
	})
}

// unknown is what a rename must keep: the text before and behind the letters,
// and the letters without a meaning, as a set.
func unknown(n Name, sep Sep) string {
	in, ok := flagsOf(n.Info, sep)
	if !ok {
		return string(n.Info)
	}
	var letters []byte
	for _, c := range in.letters {
		if bitOf[c] == 0 {
			letters = append(letters, c)
		}
	}
	slices.Sort(letters)
	letters = slices.Compact(letters)
	text := string(in.before)
	if len(letters) > 0 || len(in.rest) > 0 {
		text += "|" + string(letters) + "|" + string(in.rest)
	}
	return text
}

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		base          string
		size, virtual int64
	}{
		{"a", -1, -1},
		{"a,S=12,W=13", 12, 13},
		{"a,W=13,S=12", 12, 13},
		{"a,S=12x,W=13", -1, 13},
		{"a,S=,W=", -1, -1},
		{"a,S=99999999999999999999", -1, -1},
		{"a,S=10,W=9", 10, -1},
		{"a,S=10,W=22", 10, -1},
		{"a,S=0,W=0,U=7", 0, 0},
		{"a,S=-1", -1, -1},
	} {
		if s, w := Sizes([]byte(tt.base)); s != tt.size || w != tt.virtual {
			t.Errorf("%q: %d %d", tt.base, s, w)
		}
	}
	if got := Key([]byte("a.b,U=3,S=1")); string(got) != "a.b" {
		t.Errorf("key %q", got)
	}
}

// TestCompareBase: the list is in order, whichever two are compared.
func TestCompareBase(t *testing.T) {
	ordered := []string{
		"abc", "msg.x", // no number is 0
		"9.x",
		"00010.P5.host", "10.P6.host",
		"10.M2P9.host", "10.M10P1.host", "10.M10P2.host", "10.Q1M11.host",
		"11", "11.M5.a", "11.M5.b",
		"123456789012345678901234567890.a",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			got := CompareBase([]byte(a), []byte(b))
			if want := i - j; (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("%q %q: %d", a, b, got)
			}
		}
	}
	if CompareBase([]byte("01.a"), []byte("1.a")) == 0 {
		t.Error("different names are equal")
	}
}

// TestNamer: names increase in time order, also when the clock stands still or
// goes back, and are names.
func TestNamer(t *testing.T) {
	now := time.Unix(1700000000, 999998000)
	g := NewNamer("mail/x:y,z\n", func() time.Time { return now }, func() uint64 { return 0xabcdef })
	var last []byte
	for i := range 2000 {
		if i == 1000 {
			now = now.Add(-time.Hour)
		}
		base := []byte(g.Base(12, 13))
		n, err := ParseName(base, Colon)
		if err != nil || !bytes.Equal(n.Base, base) || len(base) > 200 {
			t.Fatalf("%q: %v", base, err)
		}
		if last != nil && CompareBase(last, base) >= 0 {
			t.Fatalf("%q is not before %q", last, base)
		}
		last = base
	}
	if s := string(last); !strings.HasSuffix(s, `R0000000000abcdef.mail\057x\072yz,S=12,W=13`) {
		t.Errorf("last name %q", s)
	}
	if got := NewNamer(strings.Repeat("h", 500), nil, nil).Base(1<<40, 1<<40); len(got) > 200 {
		t.Errorf("%d octets: %q", len(got), got)
	}
	if got := NewNamer("", nil, nil).Unique(); !strings.HasSuffix(got, ".localhost") {
		t.Errorf("no host: %q", got)
	}
	if a, b := g.Base(-1, -1), g.Unique(); strings.Contains(a, ",") || a == b {
		t.Errorf("%q %q", a, b)
	}
}

func TestCopyName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewNamer("h", nil, func() uint64 { return 1 })
		got := g.Copy([]byte("old,U=5,S=7,FMD5=0123,Z,W=9,X=y"), 8, 10)
		if _, fields, _ := strings.Cut(got, ","); fields != "S=8,W=10,Z,X=y" {
			t.Errorf("fields %q", fields)
		}
		if got := g.Copy([]byte("old,"+strings.Repeat("x", 250)), -1, -1); len(got) > copyMax {
			t.Errorf("long: %q", got)
		}
	})
}

func BenchmarkParseName(b *testing.B) {
	name := []byte("1700000000.M123456P1234Q17R0123456789abcdef.host.example.org,S=4321,W=4400:2,FRSabc")
	b.ReportAllocs()
	for b.Loop() {
		if n, err := ParseName(name, Colon); err != nil || n.Letters == 0 {
			b.Fatal(err)
		}
	}
}

func TestParseNameDoesNotAllocate(t *testing.T) {
	name, odd := []byte("1700000000.M123456P1234.host,S=4321:2,FRSabc"), []byte("a:b:2,XYZ,rest")
	var dst [NameMax + 64]byte
	if n := testing.AllocsPerRun(100, func() {
		n, _ := ParseName(name, Colon)
		n.AppendWith(dst[:0], Seen, Colon)
		n, _ = ParseName(odd, Colon)
		n.AppendWith(dst[:0], Seen, Colon)
		ParseName([]byte(".dot"), Colon)
		CompareBase(name, odd)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
