package mailbox

import (
	"log/slog"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// An allocator is what a live mailbox asks its account: the account gives out
// UIDVALIDITY, keeps ceilings, and knows where the mailbox is. *slot is one.
type allocator interface {
	known() index.Known // by directory: for index.Options.Known
	claim(id index.MailboxID, uidValidity uint32) (claim, error)
	newUIDValidity(seen uint32) (uint32, error)
	register(known index.Known, adopted []byte) error
	sync() error                                                     // makes what the others wrote durable; raise does too
	raise(id index.MailboxID, uidNext imap.UID, modSeq ModSeq) error // exact: index adds the step
	inPlace(dir disk.Dir) (bool, error)
	name() string
}

// mailboxOptions are what openMailbox needs. Dir and IndexDir belong to the
// Mailbox afterwards, also if openMailbox fails: it closes them.
type mailboxOptions struct {
	FS       disk.FS      // its clock
	Dir      *maildir.Dir // the directory with new, cur and tmp
	IndexDir disk.Dir     // where roost.index and roost.cache are
	Slot     allocator
	Released func()           // called by Release; nil: nothing
	Namer    *maildir.Namer   // of the process; nil: one of its own
	Watcher  *maildir.Watcher // nil: poll
	Owner    string           // whose watches they are
	Log      *slog.Logger     // nil: discard
	Counters *Counters        // nil: private ones

	// MayJump reports whether a client may make a mailbox jump now; nil: always.
	MayJump func(index.MailboxID) bool
	Quota   *quota        // of the account; nil: none
	KeepNew bool          // leave mail in new/ until a flag must be written
	Fsync   index.Fsync   // what a flush waits for
	Poll    time.Duration // between two looks at the disk, beside its events; 0: pollTime
	// Foreign lets the mailbox take over what another IMAP server knew of it,
	// and keeps that server's files up to date; nil: neither.
	Foreign *foreignOptions
}
