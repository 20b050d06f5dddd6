package oracle

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Server is the real binary on a home of its own: user u, password p.
type Server struct {
	Binary, Home, Maildir, Addr string
	TLSAddr                     string // TLS from the first byte, a certificate of its own making
	// Shell, if not empty, is run by sh before the server takes its place: for
	// limits that only the process itself can set.
	Shell string
	// Attr, if not nil, is for the process.
	Attr *syscall.SysProcAttr

	log  logBuffer
	cmd  *exec.Cmd
	done chan error
}

// A logBuffer keeps the end of what the server says.
type logBuffer struct {
	mu  sync.Mutex
	buf []byte
}

const logKept = 64 << 10

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	if len(b.buf) > 2*logKept {
		b.buf = append(b.buf[:0], b.buf[len(b.buf)-logKept:]...)
	}
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf)
}

// Log is the end of what the server has said.
func (s *Server) Log() string { return s.log.String() }

// NewServer makes a home with `roost init`. mail is where the Maildir goes, or
// "": into the home.
func NewServer(binary, home, mail string) (*Server, error) {
	if mail == "" {
		mail = filepath.Join(home, "mail")
	}
	if err := os.MkdirAll(mail, 0o700); err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	s := &Server{Binary: binary, Home: home, Maildir: filepath.Join(mail, "u", "Maildir"), Addr: addrs[0], TLSAddr: addrs[1]}
	cmd := exec.Command(binary, "init", "--dir", home, "--user", "u", "--password-stdin", "--quiet",
		"--mail", filepath.Join(mail, "%u", "Maildir"), "--imap", addrs[0], "--imaps", addrs[1], "--admin", "")
	cmd.Stdin = strings.NewReader("p\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("oracle: roost init: %w\n%s", err, out)
	}
	// argon2 is slow on purpose; the experiments log in thousands of times.
	return s, os.WriteFile(filepath.Join(home, "users"), []byte("u:{PLAIN}p\nv:{PLAIN}p\n"), 0o600)
}

// freeAddrs gives loopback addresses that nobody listens on.
func freeAddrs(n int) (out []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// Configure sets keys in a table of config.toml, for example "[limits]"; lines
// are "key = value".
func (s *Server) Configure(table string, lines ...string) error {
	path := filepath.Join(s.Home, "config.toml")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var out []string
	found := false
	in := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "[") {
			in = line
		}
		key, _, isKey := strings.Cut(line, "=")
		if isKey && in == table && slices.ContainsFunc(lines, func(l string) bool {
			k, _, _ := strings.Cut(l, "=")
			return strings.TrimSpace(k) == strings.TrimSpace(key)
		}) {
			continue
		}
		out = append(out, line)
		if line == table {
			found = true
			out = append(out, lines...)
		}
	}
	if !found {
		out = append(append(out, table), lines...)
	}
	return os.WriteFile(path, []byte(strings.Join(out, "\n")+"\n"), 0o600)
}

// startTime is how long a server may take to greet (L7).
const startTime = 5 * time.Second

// Start starts the server and waits until it greets.
func (s *Server) Start() error {
	args := []string{"serve", "--config", filepath.Join(s.Home, "config.toml")}
	if s.Shell != "" {
		s.cmd = exec.Command("/bin/sh", append([]string{"-c", s.Shell + "\nexec \"$0\" \"$@\"", s.Binary}, args...)...)
	} else {
		s.cmd = exec.Command(s.Binary, args...)
	}
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.SysProcAttr = &s.log, &s.log, s.Attr
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(s.cmd, s.done)
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := Dial(s.Addr); err == nil {
			c.Close()
			break
		}
		select {
		case err := <-s.done:
			s.cmd = nil
			return fmt.Errorf("oracle: L7: the server ended: %w\n%s", err, s.Log())
		case <-tick.C:
		}
		if time.Since(began) > 4*startTime {
			s.Stop(syscall.SIGKILL)
			return fmt.Errorf("oracle: L7: the server does not greet\n%s", s.Log())
		}
	}
	if took := time.Since(began); took > startTime {
		return fmt.Errorf("oracle: L7: the server needed %v to start", took)
	}
	return nil
}

// errHangs is a process that does not end when it is told to.
var errHangs = errors.New("oracle: the server does not end")

// Stop sends sig and waits for the end; it gives how the process ended. A
// server that does not run is fine.
func (s *Server) Stop(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	s.cmd.Process.Signal(sig)
	defer func() { s.cmd = nil }()
	select {
	case err := <-s.done:
		return err
	case <-time.After(30 * time.Second):
		s.cmd.Process.Kill()
		<-s.done
		return errHangs
	}
}

// Pid is the process, 0 if none runs.
func (s *Server) Pid() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Descriptors counts what the process has open.
func (s *Server) Descriptors() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Pid()))
	if err != nil {
		return -1
	}
	return len(list)
}

// Memory is the memory of the process that is its own, in octets.
func (s *Server) Memory() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.Pid()))
	field := "Private_Dirty:"
	if err != nil {
		text, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
		field = "RssAnon:"
	}
	if err != nil {
		return -1
	}
	_, rest, _ := strings.Cut(string(text), field)
	var kib int64
	fmt.Sscan(rest, &kib)
	return kib << 10
}

// Fsck asks roost fsck, which must find no problem and, unless dirty, nothing
// to warn of. dirty: the server was killed and not started since.
func (s *Server) Fsck(dirty bool) error {
	out, err := exec.Command(s.Binary, "fsck", "--config", filepath.Join(s.Home, "config.toml"), "u").CombinedOutput()
	if err != nil || !dirty && strings.Contains(string(out), "WARNING: ") {
		return fmt.Errorf("oracle: L7: roost fsck: %w\n%s", err, last(string(out), 3000))
	}
	return nil
}

// Login logs in as u.
func (s *Server) Login() (*Client, error) { return Login(s.Addr, "u", "p") }
