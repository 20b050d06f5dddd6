package session

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
)

// dialTCP starts a session over loopback.
func (h *harness) dialTCP(ln net.Listener) (net.Conn, *bufio.Reader) {
	h.t.Helper()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	theirs, err := ln.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	go h.srv.Serve(h.t.Context(), theirs, false) // ends with the connection
	h.t.Cleanup(func() { conn.Close() })
	r := bufio.NewReaderSize(conn, 256)
	r.ReadString('\n')
	return conn, r
}

func roundTrip(b testing.TB, conn net.Conn, r *bufio.Reader, line string) {
	if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
		b.Fatal(err)
	}
	tag, _, _ := strings.Cut(line, " ")
	for {
		got, err := r.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		if strings.HasPrefix(got, tag+" ") || line == "i IDLE" {
			return
		}
	}
}

func BenchmarkNoop(b *testing.B) {
	h := newHarness(b, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	conn, r := h.dialTCP(ln)
	roundTrip(b, conn, r, "l LOGIN alice secret")
	roundTrip(b, conn, r, "s SELECT INBOX")
	b.ReportAllocs()
	for b.Loop() {
		roundTrip(b, conn, r, "n NOOP")
	}
}

// BenchmarkIdle tells the memory of a connection in IDLE, its client included.
func BenchmarkIdle(b *testing.B) {
	const n = 1000
	h := newHarness(b, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var conns []net.Conn
		for range n {
			conn, r := h.dialTCP(ln)
			roundTrip(b, conn, r, "l LOGIN alice secret")
			roundTrip(b, conn, r, "s SELECT INBOX")
			roundTrip(b, conn, r, "i IDLE")
			conns = append(conns, conn)
		}
		for range 5 {
			runtime.GC() // each halves the stacks that are nearly empty
		}
		runtime.ReadMemStats(&after)
		b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/n/1024, "heap-KiB/connection")
		b.ReportMetric((float64(after.StackInuse)-float64(before.StackInuse))/n/1024, "stack-KiB/connection")
		for _, conn := range conns {
			conn.Close()
		}
	}
}
