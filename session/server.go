package session

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Server runs the sessions of a process.
type Server struct {
	Counters *Counters

	options atomic.Pointer[Options]
	drained chan struct{} // closed by Drain

	mu       sync.Mutex // guards all below
	draining bool
	sessions map[*Session]struct{}
}

// NewServer gives a Server with options.
func NewServer(options Options) *Server {
	srv := &Server{Counters: newCounters(), drained: make(chan struct{}), sessions: map[*Session]struct{}{}}
	srv.SetOptions(options)
	return srv
}

// SetOptions changes the options for the connections that come from now on.
func (srv *Server) SetOptions(options Options) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Name == "" {
		options.Name = "roost"
	}
	srv.options.Store(&options)
}

// Serve runs one connection until it ends, and closes it. With implicitTLS it
// begins with a TLS handshake; conn may be a *tls.Conn already, else
// Options.TLS is used. When ctx is done, the session ends with BYE.
func (srv *Server) Serve(ctx context.Context, conn net.Conn, implicitTLS bool) {
	opt := srv.options.Load()
	s := newSession(srv, opt, conn)
	defer conn.Close()
	srv.mu.Lock()
	srv.sessions[s] = struct{}{}
	draining := srv.draining
	srv.mu.Unlock()
	defer func() {
		srv.mu.Lock()
		defer srv.mu.Unlock()
		delete(srv.sessions, s)
	}()
	srv.Counters.Connections.Add(1)
	srv.Counters.Open.Add(1)
	defer srv.Counters.Open.Add(-1)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, s.interrupt)()
	if draining {
		s.interrupt()
	}
	if implicitTLS {
		tc, ok := conn.(*tls.Conn)
		if !ok {
			config := opt.tlsConfig()
			if config == nil {
				opt.Log.Error("TLS connection without TLS configuration", "session", s.id)
				return
			}
			tc = tls.Server(conn, config)
		}
		if err := s.handshake(ctx, tc); err != nil {
			srv.Counters.FailedHandshakes.Add(1)
			opt.Log.Info("TLS handshake failed", "session", s.id, "remote", s.remote(), "error", err)
			return
		}
	}
	s.serve(ctx)
}

// Drain ends idle sessions with BYE at once; the others when the command that
// they run is finished. New connections are greeted with BYE.
func (srv *Server) Drain() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if !srv.draining {
		srv.draining = true
		close(srv.drained)
	}
	for s := range srv.sessions {
		s.interrupt()
	}
}

// newID names a session in the log.
func newID() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
