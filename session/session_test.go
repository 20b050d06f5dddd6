package session

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"roost/mailbox"
)

// newClient starts a server and a client of it that is logged in.
func newClient(t *testing.T) (*harness, *client) {
	t.Helper()
	h := newHarness(t, nil)
	c := h.connect(false)
	c.login()
	return h, c
}

// TestNUL: Dovecot CVE-2019-11500. NUL in any token is refused, and nothing is
// cut off at it.
func TestNUL(t *testing.T) {
	_, c := newClient(t)
	for i, line := range []string{
		"NO\x00OP", "NOOP\x00", "SELECT \"IN\x00BOX\"", "SELECT IN\x00BOX", "SELECT {5+}\r\nIN\x00BX", "ID (\"a\x00\" NIL)",
	} {
		tag := fmt.Sprint("n", i)
		if _, tagged := c.command(tag, "%s", line); !strings.HasPrefix(tagged, "BAD ") {
			t.Errorf("%q: %s", line, tagged)
		}
	}
	c.ok("last", "NOOP")
}

// TestBareLF: a line may end with LF alone, as from a terminal.
func TestBareLF(t *testing.T) {
	_, c := newClient(t)
	c.send("a NOOP\nb NOOP\r\n")
	c.until("a")
	c.until("b")
}

// TestUntaggedBad: what has no tag is answered without one, and an invalid tag
// is not echoed.
func TestUntaggedBad(t *testing.T) {
	_, c := newClient(t)
	for _, line := range []string{"", " ", "+ NOOP", "a+b NOOP", strings.Repeat("t", 127) + " NOOP", "\x1b[2J NOOP", "(a) NOOP"} {
		c.send(line + "\r\n")
		if got := c.next(); !strings.HasPrefix(got, "* BAD ") {
			t.Errorf("%.20q: %q", line, got)
		}
	}
}

// TestTLSOnPlainPort: a TLS handshake on a port without TLS is not waited for.
func TestTLSOnPlainPort(t *testing.T) {
	h := newHarness(t, nil)
	c := h.connect(false)
	go c.conn.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")) // ends with the connection
	if got := c.next(); !strings.HasPrefix(got, "* BYE ") {
		t.Errorf("%q", got)
	}
	if got := c.next(); got != "" {
		t.Errorf("then %q", got)
	}
}

func TestDrain(t *testing.T) {
	h := newHarness(t, nil)
	idle, waiting, fresh := h.connect(false), h.connect(false), h.connect(false)
	idle.login()
	waiting.login()
	waiting.ok("s", "SELECT INBOX")
	idle.send("i IDLE\r\n")
	if got := idle.next(); got != "+ idling" {
		t.Fatal(got)
	}
	h.srv.Drain()
	h.srv.Drain()
	late := h.dial(false)
	for name, c := range map[string]*client{"idle": idle, "waiting": waiting, "not logged in": fresh, "late": late} {
		if got := c.next(); !strings.HasPrefix(got, "* BYE [UNAVAILABLE] ") {
			t.Errorf("%s: %q", name, got)
		}
		if got := c.next(); got != "" {
			t.Errorf("%s: then %q", name, got)
		}
		<-c.done
	}
	if n := h.srv.Counters.Open.Load(); n != 0 {
		t.Errorf("%d sessions are open", n)
	}
}

// TestContext: a server that is told to stop at once ends all sessions.
func TestContext(t *testing.T) {
	h := newHarness(t, nil)
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // ends with cancel
		defer close(done)
		h.srv.Serve(ctx, theirs, false)
	}()
	buf := make([]byte, 1000)
	if _, err := ours.Read(buf); err != nil {
		t.Fatal(err)
	}
	cancel()
	n, err := ours.Read(buf)
	if !strings.HasPrefix(string(buf[:n]), "* BYE ") {
		t.Errorf("%q %v", buf[:n], err)
	}
	<-done
}

// TestPanicEndsOneSession holds that a bug costs one connection and is counted.
func TestPanicEndsOneSession(t *testing.T) {
	h, c := newClient(t)
	other := h.connect(false)
	other.login()
	c.send("p XPANIC\r\n")
	if got := c.next(); got != "" {
		t.Errorf("%q", got)
	}
	<-c.done
	if n := h.srv.Counters.Panics.Swap(0); n != 1 {
		t.Errorf("%d panics counted", n)
	}
	other.ok("a", "NOOP")
}

