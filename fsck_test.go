package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// runCode is run for a verb that may fail; it gives the exit code too.
func (s *testServer) runCode(t *testing.T, args ...string) (string, int) {
	t.Helper()
	out, err := exec.Command(s.binary, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// TestFsck is fsck, dump and explain beside a running server and without one.
func TestFsck(t *testing.T) {
	s := newTestServer(t)
	conf := "--config=" + filepath.Join(s.home, "config.toml")
	s.start(t)
	c := s.mustDial(t)
	for i := range 3 {
		name := filepath.Join(s.maildir, "cur", string(rune('1'+i))+".x:2,")
		if err := os.WriteFile(name, []byte("Subject: x\n\nx\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	if err != nil || before.NumMessages != 3 {
		t.Fatal(err, before)
	}
	if out, code := s.runCode(t, "fsck", conf); code != 0 || !strings.Contains(out, "3 messages") || !strings.Contains(out, "A server has this Maildir") {
		t.Errorf("fsck beside a server: %d\n%s", code, out)
	}
	if out, code := s.runCode(t, "fsck", conf, "u", "--repair"); code != 1 || !strings.Contains(out, "Stop it first") {
		t.Errorf("repair beside a server: %d\n%s", code, out)
	}
	if out, code := s.runCode(t, "fsck", conf, "u", "--restored"); code != 0 || !strings.Contains(out, "jumped") {
		t.Errorf("restored beside a server: %d\n%s", code, out)
	}
	after, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	if err != nil || after.UIDNext < before.UIDNext+1<<16 || after.HighestModSeq < before.HighestModSeq+1<<32 || after.UIDValidity != before.UIDValidity {
		t.Errorf("after the jump: %v %+v, was %+v", err, after, before)
	}
	for i := range 3 {
		if err := os.Remove(filepath.Join(s.maildir, "cur", string(rune('1'+i))+".x:2,")); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := s.runCode(t, "fsck", conf, "u", "--accept-loss", "INBOX"); code != 0 || !strings.Contains(out, "are expunged") {
		t.Errorf("accept-loss beside a server: %d\n%s", code, out)
	}
	if st, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait(); err != nil || *st.NumMessages != 0 {
		t.Errorf("after the loss: %v %+v", err, st)
	}
	c.Close()
	s.signal(t, syscall.SIGTERM)

	if out, code := s.runCode(t, "dump", conf, "u"); code != 0 || !strings.Contains(out, `mailbox "INBOX"`) {
		t.Errorf("dump: %d\n%s", code, out)
	}
	if out, code := s.runCode(t, "dump", conf, "u", "INBOX"); code != 0 || !strings.Contains(out, "messages 0") || !strings.Contains(out, "expunged ") {
		t.Errorf("dump INBOX: %d\n%s", code, out)
	}
	if out, code := s.runCode(t, "explain", conf, "u", "INBOX", "2"); code != 0 || !strings.Contains(out, "another program removed the file") {
		t.Errorf("explain: %d\n%s", code, out)
	}
	if out, code := s.runCode(t, "explain", conf, "u", "INBOX", "x"); code != 1 || !strings.Contains(out, "is not a UID") {
		t.Errorf("explain x: %d\n%s", code, out)
	}
	// A damaged account file and a copied mailbox are problems until repaired.
	file := filepath.Join(s.maildir, "roost.account")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[4160+14] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := s.runCode(t, "fsck", conf); code != 1 || !strings.Contains(out, "roost.account is damaged") {
		t.Errorf("fsck of a damaged account: %d\n%s", code, out)
	}
	if out, code := s.runCode(t, "fsck", conf, "u", "--repair"); code != 0 || strings.Contains(out, "PROBLEM") {
		t.Errorf("repair: %d\n%s", code, out)
	}
}
