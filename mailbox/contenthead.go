package mailbox

import (
	"errors"
	"io"
)

// headSize is how much of a file is read at once: most messages are shorter.
const headSize = 32 << 10

// A head is a file whose beginning was read. To parse a message, to know it
// again, to keep its header and to preview it all look there.
type head struct {
	file io.ReaderAt
	buf  []byte // the beginning
}

// read reads the beginning of file, which has so many octets.
func (h *head) read(file io.ReaderAt, size int64) error {
	n := int(min(size, headSize))
	if cap(h.buf) < n {
		h.buf = make([]byte, headSize)
	}
	h.file, h.buf = file, h.buf[:n]
	got, err := file.ReadAt(h.buf, 0)
	h.buf = h.buf[:got]
	if errors.Is(err, io.EOF) {
		err = nil // cut meanwhile: whoever reads on hears of it
	}
	return err
}

// ReadAt is io.ReaderAt.
func (h *head) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(h.buf)) {
		return h.file.ReadAt(p, off)
	}
	n := copy(p, h.buf[off:])
	if n == len(p) {
		return n, nil
	}
	more, err := h.file.ReadAt(p[n:], off+int64(n))
	return n + more, err
}
