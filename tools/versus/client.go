package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// patience is how long one answer may take.
const patience = 2 * time.Minute

// A client is a blunt IMAP client: it counts what comes and looks at no more
// than it must, so that it is not what is measured.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	sent int // commands
	done int // tagged answers

	uidValidity, modSeq uint64 // as last told
}

// A reply counts the untagged lines before a tagged OK.
type reply struct {
	fetch   int   // FETCH lines
	expunge int   // EXPUNGE lines
	exists  int   // the last EXISTS
	numbers int   // in SEARCH and SORT
	threads int   // octets of THREAD, or the start of a long one
	octets  int64 // of everything
}

// The buffers of a connection that moves mail, and of one that only waits.
const (
	busy = 256 << 10
	idle = 1 << 10
)

// dial connects and takes the greeting.
func (s *side) dial(secure bool, buffer int) (*client, error) {
	addr := s.addr
	if secure {
		addr = s.tlsAddr
	}
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	if secure {
		// No session cache: every handshake is a full one.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	c := &client{conn: conn, r: bufio.NewReaderSize(conn, buffer), w: bufio.NewWriterSize(conn, buffer)}
	line, err := c.r.ReadSlice('\n')
	if err == nil && !bytes.HasPrefix(line, []byte("* OK")) {
		err = fmt.Errorf("%w: greeting %q", errRefused, line)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return c, nil
}

// login connects and logs in.
func (s *side) login(user string, secure bool, buffer int) (*client, error) {
	c, err := s.dial(secure, buffer)
	if err != nil {
		return nil, err
	}
	if _, err := c.do("LOGIN " + user + " " + password); err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return c, nil
}

// open is login and SELECT of a mailbox that must have want messages; below 0
// any number will do.
func (s *side) open(user, mailbox string, want int) (*client, error) {
	return s.openAs(user, mailbox, want, false)
}

func (s *side) openAs(user, mailbox string, want int, secure bool) (*client, error) {
	c, err := s.login(user, secure, busy)
	if err != nil {
		return nil, err
	}
	r, err := c.do("SELECT " + mailbox)
	if err == nil && want >= 0 && r.exists != want {
		err = fmt.Errorf("%d messages in %s, want %d", r.exists, mailbox, want)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %s: %w", s.name, user, err)
	}
	return c, nil
}

func (c *client) close() { c.conn.Close() }

// send writes commands without waiting; flush puts them on the way.
func (c *client) send(command string) {
	c.sent++
	c.w.WriteByte('a')
	c.w.Write(strconv.AppendInt(c.w.AvailableBuffer(), int64(c.sent), 10))
	c.w.WriteByte(' ')
	c.w.WriteString(command)
	c.w.WriteString("\r\n")
}

func (c *client) flush() error {
	c.conn.SetDeadline(time.Now().Add(patience))
	return c.w.Flush()
}

// do runs one command.
func (c *client) do(command string) (reply, error) {
	c.send(command)
	if err := c.flush(); err != nil {
		return reply{}, err
	}
	r, err := c.wait()
	if err != nil && len(command) > 100 {
		command = command[:100]
	}
	if err != nil {
		return r, fmt.Errorf("%q: %w", command, err)
	}
	return r, nil
}

// timed is do for a command of which something is expected, in ms.
func (c *client) timed(command string, right func(r reply) bool) (float64, error) {
	began := time.Now()
	r, err := c.do(command)
	took := ms(time.Since(began))
	if err == nil && !right(r) {
		err = fmt.Errorf("%q gives %+v", command, r)
	}
	return took, err
}

// errRefused is a tagged NO or BAD, or a BYE.
var errRefused = errors.New("refused")

// wait reads up to the tagged OK of the oldest command without one.
func (c *client) wait() (reply, error) {
	var r reply
	for {
		line, err := c.line(&r)
		if err != nil {
			return r, err
		}
		if len(line) == 0 || line[0] != 'a' {
			continue
		}
		c.done++
		tag, rest, _ := bytes.Cut(line, []byte(" "))
		if n, err := strconv.Atoi(string(tag[1:])); err != nil || n != c.done {
			return r, fmt.Errorf("answer %q to command %d", line, c.done)
		}
		if !bytes.HasPrefix(rest, []byte("OK")) {
			return r, fmt.Errorf("%w: %q", errRefused, bytes.TrimSpace(rest))
		}
		return r, nil
	}
}

// line reads one line with its literals and counts it. It gives only lines that
// are not untagged ones.
func (c *client) line(r *reply) ([]byte, error) {
	part, err := c.r.ReadSlice('\n')
	r.octets += int64(len(part))
	if len(part) < 2 || part[0] != '*' {
		return part, err
	}
	numbers := c.count(r, part)
	for {
		if err != nil && err != bufio.ErrBufferFull {
			return nil, err
		}
		if n := literal(part); n >= 0 {
			r.octets += int64(n)
			if _, err := c.r.Discard(n); err != nil {
				return nil, err
			}
		} else if err == nil {
			return nil, nil
		}
		part, err = c.r.ReadSlice('\n')
		r.octets += int64(len(part))
		if numbers {
			r.numbers += bytes.Count(part, []byte(" "))
		}
	}
}

// count looks at the first part of an untagged line; numbers: the rest of it are
// numbers of messages.
func (c *client) count(r *reply, part []byte) (numbers bool) {
	rest := part[2:]
	n := 0
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		n = 10*n + int(rest[0]-'0')
		rest = rest[1:]
	}
	switch {
	case bytes.HasPrefix(rest, []byte(" FETCH")):
		r.fetch++
	case bytes.HasPrefix(rest, []byte(" EXPUNGE")):
		r.expunge++
	case bytes.HasPrefix(rest, []byte(" EXISTS")):
		r.exists = n
	case bytes.HasPrefix(rest, []byte("SEARCH")), bytes.HasPrefix(rest, []byte("SORT")):
		r.numbers += bytes.Count(rest, []byte(" "))
		return true
	case bytes.HasPrefix(rest, []byte("THREAD")):
		r.threads += len(rest)
	case bytes.HasPrefix(rest, []byte("OK [UIDVALIDITY ")):
		c.uidValidity = number(rest[len("OK [UIDVALIDITY "):])
	case bytes.HasPrefix(rest, []byte("OK [HIGHESTMODSEQ ")):
		c.modSeq = number(rest[len("OK [HIGHESTMODSEQ "):])
	}
	return false
}

// literal is the size at the end of a line, or -1.
func literal(part []byte) int {
	part, ok := bytes.CutSuffix(part, []byte("}\r\n"))
	if !ok {
		return -1
	}
	i := bytes.LastIndexByte(part, '{')
	if i < 0 || i == len(part)-1 {
		return -1
	}
	n := 0
	for _, d := range part[i+1:] {
		if d < '0' || d > '9' {
			return -1
		}
		n = 10*n + int(d-'0')
	}
	return n
}

func number(b []byte) (n uint64) {
	for _, d := range b {
		if d < '0' || d > '9' {
			break
		}
		n = 10*n + uint64(d-'0')
	}
	return n
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
