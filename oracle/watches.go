package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// noWatches is F13: in a user namespace of its own the server may have no
// inotify instance, or eight watches; clients in IDLE hear of deliveries all
// the same, within 35 s.
func noWatches(r *Run) (string, error) {
	uid, gid := os.Getuid(), os.Getgid()
	for k, limits := range []string{
		"echo 0 > /proc/sys/user/max_inotify_instances",
		"echo 3 > /proc/sys/user/max_inotify_watches",
	} {
		s, l, err := r.server(fmt.Sprintf("watches%d", k))
		if err != nil {
			return "", err
		}
		s.Shell = limits + " || exit 9"
		s.Attr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
		}
		// In its namespace the server is root, and so is the owner of the mail.
		if err := s.Configure("[limits]", "min_uid = 0"); err != nil {
			return "", err
		}
		if err := s.Start(); err != nil {
			if strings.Contains(err.Error(), "operation not permitted") || strings.Contains(err.Error(), "exit status 9") {
				return "", skipped("user namespaces", err)
			}
			return "", err
		}
		if err = idleHears(r, s, l); err == nil {
			err = s.ended()
		}
		s.Stop(sigkill)
		l.Close()
		if err != nil {
			return "", fmt.Errorf("%s: %w\n%s", limits, err, last(s.Log(), 2000))
		}
	}
	return "2 limits", nil
}

// idleHears delivers messages and waits for EXISTS in IDLE.
func idleHears(r *Run, s *Server, l *Ledger) error {
	if err := create(s, "A", "B"); err != nil {
		return err
	}
	var idle []*Client
	for _, name := range []string{"INBOX", "INBOX", "A", "B"} {
		c, err := s.Login()
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Do("SELECT %s", name); err != nil {
			return err
		}
		fmt.Fprintf(c.conn, "i IDLE\r\n")
		if _, err := c.readLine(); err != nil {
			return err
		}
		idle = append(idle, c)
	}
	o := &Outside{Maildir: s.Maildir, Ledger: l, Pause: time.Millisecond}
	for n := range 20 {
		o.postfix(nil, n)
	}
	for _, c := range idle[:2] {
		c.conn.SetReadDeadline(time.Now().Add(35 * time.Second))
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				return fmt.Errorf("no EXISTS in IDLE: %w", err)
			}
			if n, ok := strings.CutSuffix(strings.TrimSpace(line), " EXISTS"); ok {
				if k, _ := strconv.Atoi(strings.TrimPrefix(n, "* ")); k == 20 {
					break
				}
			}
		}
	}
	if err := l.Verify(s, 0, "INBOX"); err != nil {
		return err
	}
	// A burst of renames, more than a queue holds; then all is as it was.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	rng := rand.New(rand.NewPCG(r.Seed, 13))
	for n := 0; ctx.Err() == nil; n++ {
		o.mutt(rng, n)
		o.notmuch(rng, n)
	}
	if err := l.Verify(s, 5*time.Second, "INBOX"); err != nil {
		return err
	}
	return outcome(s, l)
}
