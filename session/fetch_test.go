package session

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roost/mailbox"
)

// selectedClient gives a client with INBOX selected and n messages of about
// size octets in it.
func selectedClient(t *testing.T, n, size int) *client {
	t.Helper()
	h := newHarness(t, nil)
	for i := range n {
		h.deliver("", fmt.Sprintf("%d.M%d.test", 1_600_000_000+i, i), fmt.Sprintf("Subject: m%d\n\n%s", i, strings.Repeat("0123456789abcde\n", size/16)))
	}
	c := h.connect(false)
	c.login()
	c.ok("s", "SELECT INBOX")
	return c
}

// \Seen comes with the octets of each message, whether many fit between two
// flushes or one needs several, and it is stored (RFC 9051 §6.4.5).
func TestFetchSetsSeenInBatches(t *testing.T) {
	for _, tt := range []struct{ n, size int }{{500, 512}, {12, 200_000}, {40, 20_000}} {
		t.Run(fmt.Sprintf("%dx%d", tt.n, tt.size), func(t *testing.T) {
			t.Parallel()
			c := selectedClient(t, tt.n, tt.size)
			lines := c.ok("a", "FETCH 1:* BODY[]")
			if len(lines) != tt.n {
				t.Fatalf("%d responses, want %d", len(lines), tt.n)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, fmt.Sprintf("* %d FETCH (BODY[] {", i+1)) || !regexp.MustCompile(` FLAGS \(\\Seen[^()]*\)\)$`).MatchString(line) {
					t.Fatalf("response %.60q ... %q", line, line[max(0, len(line)-60):])
				}
			}
			if got := c.ok("b", "SEARCH UNSEEN"); len(got) != 1 || got[0] != "* SEARCH" {
				t.Errorf("not seen: %q", got)
			}
			if got := c.ok("d", "NOOP"); len(got) != 0 {
				t.Errorf("told again: %.200q", got)
			}
		})
	}
}

// With CONDSTORE on, each message's new mod-sequence is told as well, once
// (RFC 7162 §3.2.4).
func TestFetchSeenTellsModSeq(t *testing.T) {
	const n = 200
	c := selectedClient(t, n, 1000)
	c.ok("e", "ENABLE CONDSTORE")
	told := map[string]bool{}
	modSeq := regexp.MustCompile(`^\* (\d+) FETCH \(UID \d+ FLAGS \(\\Seen[^()]*\) MODSEQ \(\d+\)\)$`)
	for _, line := range c.ok("a", "FETCH 1:* BODY[TEXT]") {
		if m := modSeq.FindStringSubmatch(line); m != nil {
			if told[m[1]] {
				t.Errorf("message %s told twice", m[1])
			}
			told[m[1]] = true
		}
	}
	if len(told) != n {
		t.Errorf("mod-sequences of %d messages told, want %d", len(told), n)
	}
}

