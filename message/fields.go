package message

import (
	"bytes"
	"fmt"
	"io"
)

// copyFiltered writes n octets from off of the selected header fields; n < 0
// means all. It always reads the block from its start.
func (b *Body) copyFiltered(w io.Writer, off, n int64) (int64, error) {
	f := fieldFilter{names: b.filter.names, not: b.filter.not}
	win := newWindow(b.r, b.end)
	defer win.release()
	served, lw := int64(0), limitWriter{w: w, skip: off, left: n}
	var out [4096]byte
	lastCR := false
	emit := func(c []byte) error {
		for len(c) > 0 {
			nd, ns, cr := toCRLF(out[:], c, lastCR)
			lastCR = cr
			c = c[ns:]
			b.replaceNUL(out[:nd])
			served += int64(nd)
			if err := lw.write(out[:nd]); err != nil {
				return err
			}
		}
		return nil
	}
	for pos := b.off; pos < b.end && lw.left != 0; {
		data, err := win.need(pos, maxFieldName+2)
		if err != nil {
			return lw.written, err
		}
		m, err := f.feed(data, pos+int64(len(data)) == b.end, emit)
		if err != nil {
			return lw.written, err
		}
		pos += int64(m)
	}
	if n < 0 {
		return served, nil
	}
	if lw.written != n {
		return lw.written, fmt.Errorf("message: write header: %w", ErrChanged)
	}
	return n, nil
}

// fieldFilter selects lines of a header block that comes in pieces.
type fieldFilter struct {
	names  map[string]bool // lower case
	not    bool
	keep   bool // the current field is selected
	inLine bool
}

// feed emits what is selected of data and returns how much of it was read; the
// rest is too little to decide, and is to come again with more behind it.
func (f *fieldFilter) feed(data []byte, final bool, emit func([]byte) error) (int, error) {
	for i := 0; i < len(data); {
		if !f.inLine && !f.decide(data[i:], final) {
			return i, nil
		}
		j := bytes.IndexByte(data[i:], '\n') + 1
		f.inLine = j == 0
		if j == 0 {
			j = len(data) - i
		}
		if f.keep {
			if err := emit(data[i : i+j]); err != nil {
				return i, err
			}
		}
		i += j
	}
	return len(data), nil
}

// decide sets keep for the line at the start of rest; false means that more of
// it is needed.
func (f *fieldFilter) decide(rest []byte, final bool) bool {
	switch {
	case isWSP(rest[0]):
		return true // belongs to the field before
	case rest[0] == '\n':
		f.keep = true
		return true
	case rest[0] == '\r' && len(rest) == 1:
		f.keep = f.not
		return final
	case rest[0] == '\r' && rest[1] == '\n':
		f.keep = true
		return true
	}
	name := rest[:min(len(rest), maxFieldName+1)]
	i := bytes.IndexAny(name, ":\n")
	if i < 0 && len(rest) <= maxFieldName && !final {
		return false
	}
	f.keep = f.not
	if i > 0 && name[i] == ':' {
		var a [64]byte
		lower := a[:0]
		for _, c := range trimRight(name[:i]) {
			lower = append(lower, lowerASCII(c))
		}
		f.keep = f.names[string(lower)] != f.not
	}
	return true
}
