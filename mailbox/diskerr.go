package mailbox

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// diskErr puts the sentinel that session answers by in front of an error of the
// file system. Errors that have one already, and nil, are given back as they are.
func diskErr(err error) error {
	var sentinel error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		sentinel = ErrOverQuota
	case errors.Is(err, syscall.EROFS):
		sentinel = ErrReadOnly
	case errors.Is(err, fs.ErrPermission):
		sentinel = ErrPermission
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		sentinel = ErrLimit
	case errors.Is(err, syscall.ENAMETOOLONG):
		sentinel = ErrName
	case errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENOTCONN),
		errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.ENXIO):
		sentinel = ErrUnavailable
	default:
		return err
	}
	if errors.Is(err, sentinel) {
		return err
	}
	return fmt.Errorf("%w: %w", sentinel, err)
}
