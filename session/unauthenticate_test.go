package session

import (
	"net"
	"reflect"
	"slices"
	"testing"

	"roost/mailbox"
)

// TestForgetUserKnowsAllFields: whoever adds a field to Session says what
// UNAUTHENTICATE does with it (RFC 8437 §4.1).
func TestForgetUserKnowsAllFields(t *testing.T) {
	kept := []string{
		"srv", "opt", "id", "log", "raw", "t", "tls", "deflate", "in", "sc", "w", // the connection
		"barrier",               // what was written depends on it
		"cmd", "idling", "over", // this command
	}
	reset := []string{"state", "user", "account", "access", "mailbox", "view", "fresh", "saved", "partial", "contexts", "notify", "enabled", "bad", "comparator"}
	typ := reflect.TypeFor[Session]()
	for i := range typ.NumField() {
		if name := typ.Field(i).Name; !slices.Contains(kept, name) && !slices.Contains(reset, name) {
			t.Errorf("Session.%s: reset it in forgetUser, or keep it, and name it here", name)
		}
	}
}

func TestUnauthenticateTellsTheServer(t *testing.T) {
	var in, out int
	h := newHarness(t, func(_ *mailbox.Options, opt *Options) {
		opt.Login = func(net.Conn, string) error { in++; return nil }
		opt.Logout = func(net.Conn) { out++ }
	})
	c := h.connect(false)
	for range 3 {
		c.login()
		c.ok("a", "SELECT INBOX")
		c.ok("b", "UNAUTHENTICATE")
	}
	c.ok("c", "LOGOUT")
	if in != 3 || out != 3 {
		t.Errorf("%d logins, %d logouts", in, out)
	}
}
