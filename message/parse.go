package message

import (
	"bytes"
	"io"
	"sync"
)

// Parse reads the structure of the size octets in r, in one pass. Broken MIME
// is never an error (RFC 2046 §5.1, and what other servers make of it):
//   - a part without closing boundary ends where its parent ends;
//   - a boundary is compared with the beginning of a line, the longest open one
//     wins, then the innermost (RFC 2046 §5.1.1);
//   - a boundary line inside a header block ends it;
//   - a multipart without a boundary parameter, and a type that cannot be read,
//     are text/plain, so that the reader sees what there is;
//   - a message/rfc822 in base64 or quoted-printable, and what lies too deep,
//     are application/octet-stream leaves.
//
// Errors come from r, or are ErrChanged if the file is shorter than size.
func Parse(r io.ReaderAt, size int64) (*Part, error) {
	w := newWindow(r, size)
	defer w.release()
	return parse(w)
}

// ParseBytes is Parse of a message in memory. b is not kept.
func ParseBytes(b []byte) (*Part, error) {
	return parse(&window{r: bytes.NewReader(b), size: int64(len(b)), buf: b})
}

var parserPool = sync.Pool{New: func() any { return new(parser) }}

func parse(w *window) (*Part, error) {
	p := parserPool.Get().(*parser)
	*p = parser{win: w, kept: maxKept, stack: p.stack[:0], scratch: p.scratch, raw: p.raw,
		fields: headerFields{list: p.fields.list, addresses: p.fields.addresses}, out: p.out}
	err := p.run()
	root := p.root
	p.release()
	if err != nil {
		return nil, err
	}
	return root, nil
}

// release gives p back, without what it made and without large buffers.
func (p *parser) release() {
	clear(p.stack[:cap(p.stack)])
	clear(p.raw[:cap(p.raw)])
	p.win, p.root, p.slab, p.fields.data = nil, nil, nil, nil
	if cap(p.out)+cap(p.scratch)+cap(p.fields.list)+p.fields.addresses.size() < maxInMemory/4 {
		parserPool.Put(p)
	}
}

// A frame is a part whose end is not known yet.
type frame struct {
	part     *Part
	boundary []byte // of an open multipart; nil once its closing delimiter was seen
	bare, lf int64  // counts at the start of the body
	message  bool   // the header is that of a message, not of a part
	digest   bool   // the default type of children is message/rfc822
}

type parser struct {
	win   *window
	root  *Part
	stack []frame
	open  int   // frames with a boundary
	parts int   // parts made so far
	full  bool  // MaxParts was exceeded: boundaries are text
	pos   int64 // start of a line

	counted  int64 // everything before is in lf and bare
	lf, bare int64
	lastCR   bool

	kept   int // octets of strings that may still be kept
	slab   []Part
	fields headerFields

	// scratch
	out     []byte
	scratch []byte
	raw     []rawParam
}

