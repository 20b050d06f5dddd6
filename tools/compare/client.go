package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A client has INBOX selected.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	tags int
}

// patience is how long one answer may take.
const patience = 5 * time.Minute

func dial(addr string) (*client, error) {
	var conn net.Conn
	var err error
	for range 100 { // until the server is there
		if conn, err = net.Dial("tcp", addr); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReaderSize(conn, 1<<20)}
	if _, err := c.line(); err != nil {
		return nil, err
	}
	for _, cmd := range []string{"LOGIN " + mailUser + " " + password, "SELECT INBOX"} {
		if _, err := c.ask(cmd); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *client) close() { c.conn.Close() }

// line reads a line with its literals, which it makes quoted strings.
func (c *client) line() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	var all strings.Builder
	for {
		s, err := c.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		s = strings.TrimRight(s, "\r\n")
		brace := strings.LastIndexByte(s, '{')
		size, isSize := strings.CutSuffix(s[brace+1:], "}")
		n, err := strconv.Atoi(size)
		if brace < 0 || !isSize || err != nil || n < 0 || n > maxLiteral {
			all.WriteString(s)
			return all.String(), nil
		}
		literal := make([]byte, n)
		if _, err := io.ReadFull(c.r, literal); err != nil {
			return "", err
		}
		all.WriteString(s[:brace])
		all.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(literal)) + `"`)
	}
}

const maxLiteral = 1 << 20

// ask runs a command and gives its untagged answers: not OK, and not what a
// server tells at any command.
func (c *client) ask(cmd string) ([]string, error) {
	c.tags++
	tag := fmt.Sprintf("t%d", c.tags)
	if _, err := c.conn.Write([]byte(tag + " " + cmd + "\r\n")); err != nil {
		return nil, err
	}
	var lines []string
	for {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				return nil, fmt.Errorf("answer %q", rest)
			}
			return lines, nil
		}
		if !strings.HasPrefix(line, "* OK ") && !strings.HasPrefix(line, "* FLAGS ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
}

// A gap is how two answers differ; the zero gap: they do not.
type gap struct {
	text string
	more string // who alone gives something: "roost", "Dovecot", or "" for both or neither
	size int    // how many messages, or threads, are affected
}

func (g gap) none() bool { return g.text == "" }

func compareAnswers(x, y []string) gap {
	if len(x) != len(y) {
		return gap{text: fmt.Sprintf("roost sends %d lines, Dovecot %d", len(x), len(y))}
	}
	if len(x) > 0 && strings.Contains(x[0], " FETCH (") {
		return fetchGap(x, y)
	}
	for i := range x {
		if g := lineGap(x[i], y[i]); !g.none() {
			return g
		}
	}
	return gap{}
}

func lineGap(x, y string) gap {
	if x == y {
		return gap{}
	}
	a, b := strings.Fields(x), strings.Fields(y)
	switch {
	case strings.HasPrefix(x, "* SEARCH"):
		return setGap(withoutModSeq(a), withoutModSeq(b))
	case strings.HasPrefix(x, "* THREAD"):
		a, b = threads(x), threads(y)
		if g := setGap(a, b); !g.none() {
			return g
		}
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			end := min(i+8, len(a), len(b))
			return gap{text: fmt.Sprintf("from place %d of %d: roost %v, Dovecot %v", i, len(a), a[max(0, i-2):end], b[max(0, i-2):end])}
		}
	}
	return gap{text: fmt.Sprintf("roost gives %d, Dovecot %d", len(a), len(b))}
}

// fetchGap compares what FETCH gives of many messages.
func fetchGap(x, y []string) (g gap) {
	for i := range x {
		a, b := plainFetch(x[i]), plainFetch(y[i])
		if a == b {
			continue
		}
		if g.size++; g.size == 1 {
			g.text = fmt.Sprintf("roost %s, Dovecot %s", x[i], y[i])
		}
	}
	return g
}

// plainFetch leaves out what the grammar leaves free: the case of names in
// BODYSTRUCTURE, a zero or a space before the day of INTERNALDATE.
func plainFetch(line string) string {
	if strings.Contains(line, "FETCH (BODY") {
		return strings.ToUpper(line)
	}
	return strings.ReplaceAll(line, `INTERNALDATE " `, `INTERNALDATE "0`)
}

// withoutModSeq takes "(MODSEQ n)" away: each server counts its own.
func withoutModSeq(a []string) []string {
	if i := slices.Index(a, "(MODSEQ"); i >= 0 {
		return a[:i]
	}
	return a
}

// setGap compares without order.
func setGap(a, b []string) gap {
	onlyA, onlyB := without(a, b), without(b, a)
	g := gap{size: len(onlyA) + len(onlyB)}
	switch {
	case g.size == 0:
		return g
	case len(onlyB) == 0:
		g.more = "roost"
	case len(onlyA) == 0:
		g.more = "Dovecot"
	}
	g.text = fmt.Sprintf("only roost: %d %s; only Dovecot: %d %s", len(onlyA), some(onlyA), len(onlyB), some(onlyB))
	return g
}

func without(a, b []string) (out []string) {
	b = slices.Clone(b)
	slices.Sort(b)
	for _, s := range a {
		if _, found := slices.BinarySearch(b, s); !found {
			out = append(out, s)
		}
	}
	return out
}

func some(a []string) string { return short(strings.Join(a[:min(len(a), 10)], ", ")) }

// threads splits the answer of THREAD at its top level.
func threads(line string) (all []string) {
	depth, start := 0, 0
	for i, c := range line {
		switch c {
		case '(':
			if depth == 0 {
				start = i
			}
			depth++
		case ')':
			if depth--; depth == 0 {
				all = append(all, line[start:i+1])
			}
		}
	}
	return all
}

// normalFetch makes FETCH responses comparable: the order of items and of
// flags is free, and \Recent is each server's affair.
func normalFetch(line string) string {
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ()", r) })
	words = slices.DeleteFunc(words, func(w string) bool { return w == `\Recent` })
	if len(words) > 3 {
		slices.Sort(words[3:])
	}
	return strings.Join(words, " ")
}
