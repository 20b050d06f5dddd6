package mailbox

import (
	"context"
	"fmt"
	"io"
)

// Build adds one message that comes in pieces (CATENATE, RFC 4469 §3): fill
// writes one after the other. An error of fill is given back, and nothing was
// added. No lock is held. ErrOverQuota comes when all has been written: before
// that nobody knows how much it is.
func (ap *Append) Build(meta AppendMeta, fill func(w io.Writer) error) error {
	w := &lineWriter{mb: ap.mb}
	err := w.begin()
	if err == nil {
		err = fill(pieceWriter{w})
	}
	if err == nil {
		err = w.end()
	}
	if err == nil {
		var release func()
		if release, err = ap.mb.o.Quota.reserve(context.Background(), w.stored, 1); err == nil {
			ap.release = append(ap.release, release)
		}
	}
	if err != nil {
		w.abort()
		return fmt.Errorf("mailbox: append: %w", diskErr(err))
	}
	ap.msgs = append(ap.msgs, appending{meta: ap.rights.meta(meta), temp: w.temp, size: w.stored, crlf: w.served})
	return nil
}

// A pieceWriter is a lineWriter as an io.Writer.
type pieceWriter struct{ w *lineWriter }

func (p pieceWriter) Write(b []byte) (int, error) {
	if err := p.w.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}
