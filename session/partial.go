package session

import "roost/wire"

// A partialRange is the page that PARTIAL asks for (RFC 9394 §3.1, RFC 5267
// §4.4): results first to last, from 1; fromEnd: counted from the last one.
type partialRange struct {
	first, last uint32
	fromEnd     bool
}

// scanPartial reads
//
//	partial-range       = partial-range-first / partial-range-last
//	partial-range-first = nz-number ":" nz-number
//	partial-range-last  = MINUS nz-number ":" MINUS nz-number
func scanPartial(sc *wire.Scanner) partialRange {
	p := partialRange{fromEnd: sc.Take('-')}
	p.first = sc.NZNumber()
	sc.Expect(':')
	if p.fromEnd {
		sc.Expect('-')
	}
	p.last = sc.NZNumber()
	return p
}

// window gives the part of n results, ascending, that is on the page: those
// from index from up to before to.
func (p *partialRange) window(n int) (from, to int) {
	first, last := min(p.first, p.last), max(p.first, p.last)
	if uint64(first) > uint64(n) {
		return 0, 0
	}
	from, to = int(first)-1, int(min(uint64(last), uint64(n)))
	if p.fromEnd {
		from, to = n-to, n-from
	}
	return from, to
}

// count is how many results the page may have.
func (p *partialRange) count() uint64 {
	return uint64(max(p.first, p.last)) - uint64(min(p.first, p.last)) + 1
}

// write begins the item of the answer; the results, or NIL, and ")" follow.
//
//	ret-data-partial = "PARTIAL" SP "(" partial-range SP partial-results ")"
func (p *partialRange) write(w *wire.Writer) {
	minus := ""
	if p.fromEnd {
		minus = "-"
	}
	w.Raw(" PARTIAL (" + minus)
	w.Number(uint64(p.first))
	w.Raw(":" + minus)
	w.Number(uint64(p.last))
	w.SP()
}
