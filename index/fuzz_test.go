package index

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// FuzzOpen gives Open any octets: it never panics, and what it made of them
// stands the checks and can be written and read again.
func FuzzOpen(f *testing.F) {
	v := newVictim(f, 21, 40)
	f.Add(v.bytes)
	f.Add(v.bytes[:v.end-7])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		m, dir := memRoot(t)
		o := testOptions(m, dir)
		ix, _, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		mustWait(t, ix) // a file to overwrite
		info := ix.info
		abandon(ix)
		if h, ok, err := parseHeader(b); ok && err == nil { // let it be of this file
			b = bytes.Clone(b)
			h.inode, h.birth = info.Ino, birthOf(info)
			copy(b, h.encode())
		}
		setJournal(t, dir, b)
		ix, _, err = Open(o)
		if err != nil {
			return
		}
		mustApply(t, ix, &Batch{Adds: adds(0, 2)})
		mustWait(t, ix)
		mustCheck(t, ix)
		n := ix.Live()
		mustClose(t, ix)
		ix, rec, err := Open(o)
		if err != nil || !rec.Clean || ix.Live() != n {
			t.Fatalf("%v %+v", err, rec)
		}
		abandon(ix)
	})
}

// FuzzFrame gives the decoder of batches any payload behind a sound CRC, as a
// newer or broken roost could write it.
func FuzzFrame(f *testing.F) {
	m, dir := memRoot(f)
	ix, _, err := Open(testOptions(m, dir))
	if err != nil {
		f.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 5))
	w := newWorld()
	for range 60 {
		if _, err := w.step(f, ix, rng); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(ix.payload.b))
	}
	f.Add(ix.encodeScalars())
	for _, l := range ix.encodeLists() {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ix := newIndex(testOptions(m, dir))
		ix.ident.Store(&identity{uidValidity: 1})
		ix.replayBatch(payload, 1, 0)
		ix.replayBatch(payload, 2, 0)
		ix.replayItems(payload, 0, 3, 0)
		for _, err := range ix.checkRows() {
			t.Error(err)
		}
		for _, err := range ix.checkState() {
			t.Error(err)
		}
	})
}
