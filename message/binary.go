package message

import (
	"bytes"
	"fmt"
	"io"
)

// Binary finds the octets of BINARY[path] (RFC 3516 §4.2): the body of the part
// without its Content-Transfer-Encoding, text with CRLF line ends. Broken
// base64 and quoted-printable are decoded as far as they go; Size is counted by
// the same decoder. An empty path, a multipart or a message give the octets of
// BODY[path], with NULs; the caller may refuse those (RFC 9051 §6.4.5). ok is
// false if there is no such part; the error is ErrUnknownCTE for an encoding
// that is not known.
//
// A part of up to 1 MiB is read and decoded now, of a larger one the size is
// found by decoding it once.
func (p *Part) Binary(r io.ReaderAt, path []int) (b Body, ok bool, err error) {
	part, ok := p.Find(path)
	if !ok {
		return Body{}, false, nil
	}
	if len(path) == 0 || !part.IsLeaf() {
		b, ok, err = p.Section(r, Section{Path: path})
		b.nul = true
		return b, ok, err
	}
	switch part.Encoding {
	case "BINARY":
		// A file that came with CRLF was stored as it came; then a bare LF
		// is one octet of the data.
		if !part.IsText() && p.HeaderSize == p.Body-p.Header && p.HeaderSize > 0 {
			return Body{r: r, off: part.Body, end: part.End, size: part.End - part.Body, nul: true}, true, nil
		}
		fallthrough
	case "7BIT", "8BIT":
		return Body{r: r, off: part.Body, end: part.End, size: part.BodySize, nul: true}, true, nil
	}
	if newDecoder(part.Encoding, true) == nil {
		return Body{}, true, fmt.Errorf("message: decode %.40q: %w", part.Encoding, ErrUnknownCTE)
	}
	b = Body{r: r, off: part.Body, end: part.End, nul: true}
	b.decoder = func() decoder { return binaryDecoder(part) }
	if part.End-part.Body > maxInMemory {
		b.size, err = b.copyDecoded(discard{}, 0, -1, nil)
		return b, true, err
	}
	var out bytes.Buffer
	if _, err := b.copyDecoded(&out, 0, -1, nil); err != nil {
		return Body{}, true, err
	}
	n := int64(out.Len())
	return Body{r: bytes.NewReader(out.Bytes()), end: n, size: n, nul: true}, true, nil
}

func binaryDecoder(p *Part) decoder {
	d := newDecoder(p.Encoding, true)
	if p.IsText() && p.Encoding == "BASE64" {
		return &textDecoder{base: d}
	}
	return d
}

// textDecoder puts CRLF for the bare LF that came out of another decoder.
type textDecoder struct {
	base decoder
	crlf crlfDecoder
	tmp  []byte
}

func (d *textDecoder) decode(dst, src []byte) []byte {
	d.tmp = d.base.decode(d.tmp[:0], src)
	return d.crlf.decode(dst, d.tmp)
}

func (d *textDecoder) finish(dst []byte) []byte {
	d.tmp = d.base.finish(d.tmp[:0])
	return d.crlf.decode(dst, d.tmp)
}

// HasNUL reads b to find out whether it must be sent as a literal8.
func (b *Body) HasNUL() (bool, error) {
	if !b.nul {
		return false, nil
	}
	var f nulFinder
	_, err := b.WriteTo(&f)
	return f.found, err
}

type nulFinder struct{ found bool }

func (f *nulFinder) Write(b []byte) (int, error) {
	f.found = f.found || bytes.IndexByte(b, 0) >= 0
	return len(b), nil
}

// decoding is a place in a Body that is decoded while it is written.
type decoding struct {
	dec    decoder
	stored int64  // where the next chunk is
	at     int64  // decoded offset of rest
	out    []byte // buffer of rest
	rest   []byte // decoded, not yet written
	done   bool   // the decoder is finished
}

const decodeChunk = 32 << 10

// copyDecoded writes n decoded octets from off; n < 0 means all.
func (b *Body) copyDecoded(w io.Writer, off, n int64, pos *Position) (int64, error) {
	d := &decoding{stored: b.off}
	if pos != nil && pos.dec != nil && pos.off == b.off && pos.end == b.end && pos.dec.at <= off {
		d = pos.dec
		pos.dec = nil
	}
	if d.dec == nil {
		d.dec = b.decoder()
	}
	buf := chunkPool.Get().(*[chunkSize]byte)
	defer chunkPool.Put(buf)
	lw := limitWriter{w: w, skip: off - d.at, left: n}
	for lw.left != 0 {
		if len(d.rest) == 0 {
			if d.done {
				break
			}
			c := buf[:min(b.end-d.stored, decodeChunk)]
			if err := readFull(b.r, c, d.stored); err != nil {
				return lw.written, err
			}
			d.stored += int64(len(c))
			d.out = d.dec.decode(d.out[:0], c)
			if d.stored == b.end {
				d.out = d.dec.finish(d.out)
				d.done = true
			}
			d.rest = d.out
		}
		m := int64(len(d.rest))
		if lw.left >= 0 {
			m = min(m, lw.skip+lw.left)
		}
		if err := lw.write(d.rest[:m]); err != nil {
			return lw.written, err
		}
		d.at += m
		d.rest = d.rest[m:]
	}
	if n >= 0 && lw.written != n {
		return lw.written, fmt.Errorf("message: write decoded part: %w", ErrChanged)
	}
	if pos != nil {
		*pos = Position{off: b.off, end: b.end, dec: d}
	}
	return lw.written, nil
}
