package disktest

import (
	"errors"

	"roost/disk"
)

// TryLock is disk.FileLocker, if the inner file is one.
func (f *recordedFile) TryLock() (ok bool, err error) {
	inner, can := f.File.(disk.FileLocker)
	if !can {
		return false, errors.ErrUnsupported
	}
	err = f.do(Lock, func() (err error) { ok, err = inner.TryLock(); return err })
	return ok, err
}
