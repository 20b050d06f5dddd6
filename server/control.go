package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The control socket speaks HTTP with JSON on a Unix socket (0600); only the
// uid of the server and root are answered.
//
//	GET  /status   Status
//	POST /reload   reads the configuration again, as SIGHUP does
//	POST /mail/... what only the server may do to the mail: controlmail.go
//
// Every failure is {"error": "..."} with a status of 4xx or 5xx.

// Status is what GET /status answers.
type Status struct {
	Version            string    `json:"version"`
	PID                int       `json:"pid"`
	Started            time.Time `json:"started"`
	Listen             []string  `json:"listen"`
	Connections        int       `json:"connections"`
	Unauthenticated    int       `json:"unauthenticated"`
	Users              int       `json:"users"`
	Refused            uint64    `json:"refused"`
	CertificateExpires time.Time `json:"certificate_expires,omitzero"`
	Draining           bool      `json:"draining"`
}

type controlServer struct {
	http *http.Server
	path string
	log  *slog.Logger
}

// listenControl binds the socket at path. A socket that nobody answers on is
// left over from a server that was killed, and is replaced.
func listenControl(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("server: make directory of the control socket: %w", err)
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&fs.ModeSocket != 0 {
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("server: control socket %s: another roost answers on it", path)
		}
		os.Remove(path)
	}
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("server: control socket: %w", err)
	}
	return l, nil
}

type peerKey struct{}

// newControl serves the socket with the given calls, and those that more adds.
func newControl(path string, status func() Status, reload func() error, log *slog.Logger, more ...func(*http.ServeMux)) *controlServer {
	mux := http.NewServeMux()
	for _, add := range more {
		add(mux)
	}
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, status()) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		if err := reload(); err != nil {
			writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{})
	})
	c := &controlServer{path: path, log: log}
	c.http = &http.Server{
		Handler:           peersOnly(mux, uint32(os.Getuid())),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			uid, err := peerUID(conn)
			if err != nil {
				log.Warn("control socket: who asks is unknown", "err", err)
				return ctx
			}
			return context.WithValue(ctx, peerKey{}, uid)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return c
}

// peersOnly answers only root and the uid of the process.
func peersOnly(next http.Handler, self uint32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, ok := r.Context().Value(peerKey{}).(uint32)
		if !ok || (uid != 0 && uid != self) {
			writeJSON(w, http.StatusForbidden, map[string]string{"error": "only root and the user of the server may ask"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func peerUID(conn net.Conn) (uint32, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a Unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v) // the peer may be gone; nothing to do about it
}

// serve ends when close is called.
func (c *controlServer) serve(l net.Listener) {
	if err := c.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		c.log.Error("control socket", "err", err)
	}
}

func (c *controlServer) close() {
	c.http.Close()
	os.Remove(c.path)
}

// Ask sends one request to the control socket at path and decodes the answer
// into out; it is the client of the command line tools.
func Ask(path, method, target string, out any) error {
	client := &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}},
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequest(method, "http://roost"+target, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("server: ask control socket %s: %w", path, err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		var failure struct{ Error string }
		if dec.Decode(&failure) != nil || failure.Error == "" {
			failure.Error = resp.Status
		}
		return errors.New(failure.Error)
	}
	return dec.Decode(out)
}
