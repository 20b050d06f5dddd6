// Command migrate-test moves a Maildir from the real Dovecot and Courier of
// this machine to roost and back, and checks that no client could tell: what
// `make migrate-test` runs. It needs root (the servers refuse to serve root's
// mail), dovecot, courier-imap's imapd and mbsync; everything runs on loopback
// ports of its own, in one temporary directory, and is ended by its id.
package main

import (
	"flag"
	"fmt"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A test is one run in one directory.
type test struct {
	binary string
	// courierBinary is Courier's imapd.
	courierBinary string
	dir           string
	maildir       string
	roostAddr     string
	uid, gid      int

	named     map[uidName]map[string]bool // Message-IDs
	made      int                         // messages
	delivered int
	passed    int
	failed    int
}

func main() {
	binary := flag.String("roost", "./roost", "the roost binary")
	courier := flag.String("courier", "/usr/bin/imapd", "Courier's imapd")
	keep := flag.Bool("keep", false, "keep the directories and print their names")
	flag.Parse()
	abs, err := filepath.Abs(*binary)
	if err == nil {
		err = run(abs, *courier, *keep)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "migrate-test:", err)
		os.Exit(1)
	}
}

func run(binary, courier string, keep bool) error {
	passed, failed := 0, 0
	for _, scenario := range []struct {
		name string
		do   func(*test) error
	}{{"Dovecot", (*test).dovecotScenario}, {"Courier", (*test).courierScenario}} {
		t, err := newTest(binary, courier)
		if err != nil {
			return err
		}
		fmt.Printf("\n=== %s\n", scenario.name)
		err = scenario.do(t)
		passed, failed = passed+t.passed, failed+t.failed
		if keep || err != nil || t.failed > 0 {
			fmt.Printf("the files are in %s\n", t.dir)
		} else {
			os.RemoveAll(t.dir)
		}
		if err != nil {
			return err
		}
	}
	fmt.Printf("\n%d checks passed, %d failed\n", passed, failed)
	if failed > 0 {
		return fmt.Errorf("%d checks failed", failed)
	}
	return nil
}

func newTest(binary, courier string) (*test, error) {
	owner, err := osuser.Lookup(mailUser)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "migrate-test")
	if err != nil {
		return nil, err
	}
	t := &test{binary: binary, courierBinary: courier, dir: dir, named: map[uidName]map[string]bool{}}
	if t.uid, err = strconv.Atoi(owner.Uid); err != nil {
		return nil, err
	}
	if t.gid, err = strconv.Atoi(owner.Gid); err != nil {
		return nil, err
	}
	t.maildir = filepath.Join(dir, "mail", user, "Maildir")
	if err := os.MkdirAll(t.maildir, 0o755); err != nil {
		return nil, err
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.Mkdir(filepath.Join(t.maildir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	for _, d := range []string{"mail/" + user, "mail/" + user + "/Maildir", "mail/" + user + "/Maildir/cur", "mail/" + user + "/Maildir/new", "mail/" + user + "/Maildir/tmp"} {
		if err := os.Chown(filepath.Join(dir, d), t.uid, t.gid); err != nil {
			return nil, err
		}
	}
	return t, os.Chmod(dir, 0o755)
}

// mail makes a message that no other one is like.
func (t *test) mail() []byte {
	t.made++
	n := t.made
	var b strings.Builder
	fmt.Fprintf(&b, "From: Sender %d <s%d@example.org>\r\nTo: u@example.org\r\nSubject: Message %d\r\n", n, n, n)
	fmt.Fprintf(&b, "Message-ID: <%d.%s@example.org>\r\nDate: Mon, 1 Jan 2024 10:%02d:00 +0100\r\n\r\n", n, filepath.Base(t.dir), n%60)
	for i := range 1 + n%7 {
		fmt.Fprintf(&b, "Line %d of message %d.\r\n", i, n)
	}
	return []byte(b.String())
}

// received is when message n came.
func received(n int) time.Time {
	return time.Date(2024, 1, 1+n%28, n%24, n%60, 7, 0, time.FixedZone("", 3600))
}

// appendTo appends n messages with different flags.
func (t *test) appendTo(c *client, mailbox string, n int, flags ...string) error {
	for i := range n {
		f := ""
		if len(flags) > 0 {
			f = flags[i%len(flags)]
		}
		if err := c.append(mailbox, f, received(t.made), t.mail()); err != nil {
			return err
		}
	}
	return nil
}

// all runs commands.
func all(c *client, cmds ...string) error {
	for _, cmd := range cmds {
		if _, err := c.do(cmd); err != nil {
			return err
		}
	}
	return nil
}

// with logs in, runs f and logs out.
func with(open func() (*client, error), f func(*client) error) error {
	c, err := open()
	if err != nil {
		return err
	}
	defer c.close()
	return f(c)
}

// at opens clients of the server at addr.
func at(s *server) func() (*client, error) {
	return func() (*client, error) { return dial(s.addr) }
}

// snapshotOf logs in and reads everything.
func snapshotOf(open func() (*client, error)) (all map[string]mailbox, err error) {
	err = with(open, func(c *client) error {
		all, err = c.snapshot()
		return err
	})
	return all, err
}
