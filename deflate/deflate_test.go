package deflate

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A feed gives its parts one by one, and an error that does not last between
// them, as a deadline does. At its end it blocks, which fails the test.
type feed struct {
	t     *testing.T
	parts [][]byte
	pause bool
}

func (f *feed) Read(p []byte) (int, error) {
	if f.pause {
		f.pause = false
		return 0, os.ErrDeadlineExceeded
	}
	if len(f.parts) == 0 {
		f.t.Fatal("the reader waits although everything is there")
	}
	n := copy(p, f.parts[0])
	if f.parts[0] = f.parts[0][n:]; len(f.parts[0]) == 0 {
		f.parts = f.parts[1:]
	}
	f.pause = true
	return n, nil
}

// readAll reads n octets through pieces of size octets.
func readAll(t *testing.T, z *inflater, n, size int) string {
	t.Helper()
	var out []byte
	p := make([]byte, size)
	for len(out) < n {
		k, err := z.Read(p)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("behind %d octets: %v", len(out), err)
		}
		out = append(out, p[:k]...)
	}
	return string(out)
}

// A bitWriter writes what no compressor of ours writes.
type bitWriter struct {
	out   []byte
	acc   uint64
	nbits uint
}

func (w *bitWriter) bits(v uint64, n uint) {
	w.acc |= v << w.nbits
	for w.nbits += n; w.nbits >= 8; w.nbits -= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
}

// literals writes a block of the fixed code; the text is US-ASCII.
func (w *bitWriter) literals(text string) {
	w.bits(0b010, 3)
	for i := range len(text) {
		code := 0x30 + uint64(text[i])
		for bit := 7; bit >= 0; bit-- {
			w.bits(code>>bit&1, 1)
		}
	}
	w.bits(0, 7)
}

// partialFlush is what zlib writes for Z_PARTIAL_FLUSH: an empty block of the
// fixed code, which ends inside an octet.
func (w *bitWriter) partialFlush() []byte {
	w.bits(0b010, 3)
	w.bits(0, 7)
	out := w.out
	w.out = nil
	return out
}

func (w *bitWriter) stored(text string) {
	w.bits(0, 3)
	if w.nbits > 0 {
		w.bits(0, 8-w.nbits)
	}
	w.bits(uint64(len(text)), 16)
	w.bits(uint64(len(text))^0xffff, 16)
	w.out = append(w.out, text...)
}

func TestPartialFlushDoesNotHang(t *testing.T) {
	w := &bitWriter{}
	z := &inflater{}
	for _, line := range []string{"a NOOP\r\n", "b SELECT INBOX\r\n", "c", "\r\n", "d LOGOUT\r\n"} {
		w.literals(line)
		z.src = &feed{t: t, parts: [][]byte{w.partialFlush()}}
		if got := readAll(t, z, len(line), 100); got != line {
			t.Fatalf("%q, want %q", got, line)
		}
	}
}

// Streams of zlib itself: deflateInit2(windowBits -15), "a NOOP\r\n" and "b
// NOOP\r\n", each with a flush behind it.
func TestZlibFlushes(t *testing.T) {
	for name, parts := range zlibStreams {
		z := &inflater{}
		for i, line := range []string{"a NOOP\r\n", "b NOOP\r\n"} {
			b, err := hex.DecodeString(parts[i])
			if err != nil {
				t.Fatal(err)
			}
			z.src = &feed{t: t, parts: [][]byte{b}}
			if got := readAll(t, z, len(line), 100); got != line {
				t.Errorf("%s: %q, want %q", name, got, line)
			}
		}
	}
}

func TestStoredBlocks(t *testing.T) {
	w := &bitWriter{}
	w.stored("a NO")
	w.stored("OP\r\n")
	w.literals("b")
	w.stored("")
	w.stored(" NOOP\r\n")
	z := &inflater{src: &feed{t: t, parts: [][]byte{w.out}}}
	if got := readAll(t, z, 16, 3); got != "a NOOP\r\nb NOOP\r\n" {
		t.Errorf("%q", got)
	}
}

