package session

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"roost/mailbox"
)

var idleConnections = flag.Int("idle.connections", 100, "connections of TestIdleMemory")

// idleMost is what an idle connection may cost, in octets of proportional set
// size, measured with thousands. With few connections the granularity of the
// runtime counts, and -race has a price of its own.
const idleMost = 9 << 10

// TestIdleMemory: what one connection in IDLE costs. Its clients are another
// process, so that nothing of theirs is counted.
func TestIdleMemory(t *testing.T) {
	n := *idleConnections
	h := newHarness(t, func(_ *mailbox.Options, opt *Options) { opt.Log = nil })
	h.deliver("", "1.M1.test", "Subject: one\n\nbody\n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var before uint64
	done := make(chan struct{}, n+1)
	go func() { // ends with the listener
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the client
				h.srv.Serve(context.Background(), conn, false)
				done <- struct{}{}
			}()
		}
	}()
	client := exec.Command(os.Args[0], "-test.run=^TestIdleClients$")
	client.Env = append(os.Environ(), "ROOST_IDLE_ADDR="+l.Addr().String(), "ROOST_IDLE_COUNT="+strconv.Itoa(n))
	client.Stderr = os.Stderr
	orders, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(answers)
	wait := func(word string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == word {
				return
			}
		}
		t.Fatalf("the clients ended before %q", word)
	}
	wait("one") // connection: all that is shared is there
	before = residentSize(t)
	fmt.Fprintln(orders)
	wait("all")
	for h.srv.Counters.Idling.Load() < int64(n)+1 {
		runtime.Gosched()
	}
	after := residentSize(t)
	each := (int64(after) - int64(before)) / int64(n)
	t.Logf("%d idle connections: %d octets each (%d KiB in all)", n, each, (after-before)>>10)
	if n >= 1000 && each > idleMost && !raceEnabled {
		t.Errorf("%d octets an idle connection, want at most %d", each, idleMost)
	}
	orders.Close()
	if err := client.Wait(); err != nil {
		t.Error(err)
	}
	for range n + 1 {
		<-done
	}
}

// residentSize is the proportional set size of this process once garbage was
// given back.
func residentSize(t *testing.T) uint64 {
	t.Helper()
	for range 3 { // stacks shrink by half at each
		debug.FreeOSMemory()
	}
	data, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			kb, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no Pss in smaps_rollup")
	return 0
}

// TestIdleClients is the other process of TestIdleMemory; without it there is
// nothing to do.
func TestIdleClients(t *testing.T) {
	addr := os.Getenv("ROOST_IDLE_ADDR")
	if addr == "" {
		return
	}
	n, err := strconv.Atoi(os.Getenv("ROOST_IDLE_COUNT"))
	if err != nil {
		t.Fatal(err)
	}
	orders := bufio.NewScanner(os.Stdin)
	for i := range n + 1 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for _, step := range []struct{ send, want string }{
			{"", "* OK "},
			{"a LOGIN " + testUser + " " + testPassword, "a OK"},
			{"b SELECT INBOX", "b OK"},
			{"c UID FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)", "c OK"},
			{"d IDLE", "+ "},
		} {
			if step.send != "" {
				fmt.Fprintf(conn, "%s\r\n", step.send)
			}
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(line, step.want) {
					break
				}
			}
		}
		if i == 0 {
			fmt.Println("one")
			orders.Scan()
		}
	}
	fmt.Println("all")
	for orders.Scan() { // until the other side is done
	}
}
