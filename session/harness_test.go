package session

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"roost/auth"
	"roost/disk"
	"roost/index"
	"roost/mailbox"
	"roost/maildir"
)

// patience is how long a test waits for a line that must come.
const patience = 20 * time.Second

// A harness is a Server over a Maildir in a temporary directory.
type harness struct {
	t     testing.TB
	srv   *Server
	store *mailbox.Store
	home  string // the Maildir
	poll  bool   // no watcher: what waits for the kernel cannot be in a bubble
}

const testUser, testPassword = "alice", "secret"

// otherUsers have the same password, and a Maildir of their own.
var otherUsers = []string{"bob", "carol", "d=v*%e.x", "Jürgen"}

// newHarness makes the Maildir and the server. change may change the options
// before they are used.
func newHarness(t testing.TB, change func(*mailbox.Options, *Options)) *harness {
	t.Helper()
	return startHarness(&harness{t: t}, change)
}

func startHarness(h *harness, change func(*mailbox.Options, *Options)) *harness {
	t := h.t
	t.Helper()
	dir := t.TempDir()
	h.home = filepath.Join(dir, "Maildir")
	users := filepath.Join(dir, "users")
	lines := ""
	for _, name := range append([]string{testUser}, otherUsers...) {
		lines += name + ":{PLAIN}" + testPassword + "\n"
	}
	if err := os.WriteFile(users, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(h.home, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mo := mailbox.Options{FS: disk.OS(), Fsync: index.FsyncNever}
	opt := Options{
		Auth: auth.New(auth.Options{Users: users, Throttle: auth.ThrottleOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}),
		Mail: func(u auth.User) (mailbox.User, error) {
			if u.Name == testUser {
				return mailbox.User{Name: testUser, Path: h.home}, nil
			}
			return mailbox.User{Name: u.Name, Path: filepath.Join(dir, u.Name)}, nil
		},
		Plaintext: func(net.Addr) bool { return true },
		Limits:    DefaultLimits(),
		Log:       slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	mo.Log = opt.Log
	if change != nil {
		change(&mo, &opt)
	}
	if mo.Shared.Prefix != "" {
		mo.Shared.Users = opt.Auth.Names
		mo.Shared.Find = func(name string) (mailbox.User, error) {
			u, err := opt.Auth.Lookup(name)
			if err != nil {
				return mailbox.User{}, err
			}
			return opt.Mail(u)
		}
	}
	var err error
	if !h.poll {
		if mo.Watcher, err = maildir.NewWatcher(maildir.WatchOptions{FS: mo.FS}); err != nil {
			t.Fatal(err)
		}
	}
	if h.store, err = mailbox.NewStore(mo); err != nil {
		t.Fatal(err)
	}
	opt.Store = h.store
	h.srv = NewServer(opt)
	t.Cleanup(func() {
		if err := h.store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
		if mo.Watcher != nil {
			mo.Watcher.Close()
		}
		if n := h.srv.Counters.Panics.Load(); n > 0 {
			t.Errorf("%d panics were recovered", n)
		}
	})
	return h
}

// testLog writes the log of the server to that of the test.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// deliver puts a message into new/ of the directory dir ("" is INBOX).
func (h *harness) deliver(dir, base, content string) {
	h.t.Helper()
	tmp := filepath.Join(h.home, dir, "tmp", base)
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(h.home, dir, "new", base)); err != nil {
		h.t.Fatal(err)
	}
}

// A client is the other end of a session.
type client struct {
	t       testing.TB
	conn    net.Conn
	lines   chan string // responses, a literal with what follows it is one line
	done    chan struct{}
	oneByte bool
}

// connect starts a session and takes the greeting.
func (h *harness) connect(oneByte bool) *client {
	h.t.Helper()
	c := h.dial(oneByte)
	if line := c.next(); !strings.HasPrefix(line, "* OK [CAPABILITY ") {
		h.t.Fatalf("greeting %q", line)
	}
	return c
}

// dial starts a session.
func (h *harness) dial(oneByte bool) *client {
	ours, theirs := net.Pipe()
	c := &client{t: h.t, conn: ours, lines: make(chan string, 10000), done: make(chan struct{}), oneByte: oneByte}
	go func() { // ends with the connection
		defer close(c.done)
		h.srv.Serve(context.Background(), theirs, false)
	}()
	go func() { // ends with the connection
		defer close(c.lines)
		r := bufio.NewReader(ours)
		for {
			line, err := readResponse(r)
			if err != nil {
				return
			}
			c.lines <- line
		}
	}()
	h.t.Cleanup(func() {
		ours.Close()
		select {
		case <-c.done:
		case <-time.After(patience):
			h.t.Error("a session does not end when its client is gone")
		}
	})
	return c
}

// readResponse reads one response. Literals are kept with the line ends around
// them.
func readResponse(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(line)
		size, ok := literalSize(strings.TrimSuffix(line, "\r\n"))
		if !ok {
			return strings.TrimSuffix(b.String(), "\r\n"), nil
		}
		if _, err := io.CopyN(&b, r, size); err != nil {
			return "", err
		}
	}
}

// literalSize is the size that the end of a line announces.
func literalSize(line string) (int64, bool) {
	head, ok := strings.CutSuffix(line, "}")
	if !ok {
		return 0, false
	}
	i := strings.LastIndexByte(head, '{')
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(head[i+1:], "+"), 10, 64)
	return n, err == nil
}

// send writes octets.
func (c *client) send(s string) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if !c.oneByte {
		if _, err := io.WriteString(c.conn, s); err != nil {
			c.t.Fatalf("send %.100q: %v", s, err)
		}
		return
	}
	for i := range len(s) {
		if _, err := c.conn.Write([]byte{s[i]}); err != nil {
			c.t.Fatalf("send %.100q: %v", s, err)
		}
	}
}

// next gives the next response, "" at the end of the connection.
func (c *client) next() string {
	c.t.Helper()
	select {
	case line := <-c.lines:
		return line
	case <-time.After(patience):
		c.t.Fatal("no response")
		return ""
	}
}

// command sends a command and gives its untagged responses and its tagged one.
func (c *client) command(tag, format string, args ...any) (untagged []string, tagged string) {
	c.t.Helper()
	c.send(tag + " " + fmt.Sprintf(format, args...) + "\r\n")
	return c.until(tag)
}

// until reads up to the tagged response.
func (c *client) until(tag string) (untagged []string, tagged string) {
	c.t.Helper()
	for {
		line := c.next()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return untagged, rest
		}
		if line == "" {
			c.t.Fatalf("connection closed before the answer to %s; so far %q", tag, untagged)
		}
		untagged = append(untagged, line)
	}
}

// ok is command, which must succeed.
func (c *client) ok(tag, format string, args ...any) []string {
	c.t.Helper()
	untagged, tagged := c.command(tag, format, args...)
	if !strings.HasPrefix(tagged, "OK ") {
		c.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), tagged)
	}
	return untagged
}

// login logs in.
func (c *client) login() {
	c.t.Helper()
	c.loginAs(testUser)
}

func (c *client) loginAs(user string) {
	c.t.Helper()
	c.ok("login", "LOGIN {%d+}\r\n%s %s", len(user), user, testPassword)
}
