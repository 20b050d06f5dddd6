package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	user     = "u"
	password = "p"
	mailUser = "mail" // Dovecot and Courier serve no mail of root
)

// A server is one that this run started, on a loopback port of its own.
type server struct {
	name string
	addr string
	cmd  *exec.Cmd
	done chan error
}

// freeAddr gives a loopback address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startServer runs cmd until it greets.
func startServer(name, addr, log string, cmd *exec.Cmd) (*server, error) {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: name, addr: addr, cmd: cmd, done: make(chan error, 1)}
	go func() { s.done <- cmd.Wait() }()
	for range 400 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.SetDeadline(time.Now().Add(10 * time.Second))
			line, err := bufio.NewReader(c).ReadString('\n')
			c.Close()
			if err == nil && strings.HasPrefix(line, "* OK") {
				return s, nil
			}
		}
		select {
		case err := <-s.done:
			return nil, fmt.Errorf("%s ended: %w; see %s", name, errors.Join(err), log)
		case <-time.After(25 * time.Millisecond):
		}
	}
	s.stop(syscall.SIGKILL)
	return nil, fmt.Errorf("%s does not greet; see %s", name, log)
}

// stop ends the server, by its id.
func (s *server) stop(sig syscall.Signal) {
	s.cmd.Process.Signal(sig)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		s.cmd.Process.Kill()
		<-s.done
	}
}

// dovecotConf is a Dovecot for one directory.
const dovecotConf = `
base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:%[1]s/mail/%%u/Maildir
mail_fsync = optimized
first_valid_uid = 1
service imap-login {
  inet_listener imap {
    port = %[2]s
  }
  inet_listener imaps {
    port = 0
  }
}
namespace inbox {
  inbox = yes
  separator = .
}
passdb {
  driver = static
  args = password=%[3]s
}
userdb {
  driver = static
  args = uid=%[4]s gid=%[4]s home=%[1]s/mail/%%u
}
`

func (t *test) startDovecot() (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.dir, "dovecot.conf")
	text := fmt.Sprintf(dovecotConf, t.dir, port, password, mailUser)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return startServer("Dovecot", addr, filepath.Join(t.dir, "dovecot.out"), exec.Command("dovecot", "-F", "-c", conf))
}

// roostConf is a roost for the same directory.
const roostConf = `version = 1
[server]
control = "%[1]s/roost.sock"
[listen]
imap = ["%[2]s"]
imaps = []
admin = ""
[tls]
cert = ""
key = ""
[mail]
path = "%[1]s/mail/%%u/Maildir"
separator = "."
prefix = "%[3]s"
[auth]
users = "%[1]s/users"
[limits]
min_uid = 0
[log]
level = "debug"
`

// configureRoost writes its configuration and its user.
func (t *test) configureRoost(prefix string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	t.roostAddr = addr
	if err := os.WriteFile(filepath.Join(t.dir, "roost.toml"), fmt.Appendf(nil, roostConf, t.dir, addr, prefix), 0o644); err != nil {
		return err
	}
	_, err = t.roost("user", "add", user, "--password-stdin")
	return err
}

// roost runs one of its verbs.
func (t *test) roost(args ...string) (string, error) {
	cmd := exec.Command(t.binary, append(args, "--config", filepath.Join(t.dir, "roost.toml"))...)
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("roost %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func (t *test) startRoost() (*server, error) {
	cmd := exec.Command(t.binary, "serve", "--config", filepath.Join(t.dir, "roost.toml"))
	return startServer("roost", t.roostAddr, filepath.Join(t.dir, "roost.log"), cmd)
}

// courier runs Courier's imapd behind a pipe, as its own tcpd does once the
// user is known; it needs no port.
func (t *test) courier() (*client, error) {
	cmd := exec.Command(t.courierBinary, t.maildir)
	cmd.Dir = filepath.Dir(t.maildir)
	cmd.Env = []string{
		"AUTHENTICATED=" + user, "MAILDIR=" + t.maildir, "HOME=" + cmd.Dir, "TCPREMOTEIP=127.0.0.1", "PROTOCOL=IMAP",
		"IMAP_CAPABILITY=IMAP4rev1 UIDPLUS CHILDREN NAMESPACE", "IMAP_KEYWORDS=1", "IMAP_USELOCKS=1",
		"IMAP_UMASK=022", "IMAP_TRASHFOLDERNAME=Trash", "IMAP_MAILBOX_SANITY_CHECK=0",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(t.uid), Gid: uint32(t.gid)}}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &client{w: in, r: bufio.NewReaderSize(io.Reader(out), 1<<20), wait: cmd.Wait}
	if resp, err := c.line(); err != nil || !strings.HasPrefix(resp.line, "* PREAUTH") {
		return nil, fmt.Errorf("greeting of Courier is %q: %w", resp.line, err)
	}
	return c, nil
}

// deliver puts a message into new/ as an MTA does.
func (t *test) deliver(mailbox string, body []byte) error {
	return t.deliverAt(mailbox, body, time.Now())
}

// deliverAt is deliver with a name from then.
func (t *test) deliverAt(mailbox string, body []byte, now time.Time) error {
	dir := t.maildir
	if mailbox != "INBOX" {
		dir = filepath.Join(dir, "."+mailbox)
	}
	t.delivered++
	base := strconv.FormatInt(now.Unix(), 10) + ".V801I" + strconv.Itoa(t.delivered) + "M" + strconv.Itoa(now.Nanosecond()/1000) + ".mx"
	tmp := filepath.Join(dir, "tmp", base)
	if err := os.WriteFile(tmp, []byte(strings.ReplaceAll(string(body), "\r\n", "\n")), 0o600); err != nil {
		return err
	}
	if err := os.Chown(tmp, t.uid, t.gid); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, "new", base))
}
