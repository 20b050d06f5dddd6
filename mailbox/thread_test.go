package mailbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// render writes tokens as the grammar wants them.
func render(tokens []ThreadToken) string {
	var b strings.Builder
	number := false
	for _, t := range tokens {
		switch t {
		case ThreadOpen:
			if number {
				b.WriteByte(' ')
			}
			b.WriteByte('(')
			number = false
		case ThreadClose:
			b.WriteByte(')')
			number = false
		default:
			if number {
				b.WriteByte(' ')
			}
			fmt.Fprint(&b, uint32(t))
			number = true
		}
	}
	return b.String()
}

// threadLine is a message of a test: "id refs... | subject | date".
func threadInputOf(t *testing.T, lines []string) *threadInput {
	t.Helper()
	in := &threadInput{}
	ids := map[string]uint32{}
	number := func(s string) uint32 {
		if s == "-" {
			return 0
		}
		if ids[s] == 0 {
			ids[s] = uint32(len(ids) + 1)
		}
		return ids[s]
	}
	subjects := map[string]uint32{"": 0}
	for i, line := range lines {
		f := strings.Split(line, "|")
		words := strings.Fields(f[0])
		m := threadMessage{id: number(words[0]), date: int64(i)}
		for _, ref := range words[1:] {
			m.refs = append(m.refs, number(ref))
		}
		if len(f) > 1 {
			s := strings.TrimSpace(f[1])
			s, m.reply = strings.CutPrefix(s, "Re: ")
			if _, ok := subjects[s]; !ok {
				subjects[s] = uint32(len(subjects))
			}
			m.subject = subjects[s]
		}
		if len(f) > 2 {
			fmt.Sscan(f[2], &m.date)
		}
		in.msgs = append(in.msgs, m)
	}
	in.ids = uint32(len(ids))
	return in
}

func numbers(n int) []SeqNum {
	all := make([]SeqNum, n)
	for i := range all {
		all[i] = SeqNum(i + 1)
	}
	return all
}

