package disktest

import (
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"roost/disk"
)

type memFile struct {
	m      *Mem
	node   *inode
	name   string
	flag   int
	epoch  int
	pos    int64
	closed bool
}

func (f *memFile) do(op string, call func() error) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	var err error = fs.ErrClosed
	if !f.closed && f.epoch == f.m.epoch {
		err = call()
	}
	if err == nil || err == io.EOF {
		return err
	}
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

const accessMode = os.O_RDONLY | os.O_WRONLY | os.O_RDWR

func (f *memFile) readable() error {
	if f.flag&accessMode == os.O_WRONLY {
		return syscall.EBADF
	}
	return nil
}

func (f *memFile) writable() error {
	if f.flag&accessMode == os.O_RDONLY {
		return syscall.EBADF
	}
	return nil
}

func (f *memFile) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	err = f.do("read", func() error {
		if err := f.readable(); err != nil {
			return err
		}
		if f.pos >= int64(len(f.node.data)) {
			return io.EOF
		}
		n = copy(p, f.node.data[f.pos:])
		f.pos += int64(n)
		return nil
	})
	return n, err
}

func (f *memFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.do("read", func() error {
		if off < 0 {
			return fs.ErrInvalid
		}
		if err := f.readable(); err != nil {
			return err
		}
		if off < int64(len(f.node.data)) {
			n = copy(p, f.node.data[off:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *memFile) Write(p []byte) (n int, err error) {
	err = f.do("write", func() (err error) {
		if err := f.writable(); err != nil {
			return err
		}
		if f.flag&os.O_APPEND != 0 {
			f.pos = int64(len(f.node.data))
		}
		n, err = f.m.write(f.node, p, f.pos)
		f.pos += int64(n)
		return err
	})
	return n, err
}

func (f *memFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.do("write", func() (err error) {
		if off < 0 {
			return fs.ErrInvalid
		}
		if err := f.writable(); err != nil {
			return err
		}
		if f.flag&os.O_APPEND != 0 { // as Linux does it
			off = int64(len(f.node.data))
		}
		n, err = f.m.write(f.node, p, off)
		return err
	})
	return n, err
}

// write writes what fits.
func (m *Mem) write(n *inode, p []byte, off int64) (int, error) {
	if off > maxMemFile-int64(len(p)) {
		return 0, syscall.EFBIG
	}
	var full error
	if grow := off + int64(len(p)) - int64(len(n.data)); m.capacity >= 0 && grow > 0 && m.used+grow > m.capacity {
		full = syscall.ENOSPC
		fits := int64(len(n.data)) + max(m.capacity-m.used, 0) - off
		p = p[:max(min(fits, int64(len(p))), 0)]
	}
	if len(p) == 0 {
		return 0, full
	}
	m.resize(n, max(int64(len(n.data)), off+int64(len(p))))
	copy(n.data[off:], p)
	n.writes = append(n.writes, effect{off: off, data: slices.Clone(p)})
	n.mtime = m.now()
	n.ctime = n.mtime
	return len(p), full
}

// resize changes the size as readers see it.
func (m *Mem) resize(n *inode, size int64) {
	if n.nlink > 0 {
		m.used += size - int64(len(n.data))
	}
	n.data = sized(n.data, size)
}

// sized cuts or fills with zeroes.
func sized(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	old := len(data)
	data = slices.Grow(data, int(size)-old)[:size]
	clear(data[old:])
	return data
}

func (m *Mem) truncate(n *inode, size int64) {
	m.resize(n, size)
	n.writes = append(n.writes, effect{off: size, truncate: true})
	n.mtime = m.now()
	n.ctime = n.mtime
}

func (f *memFile) Stat() (in disk.Info, err error) {
	err = f.do("stat", func() error { in = f.node.info(); return nil })
	return in, err
}

func (f *memFile) Sync() error {
	return f.do("sync", func() error {
		n := f.node
		if f.m.failSync > 0 {
			if f.m.failSync--; f.m.failSync == 0 {
				f.m.lose(n)
				return syscall.EIO
			}
		}
		// What a failed sync has dropped is in data, but not in writes.
		n.synced = replay(n.synced, n.writes)
		n.writes = nil
		n.durableTime = n.mtime
		return nil
	})
}

// lose drops what was written since the last sync, but for the size.
func (m *Mem) lose(n *inode) {
	size := int64(len(n.data))
	n.writes = []effect{{off: size, truncate: true}}
	if m.evict {
		n.data = sized(slices.Clone(n.synced), size)
	}
}

// replay does effects to data, which nothing else has.
func replay(data []byte, effects []effect) []byte {
	for _, e := range effects {
		if e.truncate {
			data = sized(data, e.off)
			continue
		}
		data = sized(data, max(int64(len(data)), e.off+int64(len(e.data))))
		copy(data[e.off:], e.data)
	}
	return data
}

// maxMemFile bounds what a test can ask for by mistake.
const maxMemFile = 1 << 30

func (f *memFile) Truncate(size int64) error {
	return f.do("truncate", func() error {
		if size < 0 || size > maxMemFile {
			return syscall.EINVAL
		}
		if err := f.writable(); err != nil {
			return syscall.EINVAL // as ftruncate
		}
		f.m.truncate(f.node, size)
		return nil
	})
}

func (f *memFile) Allocate(off, size int64) error {
	return f.do("allocate", func() error {
		if off < 0 || size <= 0 || off+size > maxMemFile {
			return fs.ErrInvalid
		}
		if err := f.writable(); err != nil {
			return err
		}
		grow := off + size - int64(len(f.node.data))
		if grow <= 0 {
			return nil
		}
		if f.m.capacity >= 0 && f.m.used+grow > f.m.capacity {
			return syscall.ENOSPC
		}
		f.m.truncate(f.node, off+size)
		return nil
	})
}

func (f *memFile) Chtimes(mtime time.Time) error {
	return f.do("chtimes", func() error {
		f.node.mtime, f.node.ctime = mtime, f.m.now()
		return nil
	})
}

func (f *memFile) Busy() bool { return false }

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	return nil
}
