package disk

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openFlags are added to every open below a root: no link is followed, nothing
// blocks, nothing is inherited, nothing becomes our terminal.
const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY

type osDir struct {
	ref
	fs   *osFS
	path string
}

func newDir(o *osFS, fd int, path string) *osDir {
	return &osDir{ref: ref{fd: fd}, fs: o, path: path}
}

func (d *osDir) Path() string { return d.path }

func (d *osDir) WatchPath() string {
	if procFD() {
		return "/proc/self/fd/" + strconv.Itoa(d.fd)
	}
	return d.pathIfSame()
}

// pathIfSame is the path of the directory while that still names it, else "".
func (d *osDir) pathIfSame() string {
	var at, open unix.Stat_t
	if unix.Stat(d.path, &at) != nil || unix.Fstat(d.fd, &open) != nil || at.Dev != open.Dev || at.Ino != open.Ino {
		return ""
	}
	return d.path
}

// fail makes the error of a call on name in d.
func (d *osDir) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	path := d.path
	if name != "" {
		path += "/" + name
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// on runs f with the descriptor held open, after checking name.
func (d *osDir) on(op, name string, f func() error) error {
	if err := checkName(name); err != nil {
		return d.fail(op, name, err)
	}
	return d.self(op, name, f)
}

// self runs f with the descriptor held open.
func (d *osDir) self(op, name string, f func() error) error {
	if err := d.acquire(); err != nil {
		return d.fail(op, name, err)
	}
	defer d.release()
	return d.fail(op, name, again(f))
}

// between runs f with the descriptors of d and to held open.
func (d *osDir) between(op, name string, to Dir, newname string, f func(tofd int) error) error {
	target, ok := to.(*osDir)
	if !ok {
		return d.fail(op, name, fs.ErrInvalid)
	}
	if err := checkName(newname); err != nil {
		return d.fail(op, newname, err)
	}
	if err := target.acquire(); err != nil {
		return target.fail(op, newname, err)
	}
	defer target.release()
	return d.on(op, name, func() error { return f(target.fd) })
}

func (d *osDir) OpenDir(name string) (Dir, error) {
	var fd int
	err := d.on("open", name, func() (err error) {
		fd, err = openAt(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|openFlags, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newDir(d.fs, fd, d.path+"/"+name), nil
}

func (d *osDir) Mkdir(name string, perm fs.FileMode) error {
	return d.on("mkdir", name, func() error {
		if err := unix.Mkdirat(d.fd, name, bitsOf(perm)); err != nil {
			return err
		}
		fd, err := openAt(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|openFlags, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return d.adopt(fd, perm)
	})
}

// adopt gives what was just made its owner and exact permissions, whatever the
// umask is. A set-group-ID bit that the kernel passed on stays.
func (d *osDir) adopt(fd int, perm fs.FileMode) error {
	in, err := statAt(fd, "")
	if err != nil {
		return err
	}
	if d.fs.give {
		parent, err := statAt(d.fd, "")
		if err != nil {
			return err
		}
		if in.UID != parent.UID || in.GID != parent.GID {
			if err := unix.Fchown(fd, int(parent.UID), int(parent.GID)); err != nil {
				return err
			}
			in.Mode &^= fs.ModePerm // chown may clear bits: set them again
		}
	}
	if in.Mode.Perm() == perm.Perm() {
		return nil
	}
	return unix.Fchmod(fd, bitsOf(perm)|bitsOf(in.Mode&fs.ModeSetgid))
}

func (d *osDir) Rmdir(name string) error {
	return d.on("rmdir", name, func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) })
}

func (d *osDir) Unlink(name string) error {
	return d.on("unlink", name, func() error { return unix.Unlinkat(d.fd, name, 0) })
}

func (d *osDir) Rename(name string, to Dir, newname string) error {
	return d.between("rename", name, to, newname, func(tofd int) error {
		return unix.Renameat(d.fd, name, tofd, newname)
	})
}

func (d *osDir) RenameNoReplace(name string, to Dir, newname string) error {
	return d.between("rename", name, to, newname, func(tofd int) error {
		err := unix.Renameat2(d.fd, name, tofd, newname, unix.RENAME_NOREPLACE)
		if err != unix.EINVAL && err != unix.ENOSYS && err != unix.ENOTSUP {
			return err
		}
		// NFS and some FUSE file systems have no such flag.
		switch _, err := statAt(tofd, newname); {
		case err == nil:
			return unix.EEXIST
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		return unix.Renameat(d.fd, name, tofd, newname)
	})
}

func (d *osDir) Link(name string, to Dir, newname string) error {
	return d.between("link", name, to, newname, func(tofd int) error {
		return unix.Linkat(d.fd, name, tofd, newname, 0)
	})
}

func (d *osDir) Chtimes(name string, mtime time.Time) error {
	ts, err := timesOf(mtime)
	if err != nil {
		return d.fail("chtimes", name, err)
	}
	return d.on("chtimes", name, func() error {
		return unix.UtimesNanoAt(d.fd, name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
	})
}

// timesOf leaves the access time as it is.
func timesOf(mtime time.Time) ([2]unix.Timespec, error) {
	ts, err := unix.TimeToTimespec(mtime)
	return [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, ts}, err
}

// futimens has no wrapper in package unix: utimensat without a path.
func futimens(fd int, ts *[2]unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (d *osDir) Lstat(name string) (in Info, err error) {
	err = d.on("lstat", name, func() (err error) { in, err = statAt(d.fd, name); return err })
	return in, err
}

func (d *osDir) Stat() (in Info, err error) {
	err = d.self("stat", "", func() (err error) { in, err = statAt(d.fd, ""); return err })
	return in, err
}

func (d *osDir) ReadDir(each func(Entry) bool) error {
	return d.self("readdir", "", func() error {
		fd, err := openAt(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|openFlags, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return readDir(fd, each)
	})
}

func (d *osDir) Sync() error {
	return d.self("sync", "", func() error { return unix.Fsync(d.fd) })
}

func (d *osDir) TryLock() (bool, error) {
	err := d.self("lock", "", func() error { return unix.Flock(d.fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func (d *osDir) Network() (bool, error) {
	var st unix.Statfs_t
	if err := d.self("statfs", "", func() error { return unix.Fstatfs(d.fd, &st) }); err != nil {
		return false, err
	}
	switch uint32(st.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
		unix.CODA_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.V9FS_MAGIC,
		unix.FUSE_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC, unix.NCP_SUPER_MAGIC:
		return true, nil
	}
	return false, nil
}

func (d *osDir) Close() error { return d.fail("close", "", d.close()) }

func (d *osDir) Open(name string) (File, error) { return d.OpenFile(name, os.O_RDONLY, 0) }