func TestThreadTrees(t *testing.T) {
	tests := []struct {
		name             string
		lines            []string
		references, refs string
		subject          string
	}{
		{"none", nil, "", "", ""},
		{"chain", []string{"a", "b a", "c a b", "d c"}, "(1 2 3 4)", "(1 2 3 4)", "(1 (2)(3)(4))"},
		{"branches", []string{"a|x", "b a|y", "c a|y", "d b|z", "e c|z"},
			"(1 (2 4)(3 5))", "(1 (2 4)(3 5))", "(1)(2 3)(4 5)"},
		{"children by date", []string{"a||0", "b a||9", "c a||5"}, "(1 (3)(2))", "(1 (3)(2))", "(1 (3)(2))"},
		{"missing parent of two", []string{"b a|x", "c a|y"}, "((1)(2))", "((1)(2))", "(1)(2)"},
		{"missing parent of one", []string{"b a|x", "c|y"}, "(1)(2)", "(1)(2)", "(1)(2)"},
		{"missing in between", []string{"a|x", "c a b|y"}, "(1 2)", "(1 2)", "(1)(2)"},
		{"missing chain", []string{"d a b c|x", "e a b|y"}, "((1)(2))", "((1)(2))", "(1)(2)"},
		{"reply before original", []string{"b a|x|5", "a|y|1"}, "(2 1)", "(2 1)", "(2)(1)"},
		{"loop", []string{"a b", "b a"}, "(2 1)", "(2 1)", "(1 2)"},
		{"loop of three", []string{"a c", "b a", "c b"}, "(3 1 2)", "(3 1 2)", "(1 (2)(3))"},
		{"self", []string{"a a|x", "b a b|y"}, "(1)(2)", "(1)(2)", "(1)(2)"},
		{"repeated reference", []string{"a|x", "b|y", "c a b a|z"}, "(1 (2)(3))", "(1 (2)(3))", "(1)(2)(3)"},
		{"duplicate ids", []string{"a|x", "a|y", "b a|z"}, "(1 3)(2)", "(2)(1 3)", "(1)(2)(3)"},
		{"no id", []string{"-|x", "- a|y", "- a|z"}, "(1)((2)(3))", "(1)((2)(3))", "(1)(2)(3)"},
		{"truncated references", []string{"a|1", "b a|2", "c b|3", "d c|4"}, "(1 2 3 4)", "(1 2 3 4)", "(1)(2)(3)(4)"},
		{"parent is replaced", []string{"c a b|1", "b x|2", "x|3"}, "(3 2 1)", "(3 2 1)", "(1)(2)(3)"},
		// Step 5.
		{"reply joins original", []string{"a|x", "b|Re: x"}, "(1 2)", "(1)(2)", "(1 2)"},
		{"reply comes first", []string{"a|Re: x", "b|x"}, "(2 1)", "(1)(2)", "(1 2)"},
		{"two originals", []string{"a|x", "b|x"}, "((1)(2))", "(1)(2)", "(1 2)"},
		{"two replies", []string{"a|Re: x", "b|Re: x", "c|Re: x"}, "((1)(2)(3))", "(1)(2)(3)", "(1 (2)(3))"},
		{"original after two replies", []string{"a|Re: x", "b|Re: x", "c|x"}, "(3 (1)(2))", "(1)(2)(3)", "(1 (2)(3))"},
		{"two dummies", []string{"b a|x", "c a|y", "e d|x", "f d|z"}, "((1)(2)(3)(4))", "((1)(2))((3)(4))", "(1 3)(2)(4)"},
		{"dummy takes message", []string{"z|x", "b a|x", "c a|y"}, "((1)(2)(3))", "(1)((2)(3))", "(1 2)(3)"},
		{"empty subjects stay apart", []string{"a|", "b|", "c|"}, "(1)(2)(3)", "(1)(2)(3)", "(1 (2)(3))"},
		{"threads by latest", []string{"a|x|1", "b|y|2", "c a|x|3"}, "(1 3)(2)", "(2)(1 3)", "(1 3)(2)"},
		{"equal dates by number", []string{"a|x|1", "b|y|1", "c|z|0"}, "(3)(1)(2)", "(3)(1)(2)", "(3)(1)(2)"},
		{"nested in nested", []string{"a", "b a", "c a", "d b", "e b", "f c", "g c"},
			"(1 (2 (4)(5))(3 (6)(7)))", "(1 (2 (4)(5))(3 (6)(7)))", "(1 (2)(3)(4)(5)(6)(7))"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := threadInputOf(t, tt.lines)
			seqs := numbers(len(in.msgs))
			if got := render(in.references(true).tokens(seqs)); got != tt.references {
				t.Errorf("REFERENCES %s, want %s", got, tt.references)
			}
			if got := render(in.references(false).tokens(seqs)); got != tt.refs {
				t.Errorf("REFS %s, want %s", got, tt.refs)
			}
			if got := render(in.orderedSubject().tokens(seqs)); got != tt.subject {
				t.Errorf("ORDEREDSUBJECT %s, want %s", got, tt.subject)
			}
		})
	}
}

// naive is RFC 5256 §3, word for word, with pointers and recursion.
type naive struct {
	msg      int // index; -1: dummy
	parent   *naive
	children []*naive
}

func (n *naive) below(a *naive) bool {
	for ; n != nil; n = n.parent {
		if n == a {
			return true
		}
	}
	return false
}

func (n *naive) setParent(p *naive) {
	if n.parent != nil {
		i := slices.Index(n.parent.children, n)
		n.parent.children = slices.Delete(n.parent.children, i, i+1)
	}
	if n.parent = p; p != nil {
		p.children = append(p.children, n)
	}
}

