package disk

import (
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// closedBit marks a ref whose Close was called; the bits below count the calls
// under way.
const closedBit = 1 << 62

// A ref is a descriptor that is closed once, and only after the last call
// using it is done, so that a number the kernel has given away again is never
// used: with mail of many users behind descriptors that would be fatal.
type ref struct {
	fd    int
	state atomic.Int64
}

// acquire must be followed by release if it returns nil.
func (r *ref) acquire() error {
	if r.state.Add(1)&closedBit != 0 {
		r.release()
		return fs.ErrClosed
	}
	return nil
}

func (r *ref) release() {
	if r.state.Add(-1) == closedBit {
		r.finish()
	}
}

// finish closes the descriptor. acquire and release of a late caller pass
// closedBit again, so the first one to swap wins.
func (r *ref) finish() {
	if r.state.CompareAndSwap(closedBit, closedBit|closedBit>>1) {
		unix.Close(r.fd) // EINTR: Linux has closed it all the same
	}
}

func (r *ref) close() error {
	for {
		s := r.state.Load()
		if s&closedBit != 0 {
			return fs.ErrClosed
		}
		if r.state.CompareAndSwap(s, s|closedBit) {
			if s == 0 {
				r.finish()
			}
			return nil
		}
	}
}

// again calls f until it is not interrupted by a signal.
func again(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
