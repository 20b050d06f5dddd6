package session

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
)

// inBubble runs f with a server whose clock stands still until all wait.
func inBubble(t *testing.T, f func(t *testing.T, h *harness)) {
	synctest.Test(t, func(t *testing.T) {
		f(t, startHarness(&harness{t: t, poll: true}, func(_ *mailbox.Options, opt *Options) { opt.Log = nil }))
	})
}

// ends holds that the server says BYE after about so long, and closes.
func (c *client) ends(start time.Time, after time.Duration) {
	c.t.Helper()
	line, open := <-c.lines
	took := time.Since(start)
	if !open || !strings.HasPrefix(line, "* BYE ") || took < after || took > after+2*time.Second {
		c.t.Errorf("%q after %v, want BYE after %v", line, took, after)
	}
	if line, open := <-c.lines; open {
		c.t.Errorf("then %q", line)
	}
}

func TestLoginTime(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		start := time.Now()
		h.connect(false).ends(start, 30*time.Second) // one read

		start = time.Now()
		c := h.connect(false)
		for range 3 { // all of them together
			pass(19 * time.Second)
			c.ok("a", "NOOP")
		}
		c.ends(start, time.Minute)
	})
}

func TestAutologout(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		c := h.connect(false)
		c.login()
		pass(30*time.Minute + 30*time.Second)
		c.ok("a", "NOOP") // RFC 9051 §5.4: at least 30 minutes
		start := time.Now()
		c.ends(start, 31*time.Minute)
	})
}

func TestIdleKeepalive(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		c := h.connect(false)
		c.login()
		c.ok("s", "SELECT INBOX")
		c.send("i IDLE\r\n")
		<-c.lines
		start := time.Now()
		for range 40 { // longer than the autologout
			if line := <-c.lines; line != "* OK Still here" {
				t.Fatalf("%q", line)
			}
		}
		if took := time.Since(start); took != 80*time.Minute {
			t.Errorf("40 keepalives in %v", took)
		}
		c.send("DONE\r\n")
		c.until("i")
		c.ends(time.Now(), 31*time.Minute)
	})
}

// TestSlowLiteral: one octet every 29 seconds is progress, but not enough.
func TestSlowLiteral(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		c := h.connect(false)
		c.login()
		c.send("a APPEND INBOX {1000+}\r\n")
		start := time.Now()
		for range 2 {
			pass(29 * time.Second)
			c.send("x")
		}
		pass(29 * time.Second)
		io.WriteString(c.conn, "x")
		c.ends(start, 87*time.Second)

		c = h.connect(false)
		c.login()
		c.send("a APPEND INBOX {1000+}\r\nx")
		c.ends(time.Now(), 30*time.Second) // no progress at all
	})
}

// TestSlowReader: a client that takes nothing costs its connection, not more.
func TestSlowReader(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		conn, done := h.dialRaw(false)
		conn.SetDeadline(time.Time{})
		start := time.Now()
		<-done // the greeting is never read
		if took := time.Since(start); took < time.Minute || took > 3*time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

// pass lets time of the bubble pass.
func pass(d time.Duration) { <-time.After(d) }
