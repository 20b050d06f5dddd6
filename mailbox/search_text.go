package mailbox

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"roost/message"
)

// This file is the part of SEARCH that looks at what messages say: header
// fields, the date in the header, text. How text is decoded and compared is
// package message's affair (RFC 9051 §6.4.4).

// searchContent is what a search asks of one message; *Content is one.
type searchContent interface {
	Size() (int64, error)
	InternalDate() (time.Time, error)
	SaveDate() (time.Time, error)
	Header() ([]byte, error)
	Part() (*message.Part, error)
	Reader() (io.ReaderAt, int64, error)
	EmailID() (string, error)
	ThreadID() (string, error)
	Close()
}

// textPlan is the keys of a search that need text, made ready. It is shared by
// the workers.
type textPlan struct {
	compare message.Comparator
	fields  []fieldKey
	sent    []*searchNode
	matcher *message.Matcher // for texts, nil if there are none
	texts   []*searchNode
	ids     []*searchNode // EMAILID and THREADID
}

// fieldKey is a key about one header field.
type fieldKey struct {
	*searchNode
	text string // mapped by the comparator; empty: the field is there
}

func (p *textPlan) compile(leaves []*searchNode) {
	var keys []message.TextKey
	for _, n := range leaves {
		switch n.Kind {
		case SearchHeader:
			p.fields = append(p.fields, fieldKey{n, p.compare.Map(n.Text)})
		case SearchSent:
			p.sent = append(p.sent, n)
		case SearchEmailID, SearchThreadID:
			p.ids = append(p.ids, n)
		case SearchBody, SearchText:
			p.texts = append(p.texts, n)
			keys = append(keys, message.TextKey{Text: n.Text, Headers: n.Kind == SearchText})
		}
	}
	if len(keys) > 0 {
		p.matcher = p.compare.NewMatcher(keys...)
	}
}

// objectIDs finds out the keys of one level about EMAILID and THREADID.
func (w *searchWorker) objectIDs(level int, c searchContent, i int) error {
	id := ""
	for _, n := range w.plan.text.ids {
		if n.level != level {
			continue
		}
		if id == "" {
			var err error
			if level == levelHeader {
				id, err = c.ThreadID()
			} else {
				id, err = c.EmailID()
			}
			if err != nil {
				return err
			}
			if id == "" {
				return nil // NIL matches nothing
			}
		}
		w.bits[n.leaf].put(i, id == n.Text)
	}
	return nil
}

// header finds out the keys about header fields of message i, going through
// its header once.
func (w *searchWorker) header(c searchContent, i int) error {
	if len(w.plan.text.fields)+len(w.plan.text.sent) == 0 {
		return nil
	}
	b, err := c.Header()
	if err != nil {
		return err
	}
	h := message.Header(b)
	p := &w.plan.text
	if len(p.sent) > 0 {
		if value, ok := h.Last("Date"); ok {
			// A date that cannot be read is like none: SENT keys do not match.
			if t, ok := message.ParseDate(value); ok {
				for _, n := range p.sent {
					day := DayOf(t)
					w.bits[n.leaf].put(i, n.From <= day && day < n.To)
				}
			}
		}
	}
	if len(p.fields) == 0 {
		return nil
	}
	for name, value := range h.Fields() {
		text, decoded := "", false
		for _, k := range p.fields {
			if w.bits[k.leaf].has(i) || !sameField(name, k.Field) {
				continue
			}
			if !decoded && k.text != "" {
				text, decoded = p.compare.Map(message.DecodeText(value)), true
			}
			w.bits[k.leaf].put(i, strings.Contains(text, k.text))
		}
	}
	return nil
}

// sameField compares names of header fields: ASCII letters match in either case.
func sameField(name []byte, field string) bool {
	if len(name) != len(field) {
		return false
	}
	for i, c := range name {
		d := field[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// wholeRead is up to which size a message is read at once for its text: one
// system call instead of one a part.
const wholeRead = 256 << 10

// body finds out the keys about the text of message i, reading it once.
func (w *searchWorker) body(c searchContent, i int) error {
	if w.plan.text.matcher == nil {
		return nil
	}
	part, err := c.Part()
	if err != nil {
		return err
	}
	r, size, err := c.Reader()
	if err != nil {
		return err
	}
	if size <= wholeRead {
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, min(2*size, wholeRead))
		}
		// A file that got shorter meanwhile is found by the matcher.
		n, err := r.ReadAt(w.buf[:size], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("mailbox: search: read message: %w", diskErr(err))
		}
		w.whole.Reset(w.buf[:n])
		r = &w.whole
	}
	p := &w.plan.text
	found, err := p.matcher.Match(r, part)
	if err != nil {
		return err
	}
	for k, n := range p.texts {
		w.bits[n.leaf].put(i, found[k])
	}
	return nil
}
