package auth

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	maxFileSize    = 64 << 20
	maxLineSize    = 8 << 10
	recheckAfter   = time.Second
	maxLineReports = 100 // a reload logs no more
)

// A LineError is a line of the users file that was skipped. It never quotes a
// password.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e LineError) Unwrap() error { return e.Err }

// users is one reading of the users file. It never changes.
type users struct {
	byName map[string]*account
	order  []*account
	decoy  digest   // of the cost that most have
	mechs  []string // SCRAM mechanisms that every user can use
	refers bool     // some have a host elsewhere
	// scramIters has the iterations per SCRAM mechanism that decoys and passwords
	// in clear get: what most stored ones have.
	scramIters map[string]int
	skipped    []LineError
}

// parseUsers reads a users file. Blank lines and those that start with "#" are
// comments. The first of several lines with one name counts.
func parseUsers(data []byte) *users {
	u := &users{byName: map[string]*account{}}
	n := 0
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		n++
		line = bytes.TrimSuffix(line, []byte("\r"))
		if !isEntry(line) {
			continue
		}
		a, err := parseLine(line)
		if err == nil && u.byName[a.Name] != nil {
			err = fmt.Errorf("auth: parse user: %q has a line above", a.Name)
		}
		if err != nil {
			u.skipped = append(u.skipped, LineError{n, err})
			continue
		}
		u.byName[a.Name] = a
		u.order = append(u.order, a)
		u.refers = u.refers || a.host != ""
	}
	u.chooseDecoy()
	u.chooseIterations()
	u.mechs = u.scramMechanisms()
	return u
}

// isEntry says whether line is neither blank nor a comment.
func isEntry(line []byte) bool {
	trimmed := bytes.TrimSpace(line)
	return len(trimmed) > 0 && trimmed[0] != '#'
}

func parseLine(line []byte) (*account, error) {
	if len(line) > maxLineSize {
		return nil, fmt.Errorf("auth: parse user: line of %d bytes", len(line))
	}
	return parseAccount(string(line))
}

// chooseDecoy finds the digest that unknown users are checked against: one of the
// cost that most users have. Its result is thrown away.
func (u *users) chooseDecoy() {
	count, best := map[string]int{}, 0
	for _, a := range u.order {
		if a.digest == nil {
			continue
		}
		c := a.digest.cost()
		if count[c]++; count[c] > best {
			best, u.decoy = count[c], a.digest
		}
	}
	if u.decoy == nil {
		u.decoy = defaultDecoy()
	}
}

func (u *users) chooseIterations() {
	u.scramIters = map[string]int{"SCRAM-SHA-1": scramIterations, "SCRAM-SHA-256": scramIterations}
	count, best := map[string]int{}, map[string]int{}
	for _, a := range u.order {
		d, ok := a.digest.(scramDigest)
		if !ok {
			continue
		}
		if count[d.cost()]++; count[d.cost()] > best[d.scheme] {
			best[d.scheme], u.scramIters[d.scheme] = count[d.cost()], d.Iters
		}
	}
}

// defaultDecoy has the cost of new passwords.
var defaultDecoy = sync.OnceValue(func() digest {
	const hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	d, err := parseCrypt("CRYPT", hash)
	if err != nil {
		return plainDigest("")
	}
	return d
})

// scramMechanisms lists what every user who can log in could use. Offering more
// would fail the others, whose clients choose the strongest mechanism.
func (u *users) scramMechanisms() []string {
	sha1, sha256, any := true, true, false
	for _, a := range u.order {
		if a.locked {
			continue
		}
		any = true
		switch d := a.digest.(type) {
		case plainDigest:
		case scramDigest:
			sha1 = sha1 && d.scheme == "SCRAM-SHA-1"
			sha256 = sha256 && d.scheme == "SCRAM-SHA-256"
		default:
			return nil
		}
	}
	var out []string
	if any && sha256 {
		out = append(out, "SCRAM-SHA-256")
	}
	if any && sha1 {
		out = append(out, "SCRAM-SHA-1")
	}
	return out
}

// A stamp tells whether the file is still the one that was read.
type stamp struct {
	mtime    time.Time
	size     int64
	dev, ino uint64
	mode     fs.FileMode
}

func stampOf(fi fs.FileInfo) stamp {
	s := stamp{mtime: fi.ModTime(), size: fi.Size(), mode: fi.Mode()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = uint64(st.Dev), st.Ino
	}
	return s
}

// A file is the users file on disk, read again when it changes.
type file struct {
	path string
	now  func() time.Time
	log  *slog.Logger

	mu      sync.Mutex // guards all below; held while the file is read
	checked time.Time
	stamp   stamp
	users   *users
	err     error
}

// load returns the users as the file has them, at most recheckAfter old. Its error
// is an ErrUnavailable.
func (f *file) load() (*users, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if !f.checked.IsZero() && now.Sub(f.checked) < recheckAfter && !now.Before(f.checked) {
		return f.users, f.err
	}
	f.checked = now
	fi, err := os.Stat(f.path)
	if err == nil && f.err == nil && f.users != nil && stampOf(fi) == f.stamp {
		return f.users, nil
	}
	u, st, err := readUsers(f.path)
	if err != nil {
		before := f.err
		f.users, f.err = nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		if before == nil || before.Error() != f.err.Error() { // not once a second
			f.log.Error("users file cannot be used", "err", err)
		}
		return nil, f.err
	}
	for i, s := range u.skipped {
		if i == maxLineReports {
			f.log.Warn("more lines of the users file were skipped", "file", f.path, "count", len(u.skipped)-i)
			break
		}
		f.log.Warn("line of the users file skipped", "file", f.path, "line", s.Line, "err", s.Err)
	}
	f.users, f.stamp, f.err = u, st, nil
	return u, nil
}

func readUsers(path string) (*users, stamp, error) {
	data, fi, err := readSecret(path)
	if err != nil {
		return nil, stamp{}, err
	}
	return parseUsers(data), stampOf(fi), nil
}

// readSecret reads the whole users file and refuses one that others may read or
// write.
func readSecret(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("auth: open users file: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("auth: stat users file: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("auth: open users file: %s is not a regular file", path)
	}
	if fi.Mode().Perm()&0o007 != 0 {
		return nil, nil, fmt.Errorf("auth: open users file: everybody may read or write %s (mode %#o); run: chmod o= %s", path, fi.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("auth: read users file: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, nil, fmt.Errorf("auth: read users file: %s is larger than %d bytes", path, maxFileSize)
	}
	return data, fi, nil
}
