package session

import (
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"roost/auth"
	"roost/mailbox"
)

// withUsers gives a harness with another users file.
func withUsers(t *testing.T, text string) *harness {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return newHarness(t, func(_ *mailbox.Options, opt *Options) {
		opt.Auth = auth.New(auth.Options{Users: users, Throttle: auth.ThrottleOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}})
	})
}

// TestSCRAM: the server proves that it knows the password too, before the
// tagged OK (RFC 5802 §5, RFC 4422 §3.6).
func TestSCRAM(t *testing.T) {
	for _, initial := range []bool{false, true} {
		for _, last := range []string{"", "=", "*", "x"} {
			h := withUsers(t, "alice:{PLAIN}secret\n")
			c := h.connect(false)
			sc, err := scram.SHA256.NewClient("alice", "secret", "")
			if err != nil {
				t.Fatal(err)
			}
			conv := sc.NewConversation()
			step := func(challenge string) string {
				t.Helper()
				b, err := base64.StdEncoding.DecodeString(challenge)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := conv.Step(string(b))
				if err != nil {
					t.Fatal(err)
				}
				return base64.StdEncoding.EncodeToString([]byte(answer))
			}
			challenge := func() string {
				t.Helper()
				line, ok := strings.CutPrefix(c.next(), "+ ")
				if !ok {
					t.Fatal("no challenge")
				}
				return line
			}
			if initial {
				c.send("a AUTHENTICATE SCRAM-SHA-256 " + step("") + "\r\n")
			} else {
				c.send("a AUTHENTICATE SCRAM-SHA-256\r\n")
				if got := challenge(); got != "" {
					t.Fatalf("first challenge %q", got)
				}
				c.send(step("") + "\r\n")
			}
			c.send(step(challenge()) + "\r\n")
			step(challenge()) // server-final
			if !conv.Valid() {
				t.Error("the server has not proved itself")
			}
			c.send(last + "\r\n")
			_, tagged := c.until("a")
			if want := map[string]string{"": "OK ", "=": "BAD ", "*": "BAD ", "x": "BAD "}[last]; !strings.HasPrefix(tagged, want) {
				t.Errorf("%q is answered with %q", last, tagged)
			}
			if last == "" {
				c.ok("b", "SELECT INBOX")
			} else if _, tagged := c.command("b", "SELECT INBOX"); !strings.HasPrefix(tagged, "BAD log in") {
				t.Errorf("logged in: %s", tagged)
			}
		}
	}
}

func TestSCRAMWrongPassword(t *testing.T) {
	h := withUsers(t, "alice:{PLAIN}secret\n")
	c := h.connect(false)
	sc, _ := scram.SHA256.NewClient("alice", "wrong", "")
	conv := sc.NewConversation()
	first, _ := conv.Step("")
	c.send("a AUTHENTICATE SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString([]byte(first)) + "\r\n")
	b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.next(), "+ "))
	final, err := conv.Step(string(b))
	if err != nil {
		t.Fatal(err)
	}
	c.send(base64.StdEncoding.EncodeToString([]byte(final)) + "\r\n")
	if untagged, tagged := c.until("a"); !strings.HasPrefix(tagged, "NO [AUTHENTICATIONFAILED]") || len(untagged) > 0 {
		t.Errorf("%q, %s", untagged, tagged)
	}
}

// TestReferral is RFC 2221: told only to who knows the password.
func TestReferral(t *testing.T) {
	h := withUsers(t, "alice:{PLAIN}secret\n")
	if line := h.dial(false).next(); strings.Contains(line, "LOGIN-REFERRALS") {
		t.Errorf("offered to nobody: %s", line)
	}
	h = withUsers(t, "alice:{PLAIN}secret\nbob@example.org:{PLAIN}x::::::host=mail.example.org:1143\n")
	c := h.dial(false)
	if line := c.next(); !strings.Contains(line, " LOGIN-REFERRALS ") {
		t.Errorf("greeting %s", line)
	}
	const want = "NO [REFERRAL imap://bob%40example.org;AUTH=*@mail.example.org:1143/] "
	if _, tagged := c.command("a", "LOGIN bob@example.org x"); !strings.HasPrefix(tagged, want) {
		t.Errorf("%s", tagged)
	}
	if _, tagged := c.command("b", "AUTHENTICATE PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00bob@example.org\x00x"))); !strings.HasPrefix(tagged, want) {
		t.Errorf("%s", tagged)
	}
	if _, tagged := c.command("c", "LOGIN bob@example.org y"); !strings.HasPrefix(tagged, "NO [AUTHENTICATIONFAILED]") {
		t.Errorf("%s", tagged)
	}
	c.ok("d", "LOGIN alice secret")
}
