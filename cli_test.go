package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// roost runs a verb in this process and gives what it printed.
func roost(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

func mustRoost(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := roost(t, stdin, args...)
	if err != nil {
		t.Fatalf("roost %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func TestInitLeavesAWorkingSetup(t *testing.T) {
	home := t.TempDir()
	args := []string{"init", "--dir", home, "--user", "alice", "--password-stdin", "--mail", filepath.Join(home, "mail", "%u")}
	out := mustRoost(t, "secret\n", append(args, "--dry-run")...)
	if entries, _ := os.ReadDir(home); len(entries) != 0 || !strings.Contains(out, "would write") {
		t.Fatalf("--dry-run left %v and said\n%s", entries, out)
	}
	mustRoost(t, "secret\n", args...)
	conf := filepath.Join(home, "config.toml")
	if out := mustRoost(t, "", "check", "--config", conf); !strings.Contains(out, "good") || strings.Contains(out, "error") {
		t.Errorf("check says\n%s", out)
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if fi, err := os.Stat(filepath.Join(home, "mail", "alice", sub)); err != nil || !fi.IsDir() {
			t.Errorf("no %s: %v", sub, err)
		}
	}
	if fi, err := os.Stat(filepath.Join(home, "users")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("users file: %v, %v", fi.Mode(), err)
	}
	before, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := roost(t, "other\n", args...); err == nil || !strings.Contains(err.Error(), "never overwritten") {
		t.Errorf("a second init: %v\n%s", err, out)
	}
	if after, _ := os.ReadFile(conf); !bytes.Equal(before, after) {
		t.Error("the second init changed the configuration")
	}
}

// Mail of root is served only where the administrator wants it.
func TestMinUID(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("the owner of a directory cannot be changed: only our own is tested")
	}
	home := t.TempDir()
	mail := filepath.Join(home, "mail", "alice")
	mustRoost(t, "secret\n", "init", "--dir", home, "--user", "alice", "--password-stdin", "--mail", filepath.Join(home, "mail", "%u"))
	conf := filepath.Join(home, "config.toml")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if root := os.Getuid() == 0; strings.Contains(string(text), "\nmin_uid = 0\n") != root {
		t.Errorf("init as root (%v) has written\n%s", root, text)
	}
	limited, err := setTOML(string(text), "limits", "min_uid", strconv.Itoa(os.Getuid()+1))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(limited), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := roost(t, "", "check", "--config", conf); err == nil || !strings.Contains(out, "limits.min_uid") {
		t.Errorf("check: %v\n%s", err, out)
	}
	cmd := newRoot()
	var errOut bytes.Buffer
	cmd.SetArgs([]string{"adopt", "alice", "--config", conf})
	cmd.SetOut(io.Discard)
	cmd.SetErr(&errOut)
	if err := cmd.Execute(); err == nil || !strings.Contains(errOut.String(), "min_uid") {
		t.Errorf("adopt: %v\n%s", err, &errOut)
	}
	if _, err := os.Stat(filepath.Join(mail, "roost.account")); err == nil {
		t.Error("the refused Maildir was written to")
	}
}

func TestUsersAreEdited(t *testing.T) {
	home := t.TempDir()
	conf := filepath.Join(home, "config.toml")
	mustRoost(t, "secret\n", "init", "--dir", home, "--user", "alice", "--password-stdin", "--mail", filepath.Join(home, "mail", "%u"))
	mustRoost(t, "pw\n", "user", "add", "bob", "--password-stdin", "--config", conf)
	if out := mustRoost(t, "", "user", "list", "--config", conf); out != "alice\nbob\n" {
		t.Errorf("list says %q", out)
	}
	if _, err := roost(t, "pw\n", "user", "add", "bob", "--password-stdin", "--config", conf); err == nil {
		t.Error("bob was added twice")
	}
	before, _ := os.ReadFile(filepath.Join(home, "users"))
	mustRoost(t, "new\n", "user", "passwd", "bob", "--password-stdin", "--config", conf)
	after, _ := os.ReadFile(filepath.Join(home, "users"))
	if bytes.Equal(before, after) {
		t.Error("passwd changed nothing")
	}
	mustRoost(t, "", "user", "remove", "alice", "--config", conf)
	if out := mustRoost(t, "", "user", "list", "--config", conf); out != "bob\n" {
		t.Errorf("list says %q", out)
	}
}

func TestCheckNamesEveryProblem(t *testing.T) {
	home := t.TempDir()
	conf := filepath.Join(home, "config.toml")
	text := "version = 1\n[mail]\nlayout = \"dbox\"\npath = \"/x/%q\"\n[listen]\nimpas = []\n[limits]\nmemory = \"lots\"\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := roost(t, "", "check", "--config", conf)
	if err == nil {
		t.Error("check found no error")
	}
	for _, want := range []string{"config.toml:3: error: mail.layout", "config.toml:4: error: mail.path", "config.toml:6: warning: listen.impas", "imaps", "config.toml:8: error: limits.memory"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestSetTOML(t *testing.T) {
	text := "[a]\nkey = \"x\"  # why\n[b]\nkey = 1\n"
	got, err := setTOML(text, "b", "key", "2")
	if err != nil || got != "[a]\nkey = \"x\"  # why\n[b]\nkey = 2\n" {
		t.Errorf("%q, %v", got, err)
	}
	got, err = setTOML(text, "a", "key", `"y"`)
	if err != nil || got != "[a]\nkey = \"y\"  # why\n[b]\nkey = 1\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := setTOML(text, "c", "key", "2"); err == nil {
		t.Error("an unknown section was set")
	}
}