func init() {
	commands["XPANIC"] = command{states: anyState, parse: noArgs(func(context.Context, *Session) error { panic("on purpose") })}
}

// TestCounters holds that commands are counted by name and result.
func TestCounters(t *testing.T) {
	h, c := newClient(t)
	c.ok("a", "NOOP")
	c.ok("b", "NOOP")
	c.command("c", "SELECT nowhere")
	c.command("d", "NOOP x")
	c.command("e", "NONSENSE")
	counts := h.srv.Counters.Commands()
	for name, want := range map[string][3]uint64{"NOOP": {2, 0, 1}, "SELECT": {0, 1, 0}, unknownCommand: {0, 0, 1}, "LOGIN": {1, 0, 0}} {
		cc := counts[name]
		got := [3]uint64{cc.OK.Load(), cc.NO.Load(), cc.BAD.Load()}
		total := uint64(0)
		for i := range cc.Latency {
			total += cc.Latency[i].Load()
		}
		if got != want || total != want[0]+want[1]+want[2] {
			t.Errorf("%s: %v, %d timed; want %v", name, got, total, want)
		}
	}
	if in, out := h.srv.Counters.BytesIn.Load(), h.srv.Counters.BytesOut.Load(); in == 0 || out == 0 {
		t.Errorf("%d octets in, %d out", in, out)
	}
}

