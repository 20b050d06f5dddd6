package oracle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// badClients is F14: the process has 64 descriptors; clients connect without
// end, speak an octet at a time, stop reading, half-close, and reset in the
// middle of a literal. Others go on meanwhile, and nothing is left behind.
func badClients(r *Run) (string, error) {
	s, l, err := r.server("clients")
	if err != nil {
		return "", err
	}
	defer l.Close()
	if err := s.Start(); err != nil {
		return "", err
	}
	defer s.Stop(sigkill)
	if err := fill(s, l, "INBOX", 50); err != nil {
		return "", err
	}
	if err := halfClose(s); err != nil {
		return "", fmt.Errorf("half-closed: %w", err)
	}
	if err := resetInLiteral(s); err != nil {
		return "", fmt.Errorf("reset in APPEND: %w", err)
	}
	if err := stalled(s); err != nil {
		return "", fmt.Errorf("stalled: %w", err)
	}
	if err := noGrowth(s); err != nil {
		return "", err
	}
	if err := l.Verify(s, 0, "INBOX"); err != nil {
		return "", err
	}
	if err := exited(s.Stop(sigterm)); err != 0 {
		return "", fmt.Errorf("exit code %d", err)
	}
	s.Shell = "ulimit -n 64"
	if err := s.Start(); err != nil {
		return "", fmt.Errorf("64 descriptors: %w", err)
	}
	if err := flood(s); err != nil {
		return "", fmt.Errorf("64 descriptors: %w\n%s", err, last(s.Log(), 2000))
	}
	if err := l.Verify(s, 5*time.Second, "INBOX"); err != nil {
		return "", fmt.Errorf("64 descriptors: %w", err)
	}
	return "half-close, reset, stall, growth, flood", outcome(s, l)
}

// halfClose: a client that shuts down its side gets the whole answer.
func halfClose(s *Server) error {
	conn, err := net.DialTimeout("tcp", s.Addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "a LOGIN u p\r\nb SELECT INBOX\r\nc FETCH 1:* BODY.PEEK[]\r\n"); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	if !strings.Contains(string(all), "\nc OK") {
		return fmt.Errorf("the answer ends with %q", last(string(all), 200))
	}
	return nil
}

// resetInLiteral: no message, and nothing in tmp/.
func resetInLiteral(s *Server) error {
	for range 20 {
		c, err := s.Login()
		if err != nil {
			return err
		}
		fmt.Fprintf(c.conn, "x APPEND INBOX {100000+}\r\n%s", strings.Repeat("half a message\r\n", 3000))
		rest(5 * time.Millisecond)
		c.conn.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	if n := s.leftInTmp(); n != 0 {
		return fmt.Errorf("%d files are left in tmp/", n)
	}
	return nil
}

// stalled: clients that send an octet now and then, or do not read, do not
// keep others from their mail.
func stalled(s *Server) error {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for k := range 20 {
		conn, err := net.DialTimeout("tcp", s.Addr, 5*time.Second)
		if err != nil {
			return err
		}
		open = append(open, conn)
		switch k % 3 {
		case 0:
			io.WriteString(conn, "a")
		case 1:
			io.WriteString(conn, "a LOGIN {100")
		case 2:
			fmt.Fprintf(conn, "a LOGIN u p\r\nb SELECT INBOX\r\n%s", strings.Repeat("c FETCH 1:* BODY.PEEK[]\r\n", 2000))
		}
	}
	for range 20 {
		began := time.Now()
		c, err := s.Login()
		if err != nil {
			return err
		}
		for _, cmd := range []string{"SELECT INBOX", "FETCH 1 BODY.PEEK[]"} {
			if _, err := c.Do("%s", cmd); err != nil {
				c.Close()
				return err
			}
		}
		c.Close()
		if took := time.Since(began); took > 2*time.Second {
			return fmt.Errorf("another client needed %v", took)
		}
	}
	return nil
}

// noGrowth opens and closes a mailbox a thousand times: the process has as many
// descriptors afterwards as before.
func noGrowth(s *Server) error {
	cycle := func(n int) error {
		c, err := s.Login()
		if err != nil {
			return err
		}
		defer c.Close()
		for range n {
			for _, cmd := range []string{"SELECT INBOX", "FETCH 1 BODY.PEEK[]", "UNSELECT"} {
				if _, err := c.Do("%s", cmd); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := cycle(10); err != nil {
		return err
	}
	rest(200 * time.Millisecond)
	before := s.Descriptors()
	if err := cycle(1000); err != nil {
		return err
	}
	after := 0
	if !eventually(5*time.Second, func() bool { after = s.Descriptors(); return after <= before+2 }) {
		return fmt.Errorf("%d descriptors after 1,000 SELECT, %d before", after, before)
	}
	return nil
}

// flood connects more often than the process has descriptors; when the clients
// leave, it works again.
func flood(s *Server) error {
	var open []net.Conn
	for range 300 {
		conn, err := net.DialTimeout("tcp", s.Addr, 2*time.Second)
		if err != nil {
			break
		}
		open = append(open, conn)
	}
	greeted := 0
	for _, conn := range open {
		conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil && strings.HasPrefix(line, "* OK") {
			greeted++
		}
	}
	for _, conn := range open {
		conn.Close()
	}
	if greeted == 0 {
		return errors.New("nobody was greeted")
	}
	var lastErr error
	if !eventually(20*time.Second, func() bool {
		c, err := s.Login()
		if err != nil {
			lastErr = err
			return false
		}
		defer c.Close()
		_, lastErr = c.Do("SELECT INBOX")
		return lastErr == nil
	}) {
		return fmt.Errorf("after the flood: %w", lastErr)
	}
	return nil
}
