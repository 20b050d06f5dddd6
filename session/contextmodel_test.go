package session

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var updateLine = regexp.MustCompile(`^\* ESEARCH \(TAG "(\w+)"\)( UID)? (ADDTO|REMOVEFROM) \((.*)\)$`)

// numbersOf gives the numbers of a set in their order.
func numbersOf(t *testing.T, set string) (out []int) {
	t.Helper()
	for part := range strings.SplitSeq(set, ",") {
		first, last, ranged := strings.Cut(part, ":")
		if !ranged {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || a > b {
			t.Fatalf("set %q", set)
		}
		for n := a; n <= b; n++ {
			out = append(out, n)
		}
	}
	return out
}

// A resultModel is the result of one context as its client keeps it.
type resultModel struct {
	command string // that gives it anew
	numbers bool   // of messages, which EXPUNGE changes
	list    []int
}

func (m *resultModel) update(t *testing.T, what, items string) {
	words := strings.Fields(items)
	for i := 0; i+1 < len(words); i += 2 {
		at, err := strconv.Atoi(words[i])
		if err != nil {
			t.Fatal(err)
		}
		for k, n := range numbersOf(t, words[i+1]) {
			have := slices.Index(m.list, n)
			switch {
			case what == "ADDTO" && have >= 0:
				t.Fatalf("%s: %s %s: %d is in already", m.command, what, items, n)
			case what == "ADDTO" && at == 0:
				place, _ := slices.BinarySearch(m.list, n)
				m.list = slices.Insert(m.list, place, n)
			case what == "ADDTO":
				m.list = slices.Insert(m.list, at-1+k, n)
			case have < 0 || at > 0 && have != at-1:
				t.Fatalf("%s: %s %s: %d is at %d of %v", m.command, what, items, n, have+1, m.list)
			default:
				m.list = slices.Delete(m.list, have, have+1)
			}
		}
	}
}

func (m *resultModel) expunge(t *testing.T, seq int) {
	if !m.numbers {
		return
	}
	if slices.Contains(m.list, seq) {
		t.Fatalf("%s: %d expunged before REMOVEFROM", m.command, seq)
	}
	for i, n := range m.list {
		if n > seq {
			m.list[i]--
		}
	}
}

// TestContextModel: results that are kept with ADDTO and REMOVEFROM alone are
// those of a fresh SEARCH or SORT, whatever this session, another one and other
// programs do (RFC 5267 §4.3).
func TestContextModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	h := newHarness(t, nil)
	deliver := func(n int) {
		h.deliver("", fmt.Sprintf("1999999999.M%d.test", n), fmt.Sprintf("Subject: %c\n\nbody\n", 'a'+rng.IntN(26)))
	}
	for n := range 30 {
		deliver(n)
	}
	c, other := h.connect(false), h.connect(false)
	for _, s := range []*client{c, other} {
		s.login()
		s.ok("s", "SELECT INBOX")
	}
	results := map[string]*resultModel{
		"r1": {command: "UID SEARCH UNSEEN"},
		"r2": {command: "SEARCH UNFLAGGED", numbers: true},
		"r3": {command: "UID SORT (SUBJECT) UTF-8 UNSEEN"},
		"r4": {command: "SORT (REVERSE SUBJECT REVERSE ARRIVAL) UTF-8 UNFLAGGED", numbers: true},
	}
	var take func(lines []string)
	ask := func(tag string, m *resultModel, ret string) (list []int) {
		command := strings.Replace(strings.Replace(m.command, "SEARCH ", "SEARCH RETURN "+ret+" ", 1), "SORT ", "SORT RETURN "+ret+" ", 1)
		lines := c.ok(tag, "%s", command)
		defer take(lines) // the answer is what was before them
		for _, line := range lines {
			if _, set, ok := strings.Cut(line, " ALL "); ok && strings.HasPrefix(line, "* ESEARCH") {
				list = numbersOf(t, set)
			}
		}
		return list
	}
	take = func(lines []string) {
		for _, line := range lines {
			if f := updateLine.FindStringSubmatch(line); f != nil {
				results[f[1]].update(t, f[3], f[4])
			}
			var seq int
			if n, _ := fmt.Sscanf(line, "* %d EXPUNGE", &seq); n == 1 && strings.HasSuffix(line, " EXPUNGE") {
				for _, m := range results {
					m.expunge(t, seq)
				}
			}
		}
	}
	for _, tag := range []string{"r1", "r2", "r3", "r4"} {
		results[tag].list = ask(tag, results[tag], "(UPDATE ALL)")
	}
	for step := range 150 {
		who := []*client{c, other}[rng.IntN(2)]
		var lines []string
		flag, sign := []string{`\Seen`, `\Flagged`, `\Deleted`}[rng.IntN(3)], []string{"+", "-"}[rng.IntN(2)]
		switch rng.IntN(6) {
		case 0:
			deliver(1000 + step)
		case 1:
			lines, _ = who.command("x", "UID STORE %d:%d +FLAGS.SILENT (\\Deleted)", step/2, step/2+1)
			take(linesOf(who == c, lines))
			lines = who.ok("y", "EXPUNGE")
		case 2:
			lines, _ = who.command("x", "FETCH 1 (UID)") // tells no EXPUNGE
		default:
			from := 1 + rng.IntN(40)
			lines, _ = who.command("x", "UID STORE %d:%d %sFLAGS.SILENT (%s)", from, from+rng.IntN(10), sign, flag)
		}
		take(linesOf(who == c, lines))
		if rng.IntN(3) > 0 {
			continue
		}
		take(c.ok("n", "NOOP"))
		for tag, m := range results {
			kept := slices.Clone(m.list)
			if got := ask("fresh", m, "(ALL)"); !slices.Equal(got, kept) {
				// Something may have come between: what was told with the answer counts.
				take(c.ok("n", "NOOP"))
				if got = ask("fresh", m, "(ALL)"); !slices.Equal(got, m.list) {
					t.Fatalf("step %d, %s %s: kept %v, is %v", step, tag, m.command, m.list, got)
				}
			}
		}
	}
}

func linesOf(mine bool, lines []string) []string {
	if mine {
		return lines
	}
	return nil
}
