package session

import (
	"fmt"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestParseSelect(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"SELECT INBOX", "INBOX false"},
		{"SELECT inbox (CONDSTORE)", "INBOX true"},
		{"SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541))", "INBOX false 67890007 90060115194045000 41:211,214:541  "}, // RFC 7162 §3.2.5.1
		{"SELECT x (condstore qresync (1 0))", "x true 1 0   "},
		{"SELECT x (QRESYNC (1 2 (3 4)))", "x false 1 2  3 4"},
		{"SELECT x (QRESYNC (1 2 1:9 (3,5 4,8)))", "x false 1 2 1:9 3,5 4,8"},
	} {
		sc := scannerOf(t, tt.line)
		r, err := parseSelect(sc)
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		c := r.(*selectCmd)
		got := fmt.Sprint(c.name, " ", c.condstore)
		if q := c.qresync; q != nil {
			got += fmt.Sprintf(" %d %d %s %s %s", q.uidValidity, q.modSeq, q.known, q.seqs, q.uids)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.line, got, tt.want)
		}
	}
	for _, line := range []string{
		"SELECT", "SELECT a b", "SELECT a ()", "SELECT a (X)", "SELECT a (CONDSTORE", "SELECT a (QRESYNC)", "SELECT a (QRESYNC ())",
		"SELECT a (QRESYNC (0 1))", "SELECT a (QRESYNC (1))", "SELECT a (QRESYNC (1 2 *))", "SELECT a (QRESYNC (1 2 $))", "SELECT a (QRESYNC (1 2 3 4))",
		"SELECT a (QRESYNC (1 2 (3)))", "SELECT a (QRESYNC (1 2 (3 4) 5))", "SELECT a (QRESYNC (1 2) QRESYNC (1 2))", "SELECT a (QRESYNC (1 2 ))",
		"SELECT a (QRESYNC (1 9223372036854775808))",
	} {
		if _, err := parseSelect(scannerOf(t, line)); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

func TestAbove(t *testing.T) {
	set := imap.UIDSet{{Start: 1, Stop: 3}, {Start: 5, Stop: 9}, {Start: 12, Stop: 12}}
	for last, want := range map[imap.UID]string{0: "1:3,5:9,12", 2: "3,5:9,12", 3: "5:9,12", 7: "8:9,12", 12: "", 4294967295: ""} {
		if got := above(set, last); got.String() != want {
			t.Errorf("above %d: %s, want %s", last, got, want)
		}
	}
}

// TestEachEnds: a set up to the last number there is ends.
func TestEachEnds(t *testing.T) {
	n := 0
	for range each(imap.UIDSet{{Start: 4294967290, Stop: 4294967295}}) {
		n++
	}
	if n != 6 {
		t.Error(n)
	}
}
