package index

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"roost/disk/disktest"
)

// wantAt checks one entry by way of a cursor.
func wantAt(t *testing.T, ix *Index, cu *CacheCursor, i int, want bool, buf *[]byte) {
	t.Helper()
	e, ok := ix.Cache().GetAt(cu, Row(i), *buf)
	if ok != want {
		t.Fatalf("row %d: entry %v, want %v", i, ok, want)
	}
	if ok && (!bytes.Equal(e.Payload, payloadOf(i)) || e.Size != int64(i) || !e.Mtime.Equal(time.Unix(int64(i), 5))) {
		t.Fatalf("row %d: %d octets of a message of size %d", i, len(e.Payload), e.Size)
	}
	if ok {
		*buf = e.Payload
	}
}

// TestCacheCursorReads: entries in order cost one read for each window.
func TestCacheCursorReads(t *testing.T) {
	const n = 5000
	m, dir := memRoot(t)
	rec := disktest.Wrap(m)
	o := testOptions(m, dir)
	root, err := rec.OpenRoot(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = root
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, n)})
	mustWait(t, ix)
	for i := range n {
		put(t, ix, i)
	}
	mustClose(t, ix)
	ix, _ = mustOpen(t, o)
	var cu CacheCursor
	var buf []byte
	wantAt(t, ix, &cu, 0, true, &buf)
	rec.Reset()
	total := int64(0)
	for i := 1; i < n; i++ {
		wantAt(t, ix, &cu, i, true, &buf)
		total += recordSize(len(payloadOf(i)))
	}
	if reads, most := rec.Count(disktest.Read), int(total/(aheadSize*9/10))+3; reads > most {
		t.Errorf("%d reads for %d octets, want at most %d", reads, total, most)
	}
	cu.Release()
	rec.Reset()
	for i := n - 1; i >= 0; i-- { // as two have written them who met
		wantAt(t, ix, &cu, i, true, &buf)
	}
	if reads, most := rec.Count(disktest.Read), int(total/(aheadSize/2))+3; reads > most {
		t.Errorf("backward: %d reads for %d octets, want at most %d", reads, total, most)
	}
	// Every tenth message: no window for one record.
	cu.Release()
	rec.Reset()
	for i := 0; i < n; i += 500 {
		wantAt(t, ix, &cu, i, true, &buf)
	}
	if cu.window != nil {
		t.Error("records far apart made a window")
	}
	mustClose(t, ix)
}

// TestCacheCursorChanges: what changes under a cursor is never served old, also
// across a compaction and an emptied cache.
func TestCacheCursorChanges(t *testing.T) {
	const n = 2000
	ix, _, _ := cachedIndex(t, n)
	have := make([]bool, n)
	rng := rand.New(rand.NewPCG(3, 4))
	var cu CacheCursor
	var buf []byte
	at := 0
	const steps = 20000 / disktest.Stride
	for step := range steps {
		switch k := rng.IntN(1000); {
		case k < 300:
			i := rng.IntN(n)
			put(t, ix, i)
			have[i] = true
		case k < 320:
			i := rng.IntN(n)
			ix.Cache().Drop(Row(i))
			have[i] = false
		case k < 322 && step > steps/2:
			if err := ix.Cache().Compact(); err != nil {
				t.Fatal(err)
			}
		case k == 999 && rng.IntN(20) == 0:
			if ix.Cache().Truncate() == nil {
				clear(have)
			}
		case k < 330:
			at = rng.IntN(n)
		case k < 335:
			cu.Release()
		default:
			wantAt(t, ix, &cu, at, have[at], &buf)
			at = (at + 1) % n
		}
	}
	mustClose(t, ix)
}
