package message

import (
	"bytes"
	"io"
	"iter"
)

// A Header is a header block as stored, with LF or CRLF line ends. All of its
// methods take any input.
type Header []byte

// ReadHeader reads the header block of the message stored in r, up to its blank
// line or 1 MiB, without looking at the rest.
func ReadHeader(r io.ReaderAt, size int64) (Header, error) {
	size = min(size, maxHeader)
	var h []byte
	for n := int64(minWindow); ; n *= 4 {
		have := len(h)
		n = min(n, size)
		h = append(h, make([]byte, n-int64(have))...)
		if err := readFull(r, h[have:], int64(have)); err != nil {
			return nil, err
		}
		if end, ok := headerEnd(h, max(0, have-2)); ok || n == size {
			return h[:end:end], nil
		}
	}
}

// ReadHeader reads the header block of p, at most 1 MiB of it.
func (p *Part) ReadHeader(r io.ReaderAt) (Header, error) {
	h := make(Header, min(p.Body-p.Header, maxHeader))
	return h, readFull(r, h, p.Header)
}

// headerEnd finds the end of the header block in b, behind its blank line; from
// is where to start looking. ok is false if there is no blank line.
func headerEnd(b []byte, from int) (end int, ok bool) {
	if from == 0 && len(b) > 0 {
		if b[0] == '\n' {
			return 1, true
		}
		if len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
			return 2, true
		}
	}
	for i := from; i < len(b); {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			break
		}
		i += j + 1
		if i < len(b) && b[i] == '\n' {
			return i + 1, true
		}
		if i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
			return i + 2, true
		}
	}
	return len(b), false
}

// Fields gives the fields in their order: the name as written, and the raw
// value behind the colon with its folding and its last line end. Lines without
// a colon are left out. Both are valid as long as h is.
func (h Header) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := 0; i < len(h); {
			end := lineEnd(h, i)
			line := h[i:end]
			if len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n' {
				return
			}
			for end < len(h) && isWSP(h[end]) {
				end = lineEnd(h, end)
			}
			colon := bytes.IndexByte(line, ':')
			if colon > 0 && !isWSP(line[0]) && !yield(trimRight(line[:colon]), h[i+colon+1:end]) {
				return
			}
			i = end
		}
	}
}

func lineEnd(h []byte, i int) int {
	if j := bytes.IndexByte(h[i:], '\n'); j >= 0 {
		return i + j + 1
	}
	return len(h)
}

// All gives the raw values of the fields called name, in any case.
func (h Header) All(name string) iter.Seq[[]byte] {
	lower := lowerString(name)
	return func(yield func([]byte) bool) {
		for n, v := range h.Fields() {
			if equalFold(n, lower) && !yield(v) {
				return
			}
		}
	}
}

// Last returns the raw value of the last field called name, the one that
// ENVELOPE gives of Date, Subject, Message-ID and In-Reply-To.
func (h Header) Last(name string) (value []byte, ok bool) {
	for v := range h.All(name) {
		value, ok = v, true
	}
	return value, ok
}

// Text returns the last field called name as DecodeText; "" if there is none.
func (h Header) Text(name string) string {
	v, ok := h.Last(name)
	if !ok {
		return ""
	}
	return DecodeText(v)
}

// Addresses returns the addresses of all fields called name, at most limit.
func (h Header) Addresses(name string, limit int) []Address {
	var list []Address
	for v := range h.All(name) {
		if left := limit - len(list); left > 0 {
			list = append(list, ParseAddresses(v, left)...)
		}
	}
	return list
}
