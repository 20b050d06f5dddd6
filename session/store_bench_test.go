package session

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/index"
	"roost/mailbox"
)

// storeBench has 100 messages selected over loopback, durable flags and all.
func storeBench(b *testing.B) (net.Conn, *bufio.Reader) {
	h := newHarness(b, func(mo *mailbox.Options, _ *Options) { mo.Fsync = index.FsyncAlways })
	for i := range 100 {
		name := filepath.Join(h.home, "cur", fmt.Sprintf("%d.M1.h:2,", 1700000000+i))
		if err := os.WriteFile(name, []byte("Subject: x\n\nx\n"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	conn, r := h.dialTCP(ln)
	roundTrip(b, conn, r, "l LOGIN alice secret")
	roundTrip(b, conn, r, "s SELECT INBOX")
	return conn, r
}

func storeLine(i int) string {
	return fmt.Sprintf("t%d STORE %d %cFLAGS (\\Flagged)", i, i%100+1, "+-"[i/100%2])
}

// BenchmarkStoreRoundTrip is STORE of one message a command.
func BenchmarkStoreRoundTrip(b *testing.B) {
	conn, r := storeBench(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		roundTrip(b, conn, r, storeLine(i))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "STORE/s")
}

// BenchmarkStorePipelined is 1,000 of them sent at once.
func BenchmarkStorePipelined(b *testing.B) {
	const n = 1000
	conn, r := storeBench(b)
	var all strings.Builder
	for i := range n {
		all.WriteString(storeLine(i) + "\r\n")
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		sent := make(chan error, 1)
		go func() { // ends when all is written
			_, err := io.WriteString(conn, all.String())
			sent <- err
		}()
		for tagged := 0; tagged < n; {
			line, err := r.ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			if strings.HasPrefix(line, "t") {
				if !strings.Contains(line, " OK ") {
					b.Fatal(line)
				}
				tagged++
			}
		}
		if err := <-sent; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "STORE/s")
}

// BenchmarkIdleLatency is the time from the rename of a file into new/ to EXISTS
// in IDLE, one delivery at a time, with 100 idle mailboxes.
func BenchmarkIdleLatency(b *testing.B) {
	const n = 100
	h := newHarness(b, func(mo *mailbox.Options, _ *Options) { mo.Fsync = index.FsyncAlways })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	readers := make([]*bufio.Reader, n)
	for i := range n {
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(h.home, fmt.Sprintf(".b%d", i), sub), 0o700); err != nil {
				b.Fatal(err)
			}
		}
		conn, r := h.dialTCP(ln)
		roundTrip(b, conn, r, "l LOGIN alice secret")
		roundTrip(b, conn, r, fmt.Sprintf("s SELECT b%d", i))
		roundTrip(b, conn, r, "i IDLE")
		readers[i] = r
	}
	var took []time.Duration
	b.ResetTimer()
	for i := range b.N {
		box := rand.IntN(n)
		dir := filepath.Join(h.home, fmt.Sprintf(".b%d", box))
		base := fmt.Sprintf("%d.M%d.h", 1800000000+i, i)
		if err := os.WriteFile(filepath.Join(dir, "tmp", base), []byte("Subject: x\n\nx\n"), 0o600); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := os.Rename(filepath.Join(dir, "tmp", base), filepath.Join(dir, "new", base)); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := readers[box].ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			if strings.HasSuffix(line, " EXISTS\r\n") {
				break
			}
		}
		took = append(took, time.Since(start))
		pause := time.NewTimer(5 * time.Millisecond)
		<-pause.C
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
