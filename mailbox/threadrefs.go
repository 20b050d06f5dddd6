package mailbox

import "slices"

// This file is REFERENCES and REFS (RFC 5256 §3).

// maxLoopSteps bounds the search for loops, per node. Only a link below a long
// chain of a message that has answers already needs one; what nobody writes but
// on purpose, very many of them, is left unlinked.
const maxLoopSteps = 100

// threadBuilder is the state of step 1: nodes with their parents. Those below
// len(msgs) are messages, those above dummies.
type threadBuilder struct {
	in     *threadInput
	node   []int32 // by id
	parent []int32
	kids   []int32 // how many
	steps  int     // that may still be taken to find loops
}

// references does steps 1 to 6; merge is step 5.
func (in *threadInput) references(merge bool) *threadForest {
	b := threadBuilder{in: in, node: make([]int32, in.ids+1)}
	b.link()
	b.prune()
	order := in.byDate()
	if !merge {
		return b.byLatest(order)
	}
	b.mergeSubjects(order)
	return b.forest(order)
}

func (b *threadBuilder) newNode() int32 {
	b.parent = append(b.parent, none)
	b.kids = append(b.kids, 0)
	b.steps += maxLoopSteps
	return int32(len(b.parent) - 1)
}

// link is step 1.
func (b *threadBuilder) link() {
	msgs := b.in.msgs
	for i := range b.node {
		b.node[i] = none
	}
	b.parent = make([]int32, 0, 2*len(msgs))
	b.kids = make([]int32, 0, 2*len(msgs))
	for i := range msgs {
		n := b.newNode()
		if id := msgs[i].id; id != 0 && b.node[id] == none {
			b.node[id] = n // of several messages with one id only the first has it
		}
	}
	for i := range msgs {
		prev := int32(none)
		for _, ref := range msgs[i].refs {
			n := b.node[ref]
			if n == none {
				n = b.newNode()
				b.node[ref] = n
			}
			if prev != none && b.parent[n] == none {
				b.adopt(prev, n)
			}
			prev = n
		}
		if old := b.parent[i]; old != none && old != prev {
			b.kids[old]--
			b.parent[i] = none
		}
		if prev != none && b.parent[i] == none {
			b.adopt(prev, int32(i))
		}
	}
}

// adopt makes parent that of child, which has none, unless that makes a loop.
func (b *threadBuilder) adopt(parent, child int32) {
	if parent == child {
		return
	}
	if b.kids[child] > 0 { // else it is nobody's ancestor
		for n := parent; n != none; n = b.parent[n] {
			if b.steps--; n == child || b.steps < 0 {
				return
			}
		}
	}
	b.parent[child] = parent
	b.kids[parent]++
}

func (b *threadBuilder) dummy(n int32) bool { return int(n) >= len(b.in.msgs) }

// prune is steps 2 and 3: the parent of a message becomes the nearest ancestor
// that is there, or else the highest dummy above it if that has several
// children, or none.
func (b *threadBuilder) prune() {
	msgs := len(b.in.msgs)
	// Dummies are resolved once each: above says what stands for them.
	above := make([]int32, len(b.parent)-msgs)
	for i := range above {
		above[i] = none
	}
	var path []int32
	for d := int32(msgs); int(d) < len(b.parent); d++ {
		path = path[:0]
		n := d
		for b.dummy(n) && above[int(n)-msgs] == none && b.parent[n] != none {
			path = append(path, n)
			n = b.parent[n]
		}
		if b.dummy(n) && above[int(n)-msgs] != none {
			n = above[int(n)-msgs]
		}
		for _, p := range path {
			above[int(p)-msgs] = n
		}
	}
	clear(b.kids)
	for i := range msgs {
		p := b.parent[i]
		if p != none && b.dummy(p) && above[int(p)-msgs] != none {
			p = above[int(p)-msgs]
		}
		if b.parent[i] = p; p != none {
			b.kids[p]++
		}
	}
	for i := range msgs {
		if p := b.parent[i]; p != none && b.dummy(p) && b.kids[p] == 1 {
			b.parent[i] = none
		}
	}
	for d := msgs; d < len(b.parent); d++ {
		b.parent[d] = none
	}
}

// A threadRoot is a child of the root in step 5.
type threadRoot struct {
	node    int32
	subject uint32
	reply   bool
}

// rootsOf is step 4: the children of the root by date, with their subjects. A
// dummy is where its first child is.
func (b *threadBuilder) rootsOf(order []int32) []threadRoot {
	var roots []threadRoot
	seen := make([]bool, len(b.parent))
	for _, i := range order {
		n := i
		if p := b.parent[i]; p != none {
			if !b.dummy(p) || seen[p] {
				continue
			}
			n = p
			seen[p] = true
		}
		m := &b.in.msgs[i]
		roots = append(roots, threadRoot{n, m.subject, m.reply})
	}
	return roots
}

// mergeSubjects is step 5.
func (b *threadBuilder) mergeSubjects(order []int32) {
	roots := b.rootsOf(order)
	table := make(map[uint32]threadRoot, len(roots))
	for _, r := range roots { // B
		if r.subject == 0 {
			continue
		}
		t, ok := table[r.subject]
		if !ok || !b.dummy(t.node) && (b.dummy(r.node) || t.reply && !r.reply) {
			table[r.subject] = r
		}
	}
	into := map[int32]int32{} // dummies whose children went to others
	for _, r := range roots { // C
		if r.subject == 0 {
			continue
		}
		t := table[r.subject]
		switch {
		case t.node == r.node:
		case b.dummy(r.node): // then so is t
			into[r.node] = t.node
		case b.dummy(t.node), r.reply && !t.reply:
			b.parent[r.node] = t.node
		default:
			d := b.newNode()
			b.parent[t.node], b.parent[r.node] = d, d
			table[r.subject] = threadRoot{node: d, subject: r.subject}
		}
	}
	if len(into) == 0 {
		return
	}
	for i := range b.in.msgs {
		if to, ok := into[b.parent[i]]; ok {
			b.parent[i] = to
		}
	}
}

// forest is step 6: going through the messages by date, each becomes the last
// child of its parent.
func (b *threadBuilder) forest(order []int32) *threadForest {
	f := newThreadForest(len(b.in.msgs), len(b.parent))
	for _, i := range order {
		p := b.parent[i]
		if p == none {
			f.roots = append(f.roots, i)
			continue
		}
		if b.dummy(p) && f.first[p] == none {
			f.roots = append(f.roots, p)
		}
		f.add(p, i)
	}
	return f
}

// byLatest is the end of REFS: the threads in the order of their latest
// message.
func (b *threadBuilder) byLatest(order []int32) *threadForest {
	f := b.forest(order)
	top := make([]int32, len(b.parent))
	for i := range top {
		top[i] = none
	}
	var path []int32
	f.roots = f.roots[:0]
	seen := make([]bool, len(b.parent))
	for _, i := range slices.Backward(order) {
		path = path[:0]
		n := i
		for top[n] == none && b.parent[n] != none {
			path = append(path, n)
			n = b.parent[n]
		}
		if top[n] != none {
			n = top[n]
		}
		for _, p := range path {
			top[p] = n
		}
		if !seen[n] {
			seen[n] = true
			f.roots = append(f.roots, n)
		}
	}
	slices.Reverse(f.roots)
	return f
}
