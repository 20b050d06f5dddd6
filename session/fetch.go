package session

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/message"
	"roost/wire"
)

// This file answers FETCH and UID FETCH (RFC 9051 §6.4.5, §6.4.9, §7.5.2).
// Columns of the index go straight into the Writer, structures are written as
// the cache has them, octets of messages are streamed behind their size. No
// lock is held meanwhile.

// seenRoom is how much may wait in the Writer while messages are to be marked
// \Seen: so little that it cannot flush before they are.
const seenRoom = 48 << 10

func parseFetch(sc *wire.Scanner) (runner, error) {
	c := scanFetch(sc, false)
	return c, sc.End()
}

func parseUIDFetch(sc *wire.Scanner) (runner, error) {
	c := scanFetch(sc, true)
	return c, sc.End()
}

// asks says whether the command asks for an item of kind.
func (c *fetchCmd) asks(kind fetchKind) bool {
	for i := range c.items {
		if c.items[i].kind == kind {
			return true
		}
	}
	return false
}

func (c *fetchCmd) run(ctx context.Context, s *Session) error {
	if c.vanished && !s.enabled.qresync {
		return bad("VANISHED needs ENABLE QRESYNC") // RFC 7162 §3.2.6
	}
	msgs, err := s.resolve(c.set)
	if err != nil {
		return err
	}
	if c.asks(fetchModSeq) {
		s.enableCondstore()
	}
	f := fetcher{s: s, cmd: c, ctx: ctx}
	for i := range c.items {
		f.sees = f.sees || c.items[i].seen && !s.view.ReadOnly()
	}
	if c.hasChangedSince {
		f.since = s.changedSince(c.changedSince)
	}
	if c.vanished {
		s.writeVanishedEarlier(f.since, c.set)
	}
	if f.all(msgs); f.fatal != nil {
		return f.fatal
	}
	f.applySeen()
	f.tellSeen()
	return f.result()
}

// A fetcher answers one FETCH.
type fetcher struct {
	s     *Session
	ctx   context.Context
	cmd   *fetchCmd
	since mailbox.ModSeq
	sees  bool // items set \Seen

	header []byte // selected header fields of a message

	batch mailbox.Seqs      // told as \Seen, not yet stored
	tell  []mailbox.Message // to be told in lines of their own

	served int   // messages answered
	lost   int   // of which something is missing, expunged
	err    error // the first of one message
	fatal  error // the connection or the mailbox is gone
}

// all answers msgs. What the table knows is copied for some of them at once,
// unless it may change while octets of messages are sent.
func (f *fetcher) all(msgs mailbox.Seqs) {
	size, facts := fetchChunk, false
	for i := range f.cmd.items {
		switch f.cmd.items[i].kind {
		case fetchUID, fetchFlags, fetchModSeq:
		case fetchSize, fetchInternalDate:
			facts = true
		default:
			size = 1
		}
	}
	chunk := make([]mailbox.Columns, min(size, msgs.Len()))
	for _, r := range msgs {
		for n := r.First; n <= r.Last; {
			k := f.s.view.Columns(n, chunk[:min(len(chunk), int(r.Last-n)+1)], facts)
			for i := range k {
				if f.message(&chunk[i]); f.fatal != nil {
					return
				}
			}
			if k == 0 {
				return // cannot be: msgs were resolved in this View
			}
			n += mailbox.SeqNum(k)
			if err := f.ctx.Err(); err != nil {
				f.fatal = err
				return
			}
		}
	}
}

// fetchChunk is how many messages are copied out of the table at once.
const fetchChunk = 64

// result is what the command ends with. A message that is gone, but not told,
// is an OK with a code as long as others were answered (RFC 2180 §4.1).
func (f *fetcher) result() error {
	switch {
	case f.fatal != nil:
		return f.fatal
	case f.err != nil:
		return f.err
	case f.lost > 0 && f.served == 0:
		return mailbox.ErrExpunged
	case f.lost > 0:
		return f.s.ok("EXPUNGEISSUED", "some of the messages no longer exist")
	}
	return nil
}

// message writes the FETCH response of one message. What goes wrong with it
// does not keep the others from the client.
func (f *fetcher) message(c *mailbox.Columns) {
	s, m := f.s, c.Message
	if f.cmd.hasChangedSince && m.ModSeq <= f.since {
		return
	}
	w := s.w
	f.room(0)
	mark := w.Mark()
	w.Untagged()
	w.Number(uint64(m.Seq))
	w.Raw(" FETCH ")
	w.Open()
	line := fetchLine{fetcher: f, m: m, columns: c}
	line.sees = f.sees && m.Flags&mailbox.Seen == 0 && !s.view.Expunged(m.Seq)
	for i := range f.cmd.items {
		if err := line.item(&f.cmd.items[i]); err != nil {
			f.failed(err, &line)
		}
		if f.fatal != nil {
			break
		}
	}
	if line.content != nil {
		line.content.Close()
	}
	if line.seen {
		m.Flags |= mailbox.Seen
		f.batch = f.batch.Add(m.Seq)
	}
	if (line.seen || line.sees && f.cmd.asks(fetchFlags)) && f.fatal == nil {
		w.Item()
		s.writeFlags(m)
		line.items++
	}
	if line.items == 0 {
		w.Rewind(mark)
		return
	}
	w.Close()
	w.CRLF()
	f.served++
	f.tellSeen()
	if err := w.Err(); err != nil {
		f.fatal = err
	}
}

// failed notes the error of one item.
func (f *fetcher) failed(err error, line *fetchLine) {
	switch {
	case f.s.w.Err() != nil || f.s.w.InLiteral():
		f.fatal = err
	case errors.Is(err, mailbox.ErrGone):
		f.fatal = err
	case errors.Is(err, mailbox.ErrExpunged):
		if !line.lost {
			f.lost++
		}
		line.lost = true
	case f.err == nil:
		f.err = err
	}
}

// room makes sure that n octets can be written without a flush while \Seen is
// promised but not stored.
func (f *fetcher) room(n int64) {
	if len(f.batch) > 0 && int64(f.s.w.Pending())+n > seenRoom {
		f.applySeen()
	}
}

// applySeen sets \Seen on the messages whose octets were written (RFC 9051
// §6.4.5), all in one step.
func (f *fetcher) applySeen() {
	if len(f.batch) == 0 {
		return
	}
	batch := f.batch
	f.batch = nil
	res, err := f.s.view.Store(f.ctx, batch, mailbox.StoreOp{Mode: mailbox.StoreAdd, Flags: mailbox.Seen})
	if err != nil {
		// The client was told of flags that are not set.
		for n := range batch.All() {
			f.tell = append(f.tell, f.s.view.Message(n))
		}
		if f.err == nil {
			f.err = err
		}
		if errors.Is(err, mailbox.ErrGone) {
			f.fatal = err
		}
		return
	}
	if f.s.enabled.condstore {
		// Their mod-sequences were not known when their lines were written
		// (RFC 7162 §3.2.4).
		f.tell = append(f.tell, res.Stored...)
	}
}

// tellSeen writes what applySeen found out. It is called between two lines.
func (f *fetcher) tellSeen() {
	for _, m := range f.tell {
		f.s.writeFetchFlags(m)
	}
	f.tell = f.tell[:0]
}

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
	case fetchPreview:
		return l.preview(it)
	}
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
