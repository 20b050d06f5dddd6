package main

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"testing"
)

// Every difference that is allowed is asked for, once, and has a reason.
func TestDifferencesAreAskedFor(t *testing.T) {
	all := commands()
	seen := map[string]bool{}
	for _, d := range differences {
		if !slices.Contains(all, d.command) {
			t.Errorf("nobody asks %s", d.command)
		}
		if seen[d.command] {
			t.Errorf("%s is listed twice", d.command)
		}
		seen[d.command] = true
		if d.why == "" {
			t.Errorf("%s is not explained", d.command)
		}
	}
}

func TestCompareAnswers(t *testing.T) {
	for _, tt := range []struct {
		name string
		x, y []string
		same bool
		more string
		size int
	}{
		{"the same", []string{"* SEARCH 1 2"}, []string{"* SEARCH 1 2"}, true, "", 0},
		{"another order", []string{"* SEARCH 1 2"}, []string{"* SEARCH 2 1"}, true, "", 0},
		{"mod-sequences", []string{"* SEARCH 1 2 (MODSEQ 7)"}, []string{"* SEARCH 1 2 (MODSEQ 9)"}, true, "", 0},
		{"one more here", []string{"* SEARCH 1 2 3"}, []string{"* SEARCH 2 1"}, false, "roost", 1},
		{"more there", []string{"* SEARCH"}, []string{"* SEARCH 2 1"}, false, "Dovecot", 2},
		{"more in both", []string{"* SEARCH 1"}, []string{"* SEARCH 2"}, false, "", 2},
		{"no answer", nil, []string{"* SEARCH 2"}, false, "", 0},
		{"another order of SORT", []string{"* SORT 1 2"}, []string{"* SORT 2 1"}, false, "", 0},
		{"a longer SORT", []string{"* SORT 1 2"}, []string{"* SORT 1"}, false, "", 0},
		{"other threads", []string{"* THREAD (1 2)(3)"}, []string{"* THREAD (1)(2)(3)"}, false, "", 3},
		{"threads in another order", []string{"* THREAD (1 2)(3)"}, []string{"* THREAD (3)(1 2)"}, false, "", 0},
		{"case of BODY", []string{`* 1 FETCH (BODY ("text" "7BIT"))`}, []string{`* 1 FETCH (BODY ("TEXT" "7bit"))`}, true, "", 0},
		{"FETCH", []string{`* 1 FETCH (PREVIEW "a")`, `* 2 FETCH (PREVIEW "b")`}, []string{`* 1 FETCH (PREVIEW "a")`, `* 2 FETCH (PREVIEW "B")`}, false, "", 1},
		{"day of one digit", []string{`* 1 FETCH (INTERNALDATE " 1-Jan-2024")`}, []string{`* 1 FETCH (INTERNALDATE "01-Jan-2024")`}, true, "", 0},
	} {
		g := compareAnswers(tt.x, tt.y)
		if g.none() != tt.same || g.more != tt.more || g.size != tt.size {
			t.Errorf("%s: %+v", tt.name, g)
		}
	}
}

// Only what is explained is let through, and no more of it.
func TestJudge(t *testing.T) {
	const cmd = "SEARCH SENTON 1-Jan-1970" // 14 more in Dovecot
	fourteen := "* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12 13 14"
	for _, tt := range []struct {
		name, cmd, x, y string
		want            bool
	}{
		{"as explained", cmd, "* SEARCH", fourteen, true},
		{"no difference", cmd, fourteen, fourteen, true},
		{"one message more", cmd, "* SEARCH", fourteen + " 15", false},
		{"the other way round", cmd, fourteen, "* SEARCH", false},
		{"another command", "SEARCH SENTON 2-Jan-1970", "* SEARCH", fourteen, false},
	} {
		if got := judge(tt.cmd, []string{tt.x}, []string{tt.y}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestClientReadsLiterals(t *testing.T) {
	conn, other := net.Pipe()
	defer conn.Close()
	go func() { // ends with what it writes
		defer other.Close()
		other.Write([]byte("* 1 FETCH (PREVIEW {6}\r\na\"b\r\nc X {2}\r\n{} Y)\r\n* OK {x}\r\n"))
	}()
	c := &client{conn: conn, r: bufio.NewReader(conn)}
	for _, want := range []string{`* 1 FETCH (PREVIEW "a\"b` + "\r\n" + `c" X "{}" Y)`, "* OK {x}"} {
		if got, err := c.line(); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

func TestKindOf(t *testing.T) {
	for cmd, want := range map[string]string{
		"SORT (DATE) UTF-8 ALL":               "SORT",
		"SORT (DATE) UTF-8 SUBJECT roof":      "SORT of a search in headers",
		"UID THREAD REFS UTF-8 UNSEEN":        "THREAD",
		"SEARCH HEADER From x":                "SEARCH HEADER",
		"SEARCH NOT SENTBEFORE 1-Jan-2000":    "SEARCH SENTSINCE and so on",
		"SEARCH OR BODY invoice SUBJECT roof": "SEARCH TEXT, BODY",
		"SEARCH FLAGGED":                      "SEARCH flags, numbers, keywords",
		"SEARCH SINCE 1-Feb-2024":             "SEARCH sizes and dates",
		"FETCH 1:* (BODY)":                    "FETCH",
		`SEARCH CHARSET UTF-8 FROM "ZOË"`:     "SEARCH FROM, TO, CC, BCC, SUBJECT",
	} {
		if got := kindOf(cmd); got != want {
			t.Errorf("%s: %s, want %s", cmd, got, want)
		}
	}
	if !strings.Contains(markdown([]timing{{command: "NOOP"}}), "| `NOOP` |") {
		t.Error("a command is missing in the table")
	}
}
