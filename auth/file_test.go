package auth

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

const sampleUsers = `# people
ann:{PLAIN}secret:1000:1000:Ann A.:/home/ann:/bin/sh:userdb_mail=maildir:~/Maildir quota_rule=*:storage=1G flag
bob:{SHA256-CRYPT}$5$F6I5G1vDSTo0OCrB$h6ApMPjfoU86NomP12LH8EoQKNbJ6F0pBeDOzX35y.8

  # indented comment
locked:!
carol@example.org:{PLAIN}x:::::
broken
bad/name:{PLAIN}x
weak:{MD5}x
ann:{PLAIN}other
uid:{PLAIN}x:-5
open:{PLAIN}x::::::nopassword
`

func TestParseUsers(t *testing.T) {
	u := parseUsers([]byte(strings.ReplaceAll(sampleUsers, "carol@", "carol@") + "crlf:{PLAIN}x\r\n"))
	var names []string
	for _, a := range u.order {
		names = append(names, a.Name)
	}
	if want := []string{"ann", "bob", "locked", "carol@example.org", "crlf"}; !reflect.DeepEqual(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	want := User{Name: "ann", UID: 1000, GID: 1000, Home: "/home/ann",
		Extra: map[string]string{"userdb_mail": "maildir:~/Maildir", "quota_rule": "*:storage=1G", "flag": "yes"}}
	if got := u.byName["ann"].User; !reflect.DeepEqual(got, want) {
		t.Errorf("ann is %+v, want %+v", got, want)
	}
	if !u.byName["crlf"].digest.match([]byte("x")) {
		t.Error("CR is part of the password")
	}
	if got := u.byName["bob"]; got.UID != -1 || got.GID != -1 || got.Home != "" || got.locked {
		t.Errorf("bob is %+v", got)
	}
	if !u.byName["locked"].locked {
		t.Error("locked is not locked")
	}
	var lines []int
	for _, s := range u.skipped {
		lines = append(lines, s.Line)
		if s.Error() == "" || strings.Contains(s.Error(), "other") {
			t.Errorf("bad report: %v", s)
		}
	}
	if want := []int{8, 9, 10, 11, 12, 13}; !reflect.DeepEqual(lines, want) {
		t.Errorf("skipped lines %v, want %v", lines, want)
	}
}

// testClock is a clock that only moves by hand.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newClock() *testClock { return &testClock{t: time.Unix(1_700_000_000, 0)} }

func writeUsers(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReload(t *testing.T) {
	clock := newClock()
	path := writeUsers(t, "ann:{PLAIN}a\n")
	var log bytes.Buffer
	s := New(Options{Users: path, Now: clock.now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	count := func() int {
		t.Helper()
		n, _, err := s.Check()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := count(); got != 1 {
		t.Fatalf("%d users, want 1", got)
	}
	if err := AddUser(path, NewUser{Name: "bob", Password: "{PLAIN}b", UID: -1, GID: -1}); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 1 {
		t.Errorf("%d users at once, want 1: the file is looked at once a second", got)
	}
	clock.add(time.Second)
	if got := count(); got != 2 {
		t.Errorf("%d users after a second, want 2", got)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		clock.add(time.Second)
		if _, _, err := s.Check(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "chmod o=") {
			t.Errorf("world-readable file: %v", err)
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("reported %d times, want once:\n%s", n, log.String())
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	clock.add(time.Second)
	if got := count(); got != 2 {
		t.Errorf("%d users after the repair, want 2", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	clock.add(time.Second)
	if _, _, err := s.Check(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("missing file: %v", err)
	}
	if strings.Contains(log.String(), "{PLAIN}") {
		t.Error("the log has a password")
	}
}

func TestUsersFileKinds(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := readUsers(dir); err == nil {
		t.Error("a directory was read")
	}
	for _, mode := range []os.FileMode{0o602, 0o604, 0o601, 0o666} {
		path := writeUsers(t, "")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readUsers(path); err == nil {
			t.Errorf("mode %o was accepted", mode)
		}
	}
}

func TestEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := SetPassword(path, "ann", "{PLAIN}x"); err == nil {
		t.Error("SetPassword made a file")
	}
	must(AddUser(path, NewUser{Name: "ann", Password: "{PLAIN}a", UID: 1000, GID: 100, Home: "/home/ann"}))
	fi, err := os.Stat(path)
	must(err)
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", fi.Mode().Perm())
	}
	must(os.WriteFile(path, []byte("# first\nann:{PLAIN}a:1:2:Ann:/home/ann:/bin/sh:x=y z\n\n# last\nzoe\nbob:{PLAIN}b\r\nann:{PLAIN}shadow"), 0o600))
	must(os.Chmod(path, 0o640))
	must(SetPassword(path, "ann", "{PLAIN}new"))
	must(SetPassword(path, "zoe", "{PLAIN}z"))
	must(SetPassword(path, "bob", "{PLAIN}b2"))
	must(AddUser(path, NewUser{Name: "dan", Password: "!", UID: -1, GID: -1}))
	want := "# first\nann:{PLAIN}new:1:2:Ann:/home/ann:/bin/sh:x=y z\n\n# last\nzoe:{PLAIN}z\nbob:{PLAIN}b2\r\nann:{PLAIN}shadow\ndan:!\n"
	got, err := os.ReadFile(path)
	must(err)
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if fi, err = os.Stat(path); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("mode %o, %v, want 640", fi.Mode().Perm(), err)
	}
	list, skipped, err := ListUsers(path)
	must(err)
	if len(list) != 4 || len(skipped) != 1 || list[3].Name != "dan" || !list[3].Locked || list[0].Locked {
		t.Errorf("list %+v, skipped %v", list, skipped)
	}
	must(RemoveUser(path, "ann")) // both lines
	got, err = os.ReadFile(path)
	must(err)
	if want := "# first\n\n# last\nzoe:{PLAIN}z\nbob:{PLAIN}b2\r\ndan:!\n"; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := RemoveUser(path, "ann"); !errors.Is(err, ErrNoUser) {
		t.Errorf("remove twice: %v", err)
	}
	if err := SetPassword(path, "ann", "{PLAIN}x"); !errors.Is(err, ErrNoUser) {
		t.Errorf("password of nobody: %v", err)
	}
	if err := AddUser(path, NewUser{Name: "zoe", Password: "{PLAIN}x"}); !errors.Is(err, ErrExists) {
		t.Errorf("add twice: %v", err)
	}
	for _, u := range []NewUser{{Name: "", Password: "x"}, {Name: "a:b", Password: "{PLAIN}x"}, {Name: "#a", Password: "{PLAIN}x"}, {Name: " a", Password: "{PLAIN}x"},
		{Name: "a", Password: "{PLAIN}x\ny:z"}, {Name: "a", Password: "{PLAIN}x:y"}, {Name: "a", Password: "{MD5}x"}, {Name: "a", Password: "{PLAIN}x", Home: "/a:b"}} {
		if err := AddUser(path, u); err == nil {
			t.Errorf("%+v was added", u)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	must(err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestEditsExcludeEachOther(t *testing.T) {
	path := writeUsers(t, "")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := AddUser(path, NewUser{Name: fmt.Sprintf("user%d", i), Password: "{PLAIN}x", UID: -1, GID: -1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, _, err := ListUsers(path); err != nil || len(list) != 20 {
		t.Errorf("%d users, %v, want 20", len(list), err)
	}
}

func TestEditThroughSymlink(t *testing.T) {
	path := writeUsers(t, "ann:{PLAIN}a\n")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := SetPassword(link, "ann", "{PLAIN}b"); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(link); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if got, _ := os.ReadFile(path); string(got) != "ann:{PLAIN}b\n" {
		t.Errorf("got %q", got)
	}
}

func TestNormalizeName(t *testing.T) {
	for in, want := range map[string]string{"ann": "ann", "Ann": "Ann", "zoe\u0308": "zoë", "a@b": "a@b", "ﬀ": "ﬀ", "%u%%": "%u%%"} {
		if got, err := NormalizeName(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a/b", "a\x00b", "a\nb", "a\tb", "a\x7f", "a\u0085b", "a\u202eb", "a\u200bb", "a\u2028b", "\xff", strings.Repeat("x", 1025)} {
		if got, err := NormalizeName(in); err == nil {
			t.Errorf("%q is allowed as %q", in, got)
		}
	}
}

func FuzzUsers(f *testing.F) {
	f.Add([]byte(sampleUsers))
	f.Add([]byte("a:{PLAIN}x::::::allow_nets=10.0.0.0/8,::1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		u := parseUsers(data)
		entries := 0
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			if isEntry(bytes.TrimSuffix(line, []byte("\r"))) {
				entries++
			}
		}
		if len(u.order)+len(u.skipped) != entries || len(u.byName) != len(u.order) || u.decoy == nil {
			t.Fatalf("%d users and %d skipped of %d lines", len(u.order), len(u.skipped), entries)
		}
		for _, a := range u.order {
			if _, err := NormalizeName(a.Name); err != nil || !a.locked && a.digest == nil {
				t.Fatalf("bad account %+v", a)
			}
		}
	})
}