// TestAllSizes reads what the standard library writes, in pieces of all kinds,
// with an interruption after each.
func TestAllSizes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := corpus(rnd, 80_000)
	for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, level)
		if err != nil {
			t.Fatal(err)
		}
		for rest := text; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(9000))
			w.Write(rest[:n])
			w.Flush()
			rest = rest[n:]
		}
		for _, size := range []int{1, 1000, 65536} {
			f := &feed{t: t}
			for rest := b.Bytes(); len(rest) > 0; {
				n := min(len(rest), 1+rnd.IntN(size))
				f.parts = append(f.parts, rest[:n])
				rest = rest[n:]
			}
			z := &inflater{src: f}
			if got := readAll(t, z, len(text), size); got != string(text) {
				t.Fatalf("level %d, pieces of %d: other octets", level, size)
			}
			if len(z.window) > windowSize || cap(z.window) > windowSize {
				t.Errorf("window of %d octets, capacity %d", len(z.window), cap(z.window))
			}
		}
	}
}

// corpus is text of a kind that compresses, with matches near and far.
func corpus(rnd *rand.Rand, n int) []byte {
	var out []byte
	for len(out) < n {
		switch rnd.IntN(4) {
		case 0:
			for range rnd.IntN(300) {
				out = append(out, byte(rnd.Uint32()))
			}
		case 1:
			out = append(out, strings.Repeat("x", rnd.IntN(600))...)
		default:
			out = append(out, "* 1 FETCH (FLAGS (\\Seen) UID 1234)\r\n"...)
			if len(out) > 40_000 {
				at := len(out) - 1 - rnd.IntN(32000)
				out = append(out, out[at:min(len(out), at+500)]...)
			}
		}
	}
	return out[:n]
}

func TestCorrupt(t *testing.T) {
	for name, b := range map[string][]byte{
		"block type 3":          {0x07},
		"stored length":         {0x00, 0x01, 0x00, 0x00, 0x00},
		"distance before start": {0x4b, 0x04, 0xe2, 0x00, 0x00},
		"plain text":            []byte("a NOOP\r\nb NOOP\r\nc NOOP\r\n"),
		"TLS":                   {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
	} {
		z := &inflater{src: bytes.NewReader(b)}
		got, err := io.ReadAll(z)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %q, %v, want ErrCorrupt", name, got, err)
		}
	}
}

// TestBomb reads a million times as much as came, without room for it.
func TestBomb(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	zeroes := make([]byte, 1<<20)
	for range 64 {
		w.Write(zeroes)
	}
	w.Close()
	z := &inflater{src: &b}
	p := make([]byte, 1024)
	total := 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for {
		n, err := z.Read(p)
		total += n
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if total != 64<<20 {
		t.Errorf("%d octets", total)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<10 {
		t.Errorf("%d octets allocated", grown)
	}
}

func TestConn(t *testing.T) {
	a, b := net.Pipe()
	ca, cb := NewConn(a), NewConn(b)
	defer ca.Close()
	defer cb.Close()
	rnd := rand.New(rand.NewPCG(3, 4))
	text := corpus(rnd, 300_000)
	go func() { // ends with the text
		for rest := text; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(70_000))
			if _, err := ca.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
	}()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(cb, got); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("other octets, %v", err)
	}
	// Nothing comes: a deadline ends the read, and the next one works.
	cb.SetReadDeadline(time.Unix(1, 0))
	if _, err := cb.Read(got[:1]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	cb.SetReadDeadline(time.Time{})
	go ca.Write([]byte("more")) // ends with the read
	if _, err := io.ReadFull(cb, got[:4]); err != nil || string(got[:4]) != "more" {
		t.Fatalf("%q, %v", got[:4], err)
	}
}

// TestStandardReader: what Write sends is what any inflater understands.
func TestStandardReader(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	text := corpus(rnd, 200_000)
	c := &Conn{}
	var out bytes.Buffer
	c.Conn = writeConn{&out}
	r := flate.NewReader(&out)
	for rest := text; len(rest) > 0; {
		n := min(len(rest), 1+rnd.IntN(40_000))
		c.Write(rest[:n])
		got := make([]byte, n)
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, rest[:n]) {
			t.Fatalf("other octets, %v", err)
		}
		rest = rest[n:]
	}
	if cap(c.dict) > dictSize {
		t.Errorf("%d octets kept", cap(c.dict))
	}
}

type writeConn struct{ w io.Writer }

func (c writeConn) Write(p []byte) (int, error)      { return c.w.Write(p) }
func (c writeConn) Read([]byte) (int, error)         { return 0, io.EOF }
func (c writeConn) Close() error                     { return nil }
func (c writeConn) LocalAddr() net.Addr              { return nil }
func (c writeConn) RemoteAddr() net.Addr             { return nil }
func (c writeConn) SetDeadline(time.Time) error      { return nil }
func (c writeConn) SetReadDeadline(time.Time) error  { return nil }
func (c writeConn) SetWriteDeadline(time.Time) error { return nil }

