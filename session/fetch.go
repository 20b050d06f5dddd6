package session

import (
	"context"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
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
	if p := c.partial; p != nil {
		if limit := s.messageLimit(); limit != 0 && p.count() > uint64(limit) {
			return tooMany(limit, 0, "FETCH exceeds the message limit") // RFC 9738 §3.1
		}
		from, to := p.window(msgs.Len())
		msgs = slice(msgs, from, to)
	}
	if c.asks(fetchModSeq) {
		s.enableCondstore()
	}
	f := fetcher{s: s, cmd: c, ctx: ctx}
	msgs, f.lowest = s.limited(msgs)
	for i := range c.items {
		f.sees = f.sees || c.items[i].seen && !s.view.ReadOnly() && s.view.Rights().Has(mailbox.RightSeen)
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
	return s.partly(f.result(), f.lowest)
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

	lowest imap.UID // the limit on messages ends here; 0: it was not reached

	served int   // messages answered
	lost   int   // of which something is missing, expunged
	err    error // the first of one message
	fatal  error // the connection or the mailbox is gone
}

// all answers msgs. What the table knows is copied for some of them at once,
// unless it may change while octets of messages are sent.
func (f *fetcher) all(msgs mailbox.Seqs) {
	size, facts, flags := fetchChunk, false, f.sees || f.cmd.asks(fetchFlags)
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
	for i := range msgs {
		r := msgs[i]
		if f.lowest != 0 {
			r = msgs[len(msgs)-1-i] // from the highest on (RFC 9738 §3.1)
		}
		for r.First <= r.Last {
			part := chunk[:min(len(chunk), int(r.Last-r.First)+1)]
			first := r.First
			if f.lowest != 0 {
				first = r.Last - mailbox.SeqNum(len(part)) + 1
			}
			k := f.s.view.Columns(first, part, facts)
			if k < len(part) {
				return // cannot be: msgs were resolved in this View
			}
			if flags && f.s.view.KeywordsGrew() {
				f.s.writeFlagsInUse() // before a response shows them (RFC 9051 §7.3.5)
			}
			if f.chunk(part); f.fatal != nil {
				return
			}
			if f.lowest != 0 {
				r.Last -= mailbox.SeqNum(k)
			} else {
				r.First += mailbox.SeqNum(k)
			}
		}
	}
}

// chunk answers the messages of one chunk.
func (f *fetcher) chunk(part []mailbox.Columns) {
	if f.lowest != 0 {
		slices.Reverse(part)
	}
	for i := range part {
		if f.message(&part[i]); f.fatal != nil {
			return
		}
	}
	if err := f.ctx.Err(); err != nil {
		f.fatal = err
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
	s.beginFetch(m)
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
