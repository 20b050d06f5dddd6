package index

import "errors"

// Errors that a caller branches on.
var (
	// ErrVersion is returned by Open when the journal was written by a newer
	// major version; the file is left as it is.
	ErrVersion = errors.New("index: journal of a newer version")
	// ErrReadOnly is returned by Apply when the journal cannot be written.
	ErrReadOnly = errors.New("index: read-only")
	// ErrPoisoned is returned (wrapped, with the cause) by Apply and Wait after
	// a sync failed; only Rebuild helps.
	ErrPoisoned = errors.New("index: a sync failed")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("index: closed")
	// ErrNoUIDs is returned by Apply when UIDs run out: a new UIDVALIDITY is due.
	ErrNoUIDs = errors.New("index: no UIDs left")
	// ErrUIDOrder is returned by Apply when an explicit UID is below UIDNEXT or
	// not above the one before it.
	ErrUIDOrder = errors.New("index: UID out of order")
	// ErrKeyword is returned by SetOf for a name that is no keyword (RFC 9051
	// §9 flag-keyword) or longer than MaxKeyword.
	ErrKeyword = errors.New("index: bad keyword")
	// ErrKeywords is returned by SetOf when the mailbox has MaxKeywords names.
	ErrKeywords = errors.New("index: too many keywords")
	// ErrBatch is returned (wrapped) by Apply for a batch that makes no sense:
	// a row that is not there or gone, a base that is empty or too long.
	ErrBatch = errors.New("index: invalid batch")
)
