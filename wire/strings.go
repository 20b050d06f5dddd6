package wire

import (
	"io"
	"strconv"
	"unicode/utf8"

	"roost/utf7"
)

// maxQuoted is the size from which a string is written as a literal: clients
// have been seen to cut long quoted strings.
const maxQuoted = 1024

// Atom writes s, which must be an atom; else it is written as a string, which
// no client takes for something else.
func (w *Writer) Atom(s string) {
	if !isClass(s, atomChar) {
		w.String(s)
		return
	}
	w.Raw(s)
}

func isClass(s string, mask uint8) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&mask == 0 {
			return false
		}
	}
	return s != ""
}

// AString writes s as an atom if it can be one, else as a string.
func (w *Writer) AString(s string) {
	if isClass(s, atomChar) && !EqualFold(s, "NIL") {
		w.Raw(s)
		return
	}
	w.String(s)
}

// String writes s as a quoted string if that can hold it, else as a literal.
// NUL, which neither may hold, becomes the octet 0x80.
func (w *Writer) String(s string) {
	if len(s) <= maxQuoted && w.quotable(s) {
		w.buf = append(w.buf, '"')
		for i := 0; i < len(s); i++ {
			c := s[i]
			if c == '"' || c == '\\' {
				w.buf = append(w.buf, '\\')
			}
			w.buf = append(w.buf, c)
		}
		w.buf = append(w.buf, '"')
		w.lists = false
		return
	}
	w.header("{", int64(len(s)))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == 0 {
			c = 0x80
		}
		w.buf = append(w.buf, c)
		if len(w.buf) >= flushSize {
			w.room()
		}
	}
}

// quotable says whether s can be a quoted string.
func (w *Writer) quotable(s string) bool {
	wide := false
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == 0x7f {
			return false
		} else if c >= 0x80 {
			wide = true
		}
	}
	return !wide || w.UTF8 && utf8.ValidString(s)
}

// NString writes s, or NIL if ok is false.
func (w *Writer) NString(s string, ok bool) {
	if !ok {
		w.Raw("NIL")
		return
	}
	w.String(s)
}

// Mailbox writes the name of a mailbox, given in UTF-8.
func (w *Writer) Mailbox(name string) {
	if !w.UTF8 {
		name = utf7.Encode(name)
	}
	if isClass(name, nameChar) && !EqualFold(name, "NIL") {
		w.Raw(name)
		return
	}
	w.String(name)
}

// MailboxString writes a name as Mailbox does, but never as an atom: where the
// grammar wants a string (NAMESPACE).
func (w *Writer) MailboxString(name string) {
	if !w.UTF8 {
		name = utf7.Encode(name)
	}
	w.String(name)
}

// header writes the header of a literal; prefix is "{" or "~{".
func (w *Writer) header(prefix string, size int64) {
	w.buf = append(w.buf, prefix...)
	w.buf = strconv.AppendInt(w.buf, size, 10)
	w.buf = append(w.buf, '}', '\r', '\n')
	w.lists = false
}

// Literal writes b as a literal.
func (w *Writer) Literal(b []byte) {
	w.header("{", int64(len(b)))
	w.RawBytes(b)
}

// LiteralHeader announces a literal of size octets, which must follow through
// Write, LiteralFrom or both. With binary it is a literal8, which may hold NUL.
func (w *Writer) LiteralHeader(size int64, binary bool) {
	w.check()
	prefix := "{"
	if binary {
		prefix = "~{"
	}
	w.header(prefix, size)
	w.literal = size
}

// Write adds octets to the literal that was announced. More than announced is
// ErrMismatch, fewer is found by the next part of the response.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err == nil && int64(len(p)) > w.literal {
		w.err = ErrMismatch
	}
	if w.err != nil {
		return 0, w.err
	}
	w.literal -= int64(len(p))
	w.RawBytes(p)
	w.room()
	return len(p), w.err
}

// LiteralFrom adds n octets of r to the literal that was announced, by way of
// the buffer only. An error of r leaves the literal incomplete, and so the
// connection beyond use.
func (w *Writer) LiteralFrom(r io.Reader, n int64) error {
	if w.err == nil && n > w.literal {
		w.err = ErrMismatch
	}
	for n > 0 && w.err == nil {
		w.room()
		free := w.buf[len(w.buf):cap(w.buf)]
		if int64(len(free)) > n {
			free = free[:n]
		}
		if len(free) == 0 {
			w.send()
			continue
		}
		k, err := r.Read(free)
		w.buf = w.buf[:len(w.buf)+k]
		w.literal -= int64(k)
		n -= int64(k)
		if err != nil && n > 0 {
			w.err = noEOF(err)
		}
	}
	return w.err
}
