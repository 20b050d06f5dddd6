package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"roost/disk"
	"roost/index"
	"roost/message"
)

// Content is the lazily opened content of one message: from the cache where
// that knows, from the file else. Close it. The slices that its methods give
// are valid until then. It is used by one goroutine.
type Content struct {
	mb   *Mailbox
	ix   *index.Index
	row  index.Row
	file disk.File // nil: not opened
	info disk.Info // of file
	done bool      // the cache was asked
	rec  cacheRecord
	next *index.CacheCursor // reads ahead; nil: others read at the same time
	// ahead sees in what order messages are parsed; nil: in any.
	ahead *parseAhead
	part  *message.Part
	wire  []byte // BODY; of length 0: not made yet
	head  head   // of file, while it is parsed

	parser message.BinaryParser

	arrived bool // looked at in the background because it is new
}

// Content opens what message n says. It works for messages that are expunged
// but not yet told, as long as their file is kept (else ErrExpunged). Messages
// that are asked for in order cost few reads of the cache. Only one goroutine
// at a time may use what it gives.
func (v *View) Content(n SeqNum) *Content {
	c := v.content(n)
	c.next, c.ahead = &v.ahead, &v.parse
	v.parse.at(c.row)
	return c
}

// content is Content for several goroutines at a time.
func (v *View) content(n SeqNum) *Content {
	c, ok := v.mb.contents.Get().(*Content)
	if !ok {
		c = &Content{}
	}
	c.mb, c.ix, c.row = v.mb, v.ix, v.row(n)
	v.note()
	return c
}

// Close gives back what was opened.
func (c *Content) Close() {
	if c.file != nil {
		c.file.Close()
	}
	mb := c.mb
	*c = Content{rec: cacheRecord{buf: c.rec.buf, field: c.rec.field}, parser: c.parser, wire: c.wire[:0], head: head{buf: c.head.buf}}
	if mb != nil {
		mb.contents.Put(c)
	}
}

// Size is RFC822.SIZE: octets as served (RFC 9051 §2.3.4).
func (c *Content) Size() (int64, error) {
	if c.row < 0 {
		return 0, ErrExpunged
	}
	if size := c.ix.Size(c.row); size != index.UnknownSize {
		return size, nil
	}
	if err := c.load(); err != nil {
		return 0, err
	}
	c.mb.fill.meta(c.ix, index.Meta{Row: c.row, Size: c.rec.served})
	return c.rec.served, nil
}

// InternalDate is INTERNALDATE (RFC 9051 §2.3.3): the date that APPEND gave, or
// the time of the file when it was first looked at.
func (c *Content) InternalDate() (time.Time, error) {
	if c.row < 0 {
		return time.Time{}, ErrExpunged
	}
	if d := c.ix.Date(c.row); d.Known {
		return d.Time(), nil
	}
	mtime, err := c.mtime()
	if err != nil {
		return time.Time{}, err
	}
	d := index.DateOf(mtime.UTC())
	c.mb.fill.meta(c.ix, index.Meta{Row: c.row, Size: index.UnknownSize, Date: d})
	return d.Time(), nil
}

// mtime is the time of the file, from the cache if it knows. A message that is
// going to be parsed is parsed now: that tells it too.
func (c *Content) mtime() (time.Time, error) {
	if !c.done && c.ahead.expects(c.row) {
		if err := c.load(); err != nil {
			return time.Time{}, err
		}
	}
	if c.done || c.cached() {
		c.done = true
		return c.rec.mtime, nil
	}
	info, err := c.stat()
	return info.Mtime, err
}

// SaveDate is when the message came into this mailbox (RFC 8514); for one that
// was there before the index, when its file last changed in any way.
func (c *Content) SaveDate() (time.Time, error) {
	if c.row < 0 {
		return time.Time{}, ErrExpunged
	}
	if t := c.ix.SaveDate(c.row); !t.IsZero() {
		return t, nil
	}
	info, err := c.stat()
	if err != nil {
		return time.Time{}, err
	}
	t := info.Ctime.Truncate(time.Second)
	c.mb.fill.meta(c.ix, index.Meta{Row: c.row, Size: index.UnknownSize, SaveDate: t})
	return t, nil
}

// Envelope is ENVELOPE in wire form.
func (c *Content) Envelope() ([]byte, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	if env, ok := message.BinaryEnvelope(c.rec.part); ok {
		return env, nil
	}
	p, err := c.Part()
	if err != nil {
		return nil, err
	}
	return p.AppendEnvelope(nil), nil
}

