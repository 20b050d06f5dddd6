package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certCheck is how often the files of the certificate are looked at.
const certCheck = 10 * time.Second

// A certStore serves one certificate and reads it again when its files change.
// A broken new one is logged and the old one stays.
type certStore struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex // guards all below
	cert    *tls.Certificate
	stamp   [2]fileStamp
	checked time.Time
}

type fileStamp struct {
	mtime time.Time
	size  int64
}

func newCertStore(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*certStore, error) {
	s := &certStore{certFile: certFile, keyFile: keyFile, log: log, now: now}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// load reads the files; mu must be held, but at the start.
func (s *certStore) load() error {
	stamp := s.stamps()
	cert, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
	if err != nil {
		return fmt.Errorf("server: load certificate: %w", err)
	}
	s.cert, s.stamp = &cert, stamp
	if leaf := cert.Leaf; leaf != nil && leaf.NotAfter.Before(s.now()) {
		s.log.Warn("the certificate has expired", "cert", s.certFile, "not_after", leaf.NotAfter)
	}
	return nil
}

func (s *certStore) stamps() (st [2]fileStamp) {
	for i, name := range []string{s.certFile, s.keyFile} {
		if fi, err := os.Stat(name); err == nil {
			st[i] = fileStamp{fi.ModTime(), fi.Size()}
		}
	}
	return st
}

// get is tls.Config.GetCertificate.
func (s *certStore) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.checked) >= certCheck || now.Before(s.checked) {
		s.checked = now
		if st := s.stamps(); st != s.stamp {
			if err := s.load(); err != nil {
				s.log.Error("the new certificate cannot be used; the old one stays", "err", err)
			} else {
				s.log.Info("certificate read again", "cert", s.certFile)
			}
			s.stamp = st // an unusable one is complained of once
		}
	}
	return s.cert, nil
}

// reload reads the files now.
func (s *certStore) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load()
}

// expires is when the certificate ends.
func (s *certStore) expires() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cert == nil || s.cert.Leaf == nil {
		return time.Time{}
	}
	return s.cert.Leaf.NotAfter
}

// tlsConfig is TLS 1.2 and up, the protocol name "imap" for clients that ask
// by ALPN (and none else, against cross-protocol attacks), one certificate
// whatever name is asked for.
func tlsConfig(certs *certStore) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: certs.get,
		NextProtos:     []string{"imap"},
		Renegotiation:  tls.RenegotiateNever,
	}
}
