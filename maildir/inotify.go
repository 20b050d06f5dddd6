package maildir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// An inotify is the Backend of Linux. The kernel queues an event before the
// system call that caused it returns; so whoever reads the queue up to its end
// knows of all that happened before, without another goroutine and without a
// file to wait for. That is what a fence is here: one ioctl (FIONREAD) if nothing waits.
type inotify struct {
	file   *os.File // for the poller of the runtime
	fd     int
	closed chan struct{}

	reading sync.Mutex // held while events are read and handed over, in order
	over    bool       // Close was called
	lost    uint64     // overflows
	buf     [64 << 10]byte
	tell    func(dir, name string, op EventOp)
	broken  func(error)

	mu    sync.Mutex // guards below
	paths map[int32]string
	ids   map[string]int32
}

// A directBackend hands its events over by itself, from serve or from drain,
// one at a time.
type directBackend interface {
	Backend
	// serve closes started and hands events over until Close; name is empty for what befell the
	// directory itself.
	serve(started chan<- struct{}, tell func(dir, name string, op EventOp), broken func(error))
	// drain returns once all events from before were handed over; ErrFence if
	// some were lost meanwhile.
	drain() error
}

const inotifyMask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_MODIFY |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

func newInotify() (Backend, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &inotify{
		file: os.NewFile(uintptr(fd), "inotify"), fd: fd, closed: make(chan struct{}),
		paths: map[int32]string{}, ids: map[string]int32{},
	}, nil
}

func (in *inotify) Add(path string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	select {
	case <-in.closed:
		return fs.ErrClosed
	default:
	}
	// Under the lock: events may be read before the call returns.
	id, err := unix.InotifyAddWatch(in.fd, path, inotifyMask)
	if err != nil {
		return os.NewSyscallError("inotify_add_watch", err)
	}
	in.paths[int32(id)], in.ids[path] = path, int32(id)
	return nil
}

func (in *inotify) Remove(path string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	id, ok := in.ids[path]
	if !ok {
		return fsnotify.ErrNonExistentWatch
	}
	return in.forgetLocked(id)
}

// forgetLocked ends a watch. Numbers are not used again, so that what still
// comes of it is known to be late. mu must be held.
func (in *inotify) forgetLocked(id int32) error {
	path := in.paths[id]
	delete(in.paths, id)
	if in.ids[path] == id {
		delete(in.ids, path)
	}
	select {
	case <-in.closed:
		return fs.ErrClosed
	default:
	}
	_, err := unix.InotifyRmWatch(in.fd, uint32(id))
	return err
}

// Events is nil: see serve.
func (in *inotify) Events() <-chan fsnotify.Event { return nil }

// Errors is nil: see serve.
func (in *inotify) Errors() <-chan error { return nil }

// Close ends serve. No event is handed over after it.
func (in *inotify) Close() error {
	in.reading.Lock()
	first := !in.over
	in.over = true
	in.reading.Unlock()
	if !first {
		return nil
	}
	in.mu.Lock()
	close(in.closed)
	in.mu.Unlock()
	// Not under reading: Close waits for serve, which may be about to read.
	return in.file.Close()
}

// restTime is how long serve lets events gather while they come one after the
// other: each reading costs a change of goroutines, and a command that has
// business with them drains.
const restTime = 500 * time.Microsecond

func (in *inotify) serve(started chan<- struct{}, tell func(dir, name string, op EventOp), broken func(error)) {
	in.reading.Lock()
	in.tell, in.broken = tell, broken
	in.reading.Unlock()
	close(started)
	conn, err := in.file.SyscallConn()
	if err != nil {
		return
	}
	for last := (time.Time{}); ; {
		err := conn.Read(func(uintptr) bool {
			in.reading.Lock()
			defer in.reading.Unlock()
			n, err := in.read()
			return n > 0 || err != nil
		})
		select {
		case <-in.closed:
			return
		default:
		}
		if err != nil {
			broken(err)
			return
		}
		now := time.Now()
		if now.Sub(last) < 2*restTime {
			rest := time.NewTimer(restTime)
			select {
			case <-in.closed:
			case <-rest.C:
			}
		}
		last = now
	}
}

func (in *inotify) drain() error {
	in.reading.Lock()
	defer in.reading.Unlock()
	if in.over {
		return ErrFence
	}
	left, err := unix.IoctlGetInt(in.fd, unix.TIOCINQ)
	lost := in.lost
	for err == nil && left > 0 {
		var n int
		if n, err = in.read(); n == 0 {
			break
		}
		left -= n
	}
	if err != nil || in.lost != lost {
		return errors.Join(ErrFence, err)
	}
	return nil
}

// read reads once and hands the events over; 0: nothing waits. reading must be
// held.
func (in *inotify) read() (int, error) {
	if in.over || in.tell == nil {
		return 0, fs.ErrClosed
	}
	for {
		n, err := unix.Read(in.fd, in.buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		}
		in.hand(in.buf[:n])
		return n, nil
	}
}

// hand parses struct inotify_event: wd, mask, cookie, length of the name.
func (in *inotify) hand(b []byte) {
	for len(b) >= unix.SizeofInotifyEvent {
		id, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
		size := uint64(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size > uint64(len(b)) {
			in.lost++
			in.broken(errShortEvent)
			return
		}
		name := b[:size]
		b = b[size:]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		in.one(id, mask, name)
	}
}

var errShortEvent = errors.New("inotify: event is cut off")

func (in *inotify) one(id int32, mask uint32, name []byte) {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		in.lost++
		in.broken(fsnotify.ErrEventOverflow)
		return
	}
	in.mu.Lock()
	dir, ok := in.paths[id]
	self := mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_UNMOUNT|unix.IN_IGNORED) != 0
	if ok && self {
		_ = in.forgetLocked(id) // the system may have forgotten it
	}
	in.mu.Unlock()
	switch {
	case !ok:
	case self:
		in.tell(dir, "", Removed)
	case mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
		in.tell(dir, string(name), Appear)
	case mask&unix.IN_DELETE != 0:
		in.tell(dir, string(name), Removed)
	case mask&unix.IN_MOVED_FROM != 0:
		in.tell(dir, string(name), MovedAway)
	case mask&unix.IN_MODIFY != 0:
		in.tell(dir, string(name), Written)
	}
}
