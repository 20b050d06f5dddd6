package deflate

import (
	"bytes"
	"compress/flate"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestIdleMemory measures what a compressed connection keeps while
// nothing happens.
func TestIdleMemory(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const n = 200
	conns := make([]*Conn, 0, n)
	measure := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	packet := compressed(t, "a1 SELECT INBOX\r\na2 UID FETCH 1:* (FLAGS)\r\na3 IDLE\r\n")
	answer := []byte(strings.Repeat("* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n", 1000))
	nets := make([][2]net.Conn, 0, n)
	for range n {
		a, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		nets = append(nets, [2]net.Conn{a, b})
	}
	before := measure()
	p := make([]byte, 1024)
	for i := range n {
		c := NewConn(nets[i][1])
		conns = append(conns, c)
		nets[i][0].Write(packet)
		if _, err := c.Read(p); err != nil {
			t.Fatal(err)
		}

		if _, err := c.Write(answer); err != nil {
			t.Fatal(err)
		}
	}
	per := (int64(measure()) - int64(before)) / n
	t.Logf("%d octets a connection", per)
	if per > 8<<10 {
		t.Errorf("an idle compressed connection keeps %d octets", per)
	}
	for i := range nets {
		nets[i][0].Close()
		nets[i][1].Close()
	}
	runtime.KeepAlive(conns)
}

func compressed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text)
	w.Flush()
	return b.Bytes()
}
