package main

import (
	"bufio"
	"fmt"
	"net"
	"slices"
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

func (c *client) line() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	s, err := c.r.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

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

// compareAnswers says where two answers differ, "" if they do not, and who
// alone gives messages that the other does not: "roost", "Dovecot", or "" for
// both or neither.
func compareAnswers(x, y []string) (difference, more string) {
	if len(x) != len(y) {
		return fmt.Sprintf("roost sends %d lines, Dovecot %d", len(x), len(y)), ""
	}
	for i := range x {
		if d, more := lineDifference(x[i], y[i]); d != "" {
			return d, more
		}
	}
	return "", ""
}

func lineDifference(x, y string) (difference, more string) {
	if x == y {
		return "", ""
	}
	a, b := strings.Fields(x), strings.Fields(y)
	switch {
	case strings.HasPrefix(x, "* SEARCH"):
		return setDifference(withoutModSeq(a), withoutModSeq(b))
	case strings.HasPrefix(x, "* THREAD"):
		a, b = threads(x), threads(y)
		if d, more := setDifference(a, b); d != "" {
			return d, more
		}
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			end := min(i+8, len(a), len(b))
			return fmt.Sprintf("from place %d of %d: roost %v, Dovecot %v", i, len(a), a[max(0, i-2):end], b[max(0, i-2):end]), ""
		}
	}
	return fmt.Sprintf("roost gives %d, Dovecot %d", len(a), len(b)), ""
}

// withoutModSeq takes "(MODSEQ n)" away: each server counts its own.
func withoutModSeq(a []string) []string {
	if i := slices.Index(a, "(MODSEQ"); i >= 0 {
		return a[:i]
	}
	return a
}

// setDifference compares without order.
func setDifference(a, b []string) (difference, more string) {
	onlyA, onlyB := without(a, b), without(b, a)
	switch {
	case len(onlyA)+len(onlyB) == 0:
		return "", ""
	case len(onlyB) == 0:
		more = "roost"
	case len(onlyA) == 0:
		more = "Dovecot"
	}
	return fmt.Sprintf("only roost: %d %s; only Dovecot: %d %s", len(onlyA), some(onlyA), len(onlyB), some(onlyB)), more
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
