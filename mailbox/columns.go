package mailbox

import (
	"time"

	"roost/index"
)

// Columns are what the table knows of one message without a look at its file.
type Columns struct {
	Message
	Size int64     // RFC822.SIZE; negative: never measured
	Date time.Time // INTERNALDATE; the zero time: never looked at
}

// Columns fills out with consecutive messages from first and gives how many
// there are. It is for commands that go through many: what it costs once is
// shared. facts asks for sizes and dates too.
func (v *View) Columns(first SeqNum, out []Columns, facts bool) int {
	row := v.row(first)
	if row < 0 || len(out) == 0 {
		return 0
	}
	n := 0
	v.bits.each(row, index.Row(v.bits.rows), func(row index.Row) bool {
		c := &out[n]
		c.Message = v.message(first+SeqNum(n), row)
		if facts {
			c.Size, c.Date = v.ix.Size(row), v.ix.Date(row).Time()
		}
		n++
		return n < len(out)
	})
	v.note()
	return n
}
