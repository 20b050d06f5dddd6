package disktest

import (
	"hash/fnv"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"roost/disk"
)

type memDir struct {
	m      *Mem
	node   *inode
	path   string
	epoch  int
	closed bool
}

func (d *memDir) Path() string      { return d.path }
func (d *memDir) WatchPath() string { return "" }

// do runs f under the lock, after checking the handle and the name.
func (d *memDir) do(op, name string, f func() error) error {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	err := d.alive()
	if err == nil {
		err = f()
	}
	if err == nil {
		return nil
	}
	full := d.path
	if name != "" {
		full += "/" + name
	}
	return &fs.PathError{Op: op, Path: full, Err: err}
}

func (d *memDir) alive() error {
	if d.closed || d.epoch != d.m.epoch {
		return fs.ErrClosed
	}
	return nil
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fs.ErrInvalid
	}
	if len(name) > 255 {
		return syscall.ENAMETOOLONG
	}
	return nil
}

// get finds an entry.
func (d *memDir) get(name string) (*inode, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	n := d.node.entries[name]
	if n == nil {
		return nil, syscall.ENOENT
	}
	return n, nil
}

// free checks that name can be made in d.
func (d *memDir) free(name string) error {
	if _, err := d.get(name); err != syscall.ENOENT {
		if err == nil {
			err = syscall.EEXIST
		}
		return err
	}
	if d.node.dead {
		return syscall.ENOENT
	}
	return nil
}

func (d *memDir) OpenDir(name string) (sub disk.Dir, err error) {
	err = d.do("open", name, func() error {
		n, err := d.get(name)
		if err != nil {
			return err
		}
		if !n.mode.IsDir() {
			return syscall.ENOTDIR
		}
		sub = &memDir{m: d.m, node: n, path: d.path + "/" + name, epoch: d.epoch}
		return nil
	})
	return sub, err
}

func (d *memDir) Open(name string) (disk.File, error) { return d.OpenFile(name, os.O_RDONLY, 0) }

func (d *memDir) OpenFile(name string, flag int, perm fs.FileMode) (f disk.File, err error) {
	err = d.do("open", name, func() error {
		n, err := d.get(name)
		switch {
		case err == syscall.ENOENT && flag&os.O_CREATE != 0:
			if err := d.free(name); err != nil {
				return err
			}
			n = d.m.newNode(perm.Perm())
			n.nlink = 1
			d.m.apply(edit{d.node, name, n})
		case err != nil:
			return err
		case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
			return syscall.EEXIST
		case !n.mode.IsRegular():
			return disk.ErrNotRegular
		case flag&os.O_TRUNC != 0:
			d.m.truncate(n, 0)
		}
		f = &memFile{m: d.m, node: n, name: d.path + "/" + name, flag: flag, epoch: d.epoch}
		return nil
	})
	return f, err
}

func (d *memDir) Mkdir(name string, perm fs.FileMode) error {
	return d.do("mkdir", name, func() error {
		if err := d.free(name); err != nil {
			return err
		}
		n := d.m.newNode(fs.ModeDir | perm.Perm())
		n.nlink = 2
		d.node.nlink++
		d.m.apply(edit{d.node, name, n})
		return nil
	})
}

func (d *memDir) Rmdir(name string) error {
	return d.do("rmdir", name, func() error {
		n, err := d.get(name)
		switch {
		case err != nil:
			return err
		case !n.mode.IsDir():
			return syscall.ENOTDIR
		case len(n.entries) > 0:
			return syscall.ENOTEMPTY
		}
		d.m.drop(n)
		d.node.nlink--
		d.m.apply(edit{d.node, name, nil})
		return nil
	})
}

// drop takes one name from n.
func (m *Mem) drop(n *inode) {
	n.ctime = m.now()
	if n.mode.IsDir() {
		n.nlink, n.dead = 0, true
		return
	}
	if n.nlink--; n.nlink == 0 {
		m.used -= int64(len(n.data))
	}
}

func (d *memDir) Unlink(name string) error {
	return d.do("unlink", name, func() error {
		n, err := d.get(name)
		switch {
		case err != nil:
			return err
		case n.mode.IsDir():
			return syscall.EISDIR
		}
		d.m.drop(n)
		d.m.apply(edit{d.node, name, nil})
		return nil
	})
}

func (d *memDir) Rename(name string, to disk.Dir, newname string) error {
	return d.rename(name, to, newname, true)
}

func (d *memDir) RenameNoReplace(name string, to disk.Dir, newname string) error {
	return d.rename(name, to, newname, false)
}

