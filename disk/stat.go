package disk

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// checkName refuses what is not one component. Everything that the kernel
// would resolve to another directory is among it.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0 {
		return fs.ErrInvalid
	}
	return nil
}

// statAt is statx, or fstatat where a kernel or a sandbox does not have it. An
// empty name describes fd itself.
func statAt(fd int, name string) (Info, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var sx unix.Statx_t
	err := unix.Statx(fd, name, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &sx)
	for err == unix.EINTR {
		err = unix.Statx(fd, name, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &sx)
	}
	switch {
	case err == nil:
		return infoOfStatx(&sx), nil
	case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM):
		return statOld(fd, name)
	}
	return Info{}, err
}

func infoOfStatx(sx *unix.Statx_t) Info {
	in := Info{
		Identity: Identity{Dev: unix.Mkdev(sx.Dev_major, sx.Dev_minor), Ino: sx.Ino},
		Mode:     modeOf(uint32(sx.Mode)),
		Size:     int64(sx.Size),
		Nlink:    uint64(sx.Nlink),
		UID:      sx.Uid,
		GID:      sx.Gid,
		Mtime:    time.Unix(sx.Mtime.Sec, int64(sx.Mtime.Nsec)),
		Ctime:    time.Unix(sx.Ctime.Sec, int64(sx.Ctime.Nsec)),
	}
	if sx.Mask&unix.STATX_BTIME != 0 {
		in.Btime = time.Unix(sx.Btime.Sec, int64(sx.Btime.Nsec))
	}
	return in
}

func statOld(fd int, name string) (Info, error) {
	var st unix.Stat_t
	err := again(func() error {
		if name == "" {
			return unix.Fstat(fd, &st)
		}
		return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return Info{}, err
	}
	msec, mnsec := st.Mtim.Unix()
	csec, cnsec := st.Ctim.Unix()
	return Info{
		Identity: Identity{Dev: uint64(st.Dev), Ino: st.Ino},
		Mode:     modeOf(st.Mode),
		Size:     st.Size,
		Nlink:    uint64(st.Nlink),
		UID:      st.Uid,
		GID:      st.Gid,
		Mtime:    time.Unix(msec, mnsec),
		Ctime:    time.Unix(csec, cnsec),
	}, nil
}

func modeOf(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	default:
		mode |= fs.ModeIrregular
	}
	if m&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if m&unix.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if m&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}

func bitsOf(mode fs.FileMode) uint32 {
	m := uint32(mode.Perm())
	if mode&fs.ModeSetgid != 0 {
		m |= unix.S_ISGID
	}
	if mode&fs.ModeSticky != 0 {
		m |= unix.S_ISVTX
	}
	return m
}
