package disk

import "errors"

// ErrNotRegular is returned when a name that must be a regular file is a
// directory, a FIFO, a device, a socket or a symbolic link.
var ErrNotRegular = errors.New("disk: not a regular file")
