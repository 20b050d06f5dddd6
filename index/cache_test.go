package index

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"roost/disk"
)

func payloadOf(n int) []byte { return bytes.Repeat([]byte(fmt.Sprint(n, ",")), 1+n%700) }

func cachedIndex(t testing.TB, n int) (*Index, disk.Dir, Options) {
	t.Helper()
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, n)})
	mustWait(t, ix)
	return ix, dir, o
}

// mustHave checks which of the first n rows have the entry that was put.
func mustHave(t *testing.T, ix *Index, n int, want func(int) bool) {
	t.Helper()
	var buf []byte
	for i := range n {
		e, ok := ix.Cache().Get(Row(i), buf)
		if ok != want(i) {
			t.Fatalf("row %d: entry %v, want %v", i, ok, want(i))
		}
		if ok && (!bytes.Equal(e.Payload, payloadOf(i)) || e.Size != int64(i) || !e.Mtime.Equal(time.Unix(int64(i), 5)) || e.Parser != 3) {
			t.Fatalf("row %d: %d octets, %+v", i, len(e.Payload), e.Size)
		}
		buf = e.Payload
	}
}

func put(t testing.TB, ix *Index, i int) {
	t.Helper()
	if err := ix.Cache().Put(Row(i), CacheEntry{Size: int64(i), Mtime: time.Unix(int64(i), 5), Parser: 3, Payload: payloadOf(i)}); err != nil {
		t.Fatal(err)
	}
}

func TestCache(t *testing.T) {
	const n = 10000 // several directories
	ix, dir, o := cachedIndex(t, n)
	for i := range n {
		put(t, ix, i)
	}
	ix.Cache().Drop(17)
	mustHave(t, ix, n, func(i int) bool { return i != 17 })
	mustClose(t, ix)

	ix, _ = mustOpen(t, o)
	mustHave(t, ix, n, func(i int) bool { return i != 17 })
	put(t, ix, 17)
	ix.Cache().Drop(18)
	// The process dies: what was not written is gone, the rest is not.
	abandon(ix)
	ix, _ = mustOpen(t, o)
	mustHave(t, ix, n, func(i int) bool { return i != 17 })

	// Another base: another message as far as the cache knows.
	mustApply(t, ix, &Batch{Agreed: []Agreed{{Row: 5, Name: ix.Name(5), Base: "other"}}})
	mustHave(t, ix, 100, func(i int) bool { return i != 17 && i != 5 })
	mustClose(t, ix)

	// Deleting it is safe.
	if err := dir.Unlink(CacheName); err != nil {
		t.Fatal(err)
	}
	ix, _ = mustOpen(t, o)
	mustHave(t, ix, 100, func(int) bool { return false })
	put(t, ix, 1)
	mustHave(t, ix, 100, func(i int) bool { return i == 1 })
}

// Rows move down when expunged ones before them are not loaded again; entries
// go by UID.
func TestCacheAfterExpunge(t *testing.T) {
	ix, _, o := cachedIndex(t, 100)
	for i := range 100 {
		put(t, ix, i)
	}
	mustApply(t, ix, &Batch{Expunges: []Expunge{{Row: 0}, {Row: 50}}})
	if err := ix.Compact(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, ix)
	ix, _ = mustOpen(t, o)
	for r := range Row(ix.Len()) {
		e, ok := ix.Cache().Get(r, nil)
		if want := payloadOf(int(ix.UID(r)) - 1); !ok || !bytes.Equal(e.Payload, want) {
			t.Fatalf("row %d, UID %d: %v", r, ix.UID(r), ok)
		}
	}
}

