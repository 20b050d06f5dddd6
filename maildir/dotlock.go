package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"roost/disk"
)

// The dot-locks of other servers. They bind all programs that know them,
// across machines, and nobody else.
const (
	UidlistLock       = "dovecot-uidlist.lock"
	uidlistStale      = 120 * time.Second
	subscriptionStale = 30 * time.Second

	lockPoll = 20 * time.Millisecond
)

// A DotLock is a lock file that is held. Its holder writes it if the lock is
// also the new version of a file, and ends it with Unlock or Replace.
type DotLock struct {
	disk.File
	dir  disk.Dir
	name string
	id   disk.Identity
	done bool
}

// LockUidlist takes the lock that guards dovecot-uidlist and dovecot-keywords
// in a mailbox directory. It waits until ctx ends (ErrLocked) for another
// holder, unless its lock has not been touched for two minutes.
//
// The lock file says which process of ours holds it. Only one at a time has the
// Maildir, so what another one left when it was killed is nobody's at once.
func LockUidlist(ctx context.Context, fsys disk.FS, dir disk.Dir, perm fs.FileMode) (*DotLock, error) {
	if err := breakOurs(fsys, dir); err != nil {
		return nil, fmt.Errorf("maildir: lock: %w", err)
	}
	lock, err := dotLock(ctx, fsys, dir, UidlistLock, uidlistStale, perm)
	if err != nil {
		return nil, err
	}
	if _, err := lock.Write([]byte(lockMark)); err != nil {
		return nil, errors.Join(fmt.Errorf("maildir: lock: %w", err), lock.Unlock())
	}
	return lock, nil
}

const lockMarkPrefix = "roost "

// lockMark is what a lock file of this process says. A process number would be
// the same after a restart in a container.
var lockMark = fmt.Sprintf("%s%016x\n", lockMarkPrefix, randomBits())

// leftOver reports whether the lock of the uidlist is of a process of ours that
// is no more.
func leftOver(dir disk.Dir) (bool, error) {
	data, _, err := readSmall(dir, UidlistLock, 64)
	if errors.Is(err, ErrTooLarge) || errors.Is(err, disk.ErrNotRegular) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	return strings.HasPrefix(string(data), lockMarkPrefix) && strings.HasSuffix(string(data), "\n") && string(data) != lockMark, err
}

// breakOurs removes the lock of a process of ours that is no more.
func breakOurs(fsys disk.FS, dir disk.Dir) error {
	ours, err := leftOver(dir)
	if err == nil && ours {
		_, err = breakStale(fsys, dir, UidlistLock, 0)
	}
	return err
}

func dotLock(ctx context.Context, fsys disk.FS, dir disk.Dir, name string, stale time.Duration, perm fs.FileMode) (*DotLock, error) {
	var timer *time.Timer
	for {
		f, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if err == nil {
			return newDotLock(f, dir, name)
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("maildir: lock: %w", err)
		}
		removed, err := breakStale(fsys, dir, name, stale)
		if err != nil {
			return nil, fmt.Errorf("maildir: lock: %w", err)
		}
		if removed {
			continue
		}
		if timer == nil {
			timer = time.NewTimer(lockPoll)
			defer timer.Stop()
		} else {
			timer.Reset(lockPoll)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s: %w", ErrLocked, name, ctx.Err())
		}
	}
}

func newDotLock(f disk.File, dir disk.Dir, name string) (*DotLock, error) {
	in, err := f.Stat()
	if err != nil {
		f.Close()
		dir.Unlink(name)
		return nil, fmt.Errorf("maildir: lock: %w", err)
	}
	return &DotLock{File: f, dir: dir, name: name, id: in.Identity}, nil
}

// breakStale removes a lock whose holder is gone. It is moved aside first: if
// what was moved is not what was looked at, another program was faster, and
// its lock is put back.
func breakStale(fsys disk.FS, dir disk.Dir, name string, stale time.Duration) (bool, error) {
	in, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	// A time in the future is another machine's clock: wait.
	if age := fsys.Now().Sub(in.Mtime); age < stale {
		return false, nil
	}
	aside := fmt.Sprintf("%s.roost-%016x", name, randomBits())
	if err := dir.RenameNoReplace(name, dir, aside); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		return false, err
	}
	if moved, err := dir.Lstat(aside); err == nil && moved.Identity != in.Identity {
		return false, dir.RenameNoReplace(aside, dir, name)
	}
	return true, dir.Unlink(aside)
}

// mine reports whether the lock file is still the one that was made.
func (l *DotLock) mine() error {
	in, err := l.dir.Lstat(l.name)
	if err != nil {
		return err
	}
	if in.Identity != l.id {
		return ErrLocked
	}
	return nil
}

// Unlock ends the lock. After Replace it does nothing.
func (l *DotLock) Unlock() error {
	if l.done {
		return nil
	}
	l.done = true
	cerr := l.File.Close()
	if err := l.mine(); err != nil {
		return fmt.Errorf("maildir: unlock: %w", err)
	}
	return errors.Join(cerr, l.dir.Unlink(l.name))
}

// Replace ends the lock by making its file the new version of target. It is
// durable on return.
func (l *DotLock) Replace(target string) error {
	if err := l.replace(target); err != nil {
		return fmt.Errorf("maildir: replace %s: %w", target, err)
	}
	return nil
}

func (l *DotLock) replace(target string) error {
	if err := l.File.Sync(); err != nil {
		return errors.Join(err, l.Unlock())
	}
	if err := l.mine(); err != nil {
		l.done = true
		return errors.Join(err, l.File.Close())
	}
	if err := l.dir.Rename(l.name, l.dir, target); err != nil {
		return errors.Join(err, l.Unlock())
	}
	l.done = true
	return errors.Join(l.File.Close(), l.dir.Sync())
}

// readSmall reads a whole file of at most limit octets; nil without an error
// if there is none.
func readSmall(dir disk.Dir, name string, limit int64) ([]byte, disk.Info, error) {
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, disk.Info{}, nil
	}
	if err != nil {
		return nil, disk.Info{}, err
	}
	defer f.Close()
	in, err := f.Stat()
	if err != nil {
		return nil, in, err
	}
	if in.Size > limit {
		return nil, in, ErrTooLarge
	}
	data := make([]byte, in.Size)
	for n := 0; n < len(data); {
		k, err := f.ReadAt(data[n:], int64(n))
		n += k
		if err != nil {
			return data[:n], in, eofIsFine(err)
		}
	}
	return data, in, nil
}
