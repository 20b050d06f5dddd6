package wire

import (
	"io"
	"strconv"
	"sync"
)

const (
	flushSize  = 64 << 10
	bufferSize = flushSize + 4<<10 // room for what ends a line
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, bufferSize); return &b }}

// A Writer builds responses in one buffer with methods named after the grammar.
// It sends the buffer when it holds 64 KiB, at the next space, line end or
// octet of a literal, and on Flush; between two flushes it holds no memory.
// After an error nothing more is sent. It is used by one goroutine at a time.
//
// CR, LF and NUL never leave it but as line ends of its own and inside
// literals; Raw and Write take octets on the word of the caller.
type Writer struct {
	// BeforeFlush is called before each flush: what is about to be sent must be
	// true by then (durable). Its error ends the Writer. May be nil.
	BeforeFlush func() error
	// UTF8 says that mailbox names are written in UTF-8 and quoted strings may
	// hold UTF-8 (IMAP4rev2 or UTF8=ACCEPT is enabled).
	UTF8 bool

	w       io.Writer
	buf     []byte
	pooled  *[]byte // where buf came from
	err     error
	literal int64 // octets that a streamed literal still wants
	flushed int64 // octets that left
	lists   bool  // behind "(": no space before the next Item
	midLine bool  // what was sent last did not end a line
}

// NewWriter gives a Writer to w. Deadlines are w's affair.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Replace flushes and makes w the target of what follows.
func (w *Writer) Replace(to io.Writer) error {
	if err := w.Flush(); err != nil {
		return err
	}
	w.w = to
	return nil
}

// Err is the first error of writing or of a hook.
func (w *Writer) Err() error { return w.err }

// Reset forgets the error and drops what was not sent, so that a last response
// can be written. false means that none can: what was sent ends inside a
// response.
func (w *Writer) Reset() bool {
	if w.literal != 0 || w.midLine {
		return false
	}
	w.err, w.lists = nil, false
	w.release()
	return true
}

// InLiteral says that a streamed literal is not complete: no response can be
// written, the connection can only be closed.
func (w *Writer) InLiteral() bool { return w.literal > 0 }

// Written is the number of octets that were sent.
func (w *Writer) Written() int64 { return w.flushed }

// Pending is the number of octets that wait for a flush.
func (w *Writer) Pending() int { return len(w.buf) }

// start makes sure that there is a buffer.
func (w *Writer) start() {
	if w.buf == nil {
		w.pooled = buffers.Get().(*[]byte)
		w.buf = (*w.pooled)[:0]
	}
}

// Flush sends what was written.
func (w *Writer) Flush() error {
	if w.err == nil && len(w.buf) > 0 {
		w.send()
	}
	w.release()
	return w.err
}

func (w *Writer) release() {
	if w.pooled != nil {
		if cap(w.buf) <= 2*bufferSize {
			*w.pooled = w.buf[:0]
		}
		buffers.Put(w.pooled)
	}
	w.pooled, w.buf = nil, nil
}

// send passes the hook and writes the buffer out.
func (w *Writer) send() {
	if w.err == nil && w.BeforeFlush != nil {
		w.err = w.BeforeFlush()
	}
	if w.err == nil {
		w.out(w.buf)
	}
	w.buf = w.buf[:0]
}

func (w *Writer) out(b []byte) {
	n, err := w.w.Write(b)
	w.flushed += int64(n)
	if n > 0 {
		w.midLine = b[n-1] != '\n'
	}
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.err = err
	}
}

// room sends the buffer if it is full.
func (w *Writer) room() {
	if len(w.buf) >= flushSize || w.err != nil {
		w.send()
	}
	if w.buf == nil {
		w.start()
	}
}

// check finds a streamed literal that was left short. It is called where a
// response goes on.
func (w *Writer) check() {
	if w.literal != 0 && w.err == nil {
		w.err = ErrMismatch
	}
}

// Mark names this place in what was written, for Rewind.
func (w *Writer) Mark() int64 { return w.flushed + int64(len(w.buf)) }

// Rewind drops what was written since mark; false means that some of it was
// sent already, and nothing is dropped.
func (w *Writer) Rewind(mark int64) bool {
	k := mark - w.flushed
	if w.err != nil || k < 0 || k > int64(len(w.buf)) || w.literal != 0 {
		return false
	}
	w.buf = w.buf[:k]
	w.lists = k > 0 && w.buf[k-1] == '('
	return true
}