// Body is BODY in wire form.
func (c *Content) Body() ([]byte, error) {
	if len(c.wire) > 0 {
		return c.wire, nil
	}
	p, err := c.borrowPart(&c.parser)
	if err != nil {
		return nil, err
	}
	c.wire = p.AppendBody(c.wire)
	return c.wire, nil
}

// BodyStructure is BODYSTRUCTURE in wire form.
func (c *Content) BodyStructure() ([]byte, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	return c.rec.structure, nil
}

// Part is the parsed structure; it may be kept.
func (c *Content) Part() (*message.Part, error) {
	if c.part != nil {
		return c.part, nil
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	if c.part != nil { // load has parsed it
		return c.part, nil
	}
	p, err := message.ParseBinary(c.rec.part)
	if err != nil {
		p, err = c.parseAgain()
	}
	c.part = p
	return p, err
}

// borrowPart is Part by way of a parser whose memory is used again: what it
// gives is valid until the next call with that parser, and has no envelope.
func (c *Content) borrowPart(parser *message.BinaryParser) (*message.Part, error) {
	if err := c.load(); err != nil || c.part != nil {
		return c.part, err
	}
	p, err := parser.Parse(c.rec.part)
	if err != nil {
		return c.parseAgain()
	}
	return p, nil
}

// parseAgain is for a cache record of another version.
func (c *Content) parseAgain() (*message.Part, error) {
	f, size, err := c.Reader()
	if err != nil {
		return nil, err
	}
	p, err := message.Parse(f, size)
	if err != nil {
		return nil, fmt.Errorf("mailbox: parse message: %w", diskErr(err))
	}
	return p, nil
}

// Reader gives the stored octets and how many there are.
func (c *Content) Reader() (io.ReaderAt, int64, error) {
	if err := c.open(); err != nil {
		return nil, 0, err
	}
	return c.file, c.info.Size, nil
}

// Header gives the header block as stored, from the cache if it has it.
func (c *Content) Header() ([]byte, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	if len(c.rec.header) > 0 {
		return c.rec.header, nil
	}
	p, err := c.Part()
	if err != nil {
		return nil, err
	}
	if p.Body <= p.Header {
		return nil, nil
	}
	f, _, err := c.Reader()
	if err != nil {
		return nil, err
	}
	h := make([]byte, min(p.Body-p.Header, maxHeader))
	if _, err := f.ReadAt(h, p.Header); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("mailbox: read header: %w", diskErr(err))
	}
	return h, nil
}

// maxHeader bounds a header block in memory.
const maxHeader = 1 << 20

// Preview is PREVIEW (RFC 8970); UTF-8, may be empty.
func (c *Content) Preview() (string, error) {
	if err := c.load(); err != nil {
		return "", err
	}
	return string(c.rec.preview), nil
}

// load makes rec that of the message: from the cache, or by parsing the file,
// which fills the cache.
func (c *Content) load() error {
	if c.row < 0 {
		return ErrExpunged
	}
	if c.done {
		return nil
	}
	if c.cached() {
		c.done = true
		return nil
	}
	if c.ahead != nil {
		c.ahead.parsing(c.mb, c.ix, c.row)
	}
	if err := c.open(); err != nil {
		return err
	}
	return c.parse()
}

// cached makes rec what the cache holds; false if it holds nothing.
func (c *Content) cached() bool {
	return c.rec.take(c.entry())
}

// entry is the record of the cache.
func (c *Content) entry() (index.CacheEntry, bool) {
	if c.next == nil {
		return c.ix.Cache().Get(c.row, c.rec.buf)
	}
	return c.ix.Cache().GetAt(c.next, c.row, c.rec.buf)
}

// parse reads the file and puts what it says into the cache.
func (c *Content) parse() error {
	if err := c.head.read(c.file, c.info.Size); err != nil {
		return fmt.Errorf("mailbox: read message: %w", diskErr(err))
	}
	p, err := c.head.parse(c.info.Size)
	if err != nil {
		return fmt.Errorf("mailbox: parse message: %w", diskErr(err))
	}
	var emailID []byte
	if c.arrived && c.info.Size <= emailIDAtOnce {
		if emailID, err = c.digest(p.Size()); err != nil {
			return err
		}
	}
	if err := c.rec.make(&c.head, c.info, p, emailID); err != nil {
		return fmt.Errorf("mailbox: read message: %w", diskErr(err))
	}
	c.part, c.done = p, true
	if !c.ix.Gone(c.row) {
		c.rec.put(c.ix, c.row, c.info)
		c.mb.fill.learned(c.ix, c.row, c.rec.served, c.info)
	}
	return nil
}

