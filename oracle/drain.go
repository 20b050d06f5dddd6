package oracle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// drained is how many sessions there are when SIGTERM comes: a quarter in IDLE,
// in the literal of an APPEND, in a long FETCH or SEARCH, and idle.
const drained = 200

// drain is F15: SIGTERM with sessions of all kinds; a second SIGTERM; a server
// that is to take over, on the same mail, while the old one drains.
func drain(r *Run) (string, error) {
	s, l, err := r.server("drain")
	if err != nil {
		return "", err
	}
	defer l.Close()
	defer s.Stop(sigkill)
	if err := s.Configure("[limits]", "user_connections = 1000"); err != nil {
		return "", err
	}
	if err := s.Start(); err != nil {
		return "", err
	}
	// A FETCH of it all is more than the buffers of a socket.
	if err := fillLarge(s, l, "INBOX", 100, 64<<10); err != nil {
		return "", err
	}
	var slowest drainTimes
	times := 2
	if r.Full {
		times = 10
	}
	for n := range times {
		twice := n%2 == 1
		next, err := second(r, s, n)
		if err != nil {
			return "", err
		}
		err = drainOnce(s, next, l, twice, &slowest)
		next.Stop(sigterm)
		if err != nil {
			return "", fmt.Errorf("twice %v: %w\n%s", twice, err, last(s.Log(), 2000))
		}
		if err := s.Fsck(twice); err != nil {
			return "", err
		}
		if err := s.Start(); err != nil {
			return "", err
		}
		if err := l.Verify(s, 0, "INBOX"); err != nil {
			return "", err
		}
		if err := outcome(s, l); err != nil {
			return "", err
		}
	}
	ms := time.Millisecond
	return fmt.Sprintf("%d drains of %d sessions, each with a second server; BYE after at most %v, ended after %v, after a second SIGTERM %v",
		times, drained, slowest.bye.Round(ms), slowest.end.Round(ms), slowest.second.Round(ms)), s.ended()
}

// second starts another server on the same mail: it must not give it out.
func second(r *Run, s *Server, n int) (*Server, error) {
	dir := filepath.Join(r.Dir, fmt.Sprintf("second%d", n))
	other, err := NewServer(r.Binary, dir, filepath.Dir(filepath.Dir(s.Maildir)))
	if err != nil {
		return nil, err
	}
	if err := other.Start(); err != nil {
		return nil, err
	}
	if err := other.inUse(); err != nil {
		other.Stop(sigkill)
		return nil, err
	}
	return other, nil
}

// inUse wants to be told that another server has the mail.
func (s *Server) inUse() error {
	c, err := s.Login()
	if err == nil {
		defer c.Close()
		_, err = c.Do("SELECT INBOX")
	}
	var no *errNo
	if !errors.As(err, &no) || !strings.Contains(no.text, "INUSE") {
		return fmt.Errorf("a second server on the same mail answers %w", orNothing(err))
	}
	return nil
}

// orNothing is err, or an error that says that there is none.
func orNothing(err error) error {
	if err == nil {
		return errors.New("OK")
	}
	return err
}

// drainTimes are the longest times that were seen.
type drainTimes struct{ bye, end, second time.Duration }

// A drainee is a session when SIGTERM comes.
type drainee struct {
	*Client
	kind   int // 0 IDLE, 1 in a literal, 2 in a long answer, 3 idle
	took   time.Duration
	result chan error // when took is known
}

// drainees makes the sessions.
func drainees(s *Server) ([]*drainee, error) {
	var all []*drainee
	for k := range drained {
		c, err := s.Login()
		if err != nil {
			return all, err
		}
		d := &drainee{Client: c, kind: k % 4, result: make(chan error, 1)}
		all = append(all, d)
		if _, err := c.Do("SELECT INBOX"); err != nil {
			return all, err
		}
		switch {
		case d.kind == 0:
			fmt.Fprintf(c.conn, "i IDLE\r\n")
			if _, err := c.readLine(); err != nil {
				return all, err
			}
		case d.kind == 1:
			fmt.Fprintf(c.conn, "p APPEND INBOX {100000+}\r\nhalf of it")
		case d.kind == 2 && k%8 == 2: // a long answer that nobody reads yet
			fmt.Fprintf(c.conn, "f FETCH 1:* (FLAGS BODY.PEEK[])\r\n")
		case d.kind == 2:
			fmt.Fprintf(c.conn, "f SEARCH OR TEXT \"no such word\" BODY \"nor that\"\r\n")
		}
	}
	return all, nil
}

