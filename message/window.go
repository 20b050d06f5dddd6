package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// window is a view of a file that slides forward. A message of up to 1 MiB is
// read into it at once.
type window struct {
	r    io.ReaderAt
	size int64
	buf  []byte // filled part
	off  int64  // stored offset of buf[0]
}

var windowPool = sync.Pool{New: func() any { return new([]byte) }}

// newWindow takes a buffer from the pool; release gives it back.
func newWindow(r io.ReaderAt, size int64) *window {
	b := windowPool.Get().(*[]byte)
	return &window{r: r, size: size, buf: (*b)[:0]}
}

func (w *window) release() {
	if cap(w.buf) <= 2*maxInMemory {
		b := w.buf[:0]
		windowPool.Put(&b)
	}
	w.buf = nil
}

// need returns what is buffered from pos on: at least n octets, or all up to
// the end of the file. What lies before pos is forgotten. The result is valid
// until the next call.
func (w *window) need(pos int64, n int) ([]byte, error) {
	end := w.off + int64(len(w.buf))
	if pos >= w.off && pos <= end && (pos+int64(n) <= end || end == w.size) {
		return w.buf[pos-w.off:], nil
	}
	if pos > w.size {
		return nil, fmt.Errorf("message: read at %d: %w", pos, io.ErrUnexpectedEOF)
	}
	want := w.size - pos // the rest, if it fits
	if want > maxInMemory {
		want = int64(max(n, chunkSize))
	}
	want = min(want, w.size-pos)
	var keep []byte
	if pos >= w.off && pos < end {
		keep = w.buf[pos-w.off:]
	}
	if int64(cap(w.buf)) < want {
		b := make([]byte, len(keep), max(want, minWindow))
		copy(b, keep)
		w.buf = b
	} else {
		w.buf = w.buf[:copy(w.buf[:cap(w.buf)], keep)]
	}
	w.off = pos
	have := len(w.buf)
	w.buf = w.buf[:want]
	if err := readFull(w.r, w.buf[have:], pos+int64(have)); err != nil {
		w.buf = w.buf[:have]
		return nil, err
	}
	return w.buf, nil
}

// readFull fills b from off; a file that ends before is ErrChanged.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	if len(b) == 0 {
		return nil
	}
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("message: read at %d: %w", off+int64(n), ErrChanged)
	}
	return fmt.Errorf("message: read at %d: %w", off+int64(n), err)
}

// countLines counts the LFs in b, and those among them without a CR before.
// lastCR says whether the octet before b is a CR.
func countLines(b []byte, lastCR bool) (lf, bare int64) {
	lf = int64(bytes.Count(b, newline))
	if lf == 0 {
		return 0, 0
	}
	bare = lf
	if lastCR && b[0] == '\n' {
		bare--
	}
	for bare > 0 {
		i := bytes.IndexByte(b, '\r')
		if i < 0 || i+1 >= len(b) {
			break
		}
		if b[i+1] == '\n' {
			bare--
			i++
		}
		b = b[i+1:]
	}
	return lf, bare
}

var newline = []byte{'\n'}

// ServedSize returns RFC822.SIZE of the size octets stored in r: with every
// bare LF counted as CRLF. It reads the file once and keeps nothing.
func ServedSize(r io.ReaderAt, size int64) (int64, error) {
	b := chunkPool.Get().(*[chunkSize]byte)
	defer chunkPool.Put(b)
	served, lastCR := size, false
	for off := int64(0); off < size; {
		n := int(min(chunkSize, size-off))
		if err := readFull(r, b[:n], off); err != nil {
			return 0, err
		}
		_, bare := countLines(b[:n], lastCR)
		served += bare
		lastCR = b[n-1] == '\r'
		off += int64(n)
	}
	return served, nil
}

var chunkPool = sync.Pool{New: func() any { return new([chunkSize]byte) }}