// Raw writes s as it is: words of the protocol in the source of the caller.
func (w *Writer) Raw(s string) {
	w.buf = append(w.buf, s...)
	w.lists = false
}

// RawBytes writes b as it is: a part of a response that was made before.
func (w *Writer) RawBytes(b []byte) {
	if len(b) > flushSize {
		w.room()
		w.sendDirect(b)
		return
	}
	w.buf = append(w.buf, b...)
	w.lists = false
}

// sendDirect sends the buffer and then b without copying.
func (w *Writer) sendDirect(b []byte) {
	w.send()
	if w.err == nil {
		w.out(b)
	}
	w.lists = false
}

// SP writes a space.
func (w *Writer) SP() {
	if len(w.buf) >= flushSize {
		w.room()
	}
	w.buf = append(w.buf, ' ')
}

// CRLF ends a response.
func (w *Writer) CRLF() {
	if w.literal != 0 {
		w.check()
	}
	w.buf = append(w.buf, '\r', '\n')
	w.lists = false
	if len(w.buf) >= flushSize || w.err != nil {
		w.room()
	}
}

// Open begins a list, Close ends it. Item writes the space before a member but
// for the first.
func (w *Writer) Open() {
	w.buf = append(w.buf, '(')
	w.lists = true
}

// Close ends a list.
func (w *Writer) Close() {
	w.buf = append(w.buf, ')')
	w.lists = false
}

// Item begins a member of a list.
func (w *Writer) Item() {
	if w.literal != 0 {
		w.check()
	}
	if !w.lists {
		w.SP()
	}
	w.lists = false
}

// Number writes a number.
func (w *Writer) Number(n uint64) {
	w.buf = strconv.AppendUint(w.buf, n, 10)
	w.lists = false
}

// Untagged begins an untagged response: "* ".
func (w *Writer) Untagged() {
	if w.literal != 0 {
		w.check()
	}
	if w.buf == nil {
		w.start()
	}
	w.buf = append(w.buf, '*', ' ')
}

// UntaggedNumber writes a whole response such as "* 3 EXISTS"; what is a word
// of the protocol.
func (w *Writer) UntaggedNumber(n uint64, what string) {
	w.Untagged()
	w.Number(n)
	w.SP()
	w.Raw(what)
	w.CRLF()
}

// Status writes a whole status response (RFC 9051 §7.1). tag is one that the
// Scanner gave, or empty for an untagged response; kind is OK, NO, BAD, BYE or
// PREAUTH; code is without its brackets and may be empty.
//
//	resp-cond-state = ("OK" / "NO" / "BAD") SP resp-text
//	resp-text       = ["[" resp-text-code "]" SP] text
func (w *Writer) Status(tag, kind, code, text string) {
	w.Untagged()
	if tag != "" {
		w.buf = w.buf[:len(w.buf)-2]
		w.Raw(tag)
		w.SP()
	}
	w.Raw(kind)
	w.SP()
	if code != "" {
		w.buf = append(w.buf, '[')
		w.clean(code)
		w.buf = append(w.buf, ']', ' ')
	}
	w.Text(text)
	w.CRLF()
}

// Continue writes a command continuation request (RFC 9051 §7.6).
func (w *Writer) Continue(text string) {
	w.Untagged()
	w.buf[len(w.buf)-2] = '+'
	w.Text(text)
	w.CRLF()
}

// Text writes human readable text: line ends and NUL become spaces, and an
// empty text or one that looks like a response code gets what keeps it apart.
func (w *Writer) Text(s string) {
	if s == "" {
		s = "."
	} else if s[0] == '[' {
		w.buf = append(w.buf, '.', ' ')
	}
	w.clean(s)
}

// clean writes s with controls replaced by spaces; what is not US-ASCII becomes
// `?` unless UTF8.
func (w *Writer) clean(s string) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c < 0x20 || c == 0x7f:
			c = ' '
		case c >= 0x80 && !w.UTF8:
			c = '?'
		}
		w.buf = append(w.buf, c)
	}
	w.lists = false
}
