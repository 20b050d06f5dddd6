package deflate

import (
	"bytes"
	"net"
	"sync"

	"github.com/klauspost/compress/flate"
)

// dictSize is how much of what was written before helps to compress what
// follows. It is all that the writing side keeps between two writes; with more
// of it, answers of IMAP do not become smaller.
const dictSize = 4 << 10

// A Conn compresses what is written to a connection and decompresses what is
// read from it. Each Write is one flush: the other side can decode all of it.
// Reading and writing may go on at the same time, each by one goroutine.
type Conn struct {
	net.Conn
	in   inflater
	dict []byte // the end of what was written
}

// NewConn puts a layer over conn, from the next octet on in both directions.
func NewConn(conn net.Conn) *Conn {
	c := &Conn{Conn: conn}
	c.in.src = conn
	return c
}

// Read gives what can be decoded, at least one octet. ErrCorrupt: the other
// side does not compress. An error of the connection, such as a deadline, takes
// nothing away: Read may be called again.
func (c *Conn) Read(p []byte) (int, error) { return c.in.Read(p) }

var outputs = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Write compresses p and sends it at once.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	out := outputs.Get().(*bytes.Buffer)
	defer outputs.Put(out)
	out.Reset()
	if err := flate.StatelessDeflate(out, p, false, c.dict); err != nil {
		return 0, err
	}
	c.remember(p)
	if _, err := c.Conn.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// remember makes p the end of dict.
func (c *Conn) remember(p []byte) {
	if len(p) > dictSize {
		p = p[len(p)-dictSize:]
	}
	if drop := len(c.dict) + len(p) - dictSize; drop > 0 {
		c.dict = c.dict[:copy(c.dict, c.dict[drop:])]
	}
	if need := len(c.dict) + len(p); need > cap(c.dict) {
		size := 512
		for size < need {
			size *= 2
		}
		c.dict = append(make([]byte, 0, size), c.dict...)
	}
	c.dict = append(c.dict, p...)
}

// Detach takes the layer off once everything that the other side compressed
// was read, and gives the connection below: what is read from it begins behind
// the flush that ended the compressed octets. It may have to wait for that
// flush. ErrCorrupt: there is more of them.
func (c *Conn) Detach() (net.Conn, error) {
	rest, err := c.in.detach()
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return c.Conn, nil
	}
	return &restConn{Conn: c.Conn, rest: rest}, nil
}

// A restConn gives what was read too far first.
type restConn struct {
	net.Conn
	rest []byte
}

func (c *restConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
