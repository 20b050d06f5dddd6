package message

import (
	"bytes"
	"io"
	"sync"

	"golang.org/x/text/transform"
)

// DEVIATION: SEARCH looks into the first 1 MiB of each header block, and takes
// the charset UTF-7 for unknown (RFC 9051 §6.4.4).

// A TextKey is a string to look for in a message: TEXT if Headers is set, else
// BODY (RFC 9051 §6.4.4). Text is valid UTF-8.
type TextKey struct {
	Text    string
	Headers bool
}

// A Matcher looks for keys in messages, all of them in one pass. It is immutable
// and may be used by several goroutines.
//
// What is compared is the text of text/* and message/* parts without their
// transfer encoding, in UTF-8, as Casemap makes it; text/html as its source.
// Keys with Headers are looked for in the header blocks of the message, of its
// parts and of messages inside too, decoded and unfolded; the others in none of
// them, as Dovecot does it. A match does not cross parts or header fields.
// Text in an unknown charset or transfer encoding is compared as it is.
type Matcher struct {
	keys    []textKey
	overlap int // octets that the longest key needs of the chunk before
	compare Comparator
}

type textKey struct {
	text    []byte // mapped
	headers bool
}

// NewMatcher prepares keys. An empty key is in every message.
func NewMatcher(keys ...TextKey) *Matcher { return UnicodeCasemap.NewMatcher(keys...) }

// NewMatcher is the function of that name with another comparator than Casemap.
func (c Comparator) NewMatcher(keys ...TextKey) *Matcher {
	m := &Matcher{compare: c}
	for _, k := range keys {
		text := []byte(c.Map(k.Text))
		m.keys = append(m.keys, textKey{text, k.Headers})
		m.overlap = max(m.overlap, len(text)-1)
	}
	return m
}

// Match reports for each key whether it is in the message with root p stored
// in r. Errors come from r.
func (m *Matcher) Match(r io.ReaderAt, root *Part) ([]bool, error) {
	s := scanPool.Get().(*scan)
	defer scanPool.Put(s)
	s.start(m)
	var err error
	root.Walk(func(p *Part) bool {
		if s.left > 0 && s.heads > 0 {
			err = s.header(r, p)
		}
		if err == nil && s.left > 0 && p.searchable() {
			err = s.body(r, p)
		}
		return err == nil && s.left > 0
	})
	return s.found, err
}

// Extent is how many octets from the start of the message with root p Match may
// read: the end of what is behind, such as attachments, does not matter.
func (m *Matcher) Extent(root *Part) (end int64) {
	headers := false
	for i := range m.keys {
		headers = headers || m.keys[i].headers
	}
	root.Walk(func(p *Part) bool {
		if headers {
			end = max(end, p.Body)
		}
		if p.searchable() {
			end = max(end, p.End)
		}
		return true
	})
	return end
}

// searchable says whether the body of p is text to search in.
func (p *Part) searchable() bool {
	return p.IsLeaf() && (p.IsText() || equalFold(p.Type, "message"))
}

// A scan is one run of a Matcher; its buffers are used again.
type scan struct {
	m     *Matcher
	found []bool
	left  int // keys not found yet
	heads int // of them, those with Headers

	folded []byte // mapped text, with overlap of what was before
	text   []byte // decoded header block, or what a decoder gave
	block  []byte
	cut    []byte // start of a rune whose end is in the next chunk
	conv   []byte
	reader textReader
}

var scanPool = sync.Pool{New: func() any { return new(scan) }}

func (s *scan) start(m *Matcher) {
	s.m = m
	s.found = make([]bool, len(m.keys))
	s.left, s.heads = 0, 0
	for i, k := range m.keys {
		if len(k.text) == 0 {
			s.found[i] = true
			continue
		}
		s.left++
		if k.headers {
			s.heads++
		}
	}
	s.reset()
}

// reset forgets what was before.
func (s *scan) reset() { s.folded, s.cut = s.folded[:0], s.cut[:0] }

// feed looks for the keys in text, a piece of UTF-8; final means that no more
// comes that belongs to it.
func (s *scan) feed(text []byte, headers, final bool) {
	if len(s.cut) > 0 {
		s.cut = append(s.cut, text...)
		text = s.cut
	}
	n := len(text)
	if !final {
		n = fullRunes(text)
	}
	s.folded = s.m.compare.appendMap(s.folded, text[:n])
	s.cut = append(s.cut[:0], text[n:]...)
	for i, k := range s.m.keys {
		if !s.found[i] && (k.headers || !headers) && bytes.Contains(s.folded, k.text) {
			s.found[i] = true
			s.left--
			if k.headers {
				s.heads--
			}
		}
	}
	if final {
		s.reset()
		return
	}
	keep := min(len(s.folded), s.m.overlap)
	s.folded = s.folded[:copy(s.folded, s.folded[len(s.folded)-keep:])]
}

