package mailbox

import (
	"math/rand/v2"
	"testing"

	"roost/index"
)

// TestLiveBitsAgainstSlice compares every operation with a plain slice.
func TestLiveBitsAgainstSlice(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		r := rand.New(rand.NewPCG(seed, 0))
		l, model := noLiveBits, []bool(nil)
		for step := range 40 {
			var set, clear []index.Row
			for range r.IntN(3000) {
				set = append(set, index.Row(len(model)))
				model = append(model, true)
			}
			if r.IntN(4) == 0 { // rows that were never messages (expunged before they were told)
				for range r.IntN(40000) {
					model = append(model, false)
				}
				set = append(set, index.Row(len(model)))
				model = append(model, true)
			}
			if step > 0 && len(model) > 0 {
				for range r.IntN(2000) {
					row := r.IntN(len(model))
					clear = append(clear, index.Row(row))
					model[row] = false
				}
			}
			before := *l
			beforeLen := l.Len()
			next := l.with(set, clear)
			if before.Len() != beforeLen || l.Len() != beforeLen {
				t.Fatal("with changed its receiver")
			}
			l = next
			checkLiveBits(t, l, model)
		}
	}
}

func checkLiveBits(t *testing.T, l *liveBits, model []bool) {
	t.Helper()
	n := 0
	for row, live := range model {
		if l.Has(index.Row(row)) != live {
			t.Fatalf("row %d: Has is %v", row, !live)
		}
		if row%97 == 0 && l.Before(index.Row(row)) != n {
			t.Fatalf("row %d: Before is %d, want %d", row, l.Before(index.Row(row)), n)
		}
		if live {
			n++
			if n%53 == 1 && (l.Row(SeqNum(n)) != index.Row(row) || l.Seq(index.Row(row)) != SeqNum(n)) {
				t.Fatalf("row %d: Row(%d) is %d, Seq is %d", row, n, l.Row(SeqNum(n)), l.Seq(index.Row(row)))
			}
		} else if row%31 == 0 && l.Seq(index.Row(row)) != 0 {
			t.Fatalf("row %d has a number", row)
		}
	}
	if l.Len() != n {
		t.Fatalf("Len is %d, want %d", l.Len(), n)
	}
	if l.Row(SeqNum(n+1)) != -1 || l.Row(0) != -1 {
		t.Fatal("a row outside")
	}
	got := 0
	l.each(0, index.Row(len(model)), func(r index.Row) bool {
		if !model[r] {
			t.Fatalf("each gives row %d", r)
		}
		got++
		return true
	})
	if got != n {
		t.Fatalf("each gives %d rows, want %d", got, n)
	}
}

// TestLiveBitsJoined: a view that must not hear of expunges keeps its rows and
// gets the new ones.
func TestLiveBitsJoined(t *testing.T) {
	for _, rows := range []int{0, 1, 100, 32767, 32768, 32769, 70000} {
		for _, more := range []int{0, 1, 5, 40000} {
			model := make([]bool, rows)
			var set []index.Row
			for i := range model {
				model[i] = true
				set = append(set, index.Row(i))
			}
			old := noLiveBits.with(set, nil)
			var clear []index.Row
			for i := 0; i < rows; i += 3 {
				clear = append(clear, index.Row(i))
			}
			set = set[:0]
			for i := range more {
				set = append(set, index.Row(rows+i))
				model = append(model, true)
			}
			now := old.with(set, clear)
			if more > 2 {
				now = now.with(nil, []index.Row{index.Row(rows + 1)})
				model[rows+1] = false
			}
			checkLiveBits(t, old.joined(now), model)
			n := 0
			old.missing(now, func(index.Row) { n++ })
			if n != len(clear) {
				t.Errorf("rows %d, more %d: %d missing, want %d", rows, more, n, len(clear))
			}
		}
	}
}

func BenchmarkExpungeOneOfAMillion(b *testing.B) {
	set := make([]index.Row, 1_000_000)
	for i := range set {
		set[i] = index.Row(i)
	}
	l := noLiveBits.with(set, nil)
	b.ResetTimer()
	for i := range b.N {
		l = l.with(nil, []index.Row{index.Row(i % 1_000_000)})
	}
}
