package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"roost/disk"
)

// KeywordsFile is Dovecot's file that gives the letters a to z their names:
// one line `<slot> SP <name>` each.
const KeywordsFile = "dovecot-keywords"

// keywordsLimit bounds the file; 26 lines of sense are far below.
const keywordsLimit = 1 << 20

// Keywords are the names of the slots, "" where there is none.
type Keywords [Slots]string

// ParseKeywords reads the file. Lines that make no sense are passed over and
// counted: no space, no number below 26, an empty name, a slot or a name that
// was there before.
func ParseKeywords(data []byte) (k Keywords, skipped int) {
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		number, name, _ := bytes.Cut(line, []byte(" "))
		slot, err := strconv.Atoi(string(number))
		if err != nil || slot < 0 || slot >= Slots || !validKeyword(string(name)) ||
			k[slot] != "" || k.Slot(string(name)) >= 0 {
			skipped++
			continue
		}
		k[slot] = string(name)
	}
	return k, skipped
}

// validKeyword: what can stand in a line.
func validKeyword(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		if name[i] == '\n' || name[i] == '\r' || name[i] == 0 {
			return false
		}
	}
	return true
}

// Slot finds a name, which is the same in any US-ASCII case; -1: not there.
func (k *Keywords) Slot(name string) int {
	for i, have := range k {
		if have != "" && equalFold(have, name) {
			return i
		}
	}
	return -1
}

// equalFold compares in US-ASCII.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// add gives each name a slot; those that had none are in the first free ones.
// ErrNoSlot: the last names got none. changed: k is not what it was.
func (k *Keywords) add(names []string) (changed bool, err error) {
	for _, name := range names {
		if !validKeyword(name) {
			return changed, ErrName
		}
		if k.Slot(name) >= 0 {
			continue
		}
		free := -1
		for i, have := range k {
			if have == "" {
				free = i
				break
			}
		}
		if free < 0 {
			return changed, ErrNoSlot
		}
		k[free], changed = name, true
	}
	return changed, nil
}

// Append writes the file as Dovecot does.
func (k *Keywords) Append(b []byte) []byte {
	for i, name := range k {
		if name != "" {
			b = append(strconv.AppendInt(b, int64(i), 10), ' ')
			b = append(append(b, name...), '\n')
		}
	}
	return b
}

// A FileStamp tells versions of a small file apart; zero: there is none.
type FileStamp struct {
	Stamp
	Size int64
}

func fileStamp(in disk.Info) FileStamp {
	if in.Ino == 0 {
		return FileStamp{}
	}
	return FileStamp{
		Stamp: Stamp{Mtime: in.Mtime.UnixNano(), Ctime: in.Ctime.UnixNano(), Ino: in.Ino},
		Size:  in.Size,
	}
}

// StampFile is the stamp of a file in dir; zero if there is none.
func StampFile(dir disk.Dir, name string) (FileStamp, error) {
	in, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return FileStamp{}, nil
	}
	return fileStamp(in), err
}

// ReadKeywords reads the file in a mailbox directory; none is no error.
func ReadKeywords(dir disk.Dir) (k Keywords, stamp FileStamp, err error) {
	data, in, err := readSmall(dir, KeywordsFile, keywordsLimit)
	if err != nil {
		return k, stamp, fmt.Errorf("maildir: read keywords: %w", err)
	}
	k, _ = ParseKeywords(data)
	return k, fileStamp(in), nil
}

// keywordsLock is the lock under which Dovecot writes the file, and its new
// version, inside the uidlist lock.
const keywordsLock = KeywordsFile + ".lock"

// AddKeywords gives names their slots in the file of a mailbox directory.
// Slots that are there keep their names. It takes the lock of the uidlist and
// waits for it until ctx ends (ErrLocked). It is durable on return: a file name
// with a new letter may be made. ErrNoSlot: all letters are taken; the names
// before that are written.
func AddKeywords(ctx context.Context, fsys disk.FS, dir disk.Dir, perm fs.FileMode, names ...string) (k Keywords, stamp FileStamp, err error) {
	lock, err := LockUidlist(ctx, fsys, dir, perm)
	if err != nil {
		return k, stamp, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	k, stamp, err = ReadKeywords(dir)
	if err != nil {
		return k, stamp, err
	}
	changed, full := k.add(names)
	if !changed {
		return k, stamp, full
	}
	file, err := dotLock(ctx, fsys, dir, keywordsLock, uidlistStale, perm)
	if err != nil {
		return k, stamp, err
	}
	if err := writeKeywords(fsys, file, k, stamp); err != nil {
		return k, stamp, errors.Join(fmt.Errorf("maildir: write keywords: %w", err), file.Unlock())
	}
	if err := file.Replace(KeywordsFile); err != nil {
		return k, stamp, err
	}
	stamp, err = StampFile(dir, KeywordsFile)
	return k, stamp, errors.Join(err, full)
}

// writeKeywords fills the new version. Dovecot compares only whole seconds of
// the time of the file, so it must grow.
func writeKeywords(fsys disk.FS, f *DotLock, k Keywords, old FileStamp) error {
	if _, err := f.Write(k.Append(nil)); err != nil {
		return err
	}
	before := time.Unix(0, old.Mtime)
	if now := fsys.Now(); old == (FileStamp{}) || now.Unix() > before.Unix() {
		return nil
	}
	return f.Chtimes(time.Unix(before.Unix()+1, 0))
}

// eofIsFine: the file has become shorter while it was read.
func eofIsFine(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
