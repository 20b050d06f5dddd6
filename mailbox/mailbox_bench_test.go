package mailbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRefreshQuiet is NOOP when nothing has changed: two fstat.
func BenchmarkRefreshQuiet(b *testing.B) {
	f := filled(b, 10)
	v := f.view(true)
	defer v.Close()
	f.eventually("quiet", func() bool { f.noop(v); return f.mb.quiet.Load() != nil })
	fences := f.count.Fences.Load()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := v.Refresh(context.Background()); err != nil {
			b.Fatal(err)
		}
		if _, err := v.Sync(SyncEverything); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(f.count.Fences.Load()-fences)/float64(b.N), "fences/op")
}

// BenchmarkRefreshChanged is NOOP after an outside rename: a fence and an lstat.
func BenchmarkRefreshChanged(b *testing.B) {
	f := filled(b, 10)
	v := f.view(true)
	defer v.Close()
	names := [2]string{filepath.Join(f.path, "cur/1.a:2,"), filepath.Join(f.path, "cur/1.a:2,S")}
	b.ResetTimer()
	for i := range b.N {
		if err := os.Rename(names[i%2], names[1-i%2]); err != nil {
			b.Fatal(err)
		}
		if c := f.noop(v); len(c.Flags) != 1 {
			b.Fatal("not seen")
		}
	}
}

// BenchmarkStoreOne is STORE with a round trip each.
func BenchmarkStoreOne(b *testing.B) {
	f := filled(b, 100)
	v := f.view(false)
	defer v.Close()
	b.ResetTimer()
	for i := range b.N {
		if err := v.Refresh(context.Background()); err != nil {
			b.Fatal(err)
		}
		mode := StoreAdd
		if i/100%2 == 1 {
			mode = StoreRemove
		}
		store(b, v, mode, one(SeqNum(i%100+1)), Seen)
		if _, err := v.Sync(SyncNoExpunge); err != nil {
			b.Fatal(err)
		}
		if err := v.b.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// big has n messages, made without a body.
func big(b *testing.B, n int) *fixture {
	b.Helper()
	f := testFixture(b)
	for i := range n {
		p := filepath.Join(f.path, fmt.Sprintf("cur/%d.M%d.h:2,S", 1700000000+i/10, i))
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return f
}

// BenchmarkFirstLoad is SELECT of 20,000 messages, never indexed.
func BenchmarkFirstLoad(b *testing.B) {
	f := big(b, 20000)
	b.ResetTimer()
	for range b.N {
		f.open()
		v := f.view(true)
		if err := v.b.Wait(); err != nil || v.Len() != 20000 {
			b.Fatal(err, v.Len())
		}
		b.StopTimer()
		v.Close()
		f.mb.close()
		f.mb = nil
		for _, n := range []string{"roost.index", "roost.cache"} {
			os.Remove(filepath.Join(f.path, n))
		}
		f.slot = &testSlot{}
		b.StartTimer()
	}
}

// BenchmarkFetchFlags reads the columns of 20,000 messages in order.
func BenchmarkFetchFlags(b *testing.B) {
	f := big(b, 20000)
	f.open()
	v := f.view(true)
	defer v.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		var sum uint64
		for n := SeqNum(1); int(n) <= v.Len(); n++ {
			m := v.Message(n)
			sum += uint64(m.UID) + uint64(m.Flags)
		}
		if sum == 0 {
			b.Fatal("nothing")
		}
	}
}

// BenchmarkStoreAll is STORE 1:* of 10,000 messages.
func BenchmarkStoreAll(b *testing.B) {
	f := big(b, 10000)
	f.open()
	v := f.view(false)
	defer v.Close()
	b.ResetTimer()
	for i := range b.N {
		store(b, v, StoreMode(1+i%2), Seqs{{1, 10000}}, Flagged)
		if err := v.b.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}
