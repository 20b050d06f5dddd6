package mailbox

import (
	"io"
	"time"

	"roost/message"
)

// searchContent is what a search asks of one message; *Content is one.
type searchContent interface {
	Size() (int64, error)
	InternalDate() (time.Time, error)
	SaveDate() (time.Time, error)
	Header() ([]byte, error)
	Part() (*message.Part, error)
	Reader() (io.ReaderAt, int64, error)
	Close()
}
type textPlan struct{}
type textScratch struct{}

func (p *textPlan) compile(leaves []*searchNode) error { return nil }
func (w *searchWorker) header(c searchContent, i int) error { return nil }
func (w *searchWorker) body(c searchContent, i int) error { return nil }
