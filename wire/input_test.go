package wire

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// chunks gives its data in reads of random sizes, often as much as fits.
type chunks struct {
	data []byte
	rng  *rand.Rand
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if c.rng.IntN(3) == 0 {
		n = 1 + c.rng.IntN(len(p))
	}
	n = copy(p[:n], c.data)
	c.data = c.data[n:]
	return n, nil
}

// The hook before a read may release the large buffer: that must not take it
// from under the read.
func TestInputReleasedBeforeRead(t *testing.T) {
	want := make([]byte, 300_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		in := NewInput(&chunks{want, rng})
		in.Before = func() error { in.Release(); return nil }
		var got []byte
		for {
			buf := make([]byte, 1+rng.IntN(2*largeInput))
			n, err := in.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d octets came, or others", seed, len(got))
		}
	}
}
