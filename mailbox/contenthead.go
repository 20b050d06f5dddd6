package mailbox

import (
	"errors"
	"io"

	"roost/message"
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

// parse is message.Parse of the file.
func (h *head) parse(size int64) (*message.Part, error) {
	if int64(len(h.buf)) == size {
		return message.ParseBytes(h.buf)
	}
	return message.Parse(h, size)
}

// bytes gives n octets from off, without copying if they were read. They are
// valid until the next read. At the end of the file they are fewer.
func (h *head) bytes(off int64, n int) ([]byte, error) {
	if end := off + int64(n); off >= 0 && end <= int64(len(h.buf)) {
		return h.buf[off:end], nil
	}
	b := make([]byte, n)
	got, err := h.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:got], err
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
