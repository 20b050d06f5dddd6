package session

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// errInterrupted is given by a read that Session.interrupt ended: the server
// stops.
var errInterrupted = errors.New("session: interrupted")

// errSlow is given by a read inside a command that comes too slowly.
var errSlow = errors.New("session: client too slow")

// errNotIMAP is given by the first read if it brings the start of a TLS
// handshake on a port without TLS.
var errNotIMAP = errors.New("session: client does not speak IMAP")

// A transport puts deadlines on the reads and writes of a connection.
type transport struct {
	limits *Limits

	// mu guards all below: another goroutine may interrupt a read.
	mu          sync.Mutex
	conn        net.Conn
	waiting     bool // the read that goes on is between two commands
	patient     bool // IDLE: no deadline
	interrupted bool // such reads fail from now on
	reading     bool // one goes on
	listener    listener
	waitEnd     time.Time // of the wait between two commands; zero: it has not begun

	failed   bool          // a read has failed: nothing more comes
	heard    bool          // something came
	began    time.Time     // when the read that goes on, or the last one, did
	loginEnd time.Time     // until when the client must have logged in; zero: it has
	spent    time.Duration // reading the current command
	octets   int64         // of it
	in, out  func(n int)
}

// Write gives the client at most 64 KiB at a time, each with its deadline.
func (t *transport) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		chunk := p[:min(len(p), 64<<10)]
		if err := t.conn.SetWriteDeadline(time.Now().Add(t.limits.WriteStall)); err != nil {
			return total, err
		}
		n, err := t.conn.Write(chunk)
		t.out(n)
		total += n
		if err != nil {
			return total, err
		}
		p = p[n:]
	}
	return total, nil
}

// Read reads under the deadline of the moment: between two commands, before
// login, or inside a command. A read that waits for a command, or in IDLE, tells
// the listener's news meanwhile.
func (t *transport) Read(p []byte) (int, error) {
	for {
		tell, err := t.prepare()
		switch {
		case err != nil:
			return 0, err
		case tell != nil:
			if err := tell(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := t.conn.Read(p)
		if n, err := t.took(p, n, err); err != errWoken {
			return n, err
		}
	}
}

// prepare sets the deadline of a read that begins now, or gives what must be
// told first.
func (t *transport) prepare() (tell func() error, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	start := time.Now()
	t.began = start
	var deadline time.Time
	idle := t.waiting || t.patient
	switch {
	case !t.loginEnd.IsZero():
		deadline = start.Add(t.limits.LoginRead)
		if deadline.After(t.loginEnd) {
			deadline = t.loginEnd
		}
	case t.patient:
	case t.waiting:
		if t.waitEnd.IsZero() {
			t.waitEnd = start.Add(t.limits.Idle)
		}
		deadline = t.waitEnd
	default:
		deadline = start.Add(t.limits.LiteralStall)
	}
	if idle && t.interrupted {
		return nil, errInterrupted
	}
	if idle && t.listener.tell != nil {
		if tell, deadline = t.listener.due(start, deadline); tell != nil {
			return tell, nil
		}
	}
	t.reading = true
	return nil, t.conn.SetReadDeadline(deadline)
}

// took looks at what a read has brought.
func (t *transport) took(p []byte, n int, err error) (int, error) {
	t.in(n)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reading = false
	waiting, idle := t.waiting, t.waiting || t.patient
	if n == 0 && idle && t.listener.tell != nil && !t.interrupted && errors.Is(err, os.ErrDeadlineExceeded) &&
		(t.patient || time.Now().Before(t.waitEnd)) {
		return 0, errWoken
	}
	t.failed = t.failed || err != nil
	if n > 0 {
		t.waiting = false
		if !t.heard && p[0] == 0x16 {
			return 0, errNotIMAP
		}
		t.heard = true
	}
	if err != nil && idle && t.interrupted && errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errInterrupted
	}
	if !waiting && !t.patient {
		t.spent += time.Since(t.began)
		t.octets += int64(n)
		if t.spent > t.limits.LiteralRateAfter && t.octets < t.limits.LiteralRate*int64(t.spent/time.Second) {
			t.failed = true
			return n, errSlow
		}
	}
	return n, err
}

// begin starts the accounts of a command. With waiting the next read is between
// two commands; with patient it has no deadline: IDLE.
func (t *transport) begin(waiting, patient bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting, t.patient, t.waitEnd = waiting, patient, time.Time{}
	t.spent, t.octets = 0, 0
}

// lost says that reading has failed.
func (t *transport) lost() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// stopped says that interrupt was called.
func (t *transport) stopped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.interrupted
}

// interrupt makes the read between two commands fail with errInterrupted, the
// one that goes on or the next.
func (t *transport) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interrupted = true
	if t.waiting || t.patient {
		t.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// loggedIn ends the time limit for the login.
func (t *transport) loggedIn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loginEnd = time.Time{}
}

// loggedOut starts one that ends at end.
func (t *transport) loggedOut(end time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loginEnd = end
}

// replace puts a layer over the connection.
func (t *transport) replace(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn = conn
}
