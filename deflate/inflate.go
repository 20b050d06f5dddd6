package deflate

import (
	"errors"
	"io"
	"sync"
)

// ErrCorrupt is given for octets that are no DEFLATE stream.
var ErrCorrupt = errors.New("deflate: corrupt stream")

const (
	windowSize = 32 << 10
	smallInput = 256      // while the other side says little
	largeInput = 16 << 10 // while it sends more than that at once
)

// A step is what the next bits of the stream are.
type step uint8

const (
	blockHeader step = iota
	storedHeader
	storedData
	dynamicHeader
	codeLengths // of the code of code lengths
	symbolLengths
	symbols
	copying // the rest of a match
	ended   // behind the last block
)

// An inflater is the reading side. Each step takes its bits whole or not at
// all, so it can stop anywhere for want of input, and go on.
type inflater struct {
	src   io.Reader
	small [smallInput]byte
	large *[largeInput]byte // from largeInputs; nil while small is in use
	buf   []byte            // what waits, in one of them
	full  bool              // the last read filled the buffer
	bits  uint64
	nbits uint

	step    step
	final   bool // this block is the last
	stored  bool // it has no code, so that it ends with an octet
	empty   bool // nothing has come of this block so far
	flushed bool // the last block was empty: a flush
	left    int  // octets of a stored block or a match
	dist    int  // of a match

	lits, dists *huffman
	dyn         *dynamic // from dynamics while a block needs it

	window []byte // what came last, at most windowSize
	err    error  // of the stream; it stays
}

// dynamic is what a block with codes of its own needs.
type dynamic struct {
	lits, dists, codes        huffman
	lengths                   [maxLits + 32]uint8
	nlits, ndists, ncodes, at int
}

var (
	largeInputs = sync.Pool{New: func() any { return new([largeInput]byte) }}
	dynamics    = sync.Pool{New: func() any { return new(dynamic) }}
)

