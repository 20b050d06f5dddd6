package oracle

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What the server may need, in octets: for itself and for each connection that
// is logged in and idle, without and with TLS. The averages are far below that
// (they are in the report); the difference is what a garbage collector is
// between two collections.
const (
	crowdBase  = 160 << 20
	crowdPlain = 48 << 10
	crowdTLS   = 128 << 10
)

// crowdUsers is how many users share the connections of a crowd.
const crowdUsers = 100

// crowd is the part of F14 that is about numbers: connections that idle, that
// never say a word, that say it slowly, that do not read. All the time another
// user logs in and reads mail.
func crowd(r *Run) (string, error) {
	idle, silent, large := 1000, 1500, 16
	if r.Full {
		idle, silent, large = 10000, 10000, 64
	}
	if idle, silent = descriptorsFor(idle), descriptorsFor(silent); idle < 1000 {
		return "", skipped("descriptors", fmt.Errorf("this process may have only %d more", idle))
	}
	s, l, err := r.server("crowd")
	if err != nil {
		return "", err
	}
	defer l.Close()
	if err := makeCrowd(s); err != nil {
		return "", err
	}
	err = s.Configure("[limits]", "user_connections = 100000", "sessions = 30000", `login_time = "8s"`, `login_read = "4s"`, `auth_delay_max = "4s"`,
		`literal_stall = "4s"`, `literal_rate_after = "5s"`, `write_stall = "4s"`)
	if err != nil {
		return "", err
	}
	if err := s.Start(); err != nil {
		return "", err
	}
	defer s.Stop(sigkill)
	if err := fill(s, l, "INBOX", 50); err != nil {
		return "", err
	}
	var report []string
	calm, err := s.watchOther(2*time.Second, func() error { rest(2 * time.Second); return nil })
	if err != nil {
		return "", fmt.Errorf("nobody else is there: %w", err)
	}
	limit := max(time.Second, 5*calm)
	for _, part := range []struct {
		name string
		do   func() (string, error)
	}{
		{"idle", func() (string, error) { return s.idleCrowd(idle, false) }},
		{"idle with TLS", func() (string, error) { return s.idleCrowd(idle/5, true) }},
		{"silent", func() (string, error) { return s.silentCrowd(silent) }},
		{"slow", s.slowCrowd},
		{"not reading", func() (string, error) { return s.deafCrowd(large) }},
	} {
		if strings.HasPrefix(part.name, "idle") { // memory that was used before would be used again
			if err := s.again(); err != nil {
				return "", err
			}
		}
		var said string
		worst, err := s.watchOther(limit, func() (err error) { said, err = part.do(); return err })
		if err != nil {
			return strings.Join(report, "; "), fmt.Errorf("%s: %w\n%s", part.name, err, last(s.Log(), 2000))
		}
		report = append(report, fmt.Sprintf("%s: %s, another client %v", part.name, said, worst.Round(time.Millisecond)))
	}
	if err := l.Verify(s, 0, "INBOX"); err != nil {
		return "", err
	}
	return strings.Join(report, "; "), errors.Join(outcome(s, l), s.ended())
}

// descriptorsFor raises the limit of this process, and with it that of the
// server, so that both can have n connections, and gives how many they can.
func descriptorsFor(n int) int {
	const others = 200 + 8*crowdUsers // a mailbox that is in use has seven
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) != nil {
		return min(n, 500)
	}
	want := uint64(n + others)
	if lim.Cur < want {
		raised := syscall.Rlimit{Cur: want, Max: max(lim.Max, want)}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) != nil { // not root
			raised = syscall.Rlimit{Cur: lim.Max, Max: lim.Max}
			syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised)
		}
		syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim)
	}
	return min(n, int(lim.Cur)-others)
}

// makeCrowd makes users and their Maildirs, each with one message.
func makeCrowd(s *Server) error {
	text := "u:{PLAIN}p\nv:{PLAIN}p\n"
	for k := range crowdUsers {
		name := fmt.Sprintf("c%d", k)
		text += name + ":{PLAIN}p\n"
		for _, place := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(filepath.Dir(filepath.Dir(s.Maildir)), name, "Maildir", place), 0o700); err != nil {
				return err
			}
		}
		at := filepath.Join(filepath.Dir(filepath.Dir(s.Maildir)), name, "Maildir", "cur", "1.one.crowd:2,")
		if err := os.WriteFile(at, []byte("Subject: one\n\none\n"), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(s.Home, "users"), []byte(text), 0o600)
}

