package deflate

import "math/bits"

const (
	maxCodeBits = 15
	fastBits    = 9
	maxLits     = 288
	maxDists    = 30
)

// A huffman decodes one prefix code (RFC 1951 §3.2.2): short codes with a
// table, the others bit by bit.
type huffman struct {
	fast   [1 << fastBits]uint16 // symbol<<4 | length, by the next bits; 0: a longer code
	count  [maxCodeBits + 1]uint16
	symbol [maxLits]uint16 // in the order of the codes
}

// build makes the code with the given lengths, 0 for symbols that do not occur.
// false: there is no such code. A code of a single symbol may be incomplete, as
// zlib writes it for distances.
func (h *huffman) build(lengths []uint8) bool {
	clear(h.fast[:])
	clear(h.count[:])
	for _, n := range lengths {
		h.count[n]++
	}
	used := len(lengths) - int(h.count[0])
	h.count[0] = 0
	left := 1
	for n := 1; n <= maxCodeBits; n++ {
		left = left<<1 - int(h.count[n])
		if left < 0 {
			return false
		}
	}
	if left > 0 && (used > 1 || used == 1 && h.count[1] != 1) {
		return false
	}
	var next, at [maxCodeBits + 2]uint16 // the next code of a length, and its place in symbol
	for n := 1; n <= maxCodeBits; n++ {
		next[n+1] = (next[n] + h.count[n]) << 1
		at[n+1] = at[n] + h.count[n]
	}
	for sym, n := range lengths {
		if n == 0 {
			continue
		}
		h.symbol[at[n]] = uint16(sym)
		at[n]++
		code := next[n]
		next[n]++
		if n <= fastBits {
			for i := int(bits.Reverse16(code) >> (16 - n)); i < 1<<fastBits; i += 1 << n {
				h.fast[i] = uint16(sym)<<4 | uint16(n)
			}
		}
	}
	return true
}

// decode reads the symbol that the low bits of b begin with and gives the
// length of its code. Length 0: there is no such code, or it is longer than the
// n bits that are there.
func (h *huffman) decode(b uint64, n uint) (sym, length uint) {
	if e := h.fast[b&(1<<fastBits-1)]; e != 0 {
		if length = uint(e & 15); length > n {
			return 0, 0
		}
		return uint(e >> 4), length
	}
	code, first, index := 0, 0, 0
	for length = 1; length <= min(maxCodeBits, n); length++ {
		code |= int(b & 1)
		b >>= 1
		count := int(h.count[length])
		if code-count < first {
			return uint(h.symbol[index+code-first]), length
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, 0
}

var (
	fixedLits  = fixed(func(i int) uint8 { return [...]uint8{8, 9, 7, 8}[b2i(i >= 144)+b2i(i >= 256)+b2i(i >= 280)] }, maxLits)
	fixedDists = fixed(func(int) uint8 { return 5 }, 32)
)

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fixed makes a code of RFC 1951 §3.2.6.
func fixed(length func(int) uint8, n int) *huffman {
	lengths := make([]uint8, n)
	for i := range lengths {
		lengths[i] = length(i)
	}
	h := &huffman{}
	h.build(lengths)
	return h
}

// What the symbols of lengths from 257 on, and those of distances, mean: a base
// and extra bits (RFC 1951 §3.2.5).
var (
	lengthBase  = [...]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [maxDists]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [maxDists]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// codeOrder is the order in which the lengths of the code of code lengths come
// (RFC 1951 §3.2.7).
var codeOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
