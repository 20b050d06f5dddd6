package oracle

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Client speaks IMAP as bluntly as needed: a command is a string, an answer
// its lines. It is used by one goroutine.
type Client struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
}

// A line is one response line; literals are cut out of it.
type line struct {
	text     string // with {n} where a literal was
	literals [][]byte
}

// errNo is a tagged NO or BAD: the server is there and did not do it.
type errNo struct{ text string }

func (e *errNo) Error() string { return "oracle: " + e.text }

// clientTimeout is how long one answer may take.
const clientTimeout = 60 * time.Second

// maxClientLiteral bounds what the server can make us read.
const maxClientLiteral = 64 << 20

// Dial connects and reads the greeting.
func Dial(addr string) (*Client, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	l, err := c.readLine()
	if err == nil && !strings.HasPrefix(l.text, "* OK") {
		err = &errNo{l.text}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// Login is Dial and LOGIN.
func Login(addr, user, password string) (*Client, error) {
	c, err := Dial(addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.Do("LOGIN %s %s", user, password); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection without LOGOUT.
func (c *Client) Close() { c.conn.Close() }

func (c *Client) readLine() (line, error) {
	var l line
	for {
		c.conn.SetReadDeadline(time.Now().Add(clientTimeout))
		s, err := c.r.ReadString('\n')
		if err != nil {
			return l, err
		}
		s = strings.TrimRight(s, "\r\n")
		l.text += s
		n, ok := literalSize(s)
		if !ok {
			return l, nil
		}
		if n > maxClientLiteral {
			return l, errors.New("oracle: literal is too large")
		}
		lit := make([]byte, n)
		if _, err := io.ReadFull(c.r, lit); err != nil {
			return l, err
		}
		l.literals = append(l.literals, lit)
	}
}

func literalSize(s string) (int, bool) {
	at := strings.LastIndexByte(s, '{')
	if at < 0 || !strings.HasSuffix(s, "}") {
		return 0, false
	}
	n, err := strconv.Atoi(s[at+1 : len(s)-1])
	return n, err == nil
}

// Do sends a command and gives the untagged lines before the tagged OK, which
// is the last of them.
func (c *Client) Do(format string, args ...any) ([]line, error) {
	c.tag++
	tag := fmt.Sprintf("a%d", c.tag)
	c.conn.SetWriteDeadline(time.Now().Add(clientTimeout))
	if _, err := fmt.Fprintf(c.conn, tag+" "+format+"\r\n", args...); err != nil {
		return nil, err
	}
	return c.answer(tag)
}

func (c *Client) answer(tag string) ([]line, error) {
	var out []line
	for {
		l, err := c.readLine()
		if err != nil {
			return out, err
		}
		out = append(out, l)
		switch {
		case strings.HasPrefix(l.text, tag+" OK"):
			return out, nil
		case strings.HasPrefix(l.text, tag+" "):
			return out, &errNo{l.text}
		}
	}
}

// Append adds messages in one command and gives their UIDs. sync sends literals
// that wait for "+", else LITERAL+ is used.
func (c *Client) Append(box string, sync bool, flags string, raws ...[]byte) (uids []uint32, err error) {
	c.tag++
	tag := fmt.Sprintf("a%d", c.tag)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s APPEND %s", tag, box)
	for _, raw := range raws {
		if flags != "" {
			fmt.Fprintf(&b, " (%s)", flags)
		}
		if !sync {
			fmt.Fprintf(&b, " {%d+}\r\n%s", len(raw), raw)
			continue
		}
		fmt.Fprintf(&b, " {%d}\r\n", len(raw))
		if err := c.flush(&b); err != nil {
			return nil, err
		}
		l, err := c.readLine()
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(l.text, "+") {
			return nil, &errNo{l.text}
		}
		b.Write(raw)
	}
	b.WriteString("\r\n")
	if err := c.flush(&b); err != nil {
		return nil, err
	}
	lines, err := c.answer(tag)
	if err != nil {
		return nil, err
	}
	m := appendUID.FindStringSubmatch(lines[len(lines)-1].text)
	if m == nil {
		return nil, errors.New("oracle: no APPENDUID in " + lines[len(lines)-1].text)
	}
	return expand(m[2]), nil
}

func (c *Client) flush(b *bytes.Buffer) error {
	c.conn.SetWriteDeadline(time.Now().Add(clientTimeout))
	_, err := c.conn.Write(b.Bytes())
	b.Reset()
	return err
}

var (
	appendUID = regexp.MustCompile(`\[APPENDUID (\d+) ([\d:,]+)\]`)
	copyUID   = regexp.MustCompile(`\[COPYUID (\d+) ([\d:,]+) ([\d:,]+)\]`)
	fetchUID  = regexp.MustCompile(`\bUID (\d+)`)
	fetchFlag = regexp.MustCompile(`\bFLAGS \(([^)]*)\)`)
	fetchMod  = regexp.MustCompile(`\bMODSEQ \((\d+)\)`)
)

// expand lists the members of a UID set; at most a million.
func expand(set string) (out []uint32) {
	for part := range strings.SplitSeq(set, ",") {
		lo, hi, ranged := strings.Cut(part, ":")
		a, _ := strconv.ParseUint(lo, 10, 32)
		b := a
		if ranged {
			b, _ = strconv.ParseUint(hi, 10, 32)
		}
		if a > b {
			a, b = b, a
		}
		for ; a <= b && len(out) < 1e6; a++ {
			out = append(out, uint32(a))
		}
	}
	return out
}

// copied gives the UIDs of COPYUID, in lines or in the tagged answer.
func copied(lines []line) (from, to []uint32) {
	for _, l := range lines {
		if m := copyUID.FindStringSubmatch(l.text); m != nil {
			return expand(m[2]), expand(m[3])
		}
	}
	return nil, nil
}

// code gives the number of a response code, 0 if it is in no line.
func code(lines []line, name string) uint64 {
	for _, l := range lines {
		if _, rest, ok := strings.Cut(l.text, "["+name+" "); ok {
			num, _, _ := strings.Cut(rest, "]")
			n, _ := strconv.ParseUint(num, 10, 64)
			return n
		}
	}
	return 0
}

// set writes UIDs as a set.
func set(uids []uint32) string {
	var b strings.Builder
	for i, uid := range uids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(uid), 10))
	}
	return b.String()
}

func sortUIDs(uids []uint32) { slices.Sort(uids) }
