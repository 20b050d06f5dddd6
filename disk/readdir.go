package disk

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// readDirBuffer is the size of one getdents call: some 3,000 names of a
// Maildir. Larger ones were no faster.
const readDirBuffer = 128 << 10

var readDirBuffers = sync.Pool{New: func() any { b := make([]byte, readDirBuffer); return &b }}

// Offsets inside a struct linux_dirent64, the same on all architectures.
const (
	direntIno    = 0
	direntReclen = 16
	direntType   = 18
	direntName   = 19
)

// readDir lists fd, a descriptor nobody else reads, from its start.
func readDir(fd int, each func(Entry) bool) error {
	pooled := readDirBuffers.Get().(*[]byte)
	defer readDirBuffers.Put(pooled)
	for {
		n, err := unix.Getdents(fd, *pooled)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n <= 0 {
			return nil
		}
		more, err := eachDirent((*pooled)[:n], each)
		if err != nil || !more {
			return err
		}
	}
}

// eachDirent delivers the entries of one filled buffer; false: each had enough.
func eachDirent(buf []byte, each func(Entry) bool) (bool, error) {
	for len(buf) > 0 {
		if len(buf) < direntName {
			return false, unix.EIO
		}
		size := int(binary.NativeEndian.Uint16(buf[direntReclen:]))
		if size < direntName || size > len(buf) {
			return false, unix.EIO
		}
		name := buf[direntName:size]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		ino, typ := binary.NativeEndian.Uint64(buf[direntIno:]), buf[direntType]
		buf = buf[size:]
		if ino == 0 || len(name) == 0 || string(name) == "." || string(name) == ".." {
			continue
		}
		if !each(Entry{Name: name, Type: typeOf(typ), Ino: ino}) {
			return false, nil
		}
	}
	return true, nil
}

func typeOf(t byte) fs.FileMode {
	switch t {
	case unix.DT_REG:
		return 0
	case unix.DT_DIR:
		return fs.ModeDir
	case unix.DT_LNK:
		return fs.ModeSymlink
	case unix.DT_FIFO:
		return fs.ModeNamedPipe
	case unix.DT_SOCK:
		return fs.ModeSocket
	case unix.DT_CHR:
		return fs.ModeDevice | fs.ModeCharDevice
	case unix.DT_BLK:
		return fs.ModeDevice
	}
	return fs.ModeIrregular
}
