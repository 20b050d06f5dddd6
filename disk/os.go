package disk

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An Option changes what OS does.
type Option func(*osFS)

// GiveToOwner makes everything that is created belong to the owner and group
// of the directory it is created in: for a server that runs as root.
func GiveToOwner() Option { return func(o *osFS) { o.give = true } }

// OS is the real file system.
func OS(options ...Option) FS {
	o := &osFS{}
	for _, option := range options {
		option(o)
	}
	return o
}

type osFS struct {
	give bool
}

func (o *osFS) Now() time.Time { return time.Now() }

func (o *osFS) OpenRoot(path string) (Dir, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := openAt(unix.AT_FDCWD, path, flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return newDir(o, fd, path), nil
}

func (o *osFS) MkdirRoot(path string, perm fs.FileMode) error {
	parent, err := o.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.Mkdir(filepath.Base(path), perm)
}

// openAt is openat with EINTR retried.
func openAt(dirfd int, name string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_LARGEFILE, perm)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// procFD reports whether /proc/self/fd names descriptors here; a chroot may
// have no procfs.
var procFD = sync.OnceValue(func() bool {
	var here, there unix.Stat_t
	f, err := os.Open("/")
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Fstat(int(f.Fd()), &here) == nil &&
		unix.Stat("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), &there) == nil &&
		here.Dev == there.Dev && here.Ino == there.Ino
})
