package mailbox

import (
	"math/rand/v2"
	"slices"
	"testing"

	"roost/index"
)

func TestSortKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 100, 2047, 2048, 50_000} {
		for _, most := range []uint64{1, 2, 1000, mostTime + 1} {
			keys := make([]uint64, n)
			for i := range keys {
				keys[i] = r.Uint64N(most)<<placeBits | uint64(i)
			}
			want := slices.Sorted(slices.Values(keys))
			if got := sortKeys(keys); !slices.Equal(got, want) {
				t.Fatalf("%d keys below %d are not sorted", n, most)
			}
		}
	}
}

// Rows that are added at the end are what as many single ones are.
func TestLiveBitsGrown(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		l, model := noLiveBits, []bool(nil)
		for range 6 {
			from := len(model)
			for range r.IntN(2) * r.IntN(100) {
				model = append(model, false) // never messages
			}
			first := len(model)
			for range r.IntN(3) * r.IntN(40_000) {
				model = append(model, true)
			}
			before := l.Len()
			next := l.grown(first, len(model))
			if l.Len() != before {
				t.Fatal("grown changed its receiver")
			}
			if l = next; l.rows != len(model) || l.Has(index.Row(len(model))) {
				t.Fatalf("%d rows of %d, from %d", l.rows, len(model), from)
			}
			checkLiveBits(t, l, model)
		}
	}
}