func naiveReferences(in *threadInput, merge bool) string {
	byID := map[uint32]*naive{}
	var nodes, all []*naive
	for i := range in.msgs {
		n := &naive{msg: i}
		nodes = append(nodes, n)
		if id := in.msgs[i].id; id != 0 && byID[id] == nil {
			byID[id] = n
		}
	}
	all = append(all, nodes...)
	for i := range in.msgs { // (1)
		var prev *naive
		for _, ref := range in.msgs[i].refs {
			n := byID[ref]
			if n == nil {
				n = &naive{msg: -1}
				byID[ref] = n
				all = append(all, n)
			}
			if prev != nil && n.parent == nil && !prev.below(n) {
				n.setParent(prev)
			}
			prev = n
		}
		n := nodes[i]
		n.setParent(nil)
		if prev != nil && !prev.below(n) {
			n.setParent(prev)
		}
	}
	root := &naive{msg: -1} // (2)
	for _, n := range all {
		if n.parent == nil {
			n.setParent(root)
		}
	}
	var prune func(n *naive) // (3)
	prune = func(n *naive) {
		for _, c := range slices.Clone(n.children) {
			prune(c)
		}
		if n.msg >= 0 || n == root {
			return
		}
		if len(n.children) == 0 || n.parent != root || len(n.children) == 1 {
			p := n.parent
			for _, c := range slices.Clone(n.children) {
				c.setParent(p)
			}
			n.setParent(nil)
		}
	}
	prune(root)
	var first func(n *naive) int
	first = func(n *naive) int {
		if n.msg >= 0 {
			return n.msg
		}
		return slices.MinFunc(n.children, func(a, b *naive) int { return in.compare(first(a), first(b)) }).msg
	}
	sortAll := func(n *naive) {
		slices.SortStableFunc(n.children, func(a, b *naive) int { return in.compare(first(a), first(b)) })
	}
	for _, n := range root.children { // (4)
		if n.msg < 0 {
			sortAll(n)
		}
	}
	sortAll(root)
	if merge {
		naiveMerge(in, root)
	} else {
		latest := func(n *naive) int {
			var all []int
			var walk func(n *naive)
			walk = func(n *naive) {
				if n.msg >= 0 {
					all = append(all, n.msg)
				}
				for _, c := range n.children {
					walk(c)
				}
			}
			walk(n)
			return slices.MaxFunc(all, in.compare)
		}
		slices.SortStableFunc(root.children, func(a, b *naive) int { return in.compare(latest(a), latest(b)) })
	}
	var sortBelow func(n *naive) // (6)
	sortBelow = func(n *naive) {
		for _, c := range n.children {
			sortBelow(c)
		}
		if n != root || merge {
			sortAll(n)
		}
	}
	sortBelow(root)
	var b strings.Builder
	var write func(n *naive)
	write = func(n *naive) {
		if n.msg >= 0 {
			fmt.Fprint(&b, n.msg+1)
		}
		if n.msg >= 0 && len(n.children) == 1 {
			b.WriteByte(' ')
			write(n.children[0])
			return
		}
		for i, c := range n.children {
			if i == 0 && n.msg >= 0 {
				b.WriteByte(' ')
			}
			b.WriteByte('(')
			write(c)
			b.WriteByte(')')
		}
	}
	for _, n := range root.children {
		b.WriteByte('(')
		write(n)
		b.WriteByte(')')
	}
	return b.String()
}

// naiveMerge is step 5.
func naiveMerge(in *threadInput, root *naive) {
	subject := func(n *naive) (uint32, bool) {
		if n.msg < 0 {
			n = n.children[0]
		}
		return in.msgs[n.msg].subject, in.msgs[n.msg].reply
	}
	table := map[uint32]*naive{}
	for _, n := range root.children {
		s, reply := subject(n)
		if s == 0 {
			continue
		}
		t := table[s]
		if t == nil {
			table[s] = n
			continue
		}
		_, tReply := subject(t)
		if t.msg >= 0 && (n.msg < 0 || tReply && !reply) {
			table[s] = n
		}
	}
	for _, n := range slices.Clone(root.children) {
		if n.parent != root {
			continue
		}
		s, reply := subject(n)
		t := table[s]
		if s == 0 || t == n {
			continue
		}
		_, tReply := subject(t)
		switch {
		case t.msg < 0 && n.msg < 0:
			for _, c := range slices.Clone(n.children) {
				c.setParent(t)
			}
			n.setParent(nil)
		case t.msg < 0, reply && !tReply:
			n.setParent(t)
		default:
			d := &naive{msg: -1}
			d.setParent(root)
			t.setParent(d)
			n.setParent(d)
			table[s] = d
		}
	}
}