// Whatever the file holds, Get gives what was put, or nothing.
func TestCacheDamaged(t *testing.T) {
	const n = 60
	ix, dir, o := cachedIndex(t, n)
	for i := range n {
		put(t, ix, i)
	}
	mustClose(t, ix)
	f, err := dir.OpenFile(CacheName, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := f.Stat()
	whole := make([]byte, info.Size)
	if ok, _ := readFull(f, whole, 0); !ok {
		t.Fatal("cannot read the cache")
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range 500 {
		b := bytes.Clone(whole)
		switch round % 3 {
		case 0:
			b = b[:rng.IntN(len(b))]
		case 1:
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		case 2:
			at := rng.IntN(len(b) - 64)
			copy(b[at:at+64], whole[rng.IntN(len(b)-64):])
		}
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil && len(b) > 0 {
			t.Fatal(err)
		}
		ix, _ := mustOpen(t, o)
		for i := range n {
			if e, ok := ix.Cache().Get(Row(i), nil); ok && !bytes.Equal(e.Payload, payloadOf(i)) {
				t.Fatalf("round %d: row %d has another payload", round, i)
			}
		}
		put(t, ix, 3)
		if e, ok := ix.Cache().Get(3, nil); !ok || !bytes.Equal(e.Payload, payloadOf(3)) {
			t.Fatalf("round %d: a new entry is not found", round)
		}
		abandon(ix)
	}
}

func TestCacheCompact(t *testing.T) {
	const n = 3000
	ix, _, o := cachedIndex(t, n)
	for range 3 {
		for i := range n {
			put(t, ix, i)
		}
	}
	ix.Cache().Drop(7)
	before := ix.Cache().size
	if !ix.Cache().NeedsCompaction() {
		t.Fatal("two of three entries are old, and no compaction is due")
	}
	if err := ix.Cache().Compact(); err != nil {
		t.Fatal(err)
	}
	if after := ix.Cache().size; after > before/2 {
		t.Fatalf("%d octets, were %d", after, before)
	}
	if ix.Cache().NeedsCompaction() {
		t.Fatal("compaction is due after compaction")
	}
	mustHave(t, ix, n, func(i int) bool { return i != 7 })
	put(t, ix, 7)
	mustClose(t, ix)
	ix, _ = mustOpen(t, o)
	mustHave(t, ix, n, func(int) bool { return true })
	mustClose(t, ix)

	o.CacheLimit = 1 << 20 // keeps the newest
	ix, _ = mustOpen(t, o)
	put(t, ix, 0)
	if !ix.Cache().NeedsCompaction() {
		t.Fatal("no compaction is due over the limit")
	}
	if err := ix.Cache().Compact(); err != nil {
		t.Fatal(err)
	}
	if size := ix.Cache().size; size > 1<<20 || ix.Cache().Has(0) || !ix.Cache().Has(n-1) {
		t.Fatalf("%d octets; first %v, last %v", size, ix.Cache().Has(0), ix.Cache().Has(n-1))
	}
}

// A cache of another generation is empty.
func TestCacheGeneration(t *testing.T) {
	ix, dir, o := cachedIndex(t, 5)
	put(t, ix, 1)
	mustClose(t, ix)
	if err := dir.Unlink(JournalName); err != nil {
		t.Fatal(err)
	}
	ix, _ = mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, 5)})
	mustHave(t, ix, 5, func(int) bool { return false })
}

// The table of records may be longer than there are rows; the end of a segment
// is where that shows.
func TestCacheCompactBeyondRows(t *testing.T) {
	ix, _, _ := cachedIndex(t, 1000)
	for i := range 1000 {
		put(t, ix, i)
	}
	mustApply(t, ix, &Batch{Adds: adds(1000, 24)})
	put(t, ix, 1000)
	if n := len(ix.Cache().off); n <= 1024 {
		t.Fatalf("%d records for 1,024 rows", n)
	}
	for range 2 {
		if err := ix.Cache().Compact(); err != nil {
			t.Fatal(err)
		}
		mustHave(t, ix, 1024, func(i int) bool { return i <= 1000 })
	}
}

// The hash of a base is FNV-1a, which files of earlier versions have.
func TestHashBase(t *testing.T) {
	for _, base := range []string{"", "a", "1700000000.M1P2.host", "\xff\x00é"} {
		h := fnv.New64a()
		h.Write([]byte(base))
		if got := hashBase(base); got != h.Sum64() {
			t.Errorf("%q: %x, want %x", base, got, h.Sum64())
		}
	}
}
