package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
)

// A testServer is the real binary on a home of its own.
type testServer struct {
	binary, home, maildir, addr string

	cmd  *exec.Cmd
	done chan error
	log  *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf)
}

var builtDir string // of the binary, once buildOnce ran

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "roost-test")
	if err != nil {
		return "", err
	}
	builtDir = dir
	binary := filepath.Join(dir, "roost")
	cmd := exec.Command("go", "build", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
})

// TestMain removes the binary that buildOnce made.
func TestMain(m *testing.M) {
	code := m.Run()
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// newTestServer makes a home with `roost init`: user u, password p.
func newTestServer(t *testing.T) *testServer {
	t.Helper()
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	s := &testServer{binary: binary, home: home, maildir: filepath.Join(home, "mail", "u", "Maildir"), log: &lockedBuffer{}}
	s.addr = freeAddr(t)
	s.run(t, "p\n", "init", "--dir", home, "--user", "u", "--password-stdin", "--quiet",
		"--mail", filepath.Join(home, "mail", "%u", "Maildir"), "--imap", s.addr, "--imaps", freeAddr(t), "--admin", "")
	// argon2 is slow on purpose; these tests log in thousands of times.
	if err := os.WriteFile(filepath.Join(home, "users"), []byte("u:{PLAIN}p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.signal(t, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", tail(s.log.String(), 4000))
		}
	})
	return s
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// freeAddr gives a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run runs a verb of the binary and gives what it printed.
func (s *testServer) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(s.binary, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("roost %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// try is run of a verb that may fail.
func (s *testServer) try(args ...string) (string, error) {
	out, err := exec.Command(s.binary, args...).CombinedOutput()
	return string(out), err
}

// start starts the server and waits until it greets.
func (s *testServer) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(s.binary, "serve", "--config", filepath.Join(s.home, "config.toml"))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(s.cmd, s.done)
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			c.SetDeadline(time.Now().Add(5 * time.Second))
			line, err := bufio.NewReader(c).ReadString('\n')
			c.Close()
			if err == nil && strings.HasPrefix(line, "* OK") {
				return
			}
		}
		select {
		case err := <-s.done:
			t.Fatalf("the server ended: %v\n%s", err, tail(s.log.String(), 4000))
		case <-tick.C:
		}
	}
	t.Fatalf("the server does not greet\n%s", tail(s.log.String(), 4000))
}

// signal sends sig and waits for the end.
func (s *testServer) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	s.cmd.Process.Signal(sig)
	select {
	case err := <-s.done:
		if sig == syscall.SIGTERM && err != nil {
			t.Errorf("SIGTERM: the server ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		s.cmd.Process.Kill()
		t.Errorf("the server did not end within 20 s of signal %v", sig)
	}
	s.cmd = nil
}

// dial logs in.
func (s *testServer) dial() (*imapclient.Client, error) { return s.dialAs("u") }

func (s *testServer) dialAs(user string) (*imapclient.Client, error) {
	c, err := imapclient.DialInsecure(s.addr, nil)
	if err != nil {
		return nil, err
	}
	if err := c.Login(user, "p").Wait(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (s *testServer) mustDial(t *testing.T) *imapclient.Client {
	t.Helper()
	return s.mustDialAs(t, "u")
}

func (s *testServer) mustDialAs(t *testing.T, user string) *imapclient.Client {
	t.Helper()
	c, err := s.dialAs(user)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
