package session

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// A zlibClient compresses as zlib clients do: one stream in each direction.
type zlibClient struct {
	t    *testing.T
	conn net.Conn
	w    *flate.Writer
	out  *bytes.Buffer // of w
	r    *bufio.Reader
	sent chan struct{} // closed once the last packet is
}

// compress turns compression on and gives a client that speaks it; level is
// that of compress/flate.
func compress(t *testing.T, conn net.Conn, r *bufio.Reader, level int) *zlibClient {
	t.Helper()
	talk(t, conn, r, "z COMPRESS DEFLATE\r\n", "z OK ")
	z := newZlibClient(t, conn, r)
	var err error
	if z.w, err = flate.NewWriter(z.out, level); err != nil {
		t.Fatal(err)
	}
	return z
}

func newZlibClient(t *testing.T, conn net.Conn, r *bufio.Reader) *zlibClient {
	sent := make(chan struct{})
	close(sent)
	return &zlibClient{t: t, conn: conn, out: &bytes.Buffer{}, r: bufio.NewReader(flate.NewReader(r)), sent: sent}
}

// send sends octets and a flush, in one packet. The server may answer before it
// has read all of it, and a pipe has no room.
func (z *zlibClient) send(s string) {
	z.t.Helper()
	if _, err := io.WriteString(z.w, s); err != nil {
		z.t.Fatal(err)
	}
	if err := z.w.Flush(); err != nil {
		z.t.Fatal(err)
	}
	packet := bytes.Clone(z.out.Bytes())
	z.out.Reset()
	before, sent := z.sent, make(chan struct{})
	z.sent = sent
	go func() { // ends with the packet, or the connection
		defer close(sent)
		<-before
		z.conn.Write(packet)
	}()
}

// until reads up to a line that begins with prefix and gives everything.
func (z *zlibClient) until(prefix string) string {
	z.t.Helper()
	var all strings.Builder
	for {
		line, err := z.r.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			z.t.Fatalf("%v, wanted %q after %q", err, prefix, all.String())
		}
		if strings.HasPrefix(line, prefix) {
			return all.String()
		}
	}
}

func (z *zlibClient) talk(send, until string) string {
	z.t.Helper()
	z.send(send + "\r\n")
	return z.until(until)
}

// logIn gives a connection behind its login.
func logIn(t *testing.T, h *harness) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, _ := h.dialRaw(false)
	r := bufio.NewReader(conn)
	talk(t, conn, r, "", "* OK ")
	talk(t, conn, r, "l LOGIN alice secret\r\n", "l OK ")
	return conn, r
}

// TestCompress runs all kinds of commands over all kinds of blocks: stored ones
// (level 0), fixed and dynamic codes.
func TestCompress(t *testing.T) {
	for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
		t.Run(fmt.Sprint(level), func(t *testing.T) {
			h := newHarness(t, nil)
			conn, r := logIn(t, h)
			z := compress(t, conn, r, level)
			if caps := z.talk("a CAPABILITY", "a OK"); strings.Contains(caps, "COMPRESS") {
				t.Errorf("offered again: %s", caps)
			}
			z.talk("b COMPRESS DEFLATE", "b BAD [COMPRESSIONACTIVE]")
			z.talk("c STARTTLS", "c BAD ")
			message := strings.Repeat("Subject: hello\r\nX: y\r\n", 10_000) + "\r\nbody\r\n"
			z.send(fmt.Sprintf("d APPEND INBOX {%d}\r\n", len(message)))
			z.until("+ ")
			z.talk(message, "d OK ")
			z.talk("e SELECT INBOX", "e OK ")
			got := z.talk("f FETCH 1 (BODY.PEEK[])", "f OK ")
			if !strings.Contains(got, fmt.Sprintf("{%d}\r\n%s)", len(message), message)) {
				t.Errorf("%d octets of another message came back", len(got))
			}
			// Pipelined, and in more packets than commands.
			z.send("g1 NOOP\r\ng2 NO")
			z.until("g1 OK")
			z.send("OP\r\ng3 NOOP\r\n")
			z.until("g3 OK")
			z.talk("i IDLE", "+ ")
			h.deliver("", "new.1", "Subject: x\n\ny\n")
			z.until("* 2 EXISTS")
			z.talk("DONE", "i OK ")
			z.talk("j LOGOUT", "j OK ")
		})
	}
}