func TestDetach(t *testing.T) {
	const line, plain = "a UNAUTHENTICATE\r\n", "b LOGIN x y\r\n"
	partial := &bitWriter{}
	partial.literals(line)
	flushed := partial.partialFlush()
	if partial.nbits > 0 {
		flushed = append(flushed, byte(partial.acc))
	}
	stored := &bitWriter{}
	stored.stored(line)
	var std, fin bytes.Buffer
	w, _ := flate.NewWriter(&std, 6)
	io.WriteString(w, line)
	w.Flush()
	w, _ = flate.NewWriter(&fin, 6)
	io.WriteString(w, line)
	w.Close()
	for name, c := range map[string]struct {
		compressed []byte
		behind     string
	}{
		"sync flush":    {std.Bytes(), plain},
		"finish":        {fin.Bytes(), plain},
		"partial flush": {flushed, plain},
		"stored":        {stored.out, ""},
	} {
		all := append(append([]byte(nil), c.compressed...), c.behind...)
		for cut := 1; cut < len(all); cut++ {
			conn := NewConn(&readConn{parts: [][]byte{all[:cut], all[cut:]}})
			got := make([]byte, len(line))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != line {
				t.Fatalf("%s, cut at %d: %q, %v", name, cut, got, err)
			}
			below, err := conn.Detach()
			if err != nil {
				t.Fatalf("%s, cut at %d: %v", name, cut, err)
			}
			rest, _ := io.ReadAll(below)
			if string(rest) != c.behind {
				t.Fatalf("%s, cut at %d: behind it %q", name, cut, rest)
			}
		}
	}
	// More of it, where the client must have stopped.
	var more bytes.Buffer
	w, _ = flate.NewWriter(&more, 6)
	io.WriteString(w, line+plain)
	w.Flush()
	conn := NewConn(&readConn{parts: [][]byte{more.Bytes()}})
	io.ReadFull(conn, make([]byte, len(line)))
	if _, err := conn.Detach(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("more compressed octets: %v", err)
	}
}

type readConn struct {
	writeConn
	parts [][]byte
}

func (c *readConn) Read(p []byte) (int, error) {
	for len(c.parts) > 0 && len(c.parts[0]) == 0 {
		c.parts = c.parts[1:]
	}
	if len(c.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.parts[0])
	c.parts[0] = c.parts[0][n:]
	return n, nil
}

// FuzzInflate compares with the inflater of the standard library, and reads
// octet by octet too.
func FuzzInflate(f *testing.F) {
	for _, parts := range zlibStreams {
		b, _ := hex.DecodeString(parts[0] + parts[1])
		f.Add(b)
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	w.Write(corpus(rand.New(rand.NewPCG(1, 1)), 2000))
	w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), most))
		got, err := io.ReadAll(io.LimitReader(&inflater{src: bytes.NewReader(data)}, most))
		slow, slowErr := io.ReadAll(io.LimitReader(&inflater{src: iotest{bytes.NewReader(data)}}, most))
		if !bytes.Equal(got, slow) || errors.Is(err, ErrCorrupt) != errors.Is(slowErr, ErrCorrupt) {
			t.Fatalf("octet by octet %q, %v; at once %q, %v", slow, slowErr, got, err)
		}
		if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
		if len(got) < len(want) && !bytes.HasPrefix(want, got) || len(got) >= len(want) && !bytes.HasPrefix(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

// iotest gives one octet at a time.
type iotest struct{ r io.Reader }

func (r iotest) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 1)]) }

func BenchmarkInflate(b *testing.B) {
	text := corpus(rand.New(rand.NewPCG(1, 2)), 1<<20)
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 6)
	w.Write(text)
	w.Flush()
	p := make([]byte, 16<<10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		in := &inflater{src: bytes.NewReader(z.Bytes())}
		for total := 0; total < len(text); {
			n, err := in.Read(p)
			if err != nil {
				b.Fatal(err)
			}
			total += n
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	text := []byte(strings.Repeat("* 1 FETCH (FLAGS (\\Seen) UID 1234 RFC822.SIZE 4711 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n", 600))
	c := &Conn{Conn: writeConn{io.Discard}}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		c.Write(text)
	}
}
