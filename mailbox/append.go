package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/maildir"
)

// Append is one APPEND, MULTIAPPEND or REPLACE in progress (RFC 9051 §6.3.12,
// RFC 3502). It is used by one goroutine.
type Append struct {
	mb      *Mailbox
	msgs    []appending
	rights  Rights // who appends sets flags with these
	done    bool
	release []func() // of what quota keeps for them
}

// appending is one message in tmp/.
type appending struct {
	meta AppendMeta
	temp *maildir.Temp
	size int64 // of the file
	crlf int64 // as served
	base string
	name index.Name
	set  index.KeywordSet
	date index.Date
}

// AppendMeta is what comes with one message.
type AppendMeta struct {
	Flags    index.Flags
	Keywords []string
	Date     *time.Time // with its zone; nil: now
}

// NewAppend prepares to add messages to mb; nothing is visible before Commit.
// Abort it in the end, whatever happens.
func (mb *Mailbox) NewAppend(ctx context.Context) (*Append, error) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if err := mb.writableLocked(); err != nil {
		return nil, err
	}
	return &Append{mb: mb, rights: AllRights}, nil
}

// Add streams size octets of r into a file in tmp/. No lock is held. It stores
// LF when every line ends in CRLF, as MTAs do, else what came. ErrOverQuota
// comes before anything is read.
func (ap *Append) Add(meta AppendMeta, r io.Reader, size int64) error {
	release, err := ap.mb.o.Quota.reserve(context.Background(), size, 1)
	if err != nil {
		return fmt.Errorf("mailbox: append: %w", err)
	}
	ap.release = append(ap.release, release)
	w := &lineWriter{mb: ap.mb}
	err = w.copy(r, size)
	if err != nil {
		w.abort()
		return fmt.Errorf("mailbox: append: %w", diskErr(err))
	}
	ap.msgs = append(ap.msgs, appending{meta: ap.rights.meta(meta), temp: w.temp, size: w.stored, crlf: w.served})
	return nil
}

// Abort frees what Add took. It may be called after Commit and then does nothing.
func (ap *Append) Abort() {
	for _, release := range ap.release {
		release()
	}
	if ap.done {
		return
	}
	ap.done = true
	for _, m := range ap.msgs {
		m.temp.Abort()
	}
}

// Commit makes all of them messages, or none. The UIDs are in the order of Add.
// The files and their names are durable on return, the record once b is.
func (ap *Append) Commit(ctx context.Context, b *Barrier) (uidValidity uint32, uids []imap.UID, err error) {
	mb := ap.mb
	if ap.done || len(ap.msgs) == 0 {
		return 0, nil, fmt.Errorf("mailbox: commit append: %w", fs.ErrInvalid)
	}
	defer ap.Abort()
	for i := range ap.msgs {
		if err := ap.finish(ctx, &ap.msgs[i]); err != nil {
			return 0, nil, err
		}
	}
	if len(ap.msgs) > 1 {
		if err := mb.dir.Tmp().Sync(); err != nil {
			return 0, nil, diskErr(err)
		}
	}
	in, err := mb.reserve(ap.additions)
	if err != nil {
		return 0, nil, err
	}
	defer in.release()
	if err := in.intend(intentAppend, ""); err != nil {
		return 0, nil, err
	}
	mb.withoutWatch(ctx, len(ap.msgs), func() {
		for i := range ap.msgs {
			m := &ap.msgs[i]
			if err = m.temp.Publish(maildir.Cur, mb.fileName(m.base, m.name)); err != nil {
				in.undo(i)
				return
			}
		}
	})
	if err != nil {
		return 0, nil, fmt.Errorf("mailbox: append: %w", diskErr(err))
	}
	a, err := in.publish(nil)
	if err != nil {
		return 0, nil, err
	}
	ap.done = true
	var octets int64
	for i := range ap.msgs {
		uids = append(uids, in.ix.UID(a.First+index.Row(i)))
		octets += ap.msgs[i].size
	}
	mb.o.Quota.owe(octets, int64(len(ap.msgs)))
	b.add(barrierWait{mb, in.ix, position(a.Pos)})
	in.filled(a)
	return in.ix.UIDValidity(), uids, nil
}

// finish makes the file of m durable and gives it its name.
func (ap *Append) finish(ctx context.Context, m *appending) error {
	mb := ap.mb
	mb.giveLetters(ctx, m.meta.Keywords)
	now := mb.o.FS.Now()
	date := now
	if m.meta.Date != nil {
		date = *m.meta.Date
	}
	m.date = index.DateOf(date)
	if err := m.temp.Finish(date); err != nil {
		return diskErr(err)
	}
	m.base = mb.namer.Base(m.size, m.crlf)
	return nil
}

