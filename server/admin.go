package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"roost/config"
)

// openAdmin binds the admin listener: /metrics and /healthz.
func (p *process) openAdmin(cfg *config.Config) (stop func(), err error) {
	if cfg.Listen.Admin == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", cfg.Listen.Admin)
	if err != nil {
		return func() {}, fmt.Errorf("server: listen.admin: %w; choose another address, or \"\" for none", err)
	}
	srv := &http.Server{
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	p.starts = append(p.starts, func() {
		srv.Handler = p.adminHandler() // its counters exist by now
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			p.log.Error("admin listener", "err", err)
		}
	})
	return func() { l.Close(); srv.Close() }, nil
}

func (p *process) adminHandler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(p), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if p.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}