func (d *memDir) rename(name string, to disk.Dir, newname string, replace bool) error {
	return d.do("rename", name, func() error {
		target, n, err := d.two(name, to, newname)
		if err != nil {
			return err
		}
		old := target.node.entries[newname]
		switch {
		case old != nil && !replace:
			return syscall.EEXIST
		case n.mode.IsDir() && d.m.below(target.node, n):
			return syscall.EINVAL
		case old != nil && old.mode.IsDir() && old != n && d.m.below(d.node, old):
			return syscall.ENOTEMPTY
		case old == nil && target.node.dead:
			return syscall.ENOENT
		case old == n:
			return nil // POSIX: two names of one file stay both
		case old == nil:
		case n.mode.IsDir() && !old.mode.IsDir():
			return syscall.ENOTDIR
		case !n.mode.IsDir() && old.mode.IsDir():
			return syscall.EISDIR
		case len(old.entries) > 0:
			return syscall.ENOTEMPTY
		}
		if old != nil {
			d.m.drop(old)
		}
		if n.mode.IsDir() {
			d.node.nlink--
			if old == nil {
				target.node.nlink++
			}
		}
		d.m.apply(edit{d.node, name, nil}, edit{target.node, newname, n})
		return nil
	})
}

// below reports whether dir is n or in it.
func (m *Mem) below(dir, n *inode) bool {
	if dir == n {
		return true
	}
	for _, sub := range n.entries {
		if sub.mode.IsDir() && m.below(dir, sub) {
			return true
		}
	}
	return false
}

// two checks the arguments of Rename and Link.
func (d *memDir) two(name string, to disk.Dir, newname string) (*memDir, *inode, error) {
	target, ok := to.(*memDir)
	if !ok || target.m != d.m {
		return nil, nil, fs.ErrInvalid
	}
	if err := target.alive(); err != nil {
		return nil, nil, err
	}
	if err := checkName(newname); err != nil {
		return nil, nil, err
	}
	n, err := d.get(name)
	return target, n, err
}

func (d *memDir) Link(name string, to disk.Dir, newname string) error {
	return d.do("link", name, func() error {
		target, n, err := d.two(name, to, newname)
		if err != nil {
			return err
		}
		if err := target.free(newname); err != nil {
			return err
		}
		if n.mode.IsDir() {
			return syscall.EPERM
		}
		n.nlink++
		d.m.apply(edit{target.node, newname, n})
		return nil
	})
}

func (d *memDir) Chtimes(name string, mtime time.Time) error {
	return d.do("chtimes", name, func() error {
		n, err := d.get(name)
		if err == nil {
			n.mtime, n.ctime = mtime, d.m.now()
		}
		return err
	})
}

func (n *inode) info() disk.Info {
	return disk.Info{
		Identity: disk.Identity{Dev: 1, Ino: n.ino},
		Mode:     n.mode,
		Size:     int64(len(n.data)),
		Nlink:    uint64(n.nlink),
		UID:      uint32(os.Getuid()),
		GID:      uint32(os.Getgid()),
		Mtime:    n.mtime,
		Ctime:    n.ctime,
		Btime:    n.btime,
	}
}

func (d *memDir) Lstat(name string) (in disk.Info, err error) {
	err = d.do("lstat", name, func() error {
		n, err := d.get(name)
		if err == nil {
			in = n.info()
		}
		return err
	})
	return in, err
}

func (d *memDir) Stat() (in disk.Info, err error) {
	err = d.do("stat", "", func() error { in = d.node.info(); return nil })
	return in, err
}

// ReadDir gives the entries in an order that has nothing to do with names.
func (d *memDir) ReadDir(each func(disk.Entry) bool) error {
	var list []disk.Entry
	err := d.do("readdir", "", func() error {
		if d.node.dead {
			return syscall.ENOENT
		}
		for name, n := range d.node.entries {
			list = append(list, disk.Entry{Name: []byte(name), Type: n.mode.Type(), Ino: n.ino})
		}
		return nil
	})
	slices.SortFunc(list, func(a, b disk.Entry) int {
		if x, y := order(a.Name), order(b.Name); x != y {
			return int(int64(x) - int64(y))
		}
		return slices.Compare(a.Name, b.Name)
	})
	for _, e := range list {
		if !each(e) {
			break
		}
	}
	return err
}

func order(name []byte) uint32 {
	h := fnv.New32a()
	h.Write(name)
	return h.Sum32() >> 1
}

func (d *memDir) Sync() error {
	return d.do("sync", "", func() error {
		d.m.settle(func(c *change) bool {
			return slices.ContainsFunc(c.edits, func(e edit) bool { return e.dir == d.node })
		})
		d.node.durableTime = d.node.mtime
		return nil
	})
}

func (d *memDir) TryLock() (ok bool, err error) {
	err = d.do("lock", "", func() error {
		if d.node.locked == nil {
			d.node.locked = d
		}
		ok = d.node.locked == d
		return nil
	})
	return ok, err
}

func (d *memDir) Network() (bool, error) { return false, nil }

func (d *memDir) Close() error {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if d.closed {
		return &fs.PathError{Op: "close", Path: d.path, Err: fs.ErrClosed}
	}
	d.closed = true
	if d.node.locked == d {
		d.node.locked = nil
	}
	return nil
}
