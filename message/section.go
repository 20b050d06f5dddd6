package message

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// Spec is the text at the end of a section specification (RFC 9051 §6.4.5.1).
type Spec uint8

const (
	Whole           Spec = iota // nothing: the body of the part, or all of the message
	HeaderSpec                  // HEADER
	HeaderFields                // HEADER.FIELDS
	HeaderFieldsNot             // HEADER.FIELDS.NOT
	MIME                        // MIME; Path is not empty
	Text                        // TEXT
)

// A Section names octets of a message.
//
//	section-spec = section-msgtext / (section-part ["." section-text])
type Section struct {
	Path   []int // part numbers, from 1
	Spec   Spec
	Fields []string // of HEADER.FIELDS and HEADER.FIELDS.NOT, in any case
}

// Find returns the part that path leads to from the root p; ok is false if
// there is none. An empty path is p itself.
func (p *Part) Find(path []int) (part *Part, ok bool) {
	cur, asMessage := p, true
	for _, n := range path {
		if !asMessage && cur.Message != nil {
			cur, asMessage = cur.Message, true
		}
		switch {
		case cur.IsMultipart():
			if n < 1 || n > len(cur.Children) {
				return nil, false
			}
			cur, asMessage = cur.Children[n-1], false
		case asMessage && n == 1:
			asMessage = false // part 1 of a message without parts is its body
		default:
			return nil, false
		}
	}
	return cur, true
}

// Section finds the octets that s names, of the message with root p stored in r.
// ok is false if there is no such part (NIL); HEADER and TEXT of a part that is
// no message are empty. The Body reads r when it is written, but for the
// subsets of header fields, which may be read now.
func (p *Part) Section(r io.ReaderAt, s Section) (b Body, ok bool, err error) {
	part, ok := p.Find(s.Path)
	if !ok || s.Spec == MIME && len(s.Path) == 0 {
		return Body{}, false, nil
	}
	if s.Spec == Whole {
		if len(s.Path) == 0 {
			return Body{r: r, off: p.Header, end: p.End, size: p.Size()}, true, nil
		}
		return Body{r: r, off: part.Body, end: part.End, size: part.BodySize}, true, nil
	}
	if s.Spec != MIME && len(s.Path) > 0 {
		if part = part.Message; part == nil {
			return Body{r: r}, true, nil
		}
	}
	switch s.Spec {
	case HeaderSpec, MIME:
		return Body{r: r, off: part.Header, end: part.Body, size: part.HeaderSize}, true, nil
	case Text:
		return Body{r: r, off: part.Body, end: part.End, size: part.BodySize}, true, nil
	case HeaderFields, HeaderFieldsNot:
		b, err = headerSubset(r, part.Header, part.Body, s.Fields, s.Spec == HeaderFieldsNot)
		return b, err == nil, err
	}
	return Body{}, false, fmt.Errorf("message: section: unknown spec %d", s.Spec)
}

// WholeBody is BODY[] of a message whose served size is known, without its
// structure.
func WholeBody(r io.ReaderAt, size, served int64) Body {
	return Body{r: r, end: size, size: served}
}

// BytesBody serves stored octets that are in memory, for example a header block
// from a cache.
func BytesBody(stored []byte) Body {
	_, bare := countLines(stored, false)
	n := int64(len(stored))
	return Body{r: bytes.NewReader(stored), end: n, size: n + bare}
}

// FilterHeader is HEADER.FIELDS, or with not HEADER.FIELDS.NOT, of a stored
// header block in memory.
func FilterHeader(header []byte, fields []string, not bool) Body {
	b, _ := headerSubset(bytes.NewReader(header), 0, int64(len(header)), fields, not)
	return b
}

// headerSubset selects fields of the header block stored at [off, end). The
// blank line stays, order, folding and duplicates too (RFC 9051 §6.4.5.1).
func headerSubset(r io.ReaderAt, off, end int64, fields []string, not bool) (Body, error) {
	f := fieldFilter{names: make(map[string]bool, len(fields)), not: not}
	for _, name := range fields {
		f.names[lowerString(name)] = true
	}
	if end-off > maxInMemory {
		b := Body{r: r, off: off, end: end, filter: &f}
		n, err := b.copyFiltered(discard{}, 0, -1)
		b.size = n
		return b, err
	}
	header := make([]byte, end-off)
	if err := readFull(r, header, off); err != nil {
		return Body{}, err
	}
	out := make([]byte, 0, min(len(header), 1<<10))
	if _, err := f.feed(header, true, func(b []byte) error {
		out = append(out, b...)
		return nil
	}); err != nil {
		return Body{}, err
	}
	return BytesBody(slices.Clip(out)), nil
}

func lowerString(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lowerASCII(c)
	}
	return string(b)
}

func isASCII[S string | []byte](s S) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
