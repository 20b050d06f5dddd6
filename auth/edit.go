package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// NewUser is what AddUser writes.
type NewUser struct {
	Name     string
	Password string // the password column, such as Hash makes
	UID, GID int    // -1 = leave out
	Home     string // empty = leave out
}

// Listed is a line of the users file.
type Listed struct {
	User
	Locked bool
}

// ListUsers returns the users of the file at path in its order, and the lines that
// are skipped.
func ListUsers(path string) ([]Listed, []LineError, error) {
	u, _, err := readUsers(path)
	if err != nil {
		return nil, nil, err
	}
	out := make([]Listed, len(u.order))
	for i, a := range u.order {
		out[i] = Listed{a.User, a.locked}
	}
	return out, u.skipped, nil
}

// AddUser appends a user to the file at path, which is made if it does not exist.
// The error is ErrExists if a line with the name is there. On return the file is
// durable, as with SetPassword and RemoveUser.
func AddUser(path string, u NewUser) error {
	line, err := u.line()
	if err != nil {
		return err
	}
	return edit(path, true, func(lines [][]byte) ([][]byte, error) {
		if find(lines, u.Name) >= 0 {
			return nil, fmt.Errorf("%w: %q", ErrExists, u.Name)
		}
		return append(lines, line), nil
	})
}

// SetPassword replaces the password column of the user name and leaves the rest of
// the line as it is.
func SetPassword(path, name, password string) error {
	if err := checkColumn("password", password); err != nil {
		return err
	}
	if _, locked, err := parsePassword(password); err != nil && !locked {
		return err
	}
	return edit(path, false, func(lines [][]byte) ([][]byte, error) {
		i := find(lines, name)
		if i < 0 {
			return nil, fmt.Errorf("%w: %q", ErrNoUser, name)
		}
		fields := bytes.SplitN(lines[i], []byte(":"), 3)
		cr := len(fields) < 3 && bytes.HasSuffix(lines[i], []byte("\r"))
		if len(fields) < 2 {
			fields = append(fields, nil)
		}
		fields[1] = []byte(password)
		lines[i] = bytes.Join(fields, []byte(":"))
		if cr {
			lines[i] = append(lines[i], '\r')
		}
		return lines, nil
	})
}

// RemoveUser deletes the lines of the user name.
func RemoveUser(path, name string) error {
	return edit(path, false, func(lines [][]byte) ([][]byte, error) {
		if find(lines, name) < 0 {
			return nil, fmt.Errorf("%w: %q", ErrNoUser, name)
		}
		// All of them, or a second line would come to life.
		for i := find(lines, name); i >= 0; i = find(lines, name) {
			lines = append(lines[:i:i], lines[i+1:]...)
		}
		return lines, nil
	})
}

func (u NewUser) line() ([]byte, error) {
	if _, err := NormalizeName(u.Name); err != nil {
		return nil, err
	}
	if u.Name[0] == '#' || strings.TrimSpace(u.Name) != u.Name {
		return nil, fmt.Errorf("auth: add user: the name %q cannot start with # or have space around it", u.Name)
	}
	for _, c := range []struct{ what, value string }{{"name", u.Name}, {"password", u.Password}, {"home", u.Home}} {
		if err := checkColumn(c.what, c.value); err != nil {
			return nil, err
		}
	}
	id := func(n int) string {
		if n < 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	line := strings.Join([]string{u.Name, u.Password, id(u.UID), id(u.GID), "", u.Home, "", ""}, ":")
	if u.UID < 0 && u.GID < 0 && u.Home == "" {
		line = u.Name + ":" + u.Password
	}
	if _, err := parseLine([]byte(line)); err != nil {
		return nil, err
	}
	return []byte(line), nil
}

func checkColumn(what, s string) error {
	if strings.ContainsAny(s, ":\n\r\x00") {
		return fmt.Errorf("auth: edit users file: the %s cannot hold a colon, a line break or NUL", what)
	}
	return nil
}

// find returns the index of the first line of the user name, -1 if there is none.
func find(lines [][]byte, name string) int {
	want, err := NormalizeName(name)
	if err != nil {
		return -1
	}
	for i, line := range lines {
		if !isEntry(line) {
			continue
		}
		first, _, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte(":"))
		if got, err := NormalizeName(string(first)); err == nil && got == want {
			return i
		}
	}
	return -1
}

// edit rewrites the file at path through change, which gets its lines without line
// breaks: temporary file, fsync, rename, fsync of the directory. Owner and mode
// stay, but that nobody else may read it. Two edits exclude each other by a lock
// on the directory.
func edit(path string, create bool, change func([][]byte) ([][]byte, error)) (err error) {
	// A symbolic link stays one.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("auth: edit users file: %w", err)
	}
	defer dir.Close()
	if err := flock(dir); err != nil {
		return fmt.Errorf("auth: lock users file: %w", err)
	}
	// Closing the directory releases the lock.

	data, fi, err := readSecret(path)
	if err != nil && !(create && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	var lines [][]byte
	if text := bytes.TrimSuffix(data, []byte("\n")); len(data) > 0 {
		lines = bytes.Split(text, []byte("\n"))
	}
	if lines, err = change(lines); err != nil {
		return err
	}
	out := bytes.Join(lines, []byte("\n"))
	if len(lines) > 0 {
		out = append(out, '\n')
	}
	return replace(dir, path, out, fi)
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			return err
		}
	}
}

// replace puts data in the place of the file at path, whose old state is fi, nil if
// there was none. dir is its directory.
func replace(dir *os.File, path string, data []byte, fi fs.FileInfo) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".roost-users-*") // 0600
	if err != nil {
		return fmt.Errorf("auth: write users file: %w", err)
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
			err = fmt.Errorf("auth: write users file: %w", err)
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if fi != nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
			// Or the server, which runs as another user, could not read it any more.
			if err = tmp.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
		if err = tmp.Chmod(fi.Mode().Perm() & 0o660); err != nil {
			return err
		}
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return dir.Sync()
}
