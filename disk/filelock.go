package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// A FileLocker is a File that can be locked as a Dir can: for file systems that
// refuse a lock on a directory. The files of OS are ones.
type FileLocker interface {
	// TryLock takes an exclusive flock on the file: false if another process
	// has it. It is released by Close.
	TryLock() (bool, error)
}

// TryLock is FileLocker.
func (f *osFile) TryLock() (bool, error) {
	if err := f.acquire(); err != nil {
		return false, err
	}
	defer f.release()
	err := again(func() error { return unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
