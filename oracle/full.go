package oracle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// diskFull is F6: a small file system, filled up to so much free space, on
// which everything is tried; then space is freed and everything must work
// without a restart. Last, one without inodes.
func diskFull(r *Run) (string, error) {
	dir, err := r.home("full")
	if err != nil {
		return "", err
	}
	tried := 0
	for k, free := range []int64{0, 4 << 10, 64 << 10, 1 << 20, -1} {
		for _, restart := range []bool{false, true} {
			at := filepath.Join(dir, fmt.Sprintf("disk%d%v", k, restart))
			options := "size=24m"
			if free < 0 {
				options = "size=64m,nr_inodes=200"
			}
			if err := os.MkdirAll(at, 0o700); err != nil {
				return "", err
			}
			if err := mount("-t", "tmpfs", "-o", options, "tmpfs", at); err != nil {
				return "", skipped("tmpfs", err)
			}
			err := r.fullOnce(filepath.Join(dir, fmt.Sprintf("home%d%v", k, restart)), at, free, restart)
			if uerr := unmount(at); err == nil {
				err = uerr
			}
			if err != nil {
				return "", fmt.Errorf("%d octets free, restart %v: %w", free, restart, err)
			}
			tried++
		}
	}
	return fmt.Sprintf("%d disks", tried), nil
}

// fullOnce works on the full file system at.
func (r *Run) fullOnce(home, at string, free int64, restart bool) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	s, err := NewServer(r.Binary, home, filepath.Join(at, "mail"))
	if err != nil {
		return err
	}
	l, err := NewLedger("")
	if err != nil {
		return err
	}
	defer s.Stop(sigkill)
	if err := s.Start(); err != nil {
		return err
	}
	if err := create(s, "A", "Old", "Gone", "Gone2"); err != nil {
		return err
	}
	for name, n := range map[string]int{"INBOX": 60, "Old": 3} {
		if err := fill(s, l, name, n); err != nil {
			return err
		}
	}
	if err := l.Verify(s, 0, "INBOX", "A", "Old"); err != nil {
		return err
	}
	ballast, err := fillDisk(at, free)
	if err != nil {
		return err
	}
	if restart {
		s.Stop(sigkill)
		if err := s.Start(); err != nil {
			return err
		}
	}
	if err := worksOnFull(s, l); err != nil {
		return fmt.Errorf("%w\n%s", err, last(s.Log(), 2500))
	}
	for _, f := range ballast {
		os.Remove(f)
	}
	// Without a restart everything works again.
	var again error
	ok := eventually(15*time.Second, func() bool {
		c, err := s.Login()
		if err != nil {
			again = err
			return false
		}
		defer c.Close()
		raw := message("again", 3000, int(time.Now().UnixNano()))
		b := l.Adding("INBOX", true, Served(raw))
		uids, err := c.Append("INBOX", true, "", raw)
		if again = err; err != nil {
			return false
		}
		l.Done(b, uids)
		return true
	})
	if !ok {
		return fmt.Errorf("after space was freed: %w\n%s", again, last(s.Log(), 2500))
	}
	if err := create(s, "Fresh"); err != nil { // it may be there
		return err
	}
	for range 2 {
		if err := l.Verify(s, 5*time.Second, "INBOX", "A", "Renamed", "Fresh"); err != nil {
			return fmt.Errorf("after space was freed: %w", err)
		}
		s.Stop(sigkill)
		if err := s.Start(); err != nil {
			return err
		}
	}
	if err := l.Verify(s, 5*time.Second, "INBOX", "A", "Renamed", "Fresh"); err != nil {
		return err
	}
	return errors.Join(outcome(s, l), s.ended())
}

