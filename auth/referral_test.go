package auth

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// TestReferral: only who knows the password learns where the mail is.
func TestReferral(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write := func(text string) *Service {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return New(Options{Users: path, Throttle: ThrottleOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	}
	if s := write("ann:{PLAIN}x\n"); s.Refers() {
		t.Error("refers without a host in the file")
	}
	s := write("ann:{PLAIN}x\n" +
		"bob:{PLAIN}y::::::host=mail.example.org:1143\n" +
		"dovecot:{PLAIN}z::::::nologin host=192.0.2.1\n" +
		"far:{PLAIN}w::::::host=mail.example.org allow_nets=192.0.2.0/24\n" +
		"locked:!{PLAIN}v::::::host=mail.example.org\n" +
		"bad:{PLAIN}u::::::host=mail/../x\n")
	if n, skipped, err := s.Check(); n != 5 || len(skipped) != 1 || skipped[0].Line != 6 || err != nil {
		t.Errorf("%d users, skipped %v, %v", n, skipped, err)
	}
	if !s.Refers() {
		t.Error("does not refer")
	}
	for _, c := range []struct{ user, password, host string }{
		{"bob", "y", "mail.example.org:1143"},
		{"dovecot", "z", "192.0.2.1"},
		{"bob", "wrong", ""},
		{"far", "w", ""},
		{"locked", "v", ""},
	} {
		_, err := s.Login(t.Context(), c.user, c.password, localhost)
		var r *Referral
		switch {
		case c.host == "" && (!errors.Is(err, ErrInvalid) || errors.Is(err, ErrReferral)):
			t.Errorf("%s: %v, want ErrInvalid", c.user, err)
		case c.host != "" && (!errors.As(err, &r) || r.Host != c.host || r.User != c.user || !errors.Is(err, ErrReferral)):
			t.Errorf("%s: %v, want a referral to %s", c.user, err, c.host)
		}
	}
	if u, err := s.Login(t.Context(), "ann", "x", localhost); err != nil || u.Name != "ann" {
		t.Errorf("ann: %v, %v", u, err)
	}
}
