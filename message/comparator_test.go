package message

import (
	"slices"
	"strings"
	"testing"
)

func TestComparatorMap(t *testing.T) {
	tests := []struct {
		in    string
		equal [3]string // by Comparator: what it is the same as
		not   [3]string
	}{
		{"Straße", [3]string{"STRAßE", "STRAßE", "Straße"}, [3]string{"Strasse", "STRAẞE", "straße"}},
		{"GRÜN", [3]string{"grün", "grÜn", "GRÜN"}, [3]string{"grun", "grün", "grÜn"}},
		{"{[a", [3]string{"{[A", "{[A", "{[a"}, [3]string{"[{A", "[[A", "{[A"}},
	}
	for _, tt := range tests {
		for i := range Comparators {
			c := Comparator(i)
			if c.Map(tt.in) != c.Map(tt.equal[i]) {
				t.Errorf("%v: %q differs from %q", c, tt.in, tt.equal[i])
			}
			if c.Map(tt.in) == c.Map(tt.not[i]) {
				t.Errorf("%v: %q is the same as %q", c, tt.in, tt.not[i])
			}
		}
	}
}

// The example of RFC 5255 §4.6, with what its comparator is told.
func TestComparatorSortKeyInvalid(t *testing.T) {
	in := []string{
		"\xD0\xC0\xD0\xBD\xD0\xB4\xD1\x80\xD0\xB5\xD0\xB9",
		"сЕРГЕЙ",
		"\xD0\x92\xD0\xB0\xD1\x81\xD0\xB8\xD0\xBB\xD0\xB8\xFF\xB9",
		"Алексей",
		"",
	}
	want := []string{in[4], in[3], in[1], in[2], in[0]}
	slices.SortFunc(in, func(a, b string) int {
		return strings.Compare(UnicodeCasemap.SortKey(a), UnicodeCasemap.SortKey(b))
	})
	if !slices.Equal(in, want) {
		t.Errorf("order %q, want %q", in, want)
	}
}

func TestMatcherComparator(t *testing.T) {
	msg := []byte("Subject: Größe\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nÜber Uns\r\n")
	p, err := ParseBytes(msg)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text string
		want [3]bool
	}{
		{"über uns", [3]bool{true, false, false}},
		{"ber uns", [3]bool{true, true, false}},
		{"ber Uns", [3]bool{true, true, true}},
		{"größe", [3]bool{true, true, false}},
		{"GRÖSSE", [3]bool{}},
	} {
		for i, want := range tt.want {
			m := Comparator(i).NewMatcher(TextKey{Text: tt.text, Headers: true})
			found, err := m.Match(strings.NewReader(string(msg)), p)
			if err != nil || found[0] != want {
				t.Errorf("%v: %q found %v, %v; want %v", Comparator(i), tt.text, found, err, want)
			}
		}
	}
}
