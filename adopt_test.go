package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// writeMail makes files in the Maildir of s.
func (s *testServer) writeMail(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(s.maildir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// fails runs a verb that must fail and gives what it printed.
func (s *testServer) fails(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(s.binary, args...).CombinedOutput()
	if err == nil {
		t.Fatalf("roost %s did not fail\n%s", strings.Join(args, " "), out)
	}
	return string(out)
}

func wantLines(t *testing.T, what, out string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(out, line) {
			t.Errorf("%s lacks %q:\n%s", what, line, out)
		}
	}
}

// A Maildir that Dovecot left: told, taken over, served, written back.
func TestAdoptAndExport(t *testing.T) {
	s := newTestServer(t)
	conf := filepath.Join(s.home, "config.toml")
	s.writeMail(t, map[string]string{
		"cur/1.a:2,Sa": "a", "cur/2.b:2,": "b", "new/3.c": "c", "dovecot-keywords": "0 word\n",
		"dovecot-uidlist": "3 V777 N40\n7 :1.a\n9 :2.b\n10 :gone\n",
		".Bad/cur/1.a:2,": "a", ".Bad/dovecot-uidlist": "3 V5 N6\n2 :a\n1 :b\n", ".Plain/cur/1.a:2,": "a",
	})
	out := s.fails(t, "adopt", "--dry-run", "--config", conf)
	wantLines(t, "the dry run", out,
		"INBOX: from dovecot-uidlist: UIDVALIDITY 777, UIDNEXT 40; 2 of 3 messages keep their UIDs", "keywords: word", "1 entries of messages that are gone",
		"Bad: CANNOT be taken over from Dovecot: maildir: dovecot-uidlist line 3: UID 1 after 2", "Plain: nothing to take over", "1 mailboxes cannot be taken over")
	if _, err := os.Lstat(filepath.Join(s.maildir, "roost.account")); !os.IsNotExist(err) {
		t.Errorf("the dry run wrote: %v", err)
	}
	out = s.fails(t, "adopt", "--config", conf, "u")
	wantLines(t, "adopt", out, "INBOX: taken over from Dovecot: UIDVALIDITY 777; 2 messages keep their UIDs, 1 got new ones", "Bad: could NOT be taken over")
	wantLines(t, "adopt again", s.run(t, "", "adopt", "--config", conf), "INBOX: roost serves it already")
	wantLines(t, "an unknown user", s.fails(t, "adopt", "--config", conf, "nobody"), "has no user nobody")

	s.start(t)
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if box.UIDValidity != 777 || box.UIDNext != 41 || box.NumMessages != 3 {
		t.Errorf("INBOX is %+v", box)
	}
	for _, verb := range [][]string{{"adopt"}, {"export", "dovecot", "u"}} {
		wantLines(t, "beside a server", s.fails(t, append(verb, "--config", conf)...), "a running roost holds its lock. Stop it first")
	}
	c.Close()
	s.signal(t, syscall.SIGTERM)

	out = s.run(t, "", "export", "dovecot", "u", "--config", conf)
	wantLines(t, "export", out, "# 3 mailboxes of u are ready for Dovecot", "doveadm mailbox update -u u --min-next-uid 41 --min-highest-modseq ", " INBOX\n", " Plain\n")
	list, err := os.ReadFile(filepath.Join(s.maildir, "dovecot-uidlist"))
	if err != nil {
		t.Fatal(err)
	}
	if head, rest, _ := strings.Cut(string(list), "\n"); !strings.HasPrefix(head, "3 V777 N41 G") || strings.Count(rest, "\n") != 3 {
		t.Errorf("list %q", list)
	}
	for _, mailbox := range []string{".Bad", ".Plain"} {
		if _, err := os.Lstat(filepath.Join(s.maildir, mailbox, "dovecot-uidlist")); err != nil {
			t.Error(err)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"INBOX": "INBOX", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$x": "'$x'", "Käse": "'Käse'"} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
		if out, err := exec.Command("sh", "-c", fmt.Sprintf("printf %%s %s", shellQuote(in))).Output(); err != nil || string(out) != in {
			t.Errorf("%q: the shell reads %q, %v", in, out, err)
		}
	}
}
