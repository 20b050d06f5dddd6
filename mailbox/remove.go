package mailbox

import (
	"context"

	"roost/index"
)

// Remove expunges messages whatever their flags: what REPLACE takes away
// (RFC 8508 §3.4). The following Sync tells it. n is how many went; those that
// others expunged meanwhile do not count.
func (v *View) Remove(ctx context.Context, msgs Seqs) (n int, err error) {
	mb := v.mb
	rows := make([]index.Row, 0, msgs.Len())
	for m := range msgs.All() {
		if row := v.row(m); row >= 0 && !v.ix.Gone(row) {
			rows = append(rows, row)
		}
	}
	b, err := mb.measure(ctx, rows)
	if err != nil {
		return 0, err
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	if err := v.mayLocked(needMove); err != nil {
		return 0, err
	}
	kept := b.Expunges[:0]
	for _, e := range b.Expunges {
		if mb.live.Has(e.Row) {
			kept = append(kept, e)
		}
	}
	b.Expunges = kept
	if err := mb.expungeLocked(b, v); err != nil {
		return 0, err
	}
	v.note()
	return len(kept), nil
}