// Read gives what can be decoded from the octets that are there, at least one;
// only without any it waits for more. It stops at the end of a block.
func (z *inflater) Read(p []byte) (int, error) {
	for len(p) > 0 {
		n, err := z.inflate(p)
		if n > 0 {
			z.remember(p[:n])
			return n, nil
		}
		if err == errMore {
			err = z.fill()
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// errMore says that a step needs more bits.
var errMore = errors.New("deflate: more input")

// inflate fills p until that is full, a block ends, or bits are missing
// (errMore).
func (z *inflater) inflate(p []byte) (n int, err error) {
	for n < len(p) && z.err == nil {
		before := n
		ends := false
		switch z.step {
		case blockHeader:
			err = z.readBlockHeader()
		case storedHeader:
			ends, err = z.readStoredHeader()
		case storedData:
			n, ends, err = z.readStored(p, n)
		case dynamicHeader, codeLengths, symbolLengths:
			err = z.readCodes()
		case symbols:
			n, ends, err = z.readSymbols(p, n)
		case copying:
			if n, err = z.copyMatch(p, n); z.left == 0 {
				z.step = symbols
			}
		case ended:
			return n, io.EOF
		}
		z.empty = z.empty && n == before
		if ends {
			z.endBlock()
			return n, nil
		}
		if err == errMore {
			return n, err
		}
		if err != nil {
			z.err = err
		}
	}
	return n, z.err
}

func (z *inflater) endBlock() {
	z.flushed = z.empty
	z.lits, z.dists = nil, nil
	z.release()
	z.step = blockHeader
	if z.final {
		z.step = ended
	}
}

func (z *inflater) release() {
	if z.dyn != nil {
		dynamics.Put(z.dyn)
		z.dyn = nil
	}
}

// need makes sure of n bits.
func (z *inflater) need(n uint) bool {
	if z.nbits < n {
		z.refill()
	}
	return z.nbits >= n
}

func (z *inflater) refill() {
	for z.nbits <= 56 && len(z.buf) > 0 {
		z.bits |= uint64(z.buf[0]) << z.nbits
		z.buf = z.buf[1:]
		z.nbits += 8
	}
}

// take takes n bits that need made sure of.
func (z *inflater) take(n uint) uint {
	v := uint(z.bits & (1<<n - 1))
	z.bits >>= n
	z.nbits -= n
	return v
}

func (z *inflater) readBlockHeader() error {
	if !z.need(3) {
		return errMore
	}
	z.final = z.take(1) == 1
	kind := z.take(2)
	z.empty, z.stored = true, kind == 0
	switch kind {
	case 0:
		z.take(z.nbits % 8)
		z.step = storedHeader
	case 1:
		z.lits, z.dists, z.step = fixedLits, fixedDists, symbols
	case 2:
		z.step = dynamicHeader
	default:
		return ErrCorrupt
	}
	return nil
}

func (z *inflater) readStoredHeader() (ends bool, err error) {
	if !z.need(32) {
		return false, errMore
	}
	n, check := z.take(16), z.take(16)
	if n^check != 0xffff {
		return false, ErrCorrupt
	}
	z.left, z.step = int(n), storedData
	return n == 0, nil
}

func (z *inflater) readStored(p []byte, n int) (int, bool, error) {
	for ; z.left > 0 && z.nbits > 0 && n < len(p); n++ { // what refill has taken
		p[n] = byte(z.take(8))
		z.left--
	}
	k := 0
	if z.nbits == 0 {
		k = copy(p[n:], z.buf[:min(len(z.buf), z.left)])
		z.buf = z.buf[k:]
		z.left -= k
	}
	n += k
	switch {
	case z.left == 0:
		return n, true, nil
	case n < len(p):
		return n, false, errMore
	}
	return n, false, nil
}

// readCodes reads the codes of a block (RFC 1951 §3.2.7).
func (z *inflater) readCodes() error {
	d := z.dyn
	switch z.step {
	case dynamicHeader:
		if !z.need(14) {
			return errMore
		}
		d = dynamics.Get().(*dynamic)
		z.dyn = d
		d.nlits, d.ndists, d.ncodes, d.at = int(z.take(5))+257, int(z.take(5))+1, int(z.take(4))+4, 0
		if d.nlits > maxLits-2 || d.ndists > maxDists {
			return ErrCorrupt
		}
		clear(d.lengths[:])
		z.step = codeLengths
	case codeLengths:
		for ; d.at < d.ncodes; d.at++ {
			if !z.need(3) {
				return errMore
			}
			d.lengths[codeOrder[d.at]] = uint8(z.take(3))
		}
		if !d.codes.build(d.lengths[:len(codeOrder)]) {
			return ErrCorrupt
		}
		clear(d.lengths[:])
		d.at = 0
		z.step = symbolLengths
	default:
		for d.at < d.nlits+d.ndists {
			if err := z.readLength(d); err != nil {
				return err
			}
		}
		if d.lengths[256] == 0 || !d.lits.build(d.lengths[:d.nlits]) || !d.dists.build(d.lengths[d.nlits:d.nlits+d.ndists]) {
			return ErrCorrupt
		}
		z.lits, z.dists, z.step = &d.lits, &d.dists, symbols
	}
	return nil
}

// readLength reads one symbol of the lengths of codes.
func (z *inflater) readLength(d *dynamic) error {
	z.refill()
	sym, k := d.codes.decode(z.bits, z.nbits)
	if k == 0 {
		return z.short(maxCodeBits)
	}
	if sym < 16 {
		z.take(k)
		d.lengths[d.at] = uint8(sym)
		d.at++
		return nil
	}
	extra, base := [...]uint{2, 3, 7}[sym-16], [...]int{3, 3, 11}[sym-16]
	if z.nbits < k+extra {
		return errMore
	}
	z.take(k)
	n := base + int(z.take(extra))
	var value uint8
	if sym == 16 {
		if d.at == 0 {
			return ErrCorrupt
		}
		value = d.lengths[d.at-1]
	}
	if n > d.nlits+d.ndists-d.at {
		return ErrCorrupt
	}
	for ; n > 0; n-- {
		d.lengths[d.at] = value
		d.at++
	}
	return nil
}

// short is the error where no code was found: with n bits there is none.
func (z *inflater) short(n uint) error {
	if z.nbits < n {
		return errMore
	}
	return ErrCorrupt
}

// readSymbols reads literals and matches.
func (z *inflater) readSymbols(p []byte, n int) (int, bool, error) {
	for n < len(p) {
		z.refill()
		sym, k := z.lits.decode(z.bits, z.nbits)
		switch {
		case k == 0:
			return n, false, z.short(maxCodeBits)
		case sym < 256:
			z.take(k)
			p[n] = byte(sym)
			n++
			continue
		case sym == 256:
			z.take(k)
			return n, true, nil
		case sym-257 >= uint(len(lengthBase)):
			return n, false, ErrCorrupt
		}
		// At most 15+5+15+13 bits, and refill made sure of 57 if they are there.
		extra := uint(lengthExtra[sym-257])
		if z.nbits < k+extra {
			return n, false, errMore
		}
		length := int(lengthBase[sym-257]) + int(z.bits>>k&(1<<extra-1))
		k += extra
		dsym, dk := z.dists.decode(z.bits>>k, z.nbits-k)
		if dk == 0 {
			return n, false, z.short(k + maxCodeBits)
		}
		if dsym >= maxDists {
			return n, false, ErrCorrupt
		}
		k += dk
		extra = uint(distExtra[dsym])
		if z.nbits < k+extra {
			return n, false, errMore
		}
		z.dist = int(distBase[dsym]) + int(z.bits>>k&(1<<extra-1))
		z.take(k + extra)
		z.left = length
		var err error
		if n, err = z.copyMatch(p, n); err != nil {
			return n, false, err
		}
		if z.left > 0 {
			z.step = copying
			return n, false, nil
		}
	}
	return n, false, nil
}

// copyMatch repeats what came dist octets before, from p and the window.
func (z *inflater) copyMatch(p []byte, n int) (int, error) {
	if z.dist > n+len(z.window) {
		return n, ErrCorrupt
	}
	for z.left > 0 && n < len(p) {
		if back := z.dist - n; back > 0 {
			at := len(z.window) - back
			k := copy(p[n:min(len(p), n+z.left)], z.window[at:])
			n += k
			z.left -= k
			continue
		}
		p[n] = p[n-z.dist]
		n++
		z.left--
	}
	return n, nil
}

// remember makes b the end of the window, which takes only what came so far.
func (z *inflater) remember(b []byte) {
	if len(b) > windowSize {
		b = b[len(b)-windowSize:]
	}
	if drop := len(z.window) + len(b) - windowSize; drop > 0 {
		z.window = z.window[:copy(z.window, z.window[drop:])]
	}
	if need := len(z.window) + len(b); need > cap(z.window) {
		size := 256
		for size < need {
			size *= 2
		}
		z.window = append(make([]byte, 0, size), z.window...)
	}
	z.window = append(z.window, b...)
}

// fill waits for more input; nothing of the last waits.
func (z *inflater) fill() error {
	switch {
	case z.large == nil && z.full:
		z.large = largeInputs.Get().(*[largeInput]byte)
	case z.large != nil && !z.full:
		largeInputs.Put(z.large)
		z.large = nil
	}
	b := z.small[:]
	if z.large != nil {
		b = z.large[:]
	}
	for range 100 {
		n, err := z.src.Read(b)
		z.full = n == len(b)
		if n > 0 {
			z.buf = b[:n]
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// detach reads up to the flush, or the end, behind what was given last, and
// gives what came behind that. More data instead is ErrCorrupt.
//
// A stored block ends at an octet by itself, so there the flush may be missing.
func (z *inflater) detach() ([]byte, error) {
	z.flushed = false
	var one [1]byte
	for !z.flushed && z.step != ended {
		if z.step == blockHeader && z.stored && z.nbits == 0 && len(z.buf) == 0 {
			break
		}
		n, err := z.inflate(one[:])
		if err == errMore {
			err = z.fill()
		}
		if n > 0 {
			err = ErrCorrupt
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
	var rest []byte
	for z.take(z.nbits % 8); z.nbits > 0; {
		rest = append(rest, byte(z.take(8)))
	}
	rest = append(rest, z.buf...)
	z.free()
	return rest, nil
}

// free gives back what came from the pools; nothing is read any more.
func (z *inflater) free() {
	z.release()
	if z.large != nil {
		largeInputs.Put(z.large)
	}
	z.large, z.buf, z.window, z.err = nil, nil, nil, io.EOF
}