// watchOther lets another client log in, read and leave again and again while
// do runs. It gives the 99th percentile of how long that took, which must not
// be above limit.
func (s *Server) watchOther(limit time.Duration, do func() error) (time.Duration, error) {
	ctx, cancel := context.WithCancel(context.Background())
	var times []time.Duration
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			began := time.Now()
			if err := s.visit("u"); err != nil {
				ended <- fmt.Errorf("another client: %w", err)
				return
			}
			times = append(times, time.Since(began))
			rest(5 * time.Millisecond)
		}
		ended <- nil
	}()
	err := do()
	cancel()
	err = errors.Join(err, <-ended)
	if err != nil {
		return 0, err
	}
	slices.Sort(times)
	worst := times[len(times)*99/100]
	if worst > limit {
		return worst, fmt.Errorf("another client waits %v (99 of 100 times less), allowed are %v", worst, limit)
	}
	return worst, nil
}

// again restarts the server.
func (s *Server) again() error {
	if code := exited(s.Stop(sigterm)); code != 0 {
		return fmt.Errorf("exit code %d after SIGTERM", code)
	}
	return s.Start()
}

// visit is one visit of a client.
func (s *Server) visit(user string) error {
	c, err := Login(s.Addr, user, "p")
	if err != nil {
		return err
	}
	defer c.Close()
	for _, cmd := range []string{"SELECT INBOX", "FETCH 1 BODY.PEEK[]", "LOGOUT"} {
		if _, err := c.Do("%s", cmd); err != nil {
			return err
		}
	}
	return nil
}

// A crowdConn is a connection of a crowd: no more than that, so that ten
// thousand cost little.
type crowdConn struct{ net.Conn }

// dialFrom connects from an address of its own for each thousand connections.
func (s *Server) dialFrom(k int, encrypted bool) (crowdConn, error) {
	d := net.Dialer{
		Timeout:   10 * time.Second,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+k/1000))},
	}
	if !encrypted {
		conn, err := d.Dial("tcp", s.Addr)
		return crowdConn{conn}, err
	}
	conn, err := tls.DialWithDialer(&d, "tcp", s.TLSAddr, &tls.Config{InsecureSkipVerify: true})
	return crowdConn{conn}, err
}

// expect reads up to a line with these words in it.
func (c crowdConn) expect(words string) error {
	c.SetReadDeadline(time.Now().Add(clientTimeout))
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if strings.Contains(string(got), words) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for %q, got %q: %w", words, last(string(got), 200), err)
		}
	}
}

