// Command demo makes a home with one user and some mail, and serves it with
// the roost binary beside it: what `make run` runs. It goes on with the same
// mail when it is started again.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"roost/testmail"
)

const (
	user     = "demo"
	password = "demo"
)

func main() {
	binary := flag.String("roost", "./roost", "the roost binary")
	home := flag.String("home", "demo", "directory of the demo")
	flag.Parse()
	if err := run(*binary, *home); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(binary, home string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	home, err = filepath.Abs(home)
	if err != nil {
		return err
	}
	imap, err := freePort("IMAP (STARTTLS)", 1143)
	if err != nil {
		return err
	}
	imaps, err := freePort("IMAPS", 1993)
	if err != nil {
		return err
	}
	admin, err := freePort("metrics", 9143)
	if err != nil {
		return err
	}
	conf := filepath.Join(home, "config.toml")
	maildir := filepath.Join(home, "mail", user, "Maildir")
	if _, err := os.Stat(conf); os.IsNotExist(err) {
		if err := initHome(binary, home, maildir); err != nil {
			return err
		}
	}
	if err := setListen(conf, imap, imaps, admin); err != nil {
		return err
	}
	usage(maildir, imap, imaps)
	return syscall.Exec(binary, []string{"roost", "serve", "--config", conf}, os.Environ())
}

// freePort gives port, or the next one that is free on loopback.
func freePort(what string, port int) (int, error) {
	for p := port; p < port+50; p++ {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
		if err != nil {
			continue
		}
		l.Close()
		if p != port {
			fmt.Printf("Port %d is taken; %s listens on %d.\n", port, what, p)
		}
		return p, nil
	}
	return 0, fmt.Errorf("no free port for %s from %d to %d", what, port, port+49)
}

// initHome makes configuration, certificate and user with roost itself, and
// fills the Maildir.
func initHome(binary, home, maildir string) error {
	cmd := exec.Command(binary, "init", "--dir", home, "--user", user, "--password-stdin",
		"--mail", filepath.Join(home, "mail", "%u", "Maildir"), "--quiet")
	cmd.Stdin = strings.NewReader(password + "\n")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("roost init: %w", err)
	}
	mails := testmail.Demo(time.Now())
	for i, m := range mails {
		if err := place(maildir, i, m); err != nil {
			return err
		}
	}
	fmt.Printf("Made %s with %d messages.\n", maildir, len(mails))
	return nil
}

// place stores one message as an MTA or a mail client would have.
func place(maildir string, n int, m testmail.Mail) error {
	dir := maildir
	if m.Mailbox != "INBOX" {
		dir = filepath.Join(maildir, "."+strings.ReplaceAll(m.Mailbox, "/", "."))
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	if dir != maildir {
		if err := os.WriteFile(filepath.Join(dir, "maildirfolder"), nil, 0o600); err != nil {
			return err
		}
	}
	keywords := ""
	for i, k := range testmail.DemoKeywords {
		keywords += fmt.Sprintf("%d %s\n", i, k)
	}
	if err := os.WriteFile(filepath.Join(dir, "dovecot-keywords"), []byte(keywords), 0o600); err != nil {
		return err
	}
	base := fmt.Sprintf("%d.M%06dP%d.demo", m.Received.Unix(), n, os.Getpid())
	final := filepath.Join(dir, "cur", base+":2,"+m.Letters)
	if m.New {
		final = filepath.Join(dir, "new", base)
	}
	tmp := filepath.Join(dir, "tmp", base)
	if err := os.WriteFile(tmp, m.Raw, 0o600); err != nil {
		return err
	}
	if err := os.Chtimes(tmp, m.Received, m.Received); err != nil {
		return err
	}
	return os.Rename(tmp, final)
}

// setListen puts the ports of this start into the configuration.
func setListen(conf string, imap, imaps, admin int) error {
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		key, _, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		switch strings.TrimSpace(key) {
		case "imap":
			lines[i] = fmt.Sprintf("imap = [\"127.0.0.1:%d\"]", imap)
		case "imaps":
			lines[i] = fmt.Sprintf("imaps = [\"127.0.0.1:%d\"]", imaps)
		case "admin":
			lines[i] = fmt.Sprintf("admin = \"127.0.0.1:%d\"", admin)
		}
	}
	return os.WriteFile(conf, []byte(strings.Join(lines, "\n")), 0o600)
}

func usage(maildir string, imap, imaps int) {
	rel := maildir
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, maildir); err == nil && !strings.HasPrefix(r, "..") {
			rel = r
		}
	}
	fmt.Printf(`
roost serves %[1]s
  user %[2]s, password %[3]s; IMAP with STARTTLS on 127.0.0.1:%[4]d, IMAP over TLS on 127.0.0.1:%[5]d
  (the certificate is self-signed: clients ask once)

Paste into another terminal:
  curl -sk --user %[2]s:%[3]s imaps://127.0.0.1:%[5]d/                          # the mailboxes
  curl -sk --user %[2]s:%[3]s 'imaps://127.0.0.1:%[5]d/INBOX;MAILINDEX=1'       # read a message
  neomutt -n -e 'set imap_pass=%[3]s' -e 'set ssl_verify_host=no' -f imaps://%[2]s@127.0.0.1:%[5]d/INBOX   # or mutt

Watch mail arrive: run the first line, wait for "idling", then the second in a third terminal:
  (printf 'a login %[2]s %[3]s\r\nb select INBOX\r\nc idle\r\n'; sleep 60) | openssl s_client -quiet -connect 127.0.0.1:%[5]d
  printf 'From: me\nSubject: hello\n\nHello.\n' > %[6]s/tmp/hello && mv %[6]s/tmp/hello %[6]s/new/$(date +%%s).hello

Ctrl-C ends it; the mail stays in %[6]s.

`, maildir, user, password, imap, imaps, rel)
}
