package slab

import "unsafe"

// poolMost is the largest slab that a Pool makes, in octets, unless one piece
// is larger.
const poolMost = 8 << 20

// A Pool cuts slabs into pieces that are taken one after the other and freed
// together. The zero value makes every piece on its own.
type Pool[T any] struct {
	rest   []T
	expect int
}

// Expect says how many elements will be taken from now on, as far as known.
func (p *Pool[T]) Expect(n int) { p.expect = n }

// Take gives n elements that are zero; the capacity is n.
func (p *Pool[T]) Take(n int) []T {
	if len(p.rest) < n {
		p.rest = Make[T](max(n, min(p.expect, poolMost/int(unsafe.Sizeof(*new(T))))))
	}
	s := p.rest[:n:n]
	p.rest = p.rest[n:]
	p.expect = max(0, p.expect-n)
	return s
}