// each calls do for 0 to n-1, by 16 at a time.
func each(n int, do func(k int) error) error {
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for k := w; k < n; k += 16 {
				if err := do(k); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// idleCrowd logs n clients in, who select a mailbox and say nothing more; every
// second one is in IDLE. They all stay, and the server needs little for each.
func (s *Server) idleCrowd(n int, encrypted bool) (string, error) {
	conns := make([]crowdConn, n)
	defer func() {
		for _, c := range conns {
			if c.Conn != nil {
				c.Close()
			}
		}
	}()
	// With all mailboxes loaded, what grows is connections.
	err := each(crowdUsers, func(k int) error { return s.visit(fmt.Sprintf("c%d", k)) })
	if err != nil {
		return "", err
	}
	before := s.settledMemory()
	err = each(n, func(k int) error {
		c, err := s.dialFrom(k, encrypted)
		if err != nil {
			return err
		}
		conns[k] = c
		if _, err := fmt.Fprintf(c, "a LOGIN c%d p\r\nb SELECT INBOX\r\n", k%crowdUsers); err != nil {
			return err
		}
		if err := c.expect("\nb OK"); err != nil {
			return err
		}
		if k%2 == 1 {
			return nil
		}
		if _, err := io.WriteString(c, "c IDLE\r\n"); err != nil {
			return err
		}
		return c.expect("+ ")
	})
	if err != nil {
		return "", err
	}
	after := s.settledMemory()
	// All of them are still served.
	err = each(n, func(k int) error {
		say, want := "d NOOP\r\n", "d OK"
		if k%2 == 0 {
			say, want = "DONE\r\n", "c OK"
		}
		if _, err := io.WriteString(conns[k], say); err != nil {
			return err
		}
		return conns[k].expect(want)
	})
	if err != nil {
		return "", err
	}
	allowed := int64(crowdBase + n*crowdPlain)
	if encrypted {
		allowed = int64(crowdBase + n*crowdTLS)
	}
	if after > allowed {
		return "", fmt.Errorf("%d connections: %d KiB of memory, allowed are %d", n, after>>10, allowed>>10)
	}
	return fmt.Sprintf("%d, %.1f KiB each", n, float64(after-before)/1024/float64(n)), nil
}

// settledMemory is the least that Memory gives within some seconds.
func (s *Server) settledMemory() int64 {
	least := s.Memory()
	for range 12 {
		rest(250 * time.Millisecond)
		least = min(least, s.Memory())
	}
	return least
}

// silentCrowd connects n times and says nothing: the server lets as many in as
// it wants to, keeps those who are logged in, and is rid of the others in time.
func (s *Server) silentCrowd(n int) (string, error) {
	stays, err := s.Login()
	if err != nil {
		return "", err
	}
	defer stays.Close()
	before := s.Descriptors()
	conns := make([]crowdConn, n)
	err = each(n, func(k int) (err error) {
		conns[k], err = s.dialFrom(k, false)
		return err
	})
	defer func() {
		for _, c := range conns {
			if c.Conn != nil {
				c.Close()
			}
		}
	}()
	if err != nil {
		return "", err
	}
	most := s.Descriptors() - before
	if _, err := stays.Do("NOOP"); err != nil {
		return "", fmt.Errorf("who was logged in is gone: %w", err)
	}
	left := 0
	if !eventually(20*time.Second, func() bool { left = s.Descriptors() - before; return left < 30 }) {
		return "", fmt.Errorf("%d of %d silent connections are still open", left, n)
	}
	return fmt.Sprintf("%d connected, %d open at once", n, most), nil
}

// slowCrowd sends an octet now and then: before LOGIN, in it, in a literal. The
// limits end that.
func (s *Server) slowCrowd() (string, error) {
	const each = 20
	before := s.Descriptors()
	var conns []net.Conn
	var stop sync.WaitGroup
	defer func() {
		for _, c := range conns {
			c.Close()
		}
		stop.Wait()
	}()
	for k := range 3 * each {
		conn, err := net.DialTimeout("tcp", s.Addr, 5*time.Second)
		if err != nil {
			return "", err
		}
		conns = append(conns, conn)
		begin := []string{"", "a LOGIN {1000+}\r\n", "a LOGIN u p\r\nb APPEND INBOX {1000000+}\r\n"}[k%3]
		if _, err := io.WriteString(conn, begin); err != nil {
			return "", err
		}
		stop.Go(func() {
			r := bufio.NewReader(conn)
			go io.Copy(io.Discard, r) // ends with the connection
			for {                     // ends with the connection
				rest(3 * time.Second)
				if _, err := io.WriteString(conn, "a"); err != nil {
					return
				}
			}
		})
	}
	began := time.Now()
	left := 0
	if !eventually(60*time.Second, func() bool { left = s.Descriptors() - before; return left < 10 }) {
		return "", fmt.Errorf("%d of %d slow connections are still open", left, len(conns))
	}
	took := time.Since(began)
	if n := s.leftInTmp(); n != 0 {
		return "", fmt.Errorf("%d files are left in tmp/", n)
	}
	return fmt.Sprintf("%d ended after at most %.0f s", len(conns), took.Seconds()), nil
}

// leftInTmp is how many files stay in tmp/ of INBOX, though it has some time to
// remove them; -1 if it cannot be read.
func (s *Server) leftInTmp() (left int) {
	eventually(5*time.Second, func() bool {
		list, err := os.ReadDir(filepath.Join(s.Maildir, "tmp"))
		if left = len(list); err != nil {
			left = -1
		}
		return left == 0
	})
	return left
}

// deafCrowd asks for large messages, n of 16 MiB each, and stops reading in the
// middle of them. That costs the server no more than a buffer, and it hangs up.
func (s *Server) deafCrowd(n int) (string, error) {
	const size = 16 << 20
	cur := filepath.Join(filepath.Dir(filepath.Dir(s.Maildir)), "v", "Maildir", "cur")
	for _, place := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(cur, "..", place), 0o700); err != nil {
			return "", err
		}
	}
	defer os.RemoveAll(filepath.Dir(cur))
	raw := message("large", size)
	for k := range n {
		if err := os.WriteFile(filepath.Join(cur, fmt.Sprintf("%d.large.crowd:2,", k+1)), raw, 0o600); err != nil {
			return "", err
		}
	}
	rest(500 * time.Millisecond)
	before := s.settledMemory()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	const deaf = 20
	for range deaf {
		conn, err := net.DialTimeout("tcp", s.Addr, 5*time.Second)
		if err != nil {
			return "", err
		}
		conns = append(conns, conn)
		conn.SetDeadline(time.Now().Add(clientTimeout))
		if _, err := io.WriteString(conn, "a LOGIN v p\r\nb SELECT INBOX\r\nc FETCH 1:* BODY.PEEK[]\r\n"); err != nil {
			return "", err
		}
		if _, err := io.CopyN(io.Discard, conn, 24<<20); err != nil {
			return "", fmt.Errorf("reading the first 24 MiB: %w", err)
		}
	}
	most := int64(0)
	began := time.Now()
	open := s.Descriptors()
	if !eventually(60*time.Second, func() bool {
		most = max(most, s.Memory())
		return s.Descriptors() <= open-deaf
	}) {
		return "", errors.New("clients that do not read are still connected")
	}
	if grown := most - before; grown > 96<<20 {
		return "", fmt.Errorf("the server needs %d MiB for %d clients that do not read", grown>>20, deaf)
	}
	return fmt.Sprintf("%d of %d MiB, %d MiB more at most, ended after %.0f s", deaf, n*size>>20, max(0, most-before)>>20, time.Since(began).Seconds()), nil
}
