package message

import (
	"bytes"
	"fmt"
	"io"
)

// A Body is a run of served octets. Its size is known before anything is
// written, so it can follow the length of a literal. The zero Body is empty.
type Body struct {
	r        io.ReaderAt
	off, end int64        // stored
	size     int64        // served
	filter   *fieldFilter // of a header block too large for memory
	decoder  func() decoder
	nul      bool // NULs are served as they are
}

// Size is the number of octets that WriteTo writes.
func (b *Body) Size() int64 { return b.size }

// PartialSize is the number of octets that WritePartial writes for up to n
// octets from the served offset off; 0 behind the end (RFC 9051 §6.4.5).
func (b *Body) PartialSize(off, n int64) int64 {
	if off < 0 || off >= b.size || n <= 0 {
		return 0
	}
	return min(n, b.size-off)
}

// WriteTo writes all of b, exactly Size octets unless it returns an error.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	return b.WritePartial(w, 0, b.size, nil)
}

// A Position remembers where the last partial of a message ended, so that
// partials in sequence need not count lines from the start again. Keep one per
// open message; it is for one goroutine.
type Position struct {
	off, end int64 // of the Body that it is of
	at       cursor
	dec      *decoding // if that Body is decoded
}

// cursor is a place in a Body. With lastCR, a LF at stored is not bare: the CR
// before it was in the file, or was served already.
type cursor struct {
	served, stored int64
	lastCR         bool
}

// WritePartial writes PartialSize(off, n) octets. pos may be nil. It fails with
// ErrChanged if the file no longer gives the octets promised, after writing
// fewer of them.
func (b *Body) WritePartial(w io.Writer, off, n int64, pos *Position) (int64, error) {
	n = b.PartialSize(off, n)
	if n == 0 {
		return 0, nil
	}
	if b.filter != nil {
		return b.copyFiltered(w, off, n)
	}
	if b.decoder != nil {
		return b.copyDecoded(w, off, n, pos)
	}
	if b.size == b.end-b.off {
		return b.copyStored(w, b.off+off, n)
	}
	cur := cursor{stored: b.off}
	if pos != nil && pos.dec == nil && pos.off == b.off && pos.end == b.end && pos.at.served <= off && pos.at.stored >= b.off {
		cur = pos.at
	}
	buf := chunkPool.Get().(*[chunkSize]byte)
	defer chunkPool.Put(buf)
	out := chunkPool.Get().(*[chunkSize]byte)
	defer chunkPool.Put(out)
	if err := b.seek(&cur, off, buf[:], out[:]); err != nil {
		return 0, err
	}
	written, err := b.copyServed(w, &cur, n, buf[:], out[:])
	if err != nil {
		return written, err
	}
	if cur.served == b.size && cur.stored != b.end {
		return written, fmt.Errorf("message: write body: more line ends than counted: %w", ErrChanged)
	}
	if pos != nil {
		*pos = Position{off: b.off, end: b.end, at: cur}
	}
	return written, nil
}

// copyStored copies octets that need no line ends.
func (b *Body) copyStored(w io.Writer, off, n int64) (written int64, err error) {
	buf := chunkPool.Get().(*[chunkSize]byte)
	defer chunkPool.Put(buf)
	for written < n {
		c := buf[:min(n-written, chunkSize)]
		if err := readFull(b.r, c, off+written); err != nil {
			return written, err
		}
		b.replaceNUL(c)
		m, err := w.Write(c)
		written += int64(m)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// replaceNUL puts 0x80 for NUL, as Dovecot does.
func (b *Body) replaceNUL(c []byte) {
	if b.nul {
		return
	}
	for {
		i := bytes.IndexByte(c, 0)
		if i < 0 {
			return
		}
		c[i] = 0x80
		c = c[i+1:]
	}
}

// chunk reads the stored octets at cur into buf.
func (b *Body) chunk(cur *cursor, buf []byte) ([]byte, error) {
	c := buf[:min(b.end-cur.stored, int64(len(buf)))]
	if len(c) == 0 {
		return nil, fmt.Errorf("message: read body: fewer line ends than counted: %w", ErrChanged)
	}
	return c, readFull(b.r, c, cur.stored)
}

// seek moves cur on to the served offset off.
func (b *Body) seek(cur *cursor, off int64, buf, out []byte) error {
	for cur.served < off {
		c, err := b.chunk(cur, buf)
		if err != nil {
			return err
		}
		_, bare := countLines(c, cur.lastCR)
		if served := int64(len(c)) + bare; cur.served+served <= off {
			cur.served += served
			cur.stored += int64(len(c))
			cur.lastCR = c[len(c)-1] == '\r'
			continue
		}
		for cur.served < off {
			skip := min(off-cur.served, int64(len(out)))
			nd, ns, cr := toCRLF(out[:skip], c, cur.lastCR)
			cur.served += int64(nd)
			cur.stored += int64(ns)
			cur.lastCR = cr
			c = c[ns:]
		}
	}
	return nil
}

// copyServed writes n served octets from cur, and moves it behind them.
func (b *Body) copyServed(w io.Writer, cur *cursor, n int64, buf, out []byte) (written int64, err error) {
	for written < n {
		c, err := b.chunk(cur, buf)
		if err != nil {
			return written, err
		}
		for len(c) > 0 && written < n {
			nd, ns, cr := toCRLF(out[:min(n-written, int64(len(out)))], c, cur.lastCR)
			b.replaceNUL(out[:nd])
			m, err := w.Write(out[:nd])
			written += int64(m)
			if err != nil {
				return written, err
			}
			cur.served += int64(nd)
			cur.stored += int64(ns)
			cur.lastCR = cr
			c = c[ns:]
		}
	}
	return written, nil
}

// toCRLF copies src to dst with CRLF for bare LF, as much as fits: nd octets
// written, ns read. If only the CR of a line end fits, cr is true and its LF
// not read yet, so that the next call writes it alone.
func toCRLF(dst, src []byte, lastCR bool) (nd, ns int, cr bool) {
	cr = lastCR
	for ns < len(src) && nd < len(dst) {
		i := bytes.IndexByte(src[ns:], '\n')
		if i < 0 {
			i = len(src) - ns
		}
		if i > 0 {
			n := copy(dst[nd:], src[ns:ns+i])
			nd += n
			ns += n
			cr = src[ns-1] == '\r'
			continue
		}
		if !cr {
			dst[nd] = '\r'
			nd++
			cr = true
			if nd == len(dst) {
				break
			}
		}
		dst[nd] = '\n'
		nd++
		ns++
		cr = false
	}
	return nd, ns, cr
}

// limitWriter writes left octets (all if negative) behind the first skip.
type limitWriter struct {
	w                   io.Writer
	skip, left, written int64
}

func (l *limitWriter) write(b []byte) error {
	n := min(l.skip, int64(len(b)))
	l.skip -= n
	b = b[n:]
	if l.left >= 0 {
		b = b[:min(l.left, int64(len(b)))]
	}
	m, err := l.w.Write(b)
	l.written += int64(m)
	if l.left > 0 {
		l.left -= int64(m)
	}
	return err
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