func TestCompressUnderTLS(t *testing.T) {
	h := newTLSHarness(t)
	conn, _ := h.dialRaw(false)
	r := bufio.NewReader(conn)
	talk(t, conn, r, "", "* OK ")
	talk(t, conn, r, "s STARTTLS\r\n", "s OK ")
	tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	r = bufio.NewReader(tc)
	talk(t, tc, r, "l LOGIN alice secret\r\n", "l OK ")
	z := compress(t, tc, r, 6)
	z.talk("a NOOP", "a OK ")
	// UNAUTHENTICATE takes the compression off and leaves TLS on.
	z.talk("u UNAUTHENTICATE", "u OK ")
	talk(t, tc, r, "m LOGIN alice secret\r\n", "m OK ")
	z = compress(t, tc, r, 6)
	z.talk("b LOGOUT", "b OK ")
}

// TestUnauthenticateEndsCompression with the next command in the same write.
func TestUnauthenticateEndsCompression(t *testing.T) {
	h := newHarness(t, nil)
	conn, r := logIn(t, h)
	talk(t, conn, r, "z COMPRESS DEFLATE\r\n", "z OK ")
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 6)
	io.WriteString(w, "u UNAUTHENTICATE\r\n")
	w.Flush()
	out.WriteString("m LOGIN alice secret\r\n")
	go conn.Write(out.Bytes()) // ends with the answers
	z := newZlibClient(t, conn, r)
	if got, _ := z.r.Peek(5); string(got) != "u OK " {
		t.Fatalf("%q", got)
	}
	// The rest of the answer, the flush behind it, then the clear text.
	z.until("u OK ")
	rest := make([]byte, 0, 100)
	for !bytes.Contains(rest, []byte("m OK ")) {
		b, err := r.ReadByte()
		if err != nil {
			t.Fatalf("%v after %q", err, rest)
		}
		rest = append(rest, b)
	}
}

// TestCompressGarbage: a client that goes on in clear is no client.
func TestCompressGarbage(t *testing.T) {
	h := newHarness(t, nil)
	conn, r := logIn(t, h)
	talk(t, conn, r, "z COMPRESS DEFLATE\r\n", "z OK ")
	if _, err := io.WriteString(conn, "a NOOP\r\nb NOOP\r\nc NOOP\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(flate.NewReader(bytes.NewReader(b)))
	if !bytes.HasPrefix(text, []byte("* BYE ")) {
		t.Errorf("%q", text)
	}
}

// TestCompressPipelined: commands behind COMPRESS end the connection.
func TestCompressPipelined(t *testing.T) {
	h := newHarness(t, nil)
	conn, r := logIn(t, h)
	go io.WriteString(conn, "z COMPRESS DEFLATE\r\na NOOP\r\n") // ends with the connection
	b, _ := io.ReadAll(r)
	if !strings.HasPrefix(string(b), "* BYE ") {
		t.Errorf("%q", b)
	}
}

// TestCompressBomb: limits count what was decompressed.
func TestCompressBomb(t *testing.T) {
	h := newHarness(t, nil)
	conn, r := logIn(t, h)
	z := compress(t, conn, r, 9)
	go func() { // ends with the connection
		zeroes := strings.Repeat("x", 1<<20)
		io.WriteString(z.w, "a ")
		for range 64 {
			io.WriteString(z.w, zeroes)
		}
		z.w.Flush()
		conn.Write(z.out.Bytes())
	}()
	z.until("* BYE [TOOBIG]")
	if in := h.srv.Counters.BytesIn.Load(); in > 4<<20 {
		t.Errorf("%d octets were taken", in)
	}
}

// TestCompressSlow: a command that stops in the middle of a block ends by its
// time limit, as without compression.
func TestCompressSlow(t *testing.T) {
	h := newHarness(t, nil)
	conn, r := logIn(t, h)
	z := compress(t, conn, r, 6)
	z.send("a NOO")
	z.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := z.r.ReadByte(); err == nil || !strings.Contains(err.Error(), os.ErrDeadlineExceeded.Error()) {
		t.Fatalf("half a command is answered: %v", err)
	}
}
