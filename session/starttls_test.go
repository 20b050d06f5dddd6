package session

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
)

// testTLS makes a certificate.
func testTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// newTLSHarness has TLS, and passwords only over it.
func newTLSHarness(t *testing.T) *harness {
	config := testTLS(t)
	return newHarness(t, func(_ *mailbox.Options, opt *Options) {
		opt.TLS = func() *tls.Config { return config }
		opt.Plaintext = nil
	})
}

// dialRaw starts a session and gives its other end.
func (h *harness) dialRaw(implicit bool) (net.Conn, chan struct{}) {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { // ends with the connection
		defer close(done)
		h.srv.Serve(h.t.Context(), theirs, implicit)
	}()
	h.t.Cleanup(func() { ours.Close() })
	ours.SetDeadline(time.Now().Add(patience))
	return ours, done
}

// talk sends a line and reads up to one that begins with until.
func talk(t *testing.T, conn net.Conn, r *bufio.Reader, send, until string) string {
	t.Helper()
	if send != "" {
		if _, err := io.WriteString(conn, send); err != nil {
			t.Fatal(err)
		}
	}
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			t.Fatalf("%q: %v after %q", send, err, all.String())
		}
		if strings.HasPrefix(line, until) {
			return all.String()
		}
	}
}

func TestStartTLS(t *testing.T) {
	h := newTLSHarness(t)
	conn, _ := h.dialRaw(false)
	r := bufio.NewReader(conn)
	if got := talk(t, conn, r, "", "* OK"); !strings.Contains(got, "STARTTLS LOGINDISABLED") || strings.Contains(got, "AUTH=PLAIN") {
		t.Errorf("greeting %q", got)
	}
	talk(t, conn, r, "a LOGIN alice secret\r\n", "a NO [PRIVACYREQUIRED]")
	talk(t, conn, r, "b STARTTLS\r\n", "b OK ")
	tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	r = bufio.NewReader(tc)
	if got := talk(t, tc, r, "c CAPABILITY\r\n", "c OK "); strings.Contains(got, "STARTTLS") || strings.Contains(got, "LOGINDISABLED") || !strings.Contains(got, "AUTH=PLAIN") {
		t.Errorf("capabilities under TLS: %q", got)
	}
	talk(t, tc, r, "d STARTTLS\r\n", "d BAD ")
	talk(t, tc, r, "e LOGIN alice secret\r\n", "e OK ")
	talk(t, tc, r, "f SELECT INBOX\r\n", "f OK ")
	talk(t, tc, r, "g LOGOUT\r\n", "g OK ")
}

// TestStartTLSInjection: CVE-2011-1926 and its kin. What comes behind STARTTLS
// in the same packet is never run, neither in the clear nor inside TLS.
func TestStartTLSInjection(t *testing.T) {
	for _, behind := range []string{"b NOOP\r\n", "b", "\x16\x03\x01"} {
		h := newTLSHarness(t)
		conn, done := h.dialRaw(false)
		r := bufio.NewReader(conn)
		talk(t, conn, r, "", "* OK")
		go io.WriteString(conn, "a STARTTLS\r\n"+behind) // ends with the connection
		rest, _ := io.ReadAll(r)
		if text := string(rest); !strings.HasPrefix(text, "* BYE ") || strings.Contains(text, "b OK") || strings.Contains(text, "a OK") {
			t.Errorf("%q", text)
		}
		<-done
	}
}

func TestStartTLSWithoutCertificate(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial(false)
	if got := c.next(); strings.Contains(got, "STARTTLS") {
		t.Errorf("offered: %q", got)
	}
	if _, tagged := c.command("a", "STARTTLS"); !strings.HasPrefix(tagged, "BAD ") {
		t.Error(tagged)
	}
	c.ok("b", "NOOP")
}

func TestStartTLSFailedHandshake(t *testing.T) {
	h := newTLSHarness(t)
	conn, done := h.dialRaw(false)
	r := bufio.NewReader(conn)
	talk(t, conn, r, "", "* OK")
	talk(t, conn, r, "a STARTTLS\r\n", "a OK ")
	go io.Copy(io.Discard, conn) // ends with the connection
	io.WriteString(conn, "b LOGIN alice secret\r\n")
	<-done
	if n := h.srv.Counters.FailedHandshakes.Load(); n != 1 {
		t.Errorf("%d failed handshakes", n)
	}
	if n := h.srv.Counters.Logins.Load(); n != 0 {
		t.Error("logged in")
	}
}

func TestImplicitTLS(t *testing.T) {
	h := newTLSHarness(t)
	conn, _ := h.dialRaw(true)
	tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	r := bufio.NewReader(tc)
	if got := talk(t, tc, r, "", "* OK"); strings.Contains(got, "STARTTLS") {
		t.Errorf("greeting %q", got)
	}
	talk(t, tc, r, "a LOGIN alice secret\r\n", "a OK ")
}
