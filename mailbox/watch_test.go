package mailbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"roost/index"
)

// TestUnseenCount: the count that follows the changes is that of a look at
// every message, also when the log has lost some.
func TestUnseenCount(t *testing.T) {
	f := testMailbox(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		f.deliver(fmt.Sprintf("new/%d.M1.test", i))
	}
	v, err := f.mb.Open(context.Background(), false, &Barrier{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for step := range 300 {
		n := SeqNum(1 + rng.IntN(max(v.Len(), 1)))
		switch rng.IntN(6) {
		case 0:
			f.deliver(fmt.Sprintf("new/%d.M2.test", step))
			if err := v.Refresh(context.Background()); err != nil {
				t.Fatal(err)
			}
		case 1:
			store(t, v, StoreAdd, Seqs{{n, n}}, index.Deleted)
			if _, err := v.Expunge(context.Background(), Seqs{{n, n}}); err != nil {
				t.Fatal(err)
			}
		case 2:
			f.mb.mu.Lock()
			f.mb.unread = unseenCount{} // as if the log had lost some
			f.mb.mu.Unlock()
		default:
			store(t, v, []StoreMode{StoreAdd, StoreRemove}[rng.IntN(2)], Seqs{{n, n}}, index.Seen)
		}
		if rng.IntN(3) > 0 {
			continue
		}
		if _, err := v.Sync(SyncEverything); err != nil {
			t.Fatal(err)
		}
		f.mb.mu.Lock()
		p, err := f.mb.pulseLocked(nil)
		want := 0
		f.mb.live.each(0, index.Row(f.mb.live.rows), func(row index.Row) bool {
			if f.mb.ix.Flags(row)&index.Seen == 0 {
				want++
			}
			return true
		})
		f.mb.mu.Unlock()
		if err != nil || p.Unseen != want || p.Messages != v.Len() {
			t.Fatalf("step %d: %+v, %v; want %d unseen of %d", step, p, err, want, v.Len())
		}
	}
}
