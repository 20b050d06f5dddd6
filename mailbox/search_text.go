package mailbox

import (
	"errors"
	"fmt"
	"io"
	"time"

	"roost/message"
)

// This file is the part of SEARCH that reads messages: text, and the ids of
// RFC 8474. How text is decoded and compared is package message's affair
// (RFC 9051 §6.4.4).

// searchContent is what a search asks of one message; *Content is one.
type searchContent interface {
	Size() (int64, error)
	InternalDate() (time.Time, error)
	SaveDate() (time.Time, error)
	Header() ([]byte, error)
	briefHeader() (message.Header, error) // may leave out what sortFields has not
	borrowPart(*message.BinaryParser) (*message.Part, error)
	Reader() (io.ReaderAt, int64, error)
	EmailID() (string, error)
	ThreadID() (string, error)
	Close()
}

// textPlan is the keys of a search that need text, made ready. It is shared by
// the workers.
type textPlan struct {
	matcher *message.Matcher // for texts, nil if there are none
	texts   []*searchNode
	ids     []*searchNode // EMAILID and THREADID

	threadIDs bool // there are some among ids
}

func (p *textPlan) compile(compare message.Comparator, leaves []*searchNode) {
	var keys []message.TextKey
	for _, n := range leaves {
		switch n.Kind {
		case SearchEmailID, SearchThreadID:
			p.ids = append(p.ids, n)
			p.threadIDs = p.threadIDs || n.Kind == SearchThreadID
		case SearchBody, SearchText:
			p.texts = append(p.texts, n)
			keys = append(keys, message.TextKey{Text: n.Text, Headers: n.Kind == SearchText})
		}
	}
	if len(keys) > 0 {
		p.matcher = compare.NewMatcher(keys...)
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

// wholeRead is up to which size what is to be searched of a message is read at
// once: one system call instead of one a part.
const wholeRead = 256 << 10

// body finds out the keys about the text of message i, reading it once.
func (w *searchWorker) body(c searchContent, i int) error {
	if w.plan.text.matcher == nil {
		return nil
	}
	part, err := c.borrowPart(&w.parser)
	if err != nil {
		return err
	}
	r, _, err := c.Reader()
	if err != nil {
		return err
	}
	p := &w.plan.text
	if size := p.matcher.Extent(part); size <= wholeRead {
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
	found, err := p.matcher.Match(r, part)
	if err != nil {
		return err
	}
	for k, n := range p.texts {
		w.bits[n.leaf].put(i, found[k])
	}
	return nil
}