// bye reads what a session is told in the end.
func (d *drainee) bye(began time.Time) error {
	d.conn.SetReadDeadline(time.Now().Add(14 * time.Second))
	rest, err := io.ReadAll(d.r)
	d.took = time.Since(began)
	took, text := d.took, string(rest)
	said := strings.Contains(text, "* BYE")
	switch {
	case d.kind == 1: // it never ends its command
		if took > 12*time.Second || strings.Contains(text, "p OK") {
			return fmt.Errorf("a session in a literal: after %v %q", took, last(text, 300))
		}
	case err != nil || !said:
		return fmt.Errorf("a session of kind %d: no BYE: %w; %q", d.kind, orNothing(err), last(text, 300))
	case d.kind == 2:
		if tagged := "\r\n" + text; !strings.Contains(tagged, "\r\nf OK") && !strings.Contains(tagged, "\r\nf NO") {
			return fmt.Errorf("a session in FETCH or SEARCH is not answered: %q", last(text, 300))
		}
		if took > 12*time.Second {
			return fmt.Errorf("a session in FETCH or SEARCH had %v", took)
		}
	case took > byeTime:
		return fmt.Errorf("a session that waits got BYE after %v", took)
	}
	return nil
}

// byeTime is how long a session that waits may wait for BYE. The machine is
// shared with what else the tests do.
const byeTime = 3 * time.Second

func drainOnce(s, next *Server, l *Ledger, twice bool, slowest *drainTimes) error {
	all, err := drainees(s)
	defer func() {
		for _, d := range all {
			d.Close()
		}
	}()
	if err != nil {
		return err
	}
	acks := make(chan error, 1)
	go func() {
		w := &Load{Server: s, Ledger: l, Boxes: []string{"INBOX"}, Workers: 2}
		acks <- w.Run(context.Background(), uint64(len(all)))
	}()
	rest(200 * time.Millisecond)
	began := time.Now()
	s.cmd.Process.Signal(sigterm)
	for _, d := range all {
		go func() { d.result <- d.bye(began) }()
	}
	if !eventually(2*time.Second, func() bool {
		conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}) {
		return errors.New("it still listens after SIGTERM")
	}
	// Those in literals hold the old server up: the mail is still its own.
	if err := next.inUse(); err != nil && s.runs() {
		return fmt.Errorf("while the old server drains: %w", err)
	}
	if twice {
		for _, d := range all { // those who wait are told before
			if d.kind == 0 || d.kind == 3 {
				if err := <-d.result; err != nil {
					return err
				}
				slowest.bye = max(slowest.bye, d.took)
			}
		}
		began = time.Now()
		s.cmd.Process.Signal(sigterm)
	}
	limit := 12 * time.Second
	if twice {
		limit = byeTime
	}
	err = s.Stop(sigterm0)
	took := time.Since(began)
	if took > limit {
		return fmt.Errorf("it needed %v to end", took)
	}
	if twice {
		slowest.second = max(slowest.second, took)
	} else {
		slowest.end = max(slowest.end, took)
	}
	var status *exec.ExitError
	if err != nil && !(twice && errors.As(err, &status)) {
		return fmt.Errorf("it ended with %w", err)
	}
	if err := takenOver(next); err != nil {
		return err
	}
	if !twice {
		for _, d := range all {
			if err := <-d.result; err != nil {
				return err
			}
		}
		if n := s.leftInTmp(); n != 0 {
			return fmt.Errorf("%d files are left in tmp/", n)
		}
	}
	return <-acks
}

// runs reports whether the process is there.
func (s *Server) runs() bool { return s.cmd != nil && s.cmd.Process.Signal(sigterm0) == nil }

// takenOver: the other server has the mail as soon as the old one is gone.
func takenOver(next *Server) error {
	var last error
	if !eventually(3*time.Second, func() bool {
		c, err := next.Login()
		if err == nil {
			_, err = c.Do("SELECT INBOX")
			c.Close()
		}
		last = err
		return err == nil
	}) {
		return fmt.Errorf("the old server is gone, the new one answers %w", last)
	}
	return nil
}

// fillLarge appends n messages of size octets.
func fillLarge(s *Server, l *Ledger, name string, n, size int) error {
	c, err := s.Login()
	if err != nil {
		return err
	}
	defer c.Close()
	for k := range n {
		raw := message("large", size, k)
		b := l.Adding(name, true, Served(raw))
		uids, err := c.Append(name, false, "", raw)
		if err != nil {
			return err
		}
		l.Done(b, uids)
	}
	return nil
}