// additions are the records of the messages. mb.mu must be held.
func (ap *Append) additions() ([]index.IntentEntry, error) {
	mb := ap.mb
	out := make([]index.IntentEntry, len(ap.msgs))
	for i := range ap.msgs {
		m := &ap.msgs[i]
		k, err := mb.setOf(m.meta.Keywords)
		if err != nil {
			return nil, err
		}
		m.set = k
		m.name = index.Name{Letters: mb.wantLettersLocked(m.meta.Flags, k, 0), Where: index.HasInfo}
		out[i] = index.IntentEntry{
			Source: m.temp.Name(),
			Add: index.Add{
				Base: m.base, Name: m.name, Flags: m.meta.Flags, Keywords: k,
				Date: m.date, Size: m.crlf, SaveDate: mb.o.FS.Now(),
			},
		}
	}
	return out, nil
}

// errShort is a message that ended early.
var errShort = errors.New("message is shorter than announced")

// A lineWriter writes a message to tmp/ with LF for CRLF. At the first bare CR
// or LF it turns back what was written and keeps the rest as it comes, since
// such a message could not be served as it was given.
type lineWriter struct {
	mb     *Mailbox
	temp   *maildir.Temp
	buf    []byte
	raw    bool
	cr     bool  // a CR is held back
	stored int64 // octets written
	served int64 // octets with each bare LF counted as CRLF
}

const lineChunk = 64 << 10

func (w *lineWriter) abort() {
	if w.temp != nil {
		w.temp.Abort()
	}
}

func (w *lineWriter) copy(r io.Reader, size int64) error {
	if err := w.begin(); err != nil {
		return err
	}
	if err := w.take(r, size); err != nil {
		return err
	}
	return w.end()
}

func (w *lineWriter) begin() (err error) {
	w.temp, err = w.mb.dir.Create(w.mb.namer)
	return err
}

// take writes size octets of r.
func (w *lineWriter) take(r io.Reader, size int64) error {
	in := make([]byte, min(size, lineChunk)+1)
	for left := size; left > 0; {
		n, err := r.Read(in[:min(left, int64(len(in)))])
		left -= int64(n)
		if werr := w.write(in[:n]); werr != nil {
			return werr
		}
		if err != nil && left > 0 {
			if errors.Is(err, io.EOF) {
				err = errShort
			}
			return err
		}
	}
	return nil
}

// end writes what was held back.
func (w *lineWriter) end() error {
	if w.cr { // a CR at the very end is bare
		if err := w.turnBack(); err != nil {
			return err
		}
		if err := w.writeRaw([]byte{'\r'}); err != nil {
			return err
		}
	}
	return w.flush()
}

// write takes the next octets.
func (w *lineWriter) write(p []byte) error {
	for i := 0; i < len(p) && !w.raw; i++ {
		c := p[i]
		if w.cr != (c == '\n') { // a bare CR, or a bare LF
			held := w.cr
			if err := w.turnBack(); err != nil {
				return err
			}
			if held {
				if err := w.writeRaw([]byte{'\r'}); err != nil {
					return err
				}
			}
			return w.writeRaw(p[i:])
		}
		if c == '\r' {
			w.cr = true
			continue
		}
		if w.cr {
			w.served++
			w.cr = false
		}
		w.served++
		w.buf = append(w.buf, c)
	}
	if w.raw {
		return w.writeRaw(p)
	}
	if len(w.buf) >= lineChunk {
		return w.flush()
	}
	return nil
}

// writeRaw takes octets as they are, once turnBack was called.
func (w *lineWriter) writeRaw(p []byte) error {
	for _, c := range p {
		if c == '\n' && !w.cr {
			w.served++
		}
		w.cr = c == '\r'
		w.served++
	}
	w.buf = append(w.buf, p...)
	if len(w.buf) >= lineChunk {
		return w.flush()
	}
	return nil
}

func (w *lineWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	n, err := w.temp.Write(w.buf)
	w.stored += int64(n)
	w.buf = w.buf[:0]
	return err
}

// turnBack writes what was written so far again, with CRLF for LF.
func (w *lineWriter) turnBack() error {
	if err := w.flush(); err != nil {
		return err
	}
	old, n := w.temp, w.stored
	fresh, err := w.mb.dir.Create(w.mb.namer)
	if err != nil {
		return err
	}
	w.temp, w.stored, w.raw, w.cr, w.served = fresh, 0, true, false, 0
	defer old.Abort()
	in := make([]byte, lineChunk)
	var out []byte
	for off := int64(0); off < n; {
		k, err := old.ReadAt(in[:min(n-off, lineChunk)], off)
		if k == 0 && err != nil {
			return err
		}
		off += int64(k)
		out = out[:0]
		for _, c := range in[:k] {
			if c == '\n' {
				out = append(out, '\r')
			}
			out = append(out, c)
		}
		if err := w.writeRaw(out); err != nil {
			return err
		}
	}
	return nil
}
