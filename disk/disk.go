package disk

import (
	"io"
	"io/fs"
	"time"
)

// An FS is a file system and its clock.
type FS interface {
	// OpenRoot opens the directory at path. The path is the administrator's,
	// so symbolic links in it are followed; all below is reached with Dir.
	OpenRoot(path string) (Dir, error)
	// MkdirRoot makes the directory at path, whose parent must exist.
	MkdirRoot(path string, perm fs.FileMode) error
	// Now is the wall clock.
	Now() time.Time
}

// Identity tells whether two names are the same file or directory. It must not
// be kept across a reboot.
type Identity struct {
	Dev, Ino uint64
}

// Info is what lstat or fstat says.
type Info struct {
	Identity
	Mode  fs.FileMode // type bits and permissions
	Size  int64
	Nlink uint64
	UID   uint32
	GID   uint32
	Mtime time.Time
	Ctime time.Time
	Btime time.Time // birth; zero where the file system has none. Filled by Dir.Stat of a name and File.Stat only.
}

// An Entry is one name of a directory as readdir gives it.
type Entry struct {
	Name []byte      // valid only during the call that delivers it
	Type fs.FileMode // type bits; fs.ModeIrregular if the file system does not say
	Ino  uint64      // a hint: on some file systems not what Lstat says
}

// A Dir is an open directory. Every name is one component: not empty, not "."
// or "..", without "/" and NUL (else fs.ErrInvalid). Symbolic links are never
// followed. Errors satisfy errors.Is with fs.ErrNotExist, fs.ErrExist,
// fs.ErrPermission and the syscall.Errno. A Dir is safe for concurrent use,
// but for ReadDir, which reads through a descriptor of its own at each call.
type Dir interface {
	// Path is for messages and logs only.
	Path() string
	// WatchPath is a path that names this very directory, moved or not, for
	// as long as the Dir is open (/proc/self/fd/N). Without procfs it is the
	// path that the Dir was opened by, while that still names it, else "": ask
	// again once the watch is there.
	WatchPath() string

	// OpenDir opens the directory name (O_DIRECTORY|O_NOFOLLOW).
	OpenDir(name string) (Dir, error)
	// Open opens a regular file for reading. Anything else than a regular
	// file is ErrNotRegular; it never blocks on a FIFO.
	Open(name string) (File, error)
	// OpenFile is Open with flags of package os (O_RDWR, O_CREATE, O_EXCL,
	// O_TRUNC, O_APPEND) and the permissions for a new file.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)

	Mkdir(name string, perm fs.FileMode) error
	Rmdir(name string) error
	Unlink(name string) error
	// Rename moves name to newname in to, replacing what is there.
	Rename(name string, to Dir, newname string) error
	// RenameNoReplace is Rename that fails with fs.ErrExist if newname exists.
	// Where the file system cannot do that atomically it looks first.
	RenameNoReplace(name string, to Dir, newname string) error
	Link(name string, to Dir, newname string) error
	// Chtimes sets the modification time of a file.
	Chtimes(name string, mtime time.Time) error

	// Lstat describes name without following it.
	Lstat(name string) (Info, error)
	// Stat describes the directory itself, through its descriptor.
	Stat() (Info, error)
	// ReadDir calls each for every entry but "." and "..", in the order of
	// the file system, until it returns false. An error means that the
	// listing is not complete, whatever was delivered (R18).
	ReadDir(each func(Entry) bool) error

	// Sync makes the entries of the directory durable.
	Sync() error
	// TryLock takes an exclusive flock on the directory: false if another
	// process has it. It is released by Close.
	TryLock() (bool, error)
	// Network reports whether others may change the directory without a word
	// to this kernel (NFS, SMB, FUSE and their like): watches are no use there.
	Network() (bool, error)
	Close() error
}

// A File is an open regular file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer
	// Stat describes the file behind the descriptor.
	Stat() (Info, error)
	// Sync makes the contents durable (fdatasync).
	Sync() error
	Truncate(size int64) error
	// Allocate reserves size octets of zeroes from off on (posix_fallocate);
	// an error leaves the file as it was.
	Allocate(off, size int64) error
	// Chtimes sets the modification time.
	Chtimes(mtime time.Time) error
	// Busy reports whether someone has the file open for writing (a read lease
	// is refused); false where that cannot be told.
	Busy() bool
}
