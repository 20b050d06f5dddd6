package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"roost/config"
)

// A listener is one address and how its connections begin.
type listener struct {
	net.Listener
	tls bool
}

// listenAll binds every address of [listen]; on an error none stays bound.
func listenAll(cfg *config.Config) ([]listener, error) {
	var out []listener
	bind := func(addrs []string, key string, tls bool) error {
		for _, a := range addrs {
			l, err := net.Listen("tcp", a)
			if err != nil {
				return fmt.Errorf("server: listen.%s: %w", key, err)
			}
			out = append(out, listener{l, tls})
		}
		return nil
	}
	err := bind(cfg.Listen.IMAP, "imap", false)
	if err == nil && cfg.TLS.Set() {
		err = bind(cfg.Listen.IMAPS, "imaps", true)
	}
	if err != nil {
		for _, l := range out {
			l.Close()
		}
		return nil, err
	}
	return out, nil
}

// servedConn carries its entry in the registry through the session.
type servedConn struct {
	net.Conn
	entry *connection
}

// CloseWrite ends the sending side, for a last answer that is not lost.
func (c *servedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// An acceptor takes connections and runs a session on each in a goroutine.
type acceptor struct {
	reg *registry
	log *slog.Logger
	srv server

	sessions sync.WaitGroup
	logged   refusalLog
}

// A server is a *session.Server.
type server interface {
	Serve(ctx context.Context, conn net.Conn, implicitTLS bool)
}

// accept runs until l is closed. It outlives a lack of descriptors: it waits a
// little, longer each time, and tries again.
func (a *acceptor) accept(ctx context.Context, l listener) {
	const longest = time.Second
	wait := 5 * time.Millisecond
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			a.log.Warn("cannot accept connections", "listen", l.Addr(), "err", err, "again_in", wait)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			wait = min(2*wait, longest)
			continue
		}
		wait = 5 * time.Millisecond
		entry, err := a.reg.enter(conn)
		if err != nil {
			a.refuse(conn, err, l.tls)
			continue
		}
		a.sessions.Add(1)
		go a.run(ctx, &servedConn{conn, entry}, l.tls) // ends with the connection, at last when ctx is done
	}
}

// run serves one connection. An idle one is in here all the time, and what its
// frames need of its stack counts: one that is full to a quarter does not shrink.
func (a *acceptor) run(ctx context.Context, conn *servedConn, tls bool) {
	defer a.end(conn.entry)
	a.srv.Serve(ctx, conn, tls)
}

func (a *acceptor) end(entry *connection) {
	entry.leave()
	a.sessions.Done()
}

// refuse says BYE where that can be understood, without waiting for anybody.
func (a *acceptor) refuse(conn net.Conn, err error, tls bool) {
	if a.logged.due(time.Now()) {
		a.log.Warn("connection refused", "remote", conn.RemoteAddr(), "reason", err, "note", "further refusals of this minute are only counted")
	}
	if !tls {
		conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		fmt.Fprintf(conn, "* BYE [LIMIT] %s, try again later\r\n", err)
	}
	conn.Close()
}

// refusalLog lets one line a minute through.
type refusalLog struct {
	mu   sync.Mutex
	next time.Time
}

func (r *refusalLog) due(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.next) {
		return false
	}
	r.next = now.Add(time.Minute)
	return true
}