func (p *parser) run() error {
	p.root = p.push(true)
	for {
		if err := p.header(); err != nil {
			return err
		}
		top := &p.stack[len(p.stack)-1]
		if top.part.isContainer() {
			top.part.Message = p.push(true)
			continue
		}
		more, err := p.body()
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// isContainer reports whether p is to get a Message.
func (p *Part) isContainer() bool {
	if !equalFold(p.Type, "message") || !(equalFold(p.Subtype, "rfc822") || equalFold(p.Subtype, "global")) {
		return false
	}
	return p.Encoding == "7BIT" || p.Encoding == "8BIT" || p.Encoding == "BINARY"
}

// push starts a part at p.pos.
func (p *parser) push(message bool) *Part {
	if len(p.slab) == cap(p.slab) {
		p.slab = make([]Part, 0, min(max(4, 2*cap(p.slab)), 256))
	}
	p.slab = append(p.slab, Part{Header: p.pos})
	part := &p.slab[len(p.slab)-1]
	p.parts++
	p.stack = append(p.stack, frame{part: part, message: message, bare: p.bare})
	return part
}

// count counts line ends up to pos, which must be buffered.
func (p *parser) count(pos int64) {
	if pos <= p.counted {
		return
	}
	b := p.win.buf[p.counted-p.win.off : pos-p.win.off]
	lf, bare := countLines(b, p.lastCR)
	p.lf += lf
	p.bare += bare
	p.lastCR = b[len(b)-1] == '\r'
	p.counted = pos
}

// header reads the header block at p.pos, and leaves p.pos where the body starts.
func (p *parser) header() error {
	f := &p.stack[len(p.stack)-1]
	start, bare := p.pos, p.bare
	p.fields.reset()
	data, end, done, err := p.headerLines(f.message)
	if err != nil {
		return err
	}
	digest := false
	if n := len(p.stack); n > 1 && !f.message {
		digest = p.stack[n-2].digest
	}
	p.fields.data = data
	p.fill(f, digest)
	p.count(start + int64(end))
	p.pos = start + int64(end)
	if !done {
		if err := p.skipHeader(); err != nil {
			return err
		}
	}
	f.part.Body = p.pos
	f.part.HeaderSize = p.pos - start + p.bare - bare
	f.bare, f.lf = p.bare, p.lf
	return nil
}

// headerLines collects the fields of the header block at p.pos. It returns the
// octets read, and where the block ends in them; done is false if it goes on
// behind maxHeader.
func (p *parser) headerLines(message bool) (data []byte, end int, done bool, err error) {
	start := p.pos
	if data, err = p.win.need(start, minWindow); err != nil {
		return nil, 0, false, err
	}
	for i := 0; ; {
		j := bytes.IndexByte(data[i:], '\n')
		if j < 0 {
			if start+int64(len(data)) < p.win.size && len(data) < maxHeader {
				if data, err = p.win.need(start, min(2*len(data), maxHeader)); err != nil {
					return nil, 0, false, err
				}
				continue
			}
			atEOF := start+int64(len(data)) == p.win.size
			if atEOF && i < len(data) && p.isBoundary(data[i:]) {
				return data, i, true, nil
			}
			if i < len(data) {
				p.fields.line(data, i, len(data), message)
			}
			return data, len(data), atEOF, nil
		}
		line := data[i : i+j+1]
		if j == 0 || j == 1 && line[0] == '\r' {
			return data, i + j + 1, true, nil
		}
		if p.isBoundary(line) {
			return data, i, true, nil
		}
		p.fields.line(data, i, i+j+1, message)
		i += j + 1
		if i >= maxHeader {
			return data, i, false, nil
		}
	}
}

func (p *parser) isBoundary(line []byte) bool {
	if p.open == 0 || len(line) < 2 || line[0] != '-' || line[1] != '-' {
		return false
	}
	i, _ := p.match(line)
	return i >= 0
}

// skipHeader goes to the end of a header block of more than maxHeader octets;
// p.pos may be inside a line.
func (p *parser) skipHeader() error {
	inLine := p.pos > 0 && p.win.buf[p.pos-1-p.win.off] != '\n'
	for {
		if inLine {
			eof, err := p.skipLine()
			if err != nil || eof {
				return err
			}
		}
		data, err := p.win.need(p.pos, maxBoundary+4)
		if err != nil {
			return err
		}
		if len(data) == 0 || p.isBoundary(data) {
			return nil
		}
		for k, blank := range [...]string{"\n", "\r\n"} {
			if len(data) > k && string(data[:k+1]) == blank {
				p.pos += int64(k + 1)
				p.count(p.pos)
				return nil
			}
		}
		inLine = true
	}
}

// skipLine goes behind the next LF, counting; eof is true if there is none.
func (p *parser) skipLine() (eof bool, err error) {
	for {
		data, err := p.win.need(p.pos, 1)
		if err != nil {
			return false, err
		}
		i := bytes.IndexByte(data, '\n')
		if i >= 0 {
			p.pos += int64(i + 1)
		} else {
			p.pos += int64(len(data))
		}
		p.count(p.pos)
		if i >= 0 || p.pos == p.win.size {
			return i < 0, nil
		}
	}
}

// skipToLineEnd goes to the line end of this line: the one behind a closing
// delimiter may belong to the delimiter that follows.
func (p *parser) skipToLineEnd() error {
	for {
		data, err := p.win.need(p.pos, minWindow)
		if err != nil {
			return err
		}
		end := bytes.IndexByte(data, '\n')
		found := end >= 0
		switch {
		case !found && p.pos+int64(len(data)) == p.win.size:
			end, found = len(data), true
		case !found:
			end = len(data) - 1 // it may be the CR of the line end
		case end > 0 && data[end-1] == '\r':
			end--
		}
		p.pos += int64(end)
		p.count(p.pos)
		if found {
			return nil
		}
	}
}

var nlDashes = []byte("\n--")

// body scans from p.pos, the start of a line, for the next boundary line, ends
// the parts that it ends, and starts the part that it starts; more is false at
// the end of the file.
func (p *parser) body() (more bool, err error) {
	lineStart := true
	for {
		data, err := p.win.need(p.pos, 2*maxBoundary)
		if err != nil {
			return false, err
		}
		atEOF := p.pos+int64(len(data)) == p.win.size
		if p.open == 0 || p.full {
			p.pos += int64(len(data))
			p.count(p.pos)
			if p.pos == p.win.size {
				p.closeAll()
				return false, nil
			}
			continue
		}
		i := -1
		if lineStart && len(data) > 1 && data[0] == '-' && data[1] == '-' {
			i = 0
		} else if i = bytes.Index(data, nlDashes); i >= 0 {
			i++
		}
		lineStart = false
		if i < 0 {
			if atEOF {
				p.pos = p.win.size
				p.count(p.pos)
				p.closeAll()
				return false, nil
			}
			// a CR LF and a dash at the end may belong to a boundary
			p.pos += int64(len(data) - 3)
			p.count(p.pos)
			continue
		}
		if len(data)-i < maxBoundary+4 && !atEOF {
			p.pos += int64(max(0, i-2)) // see it again with the whole line, and the line end before it
			p.count(p.pos)
			lineStart = i == 0
			continue
		}
		k, closing := p.match(data[i:])
		if k < 0 || !closing && p.parts >= MaxParts {
			p.full = p.full || k >= 0
			p.pos += int64(i + 1) // inside this line
			p.count(p.pos)
			continue
		}
		p.count(p.delimiter(data, i))
		p.closeAbove(k)
		p.pos += int64(i)
		if closing {
			p.stack[k].boundary = nil
			p.open--
			if err := p.skipToLineEnd(); err != nil {
				return false, err
			}
			continue
		}
		if _, err := p.skipLine(); err != nil {
			return false, err
		}
		parent := p.stack[k].part
		parent.Children = append(parent.Children, p.push(false))
		return true, nil
	}
}

// delimiter returns the stored offset of the boundary line at data[i:] with the
// line end before it, which belongs to the boundary (RFC 2046 §5.1.1).
func (p *parser) delimiter(data []byte, i int) int64 {
	end := p.pos + int64(i)
	if i > 0 {
		end--
		if i > 1 && data[i-2] == '\r' {
			end--
		}
	}
	return max(end, p.stack[len(p.stack)-1].part.Body)
}

// match finds the open boundary that line begins with: the longest, of equal
// ones the innermost. closing: it is followed by two dashes.
func (p *parser) match(line []byte) (index int, closing bool) {
	index, n := -1, -1
	for i := len(p.stack) - 1; i >= 0; i-- {
		b := p.stack[i].boundary
		if len(b) > n && len(line) >= 2+len(b) && b != nil && bytes.Equal(line[2:2+len(b)], b) {
			index, n = i, len(b)
		}
	}
	if index >= 0 {
		rest := line[2+n:]
		closing = len(rest) >= 2 && rest[0] == '-' && rest[1] == '-'
	}
	return index, closing
}

// closeAbove ends the parts above frame k at p.counted.
func (p *parser) closeAbove(k int) {
	for i := len(p.stack) - 1; i > k; i-- {
		f := &p.stack[i]
		part := f.part
		part.End = p.counted
		part.BodySize = part.End - part.Body + p.bare - f.bare
		part.Lines = p.lf - f.lf
		if f.boundary != nil {
			p.open--
		}
		if part.isMultipartType() && len(part.Children) == 0 {
			part.Children = []*Part{{
				Header: part.End, Body: part.End, End: part.End,
				Type: "text", Subtype: "plain", Encoding: "7BIT",
			}}
		}
	}
	p.stack = p.stack[:k+1]
}

func (p *parser) closeAll() { p.closeAbove(-1) }

func (p *Part) isMultipartType() bool { return equalFold(p.Type, "multipart") }
