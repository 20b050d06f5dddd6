package maildir

import "errors"

// Errors that a caller branches on.
var (
	// ErrName is returned for a file name that is no message's, and for the
	// name of a mailbox that cannot be.
	ErrName = errors.New("maildir: name not allowed")
	// ErrGone is returned when the directory of a mailbox was removed or
	// another one is in its place (R16).
	ErrGone = errors.New("maildir: mailbox directory is gone")
	// ErrExist is returned when a mailbox is there already.
	ErrExist = errors.New("maildir: mailbox exists")
	// ErrNotExist is returned when there is no such mailbox.
	ErrNotExist = errors.New("maildir: no such mailbox")
	// ErrLocked is returned when another program holds a dot-lock.
	ErrLocked = errors.New("maildir: locked by another program")
	// ErrNoSlot is returned when all 26 keyword letters are taken.
	ErrNoSlot = errors.New("maildir: no keyword letter left")
	// ErrTorn is returned when the last line of a file is not finished.
	ErrTorn = errors.New("maildir: last line not finished")
	// ErrTooLarge is returned for a file beyond the size that makes sense.
	ErrTooLarge = errors.New("maildir: file too large")

	// ErrWatchLimit is returned when the owner has as many watches as it may.
	ErrWatchLimit = errors.New("maildir: limit of watches reached")
	// ErrNoWatch is returned when the system has no watch to give: poll.
	ErrNoWatch = errors.New("maildir: directory cannot be watched")
	// ErrFence is returned when it cannot be proved that all events were
	// delivered.
	ErrFence = errors.New("maildir: fence did not come back")
)
