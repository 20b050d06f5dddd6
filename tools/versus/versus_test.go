package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
)

// answers makes a client that is told text.
func answers(t *testing.T, text string) *client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends when it has written
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "* OK ready\r\n"+text)
	}()
	c, err := (&side{name: "test", addr: l.Addr().String()}).dial(false, idle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestReply(t *testing.T) {
	long := strings.Repeat(" 1234567", 1000) // more than the buffer
	body := "a1 OK in a literal\r\n* 1 FETCH\r\n" + strings.Repeat("x", 3000)
	text := "* 17 EXISTS\r\n* OK [UIDVALIDITY 42] fine\r\n* OK [HIGHESTMODSEQ 99] fine\r\n" +
		"* SEARCH" + long + "\r\n" +
		fmt.Sprintf("* 3 FETCH (UID 3 BODY[] {%d}\r\n%s FLAGS ())\r\n", len(body), body) +
		"* 4 FETCH (FLAGS ())\r\n* 2 EXPUNGE\r\n* THREAD (1)(2 3)\r\na1 OK done\r\n"
	c := answers(t, text+"a2 NO [X] not so\r\na3 OK too many\r\n")
	c.sent = 1
	r, err := c.wait()
	if err != nil {
		t.Fatal(err)
	}
	want := reply{fetch: 2, expunge: 1, exists: 17, numbers: 1000, threads: len("THREAD (1)(2 3)\r\n"), octets: int64(len(text))}
	if r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if c.uidValidity != 42 || c.modSeq != 99 {
		t.Errorf("UIDVALIDITY %d, HIGHESTMODSEQ %d", c.uidValidity, c.modSeq)
	}
	if _, err := c.wait(); !errors.Is(err, errRefused) {
		t.Errorf("NO is %v", err)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		id                   string
		roost, dovecot, bare float64
		kept                 bool
	}{
		{"login", 260, 100, 0, true}, {"login", 240, 100, 0, false}, // 2.5x as many
		{"flags", 24, 100, 0, true}, {"flags", 26, 100, 0, false}, // a quarter of the time
		{"qresync", 1.9, 1, 0, true}, {"qresync", 2.1, 100, 0, false}, // 2 ms
		{"store", 114, 1, 100, true}, {"store", 116, 200, 100, false}, // 1.15x the bare renames
	} {
		b := &bench{options: &options{only: regexp.MustCompile("")}, samples: map[string]*[nSides][]float64{}}
		b.add(c.id, roostSide, c.roost)
		b.add(c.id, dovecotSide, c.dovecot)
		b.add(c.id, bareSide, c.bare)
		if got := b.results(); len(got) != 1 || got[0].Kept != c.kept {
			t.Errorf("%+v: got %+v", c, got)
		}
	}
}

func TestRows(t *testing.T) {
	ids := map[string]bool{}
	for _, r := range rows {
		known := false
		for _, g := range groups {
			known = known || g.name == r.group
		}
		if !known || ids[r.id] || (r.ratio > 0) == (r.limit > 0) {
			t.Errorf("row %+v", r)
		}
		ids[r.id] = true
	}
}

func TestMessageSize(t *testing.T) {
	for _, size := range []int{2 << 10, 4 << 10, 1 << 20} {
		if n := len(message(size)); n != size {
			t.Errorf("%d octets, want %d", n, size)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want string
	}{
		{[]float64{3}, "3"},
		{[]float64{3, 1, 2}, "2 (1..3)"},
		{[]float64{12.34, 1000.4, 0.126, 30}, "21.2 (0.13..1000)"},
	} {
		if got := spread(c.v); got != c.want {
			t.Errorf("%v: %q, want %q", c.v, got, c.want)
		}
	}
}
