package index

import (
	"log/slog"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
)

// The names of the files in the directory of an Index.
const (
	JournalName = "roost.index"
	CacheName   = "roost.cache"
)

// Fsync says what Wait waits for.
type Fsync uint8

// The modes of Fsync.
const (
	FsyncAlways   Fsync = iota // every batch
	FsyncMessages              // not batches that change flags only
	FsyncNever                 // nothing: for tests
)

// Known is what the account knows of a mailbox from elsewhere. The zero Known
// is a mailbox that was never seen.
type Known struct {
	UIDValidity uint32 // 0: unknown
	ID          MailboxID
	// UIDNext and ModSeq are ceilings, durable before use: no UID at or above
	// the one, no mod-sequence above the other was ever told.
	UIDNext imap.UID
	ModSeq  ModSeq
}

// The steps in which ceilings are raised.
const (
	CeilingUIDs    = 1000
	CeilingModSeqs = 1 << 20
)

// Options are what Open needs.
type Options struct {
	Dir disk.Dir         // holds roost.index and roost.cache; not closed by the Index
	Now func() time.Time // the wall clock of the file system (disk.FS)
	Log *slog.Logger     // nil: discard

	Fsync Fsync
	// NewUIDValidity gives the UIDVALIDITY of a mailbox that has none: the
	// adopted one, or one larger than every one the account ever used.
	NewUIDValidity func() (uint32, error)
	// NewID gives a fresh random id.
	NewID func() MailboxID
	// Known is what the account knows of this mailbox.
	Known Known
	// Raise, if not nil, makes higher ceilings durable. Wait calls it, without
	// a lock of the Index, before anything above the ceilings is told.
	Raise func(uidNext imap.UID, modSeq ModSeq) error
	// CacheLimit bounds roost.cache in octets; 0: 512 MiB.
	CacheLimit int64
}

// Recovery tells what Open found and did.
type Recovery struct {
	Created bool // there was no journal (or it held nothing): a new one begins
	Clean   bool // closed properly and read whole
	// Torn is how many octets behind the last known sync were cut; nobody was
	// told of them.
	Torn int64
	// Jumped is why UIDNEXT, HIGHESTMODSEQ and the floors jumped; "" if they
	// did not.
	Jumped string
	// Damaged are the ranges of the journal that could not be read.
	Damaged []Range
	// Lost: records that were durable may be missing, because the journal is
	// damaged or was cut. An intent without its end proves nothing then.
	Lost bool
	// Dropped is the UIDs among which messages of damaged segments were; their
	// files get new UIDs. Messages lost with a damaged batch are not in it.
	Dropped imap.UIDSet
	// NewUIDValidity: no copy of the old one survived.
	NewUIDValidity bool
	// ReadOnly is why the journal cannot be written (permissions, read-only
	// file system); nil if it can.
	ReadOnly error
}

// A Range is octets [From, To) of a file.
type Range struct{ From, To int64 }
