package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

type osFile struct {
	ref
	dir    *osDir // for messages only; may be closed before the file
	name   string
	opened Info // what it was then; the zero Info if it was made
}

// StatOpened describes the file f as it was when it was opened, for those who
// have just done that: it mostly saves a system call.
func StatOpened(f File) (Info, error) {
	if o, ok := f.(*osFile); ok && o.opened.Mode.IsRegular() && o.opened.Ino != 0 {
		return o.opened, nil
	}
	return f.Stat()
}

// createTries bounds the game with someone who makes and removes the name
// while we open or create it.
const createTries = 8

func (d *osDir) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f := &osFile{dir: d, name: name}
	err := d.on("open", name, func() (err error) {
		f.fd, f.opened, err = d.openOrCreate(name, flag, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openOrCreate splits O_CREATE in its two cases, so that only what was really
// made gets an owner and permissions.
func (d *osDir) openOrCreate(name string, flag int, perm fs.FileMode) (int, Info, error) {
	if flag&os.O_CREATE == 0 {
		return d.openRegular(name, flag)
	}
	for range createTries {
		fd, err := openAt(d.fd, name, flag|unix.O_CREAT|unix.O_EXCL|openFlags, bitsOf(perm))
		if err == nil {
			if err := d.adopt(fd, perm); err != nil {
				unix.Close(fd)
				unix.Unlinkat(d.fd, name, 0)
				return -1, Info{}, err
			}
			return fd, Info{}, nil
		}
		if err != unix.EEXIST || flag&os.O_EXCL != 0 {
			return -1, Info{}, err
		}
		fd, in, err := d.openRegular(name, flag&^os.O_CREATE)
		if err != unix.ENOENT {
			return fd, in, err
		}
	}
	return -1, Info{}, unix.EBUSY
}

func (d *osDir) openRegular(name string, flag int) (int, Info, error) {
	// O_TRUNC would act before we know what the name is.
	fd, err := openAt(d.fd, name, flag&^os.O_TRUNC|openFlags, 0)
	switch {
	case err == unix.ELOOP || err == unix.EISDIR || err == unix.ENXIO || err == unix.ENODEV:
		return -1, Info{}, ErrNotRegular
	case err != nil:
		return -1, Info{}, err
	}
	in, err := statAt(fd, "")
	if err == nil && !in.Mode.IsRegular() {
		err = ErrNotRegular
	}
	if err == nil && flag&os.O_TRUNC != 0 {
		err = again(func() error { return unix.Ftruncate(fd, 0) })
		in = Info{}
	}
	if err != nil {
		unix.Close(fd)
		return -1, Info{}, err
	}
	return fd, in, nil
}

func (f *osFile) do(op string, call func() error) error {
	if err := f.acquire(); err != nil {
		return f.dir.fail(op, f.name, err)
	}
	defer f.release()
	return f.dir.fail(op, f.name, again(call))
}

func (f *osFile) Read(p []byte) (int, error) {
	return f.read(p, func() (int, error) { return unix.Read(f.fd, p) })
}

func (f *osFile) read(p []byte, call func() (int, error)) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	err = f.do("read", func() (err error) { n, err = call(); return err })
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, f.dir.fail("read", f.name, fs.ErrInvalid)
	}
	done := 0
	for done < len(p) {
		n, err := f.read(p[done:], func() (int, error) { return unix.Pread(f.fd, p[done:], off+int64(done)) })
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (f *osFile) Write(p []byte) (int, error) {
	return f.write(p, func(p []byte, _ int) (int, error) { return unix.Write(f.fd, p) })
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, f.dir.fail("write", f.name, fs.ErrInvalid)
	}
	return f.write(p, func(p []byte, done int) (int, error) { return unix.Pwrite(f.fd, p, off+int64(done)) })
}

func (f *osFile) write(p []byte, call func(p []byte, done int) (int, error)) (done int, err error) {
	for done < len(p) {
		var n int
		err := f.do("write", func() (err error) { n, err = call(p[done:], done); return err })
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, f.dir.fail("write", f.name, io.ErrShortWrite)
		}
		done += n
	}
	return done, nil
}

func (f *osFile) Stat() (in Info, err error) {
	err = f.do("stat", func() (err error) { in, err = statAt(f.fd, ""); return err })
	return in, err
}

func (f *osFile) Sync() error {
	return f.do("sync", func() error { return unix.Fdatasync(f.fd) })
}

func (f *osFile) Truncate(size int64) error {
	return f.do("truncate", func() error { return unix.Ftruncate(f.fd, size) })
}

func (f *osFile) Chtimes(mtime time.Time) error {
	ts, err := timesOf(mtime)
	if err != nil {
		return f.dir.fail("chtimes", f.name, err)
	}
	return f.do("chtimes", func() error { return futimens(f.fd, &ts) })
}

// allocateStep is how much the fallback of Allocate writes at a time.
const allocateStep = 64 << 10

func (f *osFile) Allocate(off, size int64) error {
	if off < 0 || size <= 0 {
		return f.dir.fail("allocate", f.name, fs.ErrInvalid)
	}
	before, err := f.Stat()
	if err != nil {
		return err
	}
	err = f.do("allocate", func() error { return unix.Fallocate(f.fd, 0, off, size) })
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		err = f.writeZeroes(max(off, before.Size), off+size)
	}
	if err != nil {
		// ext4 and others keep what they could get.
		f.do("truncate", func() error { return unix.Ftruncate(f.fd, before.Size) })
	}
	return err
}

// writeZeroes fills from off, which is at or behind the end, to end.
func (f *osFile) writeZeroes(off, end int64) error {
	zeroes := make([]byte, allocateStep)
	for off < end {
		n, err := f.WriteAt(zeroes[:min(allocateStep, end-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

func (f *osFile) Busy() bool {
	busy := false
	_ = f.do("lease", func() error { // an error means: cannot be told
		_, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETLEASE, unix.F_RDLCK)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(f.fd), unix.F_SETLEASE, unix.F_UNLCK)
			return err
		}
		busy = err == unix.EAGAIN
		return nil
	})
	return busy
}

func (f *osFile) Close() error { return f.dir.fail("close", f.name, f.close()) }
