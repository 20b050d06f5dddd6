package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// TestE2EShared has two users of the real binary share a mailbox (RFC 4314), over a
// kill of the server, after which the owner stays away.
func TestE2EShared(t *testing.T) {
	s := newTestServer(t)
	config := filepath.Join(s.home, "config.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(prefix string) {
		t.Helper()
		const off = "[shared]\nprefix = \"\"\n"
		if strings.Count(string(text), off) != 1 {
			t.Fatalf("no [shared] in %s", text)
		}
		on := strings.Replace(string(text), off, "[shared]\nprefix = \""+prefix+"\"\n", 1)
		if err := os.WriteFile(config, []byte(on), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.home, "users"), []byte("u:{PLAIN}p\nv:{PLAIN}p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.home, "mail", "v"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("shared/")
	s.start(t)
	owner, guest := s.mustDialAs(t, "u"), s.mustDialAs(t, "v")
	e2eDone(t, "CREATE", owner.Create("Work/Bills", nil))
	e2eDone(t, "SETACL", owner.SetACL("Work/Bills", "v", imap.RightModificationReplace, imap.RightSet("lrswi")))
	list, err := owner.GetACL("Work/Bills").Wait()
	if err != nil || string(list.Rights["v"]) != "lrswi" || !strings.Contains(string(list.Rights["u"]), "a") {
		t.Fatalf("GETACL: %+v, %v", list, err)
	}
	const name = "shared/u/Work/Bills"
	space, err := guest.Namespace().Wait()
	if err != nil || len(space.Other) != 1 || space.Other[0].Prefix != "shared/" {
		t.Errorf("NAMESPACE: %+v, %v", space, err)
	}
	sees := func(c *imapclient.Client) bool {
		t.Helper()
		found, err := c.List("", "shared/*", nil).Collect()
		if err != nil {
			t.Fatal(err)
		}
		return len(found) == 1 && found[0].Mailbox == name
	}
	if !sees(guest) || sees(owner) {
		t.Error("LIST: the guest sees nothing, or the owner too much")
	}
	if rights, err := guest.MyRights(name).Wait(); err != nil || string(rights.Rights) != "lrswi" {
		t.Errorf("MYRIGHTS: %+v, %v", rights, err)
	}
	if _, err := guest.GetACL(name).Wait(); err == nil {
		t.Error("GETACL without the right to")
	}
	e2eAppend(t, guest, name, "Subject: from v\r\n\r\nhello\r\n", &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen, imap.FlagDeleted}})
	if got, err := owner.Select("Work/Bills", nil).Wait(); err != nil || got.NumMessages != 1 {
		t.Errorf("SELECT: %+v, %v", got, err)
	}
	flags, err := owner.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{Flags: true}).Collect()
	if err != nil || len(flags) != 1 {
		t.Fatalf("FETCH: %v, %v", flags, err)
	}
	for _, f := range flags[0].Flags {
		if f == imap.FlagDeleted {
			t.Errorf("\\Deleted was set without the right to: %v", flags[0].Flags)
		}
	}
	s.signal(t, syscall.SIGKILL)
	s.start(t)
	again := s.mustDialAs(t, "v")
	defer again.Close()
	if !sees(again) {
		t.Error("after the restart the guest sees nothing")
	}
	if got, err := again.Select(name, nil).Wait(); err != nil || got.NumMessages != 1 {
		t.Errorf("SELECT after the restart: %+v, %v", got, err)
	}
	s.signal(t, syscall.SIGTERM)
	// A prefix that cannot be is named with its key.
	write("shared")
	if out, err := s.try("check", "--config", config); err == nil || !strings.Contains(out, "shared.prefix") {
		t.Errorf("check: %v\n%s", err, out)
	}
	if log := s.log.String(); strings.Contains(log, "panic") {
		t.Errorf("the server panicked:\n%s", tail(log, 4000))
	}
}
