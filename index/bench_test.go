package index

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"roost/disk"
)

// benchDir gives a directory on the real disk.
func benchOptions(b *testing.B) Options {
	b.Helper()
	fsys := disk.OS()
	dir, err := fsys.OpenRoot(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = dir.Close() })
	return testOptions(fsys, dir)
}

// benchIndex gives an index of n messages with names as Postfix gives them.
func benchIndex(b *testing.B, n int) (*Index, Options) {
	b.Helper()
	o := benchOptions(b)
	ix, _, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	k, err := ix.SetOf([]string{"work"})
	if err != nil {
		b.Fatal(err)
	}
	all := make([]Add, n)
	for i := range all {
		all[i] = Add{
			Base: fmt.Sprintf("17%08d.Vfd01I%06xM%06d.mail", i, i, i%1000000), Name: Name{Where: HasInfo, Letters: Letter('S')},
			Flags: Seen, Date: Date{Sec: 1700000000 + int64(i), Zone: 60, Known: true}, Size: 4000, SaveDate: time.Unix(1700000000, 0),
		}
		if i%10 == 0 {
			all[i].Keywords = k
		}
	}
	if _, err := ix.Apply(&Batch{Adds: all}); err != nil {
		b.Fatal(err)
	}
	if err := ix.Wait(ix.Pos()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ix.Close() })
	return ix, o
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{100, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ix, o := benchIndex(b, n)
			if err := ix.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				ix, rec, err := Open(o)
				if err != nil || !rec.Clean || ix.Len() != n {
					b.Fatal(err, rec)
				}
				if err := ix.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkApplyFlag(b *testing.B) {
	ix, _ := benchIndex(b, 100_000)
	batch := Batch{Flags: []FlagChange{{}}}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		batch.Flags[0] = FlagChange{Row: Row(n % 100_000), Flags: Flags(n % 32)}
		if _, err := ix.Apply(&batch); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

func BenchmarkApplyFlags10000(b *testing.B) {
	ix, _ := benchIndex(b, 10_000)
	batch := Batch{}
	for r := range Row(10_000) {
		batch.Flags = append(batch.Flags, FlagChange{Row: r})
		batch.Renames = append(batch.Renames, Rename{Row: r, To: Name{Where: HasInfo, Letters: Letter('F')}})
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range batch.Flags {
			batch.Flags[i].Flags = Flags(n % 32)
		}
		a, err := ix.Apply(&batch)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ix.Apply(&Batch{RenamesSynced: a.Pos}); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

func BenchmarkAdd(b *testing.B) {
	ix, _ := benchIndex(b, 1_000_000)
	b.ReportAllocs()
	batch := Batch{Adds: adds(0, 1)}
	for b.Loop() {
		if _, err := ix.Apply(&batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExpungeOfMillion(b *testing.B) {
	ix, _ := benchIndex(b, 1_000_000)
	b.ReportAllocs()
	batch := Batch{Expunges: []Expunge{{Unlink: true}}}
	r := Row(0)
	for b.Loop() {
		batch.Expunges[0].Row = r
		if _, err := ix.Apply(&batch); err != nil {
			b.Fatal(err)
		}
		r += 3
	}
}

// One change, one durable wait: alone and by eight goroutines.
func BenchmarkWait(b *testing.B) {
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			ix, _ := benchIndex(b, 1000)
			var mailbox sync.Mutex
			var wg sync.WaitGroup
			b.ResetTimer()
			for g := range workers {
				wg.Go(func() {
					for n := range (b.N + workers - 1) / workers {
						mailbox.Lock()
						a, err := ix.Apply(&Batch{Flags: []FlagChange{{Row: Row(g), Flags: Flags(n % 32)}}})
						mailbox.Unlock()
						if err == nil {
							err = ix.Wait(a.Pos)
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func BenchmarkScanFlags(b *testing.B) {
	ix, _ := benchIndex(b, 100_000)
	for b.Loop() {
		seen := 0
		for r := range Row(ix.Len()) {
			if _, f, _ := ix.State(r); f&Seen != 0 && !ix.Gone(r) {
				seen++
			}
		}
		if seen != 100_000 {
			b.Fatal(seen)
		}
	}
}

func BenchmarkCompactMillion(b *testing.B) {
	ix, _ := benchIndex(b, 1_000_000)
	for b.Loop() {
		if err := ix.Compact(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCacheGet(b *testing.B) {
	ix, _ := benchIndex(b, 10_000)
	for r := range Row(10_000) {
		if err := ix.Cache().Put(r, CacheEntry{Payload: make([]byte, 1200)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	var buf []byte
	r := Row(0)
	for b.Loop() {
		e, ok := ix.Cache().Get(r, buf)
		if !ok {
			b.Fatal("lost")
		}
		buf = e.Payload
		r = (r + 1) % 10_000
	}
}
