package session

import (
	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/message"
)

// This file writes the items of one FETCH response (RFC 9051 §7.5.2).

// fetchLine is the response of one message in the making.
type fetchLine struct {
	*fetcher
	m       mailbox.Message
	columns *mailbox.Columns // with sizes and dates if the command asks for those
	content *mailbox.Content // nil: not asked for yet
	items   int              // written
	sees    bool             // the items set \Seen, and it is not set
	seen    bool             // octets of the message were written
	lost    bool             // something is missing
}

// begin writes the name of an item. It is called when nothing can go wrong with
// the item any more, but in the middle of its octets.
func (l *fetchLine) begin(label string) {
	l.s.w.Item()
	l.s.w.Raw(label)
	l.items++
}

// open gives the content of the message.
func (l *fetchLine) open() *mailbox.Content {
	if l.content == nil {
		l.content = l.s.view.Content(l.m.Seq)
	}
	return l.content
}

// item writes one item; if it fails before the first octet, it writes nothing.
func (l *fetchLine) item(it *fetchItem) error {
	w := l.s.w
	switch it.kind {
	case fetchUID:
		if it.implied && l.s.enabled.uidOnly {
			return nil // it is at the beginning of the response
		}
		l.begin("UID ")
		w.Number(uint64(l.m.UID))
	case fetchFlags:
		if !l.sees { // else behind the items that change them
			w.Item()
			l.items++
			l.s.writeFlags(l.m)
		}
	case fetchModSeq:
		l.begin("MODSEQ (")
		w.Number(uint64(l.m.ModSeq))
		w.Raw(")")
	case fetchSize:
		size := l.columns.Size
		if size < 0 {
			var err error
			if size, err = l.open().Size(); err != nil {
				return err
			}
		}
		l.begin("RFC822.SIZE ")
		w.Number(uint64(size))
	case fetchInternalDate:
		date := l.columns.Date
		if date.IsZero() {
			var err error
			if date, err = l.open().InternalDate(); err != nil {
				return err
			}
		}
		l.begin("INTERNALDATE ")
		w.DateTime(date)
	case fetchSaveDate:
		date, err := l.open().SaveDate()
		if err != nil {
			return err
		}
		l.begin("SAVEDATE ")
		w.DateTime(date)
	case fetchEnvelope:
		return l.made(it.label, l.open().Envelope)
	case fetchBody:
		return l.made(it.label, l.open().Body)
	case fetchBodyStructure:
		return l.made(it.label, l.open().BodyStructure)
	case fetchSection:
		return l.section(it)
	case fetchBinary, fetchBinarySize:
		return l.binary(it)
	case fetchEmailID:
		return l.objectID(it.label, l.open().EmailID)
	case fetchThreadID:
		return l.objectID(it.label, l.open().ThreadID)
	case fetchPreview:
		return l.preview(it)
	}
	return nil
}

// objectID writes EMAILID or THREADID; "" is NIL (RFC 8474 §5.3).
func (l *fetchLine) objectID(label string, get func() (string, error)) error {
	id, err := get()
	if err != nil {
		return err
	}
	l.begin(label)
	if id == "" {
		l.s.w.Raw(" NIL")
		return nil
	}
	l.s.w.Raw(" (")
	l.s.w.Raw(id)
	l.s.w.Raw(")")
	return nil
}

// made writes an item that the cache has in its wire form.
func (l *fetchLine) made(label string, get func() ([]byte, error)) error {
	b, err := get()
	if err != nil {
		return err
	}
	l.room(int64(len(b)))
	l.begin(label)
	l.s.w.SP()
	l.s.w.RawBytes(b)
	return nil
}

// section writes BODY[...] and its like.
func (l *fetchLine) section(it *fetchItem) error {
	if it.fields != nil {
		return l.headerFields(it)
	}
	b, ok, err := l.sectionBody(&it.section.Section)
	if err != nil {
		return err
	}
	if !ok {
		l.nothing(it)
		return nil
	}
	return l.octets(it, &b, false)
}

// headerFields writes BODY[HEADER.FIELDS ...] of the message, from its cached
// header.
func (l *fetchLine) headerFields(it *fetchItem) error {
	header, err := l.open().Header()
	if err != nil {
		return err
	}
	if len(header) >= cutHeader {
		b, _, err := l.sectionBody(&it.section.Section)
		if err != nil {
			return err
		}
		return l.octets(it, &b, false)
	}
	l.header = it.fields.Append(l.header[:0], header)
	b := l.header
	if it.section.partial {
		b = b[min(it.section.offset, int64(len(b))):]
		b = b[:min(it.section.count, int64(len(b)))]
	}
	l.room(int64(len(b) + len(it.label)))
	l.begin(it.label)
	l.s.w.SP()
	l.seen = l.seen || l.sees && it.seen
	if len(b) == 0 {
		l.s.w.Raw(`""`)
		return nil
	}
	l.s.w.Literal(b)
	return nil
}

// nothing writes NIL for a part that does not exist.
func (l *fetchLine) nothing(it *fetchItem) {
	l.begin(it.label)
	l.s.w.Raw(" NIL")
}

// cutHeader is the size from which on a header block from the cache may be only
// its start; all of it is served, from the file.
const cutHeader = 1 << 20

// sectionBody finds the octets of a section with as little of the message as
// that needs: the header comes from the cache, the whole message needs no
// structure.
func (l *fetchLine) sectionBody(sec *message.Section) (b message.Body, ok bool, err error) {
	c := l.open()
	if len(sec.Path) == 0 {
		switch sec.Spec {
		case message.HeaderSpec:
			header, err := c.Header()
			if err != nil {
				return b, false, err
			}
			if len(header) < cutHeader {
				return message.BytesBody(header), true, nil
			}
		case message.Whole:
			served, err := c.Size()
			if err != nil {
				return b, false, err
			}
			r, size, err := c.Reader()
			if err != nil {
				return b, false, err
			}
			return message.WholeBody(r, size, served), true, nil
		}
	}
	part, err := c.Part()
	if err != nil {
		return b, false, err
	}
	r, _, err := c.Reader()
	if err != nil {
		return b, false, err
	}
	return part.Section(r, *sec)
}

// octets writes an item whose value is what b serves, or a part of that.
func (l *fetchLine) octets(it *fetchItem, b *message.Body, literal8 bool) error {
	off, n := int64(0), b.Size()
	if it.section.partial {
		off = it.section.offset
		n = b.PartialSize(off, it.section.count)
	}
	l.room(n + int64(len(it.label)))
	l.begin(it.label)
	w := l.s.w
	w.SP()
	l.seen = l.seen || l.sees && it.seen
	if n == 0 {
		w.Raw(`""`)
		return nil
	}
	w.LiteralHeader(n, literal8)
	if off == 0 && n == b.Size() {
		_, err := b.WriteTo(w)
		return err
	}
	_, err := b.WritePartial(w, off, n, l.s.partialPosition(l.m.UID))
	return err
}

// partialPlace remembers where the last partial of a message ended, for clients
// that read large messages piece by piece with one command each.
type partialPlace struct {
	mailbox string // its id
	uid     imap.UID
	pos     message.Position
}

// partialPosition gives the place in the message with that UID.
func (s *Session) partialPosition(uid imap.UID) *message.Position {
	p := &s.partial
	if id := s.mailbox.ID(); p.uid != uid || p.mailbox != id {
		*p = partialPlace{mailbox: id, uid: uid}
	}
	return &p.pos
}
