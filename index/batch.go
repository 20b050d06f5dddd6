package index

import (
	"time"

	"github.com/emersion/go-imap/v2"
)

// A Batch is a change of the mailbox that happens as a whole or not at all.
// The slices are read by Apply only and may be reused after it. Rows must be
// there and not gone, but where said. One mod-sequence is taken for all of
// Adds, Flags and Expunges together.
type Batch struct {
	Adds []Add
	// Bulk is more messages to add, behind Adds; nil: none. Its Names belong to
	// the Index afterwards.
	Bulk     *Bulk
	Flags    []FlagChange
	Renames  []Rename
	Agreed   []Agreed
	Meta     []Meta
	Expunges []Expunge
	// Unlinked are entries of the to-unlink list, by UID, whose files are gone
	// for good: the directory was synced after the unlink. Others are ignored.
	Unlinked []imap.UID
	Intents  []Intent
	// IntentsDone ends intents, by id, whether finished or undone.
	IntentsDone []uint64
	// FirstRecent moves the first recent UID; 0: leave it. It never goes down.
	FirstRecent imap.UID
	// Stamps are the proved stamps of new/ and cur/; nil: leave them.
	Stamps *Stamps
	// UIDNext raises UIDNEXT, after Adds; 0 or a lower value: leave it.
	UIDNext imap.UID
	// RenamesSynced says that the directories were synced after every rename
	// announced in batches up to this position: only the name that a message
	// has now (SetName) is ours from now on. Renames that Open found pending
	// count as announced before any position. 0: nothing.
	RenamesSynced Pos
	// Heartbeat writes the time also if the batch is empty otherwise.
	Heartbeat bool
}

// An Add is a new message.
type Add struct {
	// UID is 0 for the next one, else at least UIDNEXT and above that of the
	// Adds before it.
	UID      imap.UID
	Base     string // 1 to 255 octets, no "/" or NUL
	Name     Name   // what its name says now: agreed
	Flags    Flags
	Keywords KeywordSet
	Date     Date
	Size     int64     // UnknownSize if it was never measured
	SaveDate time.Time // whole seconds; zero: unknown
}

// A FlagChange is a decision: the message has these flags from now on.
type FlagChange struct {
	Row      Row
	Flags    Flags
	Keywords KeywordSet
}

// A Rename announces a rename of ours. Until RenamesSynced both the names that
// the message had and this one are ours: recovery never reads them as an
// outside change (Ours). Once the rename happened, SetName tells the table.
type Rename struct {
	Row Row
	To  Name
}

// Agreed is what the name of a message says now, after an outside rename.
type Agreed struct {
	Row  Row
	Name Name
	Base string // the new base of R13; "": as before
}

// Meta is facts about a message, found out later. It takes no mod-sequence.
type Meta struct {
	Row      Row
	Size     int64     // UnknownSize: leave it
	Date     Date      // unknown: leave it
	SaveDate time.Time // zero: leave it
}

// An Expunge removes a message from the table. With Unlink its file joins the
// to-unlink list; without, the file is gone already.
type Expunge struct {
	Row    Row
	Unlink bool
	Size   int64     // of the file, to know it again
	Mtime  time.Time // of the file
}

// A ToUnlink is a file that is to be removed: its message was expunged.
type ToUnlink struct {
	UID   imap.UID
	Base  string
	Name  Name // as it was when the message was expunged
	Size  int64
	Mtime time.Time
}

// An Intent is the first step of an addition of several messages that must
// happen as a whole.
type Intent struct {
	ID      uint64 // from NewIntentID
	Kind    uint8  // the caller's
	From    string // the caller's: where the sources are, for example a mailbox id; at most 255 octets
	Entries []IntentEntry
}

// An IntentEntry is one message of an Intent.
type IntentEntry struct {
	Add    Add    // as it is to be added; UID is 0
	Source string // name of the file that it comes from (in tmp/, or the source's base); at most 255 octets
}

// Applied is what a batch was given.
type Applied struct {
	Pos    Pos
	ModSeq ModSeq // 0 if the batch took none
	First  Row    // of the first Add; the others follow
}

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	*b = Batch{
		Adds: b.Adds[:0], Flags: b.Flags[:0], Renames: b.Renames[:0], Agreed: b.Agreed[:0],
		Meta: b.Meta[:0], Expunges: b.Expunges[:0], Unlinked: b.Unlinked[:0],
		Intents: b.Intents[:0], IntentsDone: b.IntentsDone[:0],
	}
}
