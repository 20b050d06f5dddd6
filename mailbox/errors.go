package mailbox

import "errors"

// Errors that a caller branches on. The text is for logs; session has the words
// for clients.
var (
	ErrNotExist      = errors.New("mailbox: no such mailbox")                 // -> NONEXISTENT, or TRYCREATE for APPEND, COPY, MOVE
	ErrExist         = errors.New("mailbox: mailbox exists already")          // -> ALREADYEXISTS
	ErrHasChildren   = errors.New("mailbox: mailbox has children")            // -> HASCHILDREN
	ErrName          = errors.New("mailbox: name not allowed")                // -> CANNOT
	ErrNotSelectable = errors.New("mailbox: not selectable")                  // \Noselect, \NonExistent -> NONEXISTENT
	ErrReadOnly      = errors.New("mailbox: read-only")                       // -> READ-ONLY or NOPERM
	ErrPermission    = errors.New("mailbox: permission denied")               // -> NOPERM
	ErrOwner         = errors.New("mailbox: Maildir belongs to another user") // -> CONTACTADMIN
	ErrLocked        = errors.New("mailbox: another process has the Maildir") // -> INUSE
	ErrOverQuota     = errors.New("mailbox: over quota, or the disk is full") // -> OVERQUOTA
	ErrLimit         = errors.New("mailbox: limit reached")                   // -> LIMIT
	ErrUnavailable   = errors.New("mailbox: not available now")               // -> UNAVAILABLE
	ErrExpunged      = errors.New("mailbox: message was expunged")            // -> EXPUNGEISSUED
	ErrGone          = errors.New("mailbox: the mailbox was removed")         // session gets BYE
	ErrUseAttr       = errors.New("mailbox: special use not allowed")         // -> USEATTR
	ErrBadSet        = errors.New("mailbox: message number out of range")     // -> BAD

	ErrMetadataName  = errors.New("mailbox: not the name of an annotation") // -> BAD
	ErrMetadataSize  = errors.New("mailbox: annotation too large")          // -> METADATA MAXSIZE
	ErrMetadataCount = errors.New("mailbox: too many annotations")          // -> METADATA TOOMANY
)
