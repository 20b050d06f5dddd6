package wire

import (
	"bytes"
	"io"
	"sync"
)

const (
	smallInput = 256      // while a connection is idle
	largeInput = 16 << 10 // while a client sends more than that at once
)

var largeInputs = sync.Pool{New: func() any { return new([largeInput]byte) }}

// An Input is the buffered octets of a client. It is used by one goroutine at a
// time.
type Input struct {
	// Before is called before each read, which may block: the place to flush
	// what was written and to set a deadline. Its error ends the Input. May be
	// nil.
	Before func() error
	// After is called with the count of octets of each read. May be nil.
	After func(n int)

	r          io.Reader
	small      [smallInput]byte
	large      *[largeInput]byte // from largeInputs, nil while small is in use
	start, end int               // what waits, in buf()
	full       bool              // the last read filled the buffer
	err        error             // of r, told once the buffer is empty
	received   uint64            // octets of r so far
}

// NewInput gives an Input that reads from r.
func NewInput(r io.Reader) *Input { return &Input{r: r} }

// Replace makes r the source of what follows. ErrPipelined means that octets
// of the old source wait: they came before the change and must not be taken
// for octets of the new layer.
func (in *Input) Replace(r io.Reader) error {
	if in.Buffered() > 0 {
		return ErrPipelined
	}
	in.r, in.err = r, nil
	return nil
}

// Buffered is the number of octets that were read and wait.
func (in *Input) Buffered() int { return in.end - in.start }

// Received counts the octets that were read so far, those that wait included:
// what the client has sent for certain by now.
func (in *Input) Received() uint64 { return in.received }

// Consumed counts the octets that were taken so far.
func (in *Input) Consumed() uint64 { return in.received - uint64(in.Buffered()) }

// Peek gives the octets that wait, at most n, without reading more. They are
// valid until the next call.
func (in *Input) Peek(n int) []byte {
	b := in.buf()[in.start:in.end]
	return b[:min(n, len(b))]
}

func (in *Input) buf() []byte {
	if in.large != nil {
		return in.large[:]
	}
	return in.small[:]
}

// Release gives the large buffer back if nothing waits in it.
func (in *Input) Release() {
	if in.large != nil && in.start == in.end {
		largeInputs.Put(in.large)
		in.large = nil
		in.start, in.end = 0, 0
	}
}

// fill reads once; before it, everything that waits moves to the front. At
// least one octet of room is there.
func (in *Input) fill() error {
	// First of all: the hook may Release the buffer.
	if err := in.before(); err != nil {
		return err
	}
	b := in.buf()
	if in.start > 0 {
		copy(b, b[in.start:in.end])
		in.end -= in.start
		in.start = 0
	}
	switch {
	case in.large == nil && (in.full || in.end == len(b)):
		in.large = largeInputs.Get().(*[largeInput]byte)
		copy(in.large[:], b[:in.end])
	case in.large != nil && !in.full && in.end == 0:
		in.Release()
	}
	b = in.buf()
	n, err := in.read(b[in.end:])
	in.end += n
	in.full = in.end == len(b)
	if n > 0 {
		return nil
	}
	return err
}

// before calls the hook, once for each read.
func (in *Input) before() error {
	if in.err == nil && in.Before != nil {
		in.err = in.Before()
	}
	return in.err
}

// read reads from the source into p. It gives at least one octet or an error.
// The caller has called before.
func (in *Input) read(p []byte) (int, error) {
	for range 100 {
		n, err := in.r.Read(p)
		if err != nil {
			in.err = err
		}
		if n > 0 {
			in.received += uint64(n)
			if in.After != nil {
				in.After(n)
			}
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	in.err = io.ErrNoProgress
	return 0, in.err
}

// Wait reads once if nothing waits.
func (in *Input) Wait() error {
	if in.start < in.end {
		return nil
	}
	return in.fill()
}

// Resume forgets an error of the source that was temporary, such as a deadline
// that served to wake a reader.
func (in *Input) Resume() { in.err = nil }

// Read gives octets of the client as they are: the inside of a literal.
func (in *Input) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if in.start == in.end {
		if len(p) >= largeInput {
			if err := in.before(); err != nil {
				return 0, err
			}
			return in.read(p)
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buf()[in.start:in.end])
	in.start += n
	return n, nil
}

// Discard drops n octets.
func (in *Input) Discard(n int64) error {
	for n > 0 {
		if in.start == in.end {
			if err := in.fill(); err != nil {
				return noEOF(err)
			}
		}
		k := int(min(n, int64(in.end-in.start)))
		in.start += k
		n -= int64(k)
	}
	return nil
}

// Line reads up to the next LF and appends the line without its line end (CRLF,
// or a bare LF) to dst, at most max octets of it. If the line is longer, over
// is true, dst holds its start (for the tag) and its end (for a literal), max
// octets together, and the whole line is consumed, unless it is longer than
// bound: then err is a Fatal *SyntaxError. io.EOF
// means that nothing came before the end.
func (in *Input) Line(dst []byte, max int, bound int64) (line []byte, over bool, err error) {
	base, total := len(dst), int64(0)
	for {
		b := in.buf()[in.start:in.end]
		i := bytes.IndexByte(b, '\n')
		if i >= 0 {
			b = b[:i+1]
		}
		in.start += len(b)
		total += int64(len(b))
		dst = append(dst, b...)
		if i >= 0 {
			dst = dst[:len(dst)-1]
			if n := len(dst); n > base && dst[n-1] == '\r' {
				dst = dst[:n-1]
			}
		}
		if n := len(dst) - base; n > max+1 || i >= 0 && n > max { // one more may be the CR
			over = true
			head := base + min(max/2, maxTag+2)
			dst = append(dst[:head], dst[len(dst)-(base+max-head):]...)
		}
		if total > bound {
			return dst, true, &SyntaxError{Text: "line too long", Code: "TOOBIG", Fatal: true}
		}
		if i >= 0 {
			return dst, over, nil
		}
		if err := in.fill(); err != nil {
			if total > 0 {
				err = noEOF(err)
			}
			return dst, over, err
		}
	}
}

// noEOF makes an end of input in the middle of a command an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