// compare orders messages by date, then number.
func (in *threadInput) compare(a, b int) int {
	if d := in.msgs[a].date - in.msgs[b].date; d != 0 {
		return int(d)
	}
	return a - b
}

func randomThreads(rng *rand.Rand, n, ids int) *threadInput {
	in := &threadInput{ids: uint32(ids), msgs: make([]threadMessage, n)}
	for i := range in.msgs {
		m := &in.msgs[i]
		m.id = uint32(rng.IntN(ids + 1))
		for range rng.IntN(5) {
			m.refs = append(m.refs, uint32(1+rng.IntN(ids)))
		}
		m.date = int64(rng.IntN(n))
		m.subject = uint32(rng.IntN(1 + n/3))
		m.reply = rng.IntN(2) == 0
	}
	return in
}

func TestThreadAgainstNaive(t *testing.T) {
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rng.IntN(30)
		in := randomThreads(rng, n, 1+rng.IntN(2*n))
		for _, merge := range []bool{false, true} {
			got := render(in.references(merge).tokens(numbers(n)))
			if want := naiveReferences(in, merge); got != want {
				t.Fatalf("seed %d, merge %v:\n got %s\nwant %s\n%+v", seed, merge, got, want, in.msgs)
			}
		}
	}
}

// Every message is told once, whatever the references say, and soon.
func TestThreadHostile(t *testing.T) {
	const n = 20_000
	ids := func(f func(i int) []uint32) *threadInput {
		in := &threadInput{ids: 2*n + 2, msgs: make([]threadMessage, n)}
		for i := range in.msgs {
			in.msgs[i] = threadMessage{id: uint32(i + 1), refs: f(i), date: int64(i), subject: uint32(i%3 + 1)}
		}
		return in
	}
	long := make([]uint32, 1000)
	for i := range long {
		long[i] = uint32(n + i + 1)
	}
	for name, in := range map[string]*threadInput{
		"chain":          ids(func(i int) []uint32 { return []uint32{uint32(i)}[:min(i, 1)] }),
		"chain backward": ids(func(i int) []uint32 { return []uint32{uint32(i + 2)} }),
		"ring":           ids(func(i int) []uint32 { return []uint32{uint32((i+1)%n + 1)} }),
		"self":           ids(func(i int) []uint32 { return []uint32{uint32(i + 1), uint32(i + 1)} }),
		"long lists":     ids(func(i int) []uint32 { return long[:1+i%100] }),
		"links below a chain": ids(func(i int) []uint32 {
			switch {
			case i == 0:
				return nil
			case i < n/3:
				return []uint32{uint32(i)}
			case i < 2*n/3: // answers to messages that come later
				return []uint32{uint32(i + n/3 + 1)}
			}
			return []uint32{n / 3} // which hang below the end of the chain
		}),
	} {
		start := time.Now()
		for _, merge := range []bool{false, true} {
			tokens := in.references(merge).tokens(numbers(n))
			seen, depth := make([]bool, n+1), 0
			count := 0
			for _, tok := range tokens {
				switch tok {
				case ThreadOpen:
					depth++
				case ThreadClose:
					depth--
				default:
					if seen[tok] {
						t.Fatalf("%s: message %d twice", name, tok)
					}
					seen[tok] = true
					count++
				}
				if depth < 0 {
					t.Fatalf("%s: not balanced", name)
				}
			}
			if depth != 0 || count != n {
				t.Errorf("%s: depth %d at the end, %d messages", name, depth, count)
			}
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func BenchmarkThreadReferences(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 10_000
	in := randomThreads(rng, n, n)
	for b.Loop() {
		in.references(true).tokens(numbers(n))
	}
}
