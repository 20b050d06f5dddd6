package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"roost/mailbox"
	"roost/wire"
)

// Pages put together are the whole, from either end.
func TestPartialWindows(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		n, size := rng.IntN(40), 1+rng.IntN(12)
		var forward, backward []int
		for page := 0; page*size <= n; page++ {
			first, last := uint32(page*size+1), uint32((page+1)*size)
			if rng.IntN(2) == 0 {
				first, last = last, first
			}
			p := partialRange{first: first, last: last}
			from, to := p.window(n)
			for i := from; i < to; i++ {
				forward = append(forward, i)
			}
			p.fromEnd = true
			from, to = p.window(n)
			for i := to - 1; i >= from; i-- {
				backward = append(backward, i)
			}
		}
		slices.Reverse(backward)
		if len(forward) != n || !slices.IsSorted(forward) || !slices.Equal(forward, backward) {
			t.Fatalf("%d results in pages of %d: %v, from the end %v", n, size, forward, backward)
		}
	}
}

// Pages of one SORT put together are what SORT gives, and SEARCH the same in
// order.
func TestSortPagesAreTheWhole(t *testing.T) {
	h := newHarness(t, nil)
	rng := rand.New(rand.NewPCG(9, 10))
	for i := range 23 {
		h.deliver("", fmt.Sprintf("%d.test", 1000+i), fmt.Sprintf("Subject: %c\nDate: %d Jan 2024 12:00:00 +0000\n\nbody\n", 'a'+rng.IntN(6), 1+rng.IntN(28)))
	}
	c := h.connect(false)
	c.login()
	c.ok("s", "SELECT INBOX")
	one := func(format string, args ...any) string {
		t.Helper()
		lines := slices.DeleteFunc(c.ok("x", format, args...), func(s string) bool { return !strings.HasPrefix(s, "* ESEARCH") && !strings.HasPrefix(s, "* SORT") })
		if len(lines) != 1 {
			t.Fatalf("answers %q", lines)
		}
		return lines[0]
	}
	for _, by := range []string{"SUBJECT", "REVERSE SUBJECT", "DATE", "REVERSE DATE SUBJECT"} {
		want := strings.Fields(one("SORT (%s) UTF-8 ALL", by))[2:]
		for _, size := range []int{1, 5, 23, 40} {
			var got []string
			for first := 1; first <= 23; first += size {
				line := one("SORT RETURN (PARTIAL %d:%d) (%s) UTF-8 ALL", first, first+size-1, by)
				_, set, ok := strings.Cut(line, fmt.Sprintf("PARTIAL (%d:%d ", first, first+size-1))
				if !ok {
					t.Fatalf("answer %q", line)
				}
				got = append(got, expandSet(t, strings.TrimSuffix(set, ")"))...)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d: %v, want %v", by, size, got, want)
			}
		}
	}
}

// expandSet gives the members of a set in its order.
func expandSet(t *testing.T, set string) (all []string) {
	t.Helper()
	for _, r := range strings.Split(set, ",") {
		var first, last int
		if n, err := fmt.Sscanf(r, "%d:%d", &first, &last); n == 1 {
			last = first
		} else if err != nil || n == 0 || first >= last {
			t.Fatalf("range %q of %q", r, set)
		}
		for i := first; i <= last; i++ {
			all = append(all, fmt.Sprint(i))
		}
	}
	return all
}

// FuzzSortThread reads arguments of SORT, THREAD, ESEARCH, COMPARATOR and
// LANGUAGE: no panic, and what is accepted is complete.
func FuzzSortThread(f *testing.F) {
	for _, s := range []string{
		"(DATE) UTF-8 ALL", "RETURN (PARTIAL 1:2 COUNT) (REVERSE SUBJECT SIZE) us-ascii OR SEEN (NOT 1:*)",
		"REFERENCES UTF-8 SINCE 5-Mar-2000", "IN (mailboxes (a b) subtree-one c) RETURN () unseen", "\"i;*\" default", "de \"fr-ca\"",
		"RETURN (SAVE) (", "IN (", "(REVERSE", "RETURN (PARTIAL -1:-4294967295) (TO) UTF-8 $",
	} {
		f.Add(s)
	}
	parsers := []func(*wire.Scanner) (runner, error){parseSort, parseUIDThread, parseMultiSearch, parseComparator, parseLanguage}
	f.Fuzz(func(t *testing.T, args string) {
		for _, parse := range parsers {
			in := wire.NewInput(bytes.NewReader([]byte("a X " + args + "\r\n")))
			sc := wire.NewScanner(in, wire.DefaultLimits(), func() error { return nil })
			if sc.Begin() != nil {
				return
			}
			r, err := parse(sc)
			if err != nil {
				continue
			}
			switch c := r.(type) {
			case *sortCmd:
				if len(c.by) == 0 || c.criteria == nil || c.ret&returnPartial != 0 && (c.partial.first == 0 || c.partial.last == 0) {
					t.Errorf("%q: %+v", args, c)
				}
			case *threadCmd:
				if c.criteria == nil || c.criteria.Uses(mailbox.SearchNone) && !c.badCharset && !strings.Contains(strings.ToUpper(args), "UID") {
					t.Errorf("%q: %+v", args, c)
				}
			case *multiSearchCmd:
				if len(c.sources) == 0 || c.ret == 0 {
					t.Errorf("%q: %+v", args, c)
				}
			}
		}
	})
}

func TestMatchWild(t *testing.T) {
	for _, tt := range []struct {
		wild, name string
		want       bool
	}{
		{"i;octet", "i;octet", true}, {"i;*", "i;octet", true}, {"*", "i;octet", true}, {"*octet", "i;octet", true},
		{"i;octe", "i;octet", false}, {"i;*casemap", "i;octet", false}, {"i*;*t", "i;octet", true}, {"i;octet*", "i;octet", true},
		{"i;octet*t", "i;octet", false}, {"", "i;octet", false}, {"x*", "i;octet", false},
	} {
		if got := matchWild(tt.wild, tt.name); got != tt.want {
			t.Errorf("%q matches %q: %v", tt.wild, tt.name, got)
		}
	}
}

func TestLookUpLanguage(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"en", "en"}, {"EN-gb", "en"}, {"en-x-y", "en"}, {"i-default", "i-default"}, {"default", "i-default"}, {"*", "i-default"},
		{"de", ""}, {"", ""}, {"-", ""}, {"e", ""}, {"i-", ""}, {"english", ""},
	} {
		if got, ok := lookUpLanguage(tt.in); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%q: %q, %v", tt.in, got, ok)
		}
	}
}