// stat describes the file.
func (c *Content) stat() (disk.Info, error) {
	if c.file != nil {
		return c.info, nil
	}
	name := c.ix.Name(c.row)
	info, err := c.mb.dir.Lstat(placeOf(name), c.mb.fileName(c.ix.Base(c.row), name))
	if err == nil && !c.ix.Gone(c.row) {
		return info, nil
	}
	err = c.open()
	return c.info, err
}

// open opens the file, and checks that it still is what the cache says (R11).
func (c *Content) open() error {
	if c.file != nil {
		return nil
	}
	if c.row < 0 {
		return ErrExpunged
	}
	f, err := c.mb.openFile(c.ix, c.row)
	if err != nil {
		return err
	}
	info, err := disk.StatOpened(f)
	if err != nil {
		f.Close()
		return diskErr(err)
	}
	c.file, c.info = f, info
	if c.ix.Gone(c.row) {
		return nil
	}
	if !c.done && !c.cached() {
		return nil // nothing is known that could differ
	}
	c.done = true
	if c.rec.size == info.Size && c.rec.mtime.Equal(info.Mtime) {
		return nil
	}
	if c.rec.size == info.Size {
		h := head{file: f}
		if first, err := h.bytes(0, int(min(info.Size, digestSize))); err == nil && digestOf(first) == c.rec.digest {
			// touch, cp, a restore without times: the same message.
			c.rec.put(c.ix, c.row, info)
			return nil
		}
	}
	c.mb.replaced(c.ix, c.row)
	f.Close()
	c.file, c.done = nil, false
	return ErrExpunged
}

// openTries are the pauses between the attempts to open a file that other
// programs rename (R5).
var openPauses = [...]time.Duration{time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond, 125 * time.Millisecond, 0}

// openFile opens the file of row under whatever name it has by now. ErrExpunged:
// the message is gone, and so is its file. ErrUnavailable: it cannot be found.
func (mb *Mailbox) openFile(ix *index.Index, row index.Row) (disk.File, error) {
	for try, pause := range openPauses {
		f, err := mb.tryOpen(ix, row)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, diskErr(err)
		}
		if ix.Gone(row) && try > 1 {
			return nil, ErrExpunged
		}
		if mb.index() != ix {
			return nil, ErrGone
		}
		if pause == 0 {
			break
		}
		wait := time.NewTimer(pause)
		<-wait.C
		if try > 0 && !ix.Gone(row) {
			if err := mb.refreshTimely(try > 1); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("%w: the file of UID %d cannot be found", ErrUnavailable, ix.UID(row))
}

// refreshTimely is refreshHard for those who have no context, as few need one.
func (mb *Mailbox) refreshTimely(hard bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return mb.refreshHard(ctx, hard)
}

func (mb *Mailbox) tryOpen(ix *index.Index, row index.Row) (disk.File, error) {
	if ix.Gone(row) {
		mb.mu.Lock()
		g, ok := mb.work.gone.files[row]
		mb.mu.Unlock()
		if ok {
			if f, err := mb.dir.Tmp().Open(g.tmp); !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
		}
	}
	n := ix.Name(row)
	return mb.dir.OpenMessage(placeOf(n), mb.fileName(ix.Base(row), n))
}

// replaced gives the file of row a new UID: its content was changed in place,
// and a message never changes (RFC 9051 §2.3.1.1, R11).
func (mb *Mailbox) replaced(ix *index.Index, row index.Row) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if mb.ix != ix || !mb.live.Has(row) || mb.writableLocked() != nil {
		return
	}
	mb.log.Warn("a message was changed in place and gets a new UID", "uid", ix.UID(row), "base", ix.Base(row))
	add := index.Add{
		Base: ix.Base(row), Name: ix.Name(row), Flags: ix.Flags(row), Keywords: ix.Keywords(row),
		Size: index.UnknownSize, SaveDate: mb.o.FS.Now(),
	}
	if err := mb.expungeLocked(&index.Batch{Expunges: []index.Expunge{{Row: row}}}, nil); err != nil {
		mb.log.Error("cannot record the change", "err", err)
		return
	}
	if _, err := mb.addLocked(&index.Batch{Adds: []index.Add{add}}, nil); err != nil {
		mb.log.Error("cannot record the change", "err", err)
	}
}
