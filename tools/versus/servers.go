package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"roost/oracle"
)

const (
	password = "secret"

	// idleUsers is the first of the users who only wait.
	idleUsers = 200
)

// A side is one of the two servers, with its own copy of all mail.
type side struct {
	name    string
	index   int // in samples
	home    string
	mail    string // the user's Maildir is in mail/USER/Maildir
	addr    string
	tlsAddr string
	uid     int // mail's owner
	gid     int
	indexes []string // patterns of index files inside a mailbox
	start   func() error
	stop    func() error
	pid     func() int // the master process, 0 if none runs
	// forMany restarts it for the idle users.
	forMany func() error
}

func (s *side) maildir(user string) string { return filepath.Join(s.mail, user, "Maildir") }

func (s *side) restart() error {
	if err := s.stop(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if err := s.start(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// forget restarts the server as one that has never seen user's INBOX.
func (s *side) forget(user string) error {
	if err := s.stop(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	for _, pattern := range s.indexes {
		found, err := filepath.Glob(filepath.Join(s.maildir(user), pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	syscall.Sync() // else the first who syncs pays for what was written before
	if err := s.start(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// Users are "u0", "u1" and so on, up to maxUsers.
const maxUsers = 1200

func userName(i int) string { return fmt.Sprint("u", i) }

// newRoost prepares roost below home.
func newRoost(binary, home string) (*side, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	mail := filepath.Join(home, "mail")
	server, err := oracle.NewServer(binary, home, mail)
	if err != nil {
		return nil, err
	}
	server.Shell = fmt.Sprintf("exec >>'%s' 2>&1", filepath.Join(home, "log"))
	if err := server.Configure("[limits]", "sessions = 20000", "user_connections = 20000", "min_uid = 0"); err != nil {
		return nil, err
	}
	var users strings.Builder
	for i := range maxUsers {
		fmt.Fprintf(&users, "%s:{PLAIN}%s\n", userName(i), password)
	}
	if err := os.WriteFile(filepath.Join(home, "users"), []byte(users.String()), 0o600); err != nil {
		return nil, err
	}
	s := &side{
		name: "roost", index: roostSide, home: home, mail: mail, addr: server.Addr, tlsAddr: server.TLSAddr,
		uid: os.Getuid(), gid: os.Getgid(), indexes: []string{"roost.*"},
		start: server.Start, pid: server.Pid,
		stop: func() error { return server.Stop(syscall.SIGTERM) },
	}
	s.forMany = s.restart
	return s, nil
}

// A master is the first process of Dovecot.
type master struct {
	conf string
	log  string
	cmd  *exec.Cmd
}

func (m *master) start(s *side) error {
	out, err := os.OpenFile(m.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	m.cmd = exec.Command("dovecot", "-F", "-c", m.conf)
	m.cmd.Env = append(os.Environ(), "TZ=UTC")
	m.cmd.Stdout, m.cmd.Stderr = out, out
	if err := m.cmd.Start(); err != nil {
		m.cmd = nil
		return err
	}
	for range 200 {
		if c, err := s.login(userName(0), true, idle); err == nil {
			c.close()
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.stop()
	return fmt.Errorf("it does not greet; see %s", filepath.Dir(m.conf))
}

func (m *master) stop() error {
	if m.cmd == nil {
		return nil
	}
	m.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { // ends with the process
		m.cmd.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		m.cmd.Process.Kill()
		<-done
		err = errors.New("it does not end")
	}
	m.cmd = nil
	return err
}

// newDovecot prepares Dovecot below home, with the certificate of roost. As
// root, its mail belongs to the user nobody, because Dovecot does not serve
// root's; and the users from idleUsers on, of whom there are many connections at
// once, have user numbers of their own, because the kernel counts watchers of
// directories by them.
func newDovecot(home string, roost *side) (*side, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	owner, internal, login, chroot := me, me.Username, me.Username, "chroot ="
	if os.Getuid() == 0 {
		if owner, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
		internal, login, chroot = "dovecot", "dovenull", ""
	}
	if err := os.MkdirAll(filepath.Join(home, "mail"), 0o755); err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(owner.Gid)
	if err != nil {
		return nil, err
	}
	s := &side{
		name: "Dovecot", index: dovecotSide, home: home, mail: filepath.Join(home, "mail"), addr: addrs[0], tlsAddr: addrs[1],
		uid: uid, gid: gid, indexes: []string{"dovecot*"},
	}
	cert, key := filepath.Join(roost.home, "fullchain.pem"), filepath.Join(roost.home, "privkey.pem")
	port := func(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
	m := &master{log: filepath.Join(home, "log")}
	// A process that has served a user can serve only others with the same user
	// number.
	configure := func(name string, connections int) error {
		m.conf = filepath.Join(home, name)
		conf := fmt.Sprintf(dovecotConf, home, internal, login, port(s.addr), port(s.tlsAddr), cert, key, chroot, connections)
		return os.WriteFile(m.conf, []byte(conf), 0o644)
	}
	if err := configure("dovecot.conf", 100000); err != nil {
		return nil, err
	}
	var users strings.Builder
	for i := range maxUsers {
		fmt.Fprintf(&users, "%s:{PLAIN}%s:%d:%d::%s::\n", userName(i), password, s.owner(i), gid, filepath.Join(s.mail, userName(i)))
	}
	if err := os.WriteFile(filepath.Join(home, "users"), []byte(users.String()), 0o644); err != nil {
		return nil, err
	}
	s.start = func() error { return m.start(s) }
	s.stop = m.stop
	s.forMany = func() error {
		if err := m.stop(); err != nil {
			return err
		}
		if err := configure("many.conf", 1); err != nil {
			return err
		}
		return m.start(s)
	}
	s.pid = func() int {
		if m.cmd == nil {
			return 0
		}
		return m.cmd.Process.Pid
	}
	return s, nil
}

// owner is the user number that user i's mail belongs to.
func (s *side) owner(i int) int {
	if s.index == dovecotSide && os.Getuid() == 0 && i >= idleUsers {
		return 200000 + i
	}
	return s.uid
}

// dovecotConf has the settings that Dovecot's manual advises for performance.
const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/dovecot.log
protocols = imap
ssl = yes
ssl_cert = <%[6]s
ssl_key = <%[7]s
disable_plaintext_auth = no
auth_failure_delay = 0 secs
default_internal_user = %[2]s
default_login_user = %[3]s
default_client_limit = 15000
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:%[1]s/mail/%%u/Maildir
mail_fsync = optimized
mail_max_userip_connections = 15000
service imap-login {
  service_count = 0
  process_min_avail = 2
  process_limit = 2
  inet_listener imap {
    address = 127.0.0.1
    port = %[4]s
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[5]s
    ssl = yes
  }
  %[8]s
}
service imap {
  process_limit = 10000
  service_count = %[9]d
}
service anvil {
  %[8]s
}
service stats {
  %[8]s
}
namespace inbox {
  inbox = yes
  separator = /
}
passdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
`

// needDovecot installs Dovecot if it is not there.
func needDovecot() error {
	if _, err := exec.LookPath("dovecot"); err == nil {
		return nil
	}
	if os.Getuid() != 0 {
		return errors.New("dovecot is not installed (apt-get install dovecot-imapd)")
	}
	fmt.Println("Installing Dovecot.")
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "dovecot-imapd"}} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// freeAddrs gives loopback addresses that nobody listens on.
func freeAddrs(n int) (out []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}
