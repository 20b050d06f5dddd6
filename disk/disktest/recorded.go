package disktest

import (
	"io/fs"
	"os"
	"time"

	"roost/disk"
)

type recordedDir struct {
	disk.Dir
	r *Recorder
}

// do is a call on name that gives only an error.
func (d *recordedDir) do(op Op, name string, f func() error) error {
	if _, err := d.r.call(Call{Op: op, Dir: d.Path(), Name: name}); err != nil {
		return err
	}
	return f()
}

// inner is the directory behind a wrapped one.
func inner(d disk.Dir) disk.Dir {
	if w, ok := d.(*recordedDir); ok {
		return w.Dir
	}
	return d
}

func (d *recordedDir) two(op Op, name, newname string, f func() error) error {
	if _, err := d.r.call(Call{Op: op, Dir: d.Path(), Name: name, NewName: newname}); err != nil {
		return err
	}
	return f()
}

func (d *recordedDir) OpenDir(name string) (disk.Dir, error) {
	if _, err := d.r.call(Call{Op: OpenDir, Dir: d.Path(), Name: name}); err != nil {
		return nil, err
	}
	sub, err := d.Dir.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &recordedDir{Dir: sub, r: d.r}, nil
}

func (d *recordedDir) Open(name string) (disk.File, error) { return d.OpenFile(name, os.O_RDONLY, 0) }

func (d *recordedDir) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	op := Open
	if flag&os.O_CREATE != 0 {
		op = Create
	}
	if _, err := d.r.call(Call{Op: op, Dir: d.Path(), Name: name}); err != nil {
		return nil, err
	}
	f, err := d.Dir.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &recordedFile{File: f, r: d.r, dir: d.Path(), name: name}, nil
}

func (d *recordedDir) Mkdir(name string, perm fs.FileMode) error {
	return d.do(Mkdir, name, func() error { return d.Dir.Mkdir(name, perm) })
}

func (d *recordedDir) Rmdir(name string) error {
	return d.do(Rmdir, name, func() error { return d.Dir.Rmdir(name) })
}

func (d *recordedDir) Unlink(name string) error {
	return d.do(Unlink, name, func() error { return d.Dir.Unlink(name) })
}

func (d *recordedDir) Rename(name string, to disk.Dir, newname string) error {
	return d.two(Rename, name, newname, func() error { return d.Dir.Rename(name, inner(to), newname) })
}

func (d *recordedDir) RenameNoReplace(name string, to disk.Dir, newname string) error {
	return d.two(Rename, name, newname, func() error { return d.Dir.RenameNoReplace(name, inner(to), newname) })
}

func (d *recordedDir) Link(name string, to disk.Dir, newname string) error {
	return d.two(Link, name, newname, func() error { return d.Dir.Link(name, inner(to), newname) })
}

func (d *recordedDir) Chtimes(name string, mtime time.Time) error {
	return d.do(Chtimes, name, func() error { return d.Dir.Chtimes(name, mtime) })
}

func (d *recordedDir) Lstat(name string) (in disk.Info, err error) {
	err = d.do(Lstat, name, func() (err error) { in, err = d.Dir.Lstat(name); return err })
	return in, err
}

func (d *recordedDir) Stat() (in disk.Info, err error) {
	err = d.do(Stat, "", func() (err error) { in, err = d.Dir.Stat(); return err })
	return in, err
}

func (d *recordedDir) ReadDir(each func(disk.Entry) bool) error {
	short, err := d.r.call(Call{Op: ReadDir, Dir: d.Path()})
	if err == nil {
		return d.Dir.ReadDir(each)
	}
	if short {
		total := 0
		if rerr := d.Dir.ReadDir(func(disk.Entry) bool { total++; return true }); rerr != nil {
			return rerr
		}
		half := total / 2
		_ = d.Dir.ReadDir(func(e disk.Entry) bool {
			half--
			return half >= 0 && each(e)
		})
	}
	return err
}

func (d *recordedDir) Sync() error { return d.do(SyncDir, "", d.Dir.Sync) }

func (d *recordedDir) TryLock() (ok bool, err error) {
	err = d.do(Lock, "", func() (err error) { ok, err = d.Dir.TryLock(); return err })
	return ok, err
}

func (d *recordedDir) Network() (yes bool, err error) {
	err = d.do(Network, "", func() (err error) { yes, err = d.Dir.Network(); return err })
	return yes, err
}

// Close closes in any case: a test that makes it fail shall not leak.
func (d *recordedDir) Close() error {
	_, err := d.r.call(Call{Op: Close, Dir: d.Path()})
	if cerr := d.Dir.Close(); err == nil {
		err = cerr
	}
	return err
}

type recordedFile struct {
	disk.File
	r         *Recorder
	dir, name string
}

func (f *recordedFile) do(op Op, call func() error) error {
	if _, err := f.r.call(Call{Op: op, Dir: f.dir, Name: f.name}); err != nil {
		return err
	}
	return call()
}

func (f *recordedFile) Read(p []byte) (n int, err error) {
	err = f.do(Read, func() (err error) { n, err = f.File.Read(p); return err })
	return n, err
}

func (f *recordedFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.do(Read, func() (err error) { n, err = f.File.ReadAt(p, off); return err })
	return n, err
}

func (f *recordedFile) Write(p []byte) (int, error) {
	return f.write(p, f.File.Write)
}

func (f *recordedFile) WriteAt(p []byte, off int64) (int, error) {
	return f.write(p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

func (f *recordedFile) write(p []byte, write func([]byte) (int, error)) (int, error) {
	short, err := f.r.call(Call{Op: Write, Dir: f.dir, Name: f.name})
	if err == nil {
		return write(p)
	}
	if !short {
		return 0, err
	}
	n, werr := write(p[:len(p)/2])
	if werr != nil {
		return n, werr
	}
	return n, err
}

func (f *recordedFile) Stat() (in disk.Info, err error) {
	err = f.do(Stat, func() (err error) { in, err = f.File.Stat(); return err })
	return in, err
}

func (f *recordedFile) Sync() error { return f.do(Sync, f.File.Sync) }

func (f *recordedFile) Truncate(size int64) error {
	return f.do(Truncate, func() error { return f.File.Truncate(size) })
}

func (f *recordedFile) Allocate(off, size int64) error {
	return f.do(Allocate, func() error { return f.File.Allocate(off, size) })
}

func (f *recordedFile) Chtimes(mtime time.Time) error {
	return f.do(Chtimes, func() error { return f.File.Chtimes(mtime) })
}

// Close closes in any case.
func (f *recordedFile) Close() error {
	_, err := f.r.call(Call{Op: Close, Dir: f.dir, Name: f.name})
	if cerr := f.File.Close(); err == nil {
		err = cerr
	}
	return err
}
