package server

import (
	"bufio"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"roost/auth"
	"roost/config"
	"roost/session"
)

// An idle connection is a goroutine whose stack shrinks to 4 KiB only while less
// than a quarter of 8 is in use, with some 800 octets that the runtime adds. Not
// with -race, where frames are larger.
func TestIdleStack(t *testing.T) {
	info, _ := debug.ReadBuildInfo()
	if info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector needs larger frames")
	}
	const n = 300
	reg, _ := testRegistry(func(l *config.ConnectionLimits) {
		l.Sessions, l.Unauthenticated, l.UnauthenticatedIP, l.ConnectionRate = 2*n, 2*n, 2*n, 2*n
	})
	cfg := config.Default()
	srv := session.NewServer(session.Options{
		Auth: auth.New(auth.Options{}), Limits: sessionLimits(&cfg.Limits), TLS: func() *tls.Config { return nil },
		Plaintext: func(net.Addr) bool { return true },
	})
	a := &acceptor{reg: reg, log: slog.New(slog.DiscardHandler), srv: srv}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go a.accept(t.Context(), listener{Listener: l}) // ends with l
	before := stacks()
	conns := make([]net.Conn, n)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conns[i]).ReadString('\n'); err != nil {
			t.Fatalf("greeting: %q, %v", line, err)
		}
	}
	if each := (stacks() - before) / n; each > 5<<10 {
		t.Errorf("the stack of an idle connection has %d octets", each)
	}
	for _, c := range conns {
		c.Close()
	}
	l.Close()
	a.sessions.Wait()
}

// stacks is the memory of all stacks once those that can shrink have done so.
func stacks() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}
