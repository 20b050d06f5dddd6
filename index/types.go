package index

import "github.com/emersion/go-imap/v2"

// ModSeq is a mod-sequence: positive, at most 2^63-1, strictly increasing per
// mailbox in the order of publication (RFC 7162 §3.1). 0 means none.
type ModSeq uint64

// Row is the position of a message in the table of its live mailbox, from 0,
// in UID order. It never changes while the mailbox is live, also when earlier
// messages are expunged; it is not kept on disk.
type Row int32

// Flags are the system flags of a message, but for \Recent.
type Flags uint8

// The system flags (RFC 9051 §2.3.2), in the order in which they are listed.
const (
	Answered Flags = 1 << iota
	Flagged
	Deleted
	Seen
	Draft

	AllFlags = Answered | Flagged | Deleted | Seen | Draft
)

// FlagNames are the names of the system flags, by bit.
var FlagNames = [...]imap.Flag{
	imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagSeen, imap.FlagDraft,
}

// KeywordSet names an interned set of keywords of one Index; 0 is the empty set.
type KeywordSet uint32
