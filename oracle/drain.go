package oracle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// drain is F15: SIGTERM with 80 sessions that idle, wait, append and fetch; a
// second SIGTERM; a second server on the same mail.
func drain(r *Run) (string, error) {
	s, l, err := r.server("drain")
	if err != nil {
		return "", err
	}
	defer l.Close()
	defer s.Stop(sigkill)
	for _, twice := range []bool{false, true} {
		if err := s.Start(); err != nil {
			return "", err
		}
		if l.Count("INBOX") == 0 {
			if err := fill(s, l, "INBOX", 200); err != nil {
				return "", err
			}
			if err := second(r, s); err != nil {
				return "", err
			}
		}
		if err := drainOnce(s, l, twice); err != nil {
			return "", fmt.Errorf("twice %v: %w\n%s", twice, err, last(s.Log(), 2000))
		}
	}
	if err := s.Start(); err != nil {
		return "", err
	}
	if err := l.Verify(s, 0, "INBOX"); err != nil {
		return "", err
	}
	return "2 drains of 80 sessions, 1 second server", outcome(s, l)
}

// second starts another server on the same mail: it must not give it out.
func second(r *Run, s *Server) error {
	dir := filepath.Join(r.Dir, "second")
	other, err := NewServer(r.Binary, dir, filepath.Dir(filepath.Dir(s.Maildir)))
	if err != nil {
		return err
	}
	defer other.Stop(sigkill)
	if err := other.Start(); err != nil {
		return nil // it may refuse to start at all
	}
	c, err := other.Login()
	if err == nil {
		defer c.Close()
		_, err = c.Do("SELECT INBOX")
	}
	var no *errNo
	if !errors.As(err, &no) || !strings.Contains(no.text, "INUSE") {
		return fmt.Errorf("a second server on the same mail answers %v", err)
	}
	return nil
}

func drainOnce(s *Server, l *Ledger, twice bool) error {
	var clients []*Client
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	for k := range 80 {
		c, err := s.Login()
		if err != nil {
			return err
		}
		clients = append(clients, c)
		if _, err := c.Do("SELECT INBOX"); err != nil {
			return err
		}
		switch k % 4 {
		case 0:
			fmt.Fprintf(c.conn, "i IDLE\r\n")
			if _, err := c.readLine(); err != nil {
				return err
			}
		case 1:
			fmt.Fprintf(c.conn, "p APPEND INBOX {100000+}\r\nhalf of it")
		case 2: // a long answer that nobody reads yet
			fmt.Fprintf(c.conn, "f FETCH 1:* (FLAGS BODY.PEEK[])\r\n")
		}
	}
	acks := make(chan error, 1)
	go func() {
		w := &Load{Server: s, Ledger: l, Boxes: []string{"INBOX"}, Workers: 2}
		acks <- w.Run(context.Background(), uint64(len(clients)))
	}()
	rest(200 * time.Millisecond)
	began := time.Now()
	s.cmd.Process.Signal(sigterm)
	if !eventually(2*time.Second, func() bool {
		conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}) {
		return errors.New("it still listens after SIGTERM")
	}
	for k, c := range clients {
		if k%4 != 0 && k%4 != 3 {
			continue
		}
		c.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				return fmt.Errorf("a session that waits got no BYE: %w", err)
			}
			if strings.HasPrefix(line, "* BYE") {
				break
			}
		}
	}
	if twice {
		s.cmd.Process.Signal(sigterm)
	}
	limit := 14 * time.Second
	if twice {
		limit = 4 * time.Second
	}
	err := s.Stop(sigterm0)
	if took := time.Since(began); took > limit {
		return fmt.Errorf("it needed %v to end", took)
	}
	var status *exec.ExitError
	if err != nil && !(twice && errors.As(err, &status)) {
		return fmt.Errorf("it ended with %w", err)
	}
	return <-acks
}
