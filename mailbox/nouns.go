package mailbox

import "roost/index"

// The nouns of package index that sessions use. Session knows them by these
// names, so that it never sees the index itself.
type (
	ModSeq     = index.ModSeq
	Flags      = index.Flags
	KeywordSet = index.KeywordSet
)

// The system flags, see index.Flags.
const (
	Answered = index.Answered
	Flagged  = index.Flagged
	Deleted  = index.Deleted
	Seen     = index.Seen
	Draft    = index.Draft
	AllFlags = index.AllFlags
)

// FlagNames are the names of the system flags, by bit.
var FlagNames = index.FlagNames

// Fsync says what a flush waits for, see index.Fsync.
type Fsync = index.Fsync

// The modes of Fsync.
const (
	FsyncAlways   = index.FsyncAlways
	FsyncMessages = index.FsyncMessages
	FsyncNever    = index.FsyncNever
)
