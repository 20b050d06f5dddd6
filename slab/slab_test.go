package slab

import (
	"runtime"
	"testing"
)

func TestMake(t *testing.T) {
	for _, n := range []int{0, 1, Least - 1, Least, 3*Least + 5} {
		s := Make[uint8](n)
		if len(s) != n || cap(s) < n {
			t.Fatalf("%d: len %d, cap %d", n, len(s), cap(s))
		}
		for i := 0; i < n; i += 4096 {
			if s[i] != 0 {
				t.Fatalf("%d: octet %d is not zero", n, i)
			}
			s[i] = 1
		}
	}
}

// Slabs are ordinary memory: what stays is kept and what goes comes back zeroed.
func TestMakeIsCollected(t *testing.T) {
	keep := Make[uint64](Least / 2)
	for i := range keep {
		keep[i] = uint64(i)
	}
	for range 20 {
		s := Make[uint32](2 * Least)
		for i := range s {
			if s[i] != 0 {
				t.Fatal("not zeroed")
			}
			s[i] = 7
		}
		runtime.GC()
	}
	for i := range keep {
		if keep[i] != uint64(i) {
			t.Fatal("overwritten")
		}
	}
}

func BenchmarkMake(b *testing.B) {
	for b.Loop() {
		s := Make[uint64](4 << 20)
		for i := 0; i < len(s); i += 512 {
			s[i] = 1
		}
	}
}
