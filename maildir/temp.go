package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"roost/disk"
)

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// isSillyName reports the names that NFS gives to files which are removed
// while open: .nfs and 16 or more hex digits.
func isSillyName(name string) bool {
	digits, ok := strings.CutPrefix(name, ".nfs")
	if !ok || len(digits) < 16 {
		return false
	}
	for i := range len(digits) {
		if _, ok := hexValue(digits[i]); !ok {
			return false
		}
	}
	return true
}

// A Temp is a message that is being written in tmp/. It ends with Commit or
// Abort; Finish and Publish are Commit in two steps, for several messages that
// appear together. It is used by one goroutine.
type Temp struct {
	disk.File
	dir  *Dir
	name string
	done bool // closed, only to be published
}

// createTmpTries is how many random names are tried; a second one is a wonder.
const createTmpTries = 4

// Create makes a file in tmp/ with a name of g.
func (d *Dir) Create(g *Namer) (*Temp, error) {
	tmp, err := d.openTmp()
	if err != nil {
		return nil, err
	}
	for range createTmpTries {
		name := g.Unique()
		d.claim(name)
		var f disk.File
		f, err = tmp.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, d.perm)
		if err == nil {
			return &Temp{File: f, dir: d, name: name}, nil
		}
		d.release(name)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return nil, fmt.Errorf("maildir: create message: %w", err)
}

func (d *Dir) openTmp() (disk.Dir, error) {
	if d.tmp == nil {
		return nil, fmt.Errorf("maildir: create message: no tmp: %w", fs.ErrPermission)
	}
	return d.tmp, nil
}

func (d *Dir) claim(name string) {
	d.mu.Lock()
	d.ours[name] = struct{}{}
	d.mu.Unlock()
}

func (d *Dir) release(name string) {
	d.mu.Lock()
	delete(d.ours, name)
	d.mu.Unlock()
}

// Name is the name in tmp/.
func (t *Temp) Name() string { return t.name }

// Finish gives the file its time (INTERNALDATE; zero: as it is), makes it
// durable and closes it. On an error the message is gone.
func (t *Temp) Finish(mtime time.Time) error {
	err := t.finish(mtime)
	if err != nil {
		t.Abort()
		return fmt.Errorf("maildir: finish message: %w", err)
	}
	return nil
}

func (t *Temp) finish(mtime time.Time) error {
	if !mtime.IsZero() {
		if err := t.File.Chtimes(mtime); err != nil {
			return err
		}
	}
	if err := t.File.Sync(); err != nil {
		return err
	}
	t.done = true
	return t.File.Close()
}

// Publish moves the finished file to its place. fs.ErrExist: the name is
// taken, and the file still in tmp/.
func (t *Temp) Publish(p Place, name string) error {
	if err := t.dir.tmp.RenameNoReplace(t.name, t.dir.places[p], name); err != nil {
		return fmt.Errorf("maildir: publish message: %w", err)
	}
	t.dir.release(t.name)
	return nil
}

// Commit is Finish and Publish; on an error the message is gone. The name is
// durable only after Sync of the place.
func (t *Temp) Commit(mtime time.Time, p Place, name string) error {
	if err := t.Finish(mtime); err != nil {
		return err
	}
	if err := t.Publish(p, name); err != nil {
		t.Abort()
		return err
	}
	return nil
}

// Abort removes the file. After Publish it does nothing.
func (t *Temp) Abort() {
	if !t.done {
		t.File.Close()
		t.done = true
	}
	t.dir.mu.Lock()
	_, ours := t.dir.ours[t.name]
	delete(t.dir.ours, t.name)
	t.dir.mu.Unlock()
	if ours {
		t.dir.tmp.Unlink(t.name) // what stays is removed by PurgeTmp
	}
}

// TmpAge is the age beyond which files in tmp/ are left-overs.
const TmpAge = 36 * time.Hour

// PurgeTmp removes what was left in tmp/ (rule T1): regular files, no dot
// files, not changed in any way for TmpAge, none of ours and none for which
// keep (may be nil) returns true. newest is the time of the newest message; a
// clock before that is wrong, and nothing is removed. It gives the number of
// files removed.
func (d *Dir) PurgeTmp(newest time.Time, keep func(name string) bool) (n int, err error) {
	now := d.now()
	if d.tmp == nil || now.Before(newest) {
		return 0, nil
	}
	var names []string
	err = d.tmp.ReadDir(func(e disk.Entry) bool {
		if e.Name[0] != '.' && !e.Type.IsDir() {
			names = append(names, string(e.Name))
		}
		return len(names) < maxPurge
	})
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if keep != nil && keep(name) || d.isOurs(name) {
			continue
		}
		in, err := d.tmp.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, err
		}
		if !in.Mode.IsRegular() || now.Sub(in.Mtime) <= TmpAge || now.Sub(in.Ctime) <= TmpAge {
			continue
		}
		if err := d.tmp.Unlink(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		n++
	}
	return n, nil
}

// maxPurge bounds one purge; the next one goes on.
const maxPurge = 100_000

// OwnPrefix begins the names of files and directories that are ours.
const OwnPrefix = "roost"

func (d *Dir) isOurs(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.ours[name]
	return ok
}