// header looks into the header block of p: each field as "Name: value" and a
// line end, with white space both as DecodeText leaves it and as it is.
func (s *scan) header(r io.ReaderAt, p *Part) error {
	n := int(min(p.Body-p.Header, maxHeader))
	if cap(s.block) < n {
		s.block = make([]byte, n)
	}
	h := s.block[:n]
	if err := readFull(r, h, p.Header); err != nil {
		return err
	}
	s.text = s.text[:0]
	for name, value := range Header(h).Fields() {
		s.text = append(append(s.text, name...), ": "...)
		start := len(s.text)
		s.text = append(appendDecoded(s.text, value), '\n')
		end := len(s.text)
		s.text = append(append(s.text, name...), ": "...)
		from := len(s.text)
		s.text = append(appendSpaced(s.text, value), '\n')
		if bytes.Equal(s.text[from:], s.text[start:end]) || len(s.text) == from+1 {
			s.text = s.text[:end] // nothing new
		}
	}
	s.feed(s.text, true, true)
	return nil
}

// body looks into the text of the leaf p.
func (s *scan) body(r io.ReaderAt, p *Part) error {
	t := &s.reader
	t.reset(r, p)
	defer t.reset(nil, nil)
	buf := chunkPool.Get().(*[chunkSize]byte)
	defer chunkPool.Put(buf)
	for s.left > 0 {
		text, final, err := t.next(buf[:], &s.text, &s.conv)
		if err != nil {
			s.reset()
			return err
		}
		s.feed(text, false, final)
		if final {
			break
		}
	}
	s.reset()
	return nil
}

// A textReader gives the text of a leaf, in UTF-8 if its charset is known.
type textReader struct {
	r         io.ReaderAt
	off, end  int64
	dec       decoder
	charset   transform.Transformer // nil: none is needed
	stateless bool
	pending   []byte // octets of the charset whose rest is in the next chunk
}

func newTextReader(r io.ReaderAt, p *Part) *textReader {
	t := &textReader{}
	t.reset(r, p)
	return t
}

// reset makes t that of the leaf p in r; of none it forgets what it had.
func (t *textReader) reset(r io.ReaderAt, p *Part) {
	*t = textReader{r: r, pending: t.pending[:0]}
	if p == nil {
		return
	}
	t.off, t.end = p.Body, p.End
	if t.dec = newDecoder(p.Encoding, false); t.dec == nil {
		t.dec = identity{}
	}
	name, _ := p.Param("charset")
	if enc, ok := lookupCharset(name); ok && enc != nil {
		t.charset = enc.NewDecoder()
		t.stateless = stateless(name)
	}
}

// next gives the next piece of text; final means that it is the last. The
// buffers are the caller's, text is in one of them.
func (t *textReader) next(buf []byte, out, conv *[]byte) (text []byte, final bool, err error) {
	c := buf[:min(t.end-t.off, int64(len(buf)))]
	if err := readFull(t.r, c, t.off); err != nil {
		return nil, false, err
	}
	t.off += int64(len(c))
	final = t.off == t.end
	if _, plain := t.dec.(identity); plain {
		text = c
	} else {
		*out = t.dec.decode((*out)[:0], c)
		if final {
			*out = t.dec.finish(*out)
		}
		text = *out
	}
	if t.charset == nil || t.stateless && len(t.pending) == 0 && isASCII(text) {
		return text, final, nil
	}
	return t.convert(text, final, conv), final, nil
}

// convert decodes the charset. Decoders of x/text never fail, they put U+FFFD.
func (t *textReader) convert(src []byte, final bool, conv *[]byte) []byte {
	if len(t.pending) > 0 {
		src = append(t.pending, src...)
	}
	dst := *conv
	dst = dst[:cap(dst)]
	if len(dst) < 2*len(src)+64 {
		dst = make([]byte, 2*len(src)+64)
	}
	nd := 0
	for {
		d, n, err := t.charset.Transform(dst[nd:], src, final)
		nd += d
		src = src[n:]
		if err != transform.ErrShortDst {
			break
		}
		dst = append(dst, make([]byte, len(dst))...)
	}
	t.pending = append(t.pending[:0], src...)
	*conv = dst
	return dst[:nd]
}
