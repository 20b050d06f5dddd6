package oracle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Run is one execution of experiments.
type Run struct {
	Binary string    // the server
	Dir    string    // for homes; removed by who made it
	Until  time.Time // rounds go on until then; zero: the short form
	Full   bool      // sizes of the long form
	Seed   uint64
	Log    func(format string, args ...any)
}

// An Experiment tries one way to lose mail.
type Experiment struct {
	Name string // F1 and so on
	What string
	Do   func(*Run) (summary string, err error)
}

// ErrSkipped is an experiment that cannot be done on this machine.
var ErrSkipped = errors.New("skipped")

func skipped(why string, err error) error { return fmt.Errorf("%w: %s: %w", ErrSkipped, why, err) }

// Experiments are all of them, the cheap ones first.
func Experiments() []Experiment {
	return []Experiment{
		{"F1-F3", "kill -9 under APPEND, MULTIAPPEND, STORE, EXPUNGE, COPY, MOVE and other programs", killUnderLoad},
		{"F4", "kill -9 in COPY and MOVE of 1, 100 and 5,000", killInCopy},
		{"F5", "power loss on a disk image", powerLoss},
		{"F6", "no space, no inodes", diskFull},
		{"F9-F10", "index and roost.account cut, flipped, mixed up, removed between two runs", damageFiles},
		{"F11", "index removed, replaced, truncated while it is in use", indexLost},
		{"F13", "no watches, a full event queue", noWatches},
		{"F14", "no descriptors; clients that stall, half-close and reset", badClients},
		{"F14b", "thousands of clients that idle, are silent, slow or do not read", crowd},
		{"F15", "SIGTERM, twice, and a second server", drain},
		{"F17", "renamers at full speed", torture},
		{"F18", "NeoMutt, notmuch and mbsync on the Maildir", programs},
		{"F19", "restarts under load with clients that come back", restarts},
	}
}

// home makes a directory for one experiment.
func (r *Run) home(name string) (string, error) {
	dir := filepath.Join(r.Dir, strings.ToLower(strings.ReplaceAll(name, "/", "-")))
	return dir, os.MkdirAll(dir, 0o700)
}

// server makes a home and a server in it.
func (r *Run) server(name string) (*Server, *Ledger, error) {
	dir, err := r.home(name)
	if err != nil {
		return nil, nil, err
	}
	l, err := NewLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		return nil, nil, err
	}
	s, err := NewServer(r.Binary, dir, "")
	return s, l, err
}

// more reports whether another round is due: rounds in the short form.
func (r *Run) more(round, rounds int) bool {
	if r.Until.IsZero() {
		return round < rounds
	}
	return time.Now().Before(r.Until)
}

// outcome is the error of what a ledger found.
func outcome(s *Server, l *Ledger) error {
	v := l.Violations()
	if len(v) == 0 {
		return nil
	}
	return fmt.Errorf("%d violations:\n%s\nlog of the server:\n%s", len(v), strings.Join(v[:min(len(v), 20)], "\n"), last(s.Log(), 3000))
}

// ended tells a server to end, and asks fsck what it leaves behind.
func (s *Server) ended() error {
	if code := exited(s.Stop(sigterm)); code != 0 {
		return fmt.Errorf("exit code %d after SIGTERM\n%s", code, last(s.Log(), 2000))
	}
	return s.Fsck(false)
}

func last(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// create makes mailboxes; those that exist are fine.
func create(s *Server, names ...string) error {
	c, err := s.Login()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, name := range names {
		var no *errNo
		if _, err := c.Do("CREATE %s", name); err != nil && !(errors.As(err, &no) && strings.Contains(no.text, "ALREADYEXISTS")) {
			return err
		}
	}
	return nil
}

// rest waits for d, within bounds set by the caller.
func rest(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}

// eventually asks until ok says yes; false after limit.
func eventually(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); rest(10 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return false
}

// exited gives the code of a process that ended by itself.
func exited(err error) int {
	var e interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitCode()
	}
	return -2
}

// sigterm0 sends nothing: Stop only waits.
const sigkill, sigterm, sigterm0 = syscall.SIGKILL, syscall.SIGTERM, syscall.Signal(0)
