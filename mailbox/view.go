package mailbox

import (
	"iter"

	"github.com/emersion/go-imap/v2"

	"roost/index"
)

// SeqNum is a message sequence number as one client knows it, from 1.
type SeqNum uint32

// A SeqRange is the messages First to Last, both included.
type SeqRange struct{ First, Last SeqNum }

// Seqs is a set of messages of one View: ranges ascending, apart, not empty.
type Seqs []SeqRange

// Len is the number of messages in the set.
func (s Seqs) Len() int {
	n := 0
	for _, r := range s {
		n += int(r.Last-r.First) + 1
	}
	return n
}

// All yields the members in ascending order.
func (s Seqs) All() iter.Seq[SeqNum] {
	return func(yield func(SeqNum) bool) {
		for _, r := range s {
			for n := r.First; n <= r.Last; n++ {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// Add appends n, which must be above every member.
func (s Seqs) Add(n SeqNum) Seqs {
	if k := len(s); k > 0 && s[k-1].Last+1 == n {
		s[k-1].Last = n
		return s
	}
	return append(s, SeqRange{n, n})
}

// Policy says what Sync may report, by the command that it ends
// (RFC 9051 §5.5, §7.5.1).
type Policy uint8

// The policies.
const (
	SyncNothing    Policy = iota // message numbers and flags stay as they are
	SyncNoExpunge                // flags and new messages, no EXPUNGE
	SyncEverything               // also EXPUNGE
)

// Message is the state of one message, copied out of the table.
type Message struct {
	Seq      SeqNum
	UID      imap.UID
	Flags    index.Flags
	Keywords index.KeywordSet // names: View.KeywordNames
	Recent   bool             // \Recent for this session (RFC 3501 §2.3.2)
	ModSeq   index.ModSeq     // max(own, flag floor): what a client is told
}

// Changes is what a client must be told, in this order: Keywords (FLAGS and
// PERMANENTFLAGS), Flags (FETCH, numbers from before the expunges), Expunged
// (EXPUNGE with numbers as they are when sent one after the other in the given
// order, or VANISHED), Exists, Recent.
type Changes struct {
	Keywords bool       // the keywords in use grew
	Flags    []Message  // messages whose flags changed, ascending
	Expunged []Expunged // descending
	Exists   bool       // Len grew
	Recent   bool       // the count of \Recent changed
	New      []Message  // filled only if the View asks for it (NOTIFY, CONTEXT): the new messages
}

// Expunged names a message that is gone.
type Expunged struct {
	Seq SeqNum
	UID imap.UID
}

// StoreMode is how STORE combines flags (RFC 9051 §6.4.6).
type StoreMode uint8

// The modes.
const (
	StoreReplace StoreMode = iota
	StoreAdd
	StoreRemove
)

// StoreOp is what STORE asks for.
type StoreOp struct {
	Mode     StoreMode
	Flags    index.Flags
	Keywords []string // as given by the client, without duplicates
	// UnchangedSince is RFC 7162 §3.1.3; nil if absent.
	UnchangedSince *index.ModSeq
}

// StoreResult says what STORE did.
type StoreResult struct {
	Stored   []Message // every message of the set that passed, with its state now, ascending (also those that did not change)
	Modified Seqs      // failed UNCHANGEDSINCE
	Expunged Seqs      // gone, not yet told to this session
	Changed  bool      // at least one message really changed
}

// CopyResult is what COPYUID tells (RFC 4315 §3); Source and Dest have the
// same length and order.
type CopyResult struct {
	UIDValidity  uint32
	Source, Dest []imap.UID
}