// What was appended comes back octet for octet, whole and in parts
// (RFC 9051 §6.3.12, §6.4.5).
func TestAppendFetchRoundTrip(t *testing.T) {
	h := newHarness(t, nil)
	c := h.connect(false)
	c.login()
	c.ok("s", "SELECT INBOX")
	var b strings.Builder
	b.WriteString("Subject: long\r\n\r\n")
	for i := range 60_000 {
		fmt.Fprintf(&b, "line %d of many\r\n", i)
	}
	for k, text := range []string{
		b.String(),                               // CRLF: stored with LF
		"Subject: mixed\r\n\r\na\nb\rc\r\nd\r\n", // kept as it came
		"Subject: nothing behind\r\n\r\n",
		"no header at all",
		"Subject: x\r\n" + strings.Repeat("X-Long: "+strings.Repeat("y", 500)+"\r\n", 3000) + "X-Last: z\r\n\r\nbody",
	} {
		c.send(fmt.Sprintf("a%d APPEND INBOX {%d+}\r\n%s\r\n", k, len(text), text))
		if _, tagged := c.until(fmt.Sprint("a", k)); !strings.HasPrefix(tagged, "OK [APPENDUID ") {
			t.Fatalf("append %d: %s", k, tagged)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		got := literalOf(t, c.ok("f", "FETCH %d BODY.PEEK[]", k+1))
		if got != want {
			t.Fatalf("message %d: %d octets %.60q, want %d %.60q", k, len(got), got, len(want), want)
		}
		if size := c.ok("z", "FETCH %d RFC822.SIZE", k+1); size[0] != fmt.Sprintf("* %d FETCH (RFC822.SIZE %d)", k+1, len(want)) {
			t.Errorf("message %d: %q, want size %d", k, size, len(want))
		}
		var parts strings.Builder
		for off, step := 0, len(want)/7+1; off < len(want); off += step {
			parts.WriteString(literalOf(t, c.ok("p", "FETCH %d BODY.PEEK[]<%d.%d>", k+1, off, step)))
		}
		if parts.String() != want {
			t.Errorf("message %d: the parts are not the whole", k)
		}
		if head, _, found := strings.Cut(want, "\r\n\r\n"); found {
			if got := literalOf(t, c.ok("h", "FETCH %d BODY.PEEK[HEADER]", k+1)); got != head+"\r\n\r\n" {
				t.Errorf("message %d: header of %d octets, want %d", k, len(got), len(head)+4)
			}
			got := literalOf(t, c.ok("l", "FETCH %d BODY.PEEK[HEADER.FIELDS (X-LAST)]", k+1))
			if want := map[bool]string{true: "X-Last: z\r\n\r\n", false: "\r\n"}[k == 4]; got != want {
				t.Errorf("message %d: field %q, want %q", k, got, want)
			}
		}
	}
}

// literalOf gives the literal in a single response.
func literalOf(t *testing.T, lines []string) string {
	t.Helper()
	if len(lines) != 1 {
		t.Fatalf("%d responses: %.200q", len(lines), lines)
	}
	head, rest, _ := strings.Cut(lines[0], "\r\n")
	n, ok := literalSize(head)
	if !ok || int64(len(rest)) < n {
		t.Fatalf("no literal in %.200q", lines[0])
	}
	return rest[:n]
}

// Long commands say that they go on (RFC 9585).
func TestProgress(t *testing.T) {
	var step atomic.Int64 // added to the clock with each look at it
	var ahead atomic.Int64
	h := newHarness(t, func(_ *mailbox.Options, o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Add(step.Load()))) }
	})
	const n = 200
	for i := range n {
		h.deliver("", fmt.Sprintf("%d.M%d.test", 1_600_000_000+i, i), "Subject: x\n\nhello\n")
	}
	c := h.connect(false)
	c.login()
	c.ok("c", "CREATE There")
	c.ok("s", "SELECT INBOX")
	for _, test := range []struct{ tag, command, rest string }{
		{"a7", "SEARCH BODY hello", `^\* SEARCH 1 2 3 .* 199 200$`},
		{"b7", "COPY 1:* There", ""},
		{"c7", "UID MOVE 1:150 There", `^\* (OK \[COPYUID |\d+ EXPUNGE$|FLAGS |OK \[PERM)`},
	} {
		step.Store(int64(progressAfter))
		lines := c.ok(test.tag, "%s", test.command)
		step.Store(0)
		progress := regexp.MustCompile(`^\* OK \[INPROGRESS \("` + test.tag + `" (\d+) \d+\)\] `)
		told := 0
		for _, line := range lines {
			switch {
			case progress.MatchString(line):
				told++
			case test.rest == "" || !regexp.MustCompile(test.rest).MatchString(line):
				t.Errorf("%s: unexpected %q", test.command, line)
			}
		}
		if told == 0 {
			t.Errorf("%s: no progress told", test.command)
		}
	}
}

// The bounds of a search are refused, not suffered.
func TestSearchBounds(t *testing.T) {
	c := selectedClient(t, 1, 16)
	if _, tagged := c.command("a", "SEARCH %s", strings.TrimSpace(strings.Repeat("SEEN ", 1001))); !strings.HasPrefix(tagged, "NO [LIMIT] ") {
		t.Errorf("1001 keys: %s", tagged)
	}
	if _, tagged := c.command("b", "SEARCH %sSEEN", strings.Repeat("NOT ", 40)); !strings.HasPrefix(tagged, "BAD ") {
		t.Errorf("depth 40: %s", tagged)
	}
	if _, tagged := c.command("c", "SEARCH OR %s SEEN", strings.TrimSpace(strings.Repeat("1:*,", 10_001)+"1")); !strings.HasPrefix(tagged, "NO [LIMIT] ") {
		t.Errorf("10002 ranges: %s", tagged)
	}
}

// Keywords are bounded (RFC 5530 §3 LIMIT).
func TestStoreKeywordLimit(t *testing.T) {
	c := selectedClient(t, 1, 16)
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprint("keyword", i))
	}
	if _, tagged := c.command("a", "STORE 1 +FLAGS (%s)", strings.Join(names, " ")); !strings.HasPrefix(tagged, "NO [LIMIT] ") {
		t.Errorf("300 keywords: %s", tagged)
	}
	if got := c.ok("b", "FETCH 1 FLAGS"); len(got) != 1 || strings.Contains(got[0], "keyword") {
		t.Errorf("something was stored: %q", got)
	}
}
