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

	mu       sync.Mutex // guards all below
	draining bool
	sessions map[*Session]struct{}
}

// NewServer gives a Server with options.
func NewServer(options Options) *Server {
	srv := &Server{Counters: newCounters(), sessions: map[*Session]struct{}{}}
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
//
// The goroutine of an idle connection stays in here, so that there is little on
// its stack.
func (srv *Server) Serve(ctx context.Context, conn net.Conn, implicitTLS bool) {
	s, stop := srv.enter(ctx, conn)
	defer srv.leave(s, stop)
	if !implicitTLS || s.implicitTLS(ctx) {
		s.serve(ctx)
	}
}

// enter makes a session for conn that ends when ctx is done; leave undoes that.
func (srv *Server) enter(ctx context.Context, conn net.Conn) (s *Session, stop func() bool) {
	s = newSession(srv, srv.options.Load(), conn)
	srv.mu.Lock()
	srv.sessions[s] = struct{}{}
	draining := srv.draining
	srv.mu.Unlock()
	srv.Counters.Connections.Add(1)
	srv.Counters.Open.Add(1)
	if draining {
		s.interrupt()
	}
	return s, context.AfterFunc(ctx, s.interrupt)
}

func (srv *Server) leave(s *Session, stop func() bool) {
	stop()
	srv.Counters.Open.Add(-1)
	srv.mu.Lock()
	delete(srv.sessions, s)
	srv.mu.Unlock()
	s.raw.Close()
}

// implicitTLS is the handshake of a connection that begins with TLS.
func (s *Session) implicitTLS(ctx context.Context) bool {
	tc, ok := s.raw.(*tls.Conn)
	if !ok {
		config := s.opt.tlsConfig()
		if config == nil {
			s.opt.Log.Error("TLS connection without TLS configuration", "session", s.id)
			return false
		}
		tc = tls.Server(s.raw, config)
	}
	if err := s.handshake(ctx, tc); err != nil {
		s.srv.Counters.FailedHandshakes.Add(1)
		s.opt.Log.Info("TLS handshake failed", "session", s.id, "remote", s.remote(), "error", err)
		return false
	}
	return true
}

// Drain ends idle sessions with BYE at once; the others when the command that
// they run is finished. New connections are greeted with BYE.
func (srv *Server) Drain() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.draining = true
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