// TestSecretsAreNotLogged: neither passwords nor SASL messages reach the log.
func TestSecretsAreNotLogged(t *testing.T) {
	var log lockedBuffer
	h := newHarness(t, func(_ *mailbox.Options, opt *Options) {
		opt.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := h.connect(false)
	c.command("a", "LOGIN alice hunter2")
	c.command("b", "LOGIN alice hunter2 hunter2")
	c.command("c", "AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=")
	c.ok("d", "LOGIN alice secret")
	c.ok("e", `ID ("name" "x" "injected" "a`+"\xc2\x9b"+`b")`)
	text := log.String()
	for _, secret := range []string{"hunter2", "secret", "AGFsaWNl"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %q: %s", secret, text)
		}
	}
	if !strings.Contains(text, "logged in") {
		t.Errorf("log: %s", text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestOddArguments gives every command in every state arguments that it does
// not want. It must answer, and the session must go on.
func TestOddArguments(t *testing.T) {
	var names []string
	for name := range commands {
		if name != "XPANIC" && name != "LOGOUT" && name != "UNAUTHENTICATE" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	odd := []string{
		" x y z", " ", " (", " ()", " ((((", ` "`, ` "\x"`, " {5}", " {0+}\r\n", " {3+}\r\n\x00\x00\x00", " NIL", " *", " 1:*", " $", " 0", " %",
		" 4294967296", " 18446744073709551616 FLAGS ()", " (" + strings.Repeat("(", 100), " \xff\xfe", " ~{3+}\r\nabc", " INBOX", " INBOX (",
		` INBOX "x`, " 1 (FLAGS", " 1 BODY[", " 1 BODY[1.2.3.4.5.6.7.8.9.0]", " 1 BODY[]<4294967295.4294967295>", " =", " a {1+}\r\na (",
	}
	for _, state := range []string{"not authenticated", "authenticated", "selected", "examined"} {
		t.Run(state, func(t *testing.T) {
			h := newHarness(t, func(_ *mailbox.Options, opt *Options) {
				opt.Limits.BadCommands, opt.Limits.BadCommandsPreAuth, opt.Limits.AuthFailures = 1<<30, 1<<30, 1<<30
			})
			h.deliver("", "1.test", "Subject: x\n\nbody\n")
			c := h.connect(false)
			c.ok("first", "NOOP")
			if state != "not authenticated" {
				c.login()
			}
			n := 0
			for _, name := range names {
				for _, arg := range append([]string{""}, odd...) {
					if n++; c.dead() {
						c = h.connect(false)
						c.ok("first", "NOOP")
					}
					switch state {
					case "selected":
						c.ok("s", "SELECT INBOX")
					case "examined":
						c.ok("s", "EXAMINE INBOX")
					}
					tag := fmt.Sprint("o", n)
					c.send(tag + " " + name + arg + "\r\n")
					for done := false; !done; {
						got := c.next()
						switch {
						case got == "":
							t.Fatalf("%s%q: connection closed", name, arg)
						case strings.HasPrefix(got, "+ "):
							c.send("*****\r\n") // AUTHENTICATE, IDLE, or the literal {5}
						case strings.HasPrefix(got, tag+" "):
							done = true
						case !strings.HasPrefix(got, "* "):
							t.Fatalf("%s%q: %q", name, arg, got)
						}
					}
				}
			}
			c.ok("last", "NOOP")
		})
	}
}

func (c *client) dead() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// TestTable holds that the rows of the table and the capabilities agree.
func TestTable(t *testing.T) {
	for name, cmd := range commands {
		if cmd.parse == nil || cmd.states == 0 {
			t.Errorf("%s has no parse or no states", name)
		}
		if name != strings.ToUpper(name) {
			t.Errorf("%s is not in upper case", name)
		}
	}
	for name, needs := range map[string][]string{
		"IDLE": {"IDLE"}, "ENABLE": {"ENABLE"}, "ID": {"ID"}, "UNSELECT": {"UNSELECT"}, "MOVE": {"MOVE", "UID MOVE"},
		"UIDPLUS": {"UID EXPUNGE"}, "NAMESPACE": {"NAMESPACE"}, "LIST-STATUS": {"LIST", "STATUS"}, "SORT": {"SORT", "UID SORT"},
		"THREAD=REFERENCES": {"THREAD", "UID THREAD"}, "COMPRESS=DEFLATE": {"COMPRESS"}, "QUOTA": {"GETQUOTA", "GETQUOTAROOT"},
		"METADATA": {"GETMETADATA", "SETMETADATA"}, "NOTIFY": {"NOTIFY"}, "REPLACE": {"REPLACE", "UID REPLACE"},
	} {
		offered := slices.ContainsFunc(capabilityList, func(c capability) bool { return c.name == name })
		for _, cmd := range needs {
			if _, ok := commands[cmd]; offered && !ok {
				t.Errorf("capability %s without the command %s", name, cmd)
			}
		}
	}
	// IMAP4rev2 is all of these (RFC 9051, appendix E), whatever is advertised.
	for _, cmd := range []string{
		"CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "AUTHENTICATE", "LOGIN", "ENABLE", "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME",
		"SUBSCRIBE", "UNSUBSCRIBE", "LIST", "NAMESPACE", "STATUS", "APPEND", "IDLE", "CLOSE", "UNSELECT", "EXPUNGE", "SEARCH", "FETCH",
		"STORE", "COPY", "MOVE", "UID FETCH", "UID STORE", "UID COPY", "UID MOVE", "UID SEARCH", "UID EXPUNGE", "LSUB", "CHECK",
	} {
		if _, ok := commands[cmd]; !ok {
			t.Errorf("IMAP4rev1 or IMAP4rev2 without the command %s", cmd)
		}
	}
}

// TestDeepPipeline sends much more at once than any buffer holds.
func TestDeepPipeline(t *testing.T) {
	_, c := newClient(t)
	c.ok("s", "SELECT INBOX")
	const n = 3000
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "n%d NOOP\r\n", i)
		if i%500 == 0 {
			body := strings.Repeat(fmt.Sprintf("line %d\r\n", i), 5000)
			fmt.Fprintf(&all, "a%d APPEND INBOX {%d+}\r\n%s\r\n", i, len(body), body)
		}
	}
	go c.conn.Write([]byte(all.String())) // ends when the server has read it
	for i := range n {
		if _, tagged := c.until(fmt.Sprint("n", i)); !strings.HasPrefix(tagged, "OK ") {
			t.Fatal(tagged)
		}
		if i%500 == 0 {
			if _, tagged := c.until(fmt.Sprint("a", i)); !strings.HasPrefix(tagged, "OK [APPENDUID ") {
				t.Fatal(tagged)
			}
		}
	}
	got := c.ok("f", "FETCH 6 (BODY.PEEK[])")
	if want := strings.Repeat("line 2500\r\n", 5000); !strings.Contains(strings.Join(got, ""), "\r\n"+want+")") {
		t.Error("the last message came out otherwise")
	}
}
