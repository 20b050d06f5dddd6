package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	mailUser = "user"
	password = "secret"
)

// A server runs until stop.
type server struct {
	addr string
	cmd  *exec.Cmd
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { // ends with the process
		s.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		s.cmd.Process.Kill()
		<-done
	}
}

func start(name, addr, log string, args ...string) (*server, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &server{addr, cmd}, nil
}

// freeAddr gives a port of loopback that is free now.
func freeAddr() (host, port string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer l.Close()
	return net.SplitHostPort(l.Addr().String())
}

func startRoost(home, binary string) (*server, error) {
	host, port, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(home, "roost")
	files := map[string]string{
		"users": mailUser + ":{PLAIN}" + password + "\n",
		"config.toml": fmt.Sprintf(`version = 1
[server]
control = ""
[listen]
imap = [%q]
imaps = []
admin = ""
[tls]
cert = ""
key = ""
[mail]
path = %q
[auth]
users = "users"
plaintext = "always"
[limits]
min_uid = 0
`, net.JoinHostPort(host, port), filepath.Join(dir, "Maildir")),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	binary, err = filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	return start(binary, net.JoinHostPort(host, port), filepath.Join(dir, "log"), "serve", "--config", filepath.Join(dir, "config.toml"))
}

// startDovecot starts one with a configuration of its own. As root, its mail
// belongs to the user nobody, because Dovecot does not serve root's.
func startDovecot(home string) (*server, error) {
	host, port, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(home, "dovecot")
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	owner, internal, login, chroot := me, me.Username, me.Username, "chroot =\n"
	if os.Getuid() == 0 {
		if owner, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
		internal, login, chroot = "dovecot", "dovenull", ""
		if err := chownAll(dir, owner); err != nil {
			return nil, err
		}
	}
	conf := filepath.Join(dir, "dovecot.conf")
	text := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/dovecot.log
protocols = imap
ssl = no
disable_plaintext_auth = no
default_internal_user = %[2]s
default_login_user = %[3]s
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:%[1]s/Maildir
service imap-login {
  inet_listener imap {
    address = %[4]s
    port = %[5]s
  }
  inet_listener imaps {
    port = 0
  }
  %[8]s
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
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=%[6]s gid=%[7]s home=%[1]s
}
`, dir, internal, login, host, port, owner.Uid, owner.Gid, chroot)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return start("dovecot", net.JoinHostPort(host, port), filepath.Join(dir, "log"), "-F", "-c", conf)
}

func chownAll(dir string, owner *user.User) error {
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(owner.Gid)
	if err != nil {
		return err
	}
	return filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}