// fillDisk leaves free octets on a file system, or no inode if free is
// negative. It gives the files to remove.
func fillDisk(at string, free int64) (ballast []string, err error) {
	if free < 0 {
		for k := 0; ; k++ {
			name := filepath.Join(at, fmt.Sprintf("inode%d", k))
			f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if errors.Is(err, syscall.ENOSPC) {
				return ballast, nil
			}
			if err != nil {
				return ballast, err
			}
			f.Close()
			ballast = append(ballast, name)
		}
	}
	name := filepath.Join(at, "ballast")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := make([]byte, 4096)
	var size int64
	for {
		n, err := f.Write(block)
		size += int64(n)
		if errors.Is(err, syscall.ENOSPC) {
			return []string{name}, f.Truncate(max(0, size-free))
		}
		if err != nil && !errors.Is(err, io.ErrShortWrite) {
			return []string{name}, err
		}
	}
}

// worksOnFull tries everything: what is not done is refused with a code, and
// reading and expunging always work.
func worksOnFull(s *Server, l *Ledger) error {
	c, err := s.Login()
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	defer c.Close()
	refused := func(what string, err error) error {
		var no *errNo
		if err == nil || errors.As(err, &no) && (strings.Contains(no.text, "NO [OVERQUOTA]") ||
			strings.Contains(no.text, "NO [LIMIT]") || strings.Contains(no.text, "NO [UNAVAILABLE]")) {
			return nil
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	if _, err := c.Do("SELECT INBOX"); err != nil {
		return fmt.Errorf("SELECT: %w", err)
	}
	if _, err := c.Do("FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])"); err != nil {
		return fmt.Errorf("FETCH: %w", err)
	}
	var list []Owned
	for _, o := range l.Own(0, 1) {
		if o.Box == "INBOX" {
			list = append(list, o)
		}
	}
	for k := range 30 {
		raw := message("full", 3000, k, int(time.Now().UnixNano()))
		b := l.Adding("INBOX", true, Served(raw))
		uids, err := c.Append("INBOX", true, "", raw)
		if err == nil {
			l.Done(b, uids)
		}
		if err := refused("APPEND", err); err != nil {
			return err
		}
		o := list[k]
		done := l.Storing("INBOX", `\Flagged`, k%2 == 0, o.Sum)
		sign := []string{"+", "-"}[k%2]
		if _, err = c.Do("UID STORE %d %sFLAGS (\\Flagged)", o.UID, sign); err == nil {
			done()
		}
		if err := refused("STORE", err); err != nil {
			return err
		}
	}
	three := list[:3]
	sums, uids := sumsOf(three)
	b := l.Adding("A", true, sums...)
	lines, err := c.Do("UID COPY %s A", set(uids))
	if err == nil {
		l.doneCopy(b, uids, lines)
	}
	if err := refused("COPY", err); err != nil {
		return err
	}
	sums, uids = sumsOf(list[3:6])
	b = l.Moving("INBOX", "A", sums...)
	lines, err = c.Do("UID MOVE %s A", set(uids))
	if err == nil {
		l.doneCopy(b, uids, lines)
	}
	if err := refused("MOVE", err); err != nil {
		return err
	}
	for _, cmd := range []string{"CREATE Fresh", "SUBSCRIBE A", "UNSUBSCRIBE INBOX", `SETMETADATA A (/private/comment "full")`} {
		if _, err = c.Do("%s", cmd); refused(cmd, err) != nil {
			return refused(cmd, err)
		}
	}
	// What empties a disk works, and RENAME, which needs no space.
	for _, cmd := range []string{"RENAME Old Renamed", "DELETE Gone", "DELETE Gone2"} {
		if _, err := c.Do("%s", cmd); err != nil {
			return fmt.Errorf("%s: %w", cmd, err)
		}
	}
	l.Renamed("Old", "Renamed")
	sums, uids = sumsOf(list[10:20])
	b = l.Removing("INBOX", sums...)
	for _, cmd := range []string{"UID STORE %s +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE %s"} {
		if _, err := c.Do(cmd, set(uids)); err != nil {
			return fmt.Errorf("a full disk cannot be emptied: %w", err)
		}
	}
	l.Done(b, nil)
	return nil
}
