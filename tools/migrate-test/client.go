package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A client speaks just enough IMAP4rev1 to lay mail down and to read it back,
// and shows what the server said as it was: it interprets nothing.
type client struct {
	w    io.WriteCloser
	r    *bufio.Reader
	n    int
	wait func() error // for the end of a server behind a pipe; may be nil
}

func dial(addr string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return nil, err
	}
	c := &client{w: conn, r: bufio.NewReaderSize(conn, 1<<20)}
	if _, err := c.line(); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if _, err := c.do("LOGIN " + user + " " + password); err != nil {
		return nil, err
	}
	return c, nil
}

// A response is one untagged response: its line, with {n} where a literal was,
// and the literals.
type response struct {
	line     string
	literals [][]byte
}

func (c *client) line() (response, error) {
	var resp response
	for {
		s, err := c.r.ReadString('\n')
		if err != nil {
			return resp, err
		}
		s = strings.TrimRight(s, "\r\n")
		resp.line += s
		open := strings.LastIndexByte(s, '{')
		if open < 0 || !strings.HasSuffix(s, "}") {
			return resp, nil
		}
		size, err := strconv.Atoi(s[open+1 : len(s)-1])
		if err != nil || size > 64<<20 {
			return resp, nil
		}
		lit := make([]byte, size)
		if _, err := io.ReadFull(c.r, lit); err != nil {
			return resp, err
		}
		resp.literals = append(resp.literals, lit)
	}
}

// do runs a command, with synchronizing literals, and gives its responses. The
// last one is the tagged one.
func (c *client) do(cmd string, literals ...[]byte) ([]response, error) {
	c.n++
	tag := "t" + strconv.Itoa(c.n)
	if _, err := io.WriteString(c.w, tag+" "+cmd+"\r\n"); err != nil {
		return nil, err
	}
	var all []response
	for {
		resp, err := c.line()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cmd, err)
		}
		if strings.HasPrefix(resp.line, "+") && len(literals) > 0 {
			if _, err := c.w.Write(append(slices.Clone(literals[0]), "\r\n"...)); err != nil {
				return nil, err
			}
			literals = literals[1:]
			continue
		}
		all = append(all, resp)
		if rest, ok := strings.CutPrefix(resp.line, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				return all, fmt.Errorf("%s: %s", cmd, resp.line)
			}
			return all, nil
		}
	}
}

func (c *client) close() {
	c.do("LOGOUT")
	c.w.Close()
	if c.wait != nil {
		c.wait()
	}
}

func (c *client) append(mailbox, flags string, date time.Time, body []byte) error {
	_, err := c.do(fmt.Sprintf("APPEND %s (%s) %q {%d}", quote(mailbox), flags, date.Format("02-Jan-2006 15:04:05 -0700"), len(body)), body)
	return err
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// A message is what a server told of one.
type message struct {
	uid    uint32
	flags  string // sorted, without \Recent
	date   string
	size   string
	digest string // of the octets of BODY[]
	id     string // Message-ID
}

// A mailbox is what a server told of one.
type mailbox struct {
	uidValidity, uidNext uint32
	messages             []message
}

// snapshot reads everything.
func (c *client) snapshot() (map[string]mailbox, error) {
	lines, err := c.do(`LIST "" "*"`)
	if err != nil {
		return nil, err
	}
	all := map[string]mailbox{}
	for _, l := range lines {
		if !strings.HasPrefix(l.line, "* LIST ") || strings.Contains(l.line, `\Noselect`) || strings.Contains(l.line, `\NonExistent`) {
			continue
		}
		name := l.line[strings.Index(l.line, `" `)+2:]
		if len(l.literals) > 0 {
			name = string(l.literals[0])
		}
		name = strings.Trim(name, `"`)
		if all[name], err = c.look(name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (c *client) look(name string) (mailbox, error) {
	var mb mailbox
	lines, err := c.do("EXAMINE " + quote(name))
	if err != nil {
		return mb, err
	}
	for _, l := range lines {
		mb.uidValidity = max(mb.uidValidity, codeNumber(l.line, "[UIDVALIDITY "))
		mb.uidNext = max(mb.uidNext, codeNumber(l.line, "[UIDNEXT "))
	}
	if mb.uidNext == 0 { // Courier tells it in STATUS only
		lines, err := c.do("STATUS " + quote(name) + " (UIDNEXT)")
		if err != nil {
			return mb, err
		}
		for _, l := range lines {
			mb.uidNext = max(mb.uidNext, codeNumber(l.line, "(UIDNEXT "))
		}
	}
	lines, err = c.do("UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
	if err != nil {
		return mb, err
	}
	for _, l := range lines {
		if !strings.Contains(l.line, " FETCH (") || len(l.literals) != 1 {
			continue
		}
		sum := sha256.Sum256(l.literals[0])
		m := message{
			uid: codeNumber(l.line, "UID "), flags: flagsIn(l.line), size: fieldOf(l.line, "RFC822.SIZE "),
			date: dateIn(l.line), digest: hex.EncodeToString(sum[:8]), id: messageID(l.literals[0]),
		}
		mb.messages = append(mb.messages, m)
	}
	slices.SortFunc(mb.messages, func(a, b message) int { return int(int64(a.uid) - int64(b.uid)) })
	return mb, nil
}

// codeNumber is the number behind key.
func codeNumber(line, key string) uint32 {
	n, _ := strconv.ParseUint(fieldOf(line, key), 10, 32)
	return uint32(n)
}

// fieldOf is what stands behind key, up to a space, ")" or "]".
func fieldOf(line, key string) string {
	_, rest, ok := strings.Cut(line, key)
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, " )]"); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

func flagsIn(line string) string {
	_, rest, _ := strings.Cut(line, "FLAGS (")
	rest, _, _ = strings.Cut(rest, ")")
	flags := slices.DeleteFunc(strings.Fields(rest), func(f string) bool { return strings.EqualFold(f, `\Recent`) })
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

func dateIn(line string) string {
	_, rest, _ := strings.Cut(line, `INTERNALDATE "`)
	rest, _, _ = strings.Cut(rest, `"`)
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", rest)
	if err != nil {
		return rest
	}
	return t.UTC().Format(time.RFC3339)
}

func messageID(body []byte) string {
	for line := range bytes.SplitSeq(body, []byte("\r\n")) {
		if id, ok := bytes.CutPrefix(line, []byte("Message-ID: ")); ok {
			return string(id)
		}
	}
	return ""
}
