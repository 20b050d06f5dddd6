package index

import (
	"io"
	"iter"
	"time"

	"github.com/emersion/go-imap/v2"
)

// The API while it is being filled; this file goes away.

// An Index is the persistent index of one live mailbox.
//
// One goroutine at a time writes (Apply, SetName, SetOf, Renew, Jump: the
// mailbox lock of the caller); the accessors by Row, and everything else that
// does not say otherwise, may be called by any goroutine without a lock.
type Index struct{}

func Open(o Options) (*Index, Recovery, error) { panic("stub") }

// writing (under the caller's mailbox lock)
func (ix *Index) Apply(b *Batch) (Applied, error)                     { panic("stub") }
func (ix *Index) SetName(r Row, n Name)                               { panic("stub") } // memory only: our announced rename happened
func (ix *Index) SetOf(names []string) (KeywordSet, error)            { panic("stub") } // interns; order and duplicates do not matter
func (ix *Index) Jump(reason string) (Pos, error)                     { panic("stub") }
func (ix *Index) Renew(uidValidity uint32, id MailboxID) (Pos, error) { panic("stub") } // new identity, same UIDs; 0 / zero id: keep
func (ix *Index) NewIntentID() uint64                                 { panic("stub") }

// durability (any goroutine, no mailbox lock held)
func (ix *Index) Pos() Pos                           { panic("stub") } // published up to now; what Open found counts: wait for it before telling
func (ix *Index) Wait(p Pos) error                   { panic("stub") }
func (ix *Index) Synced() Pos                        { panic("stub") }
func (ix *Index) Err() error                         { panic("stub") } // why it is poisoned
func (ix *Index) NeedsCompaction() bool              { panic("stub") }
func (ix *Index) Compact() error                     { panic("stub") }
func (ix *Index) Rebuild() (*Index, Recovery, error) { panic("stub") } // after poison; ix is closed by it
func (ix *Index) Close() error                       { panic("stub") } // clean mark, sync

// table
func (ix *Index) Len() int                                { panic("stub") } // rows, gone ones included
func (ix *Index) Live() int                               { panic("stub") } // messages
func (ix *Index) RowOf(uid imap.UID) Row                  { panic("stub") } // NoRow if unknown or gone
func (ix *Index) RowFrom(uid imap.UID) Row                { panic("stub") } // first row with a UID >= uid; Len if none
func (ix *Index) UID(r Row) imap.UID                      { panic("stub") }
func (ix *Index) State(r Row) (ModSeq, Flags, KeywordSet) { panic("stub") } // Told mod-sequence first, flags at least as new
func (ix *Index) Flags(r Row) Flags                       { panic("stub") }
func (ix *Index) Keywords(r Row) KeywordSet               { panic("stub") }
func (ix *Index) ModSeq(r Row) ModSeq                     { panic("stub") } // own
func (ix *Index) Told(r Row) ModSeq                       { panic("stub") } // max(own, flag floor)
func (ix *Index) Date(r Row) Date                         { panic("stub") }
func (ix *Index) Size(r Row) int64                        { panic("stub") } // UnknownSize
func (ix *Index) SaveDate(r Row) time.Time                { panic("stub") } // zero: unknown
func (ix *Index) Name(r Row) Name                         { panic("stub") } // agreed: what its name says
func (ix *Index) Base(r Row) string                       { panic("stub") }
func (ix *Index) Gone(r Row) bool                         { panic("stub") }
func (ix *Index) Ours(r Row) []Name                       { panic("stub") } // names that are ours beside Name; nil if none (writer only)
func (ix *Index) Pending() []Row                          { panic("stub") } // rows with Ours, ascending (writer only)

// keywords
func (ix *Index) KeywordNames(k KeywordSet) []string { panic("stub") } // sorted, shared
func (ix *Index) AllKeywords() []string              { panic("stub") } // names in the table, shared
func (ix *Index) KeywordsFull() bool                 { panic("stub") }

// scalars
func (ix *Index) UIDNext() imap.UID     { panic("stub") }
func (ix *Index) HighestModSeq() ModSeq { panic("stub") }
func (ix *Index) UIDValidity() uint32   { panic("stub") }
func (ix *Index) ID() MailboxID         { panic("stub") }
func (ix *Index) Generation() uint64    { panic("stub") }
func (ix *Index) FirstRecent() imap.UID { panic("stub") }
func (ix *Index) Stamps() Stamps        { panic("stub") }
func (ix *Index) ExpungeFloor() ModSeq  { panic("stub") }
func (ix *Index) FlagFloor() ModSeq     { panic("stub") }
func (ix *Index) ToUnlink() []ToUnlink  { panic("stub") } // a copy, ascending UID
func (ix *Index) Intents() []Intent     { panic("stub") } // a copy

// Vanished gives the UIDs of set that were expunged after since, ascending; if
// since is below the expunge floor every UID of set below UIDNEXT that is no
// message (RFC 7162 §3.2.5.2).
func (ix *Index) Vanished(since ModSeq, set imap.UIDSet) imap.UIDSet { panic("stub") }

func (ix *Index) Dump(w io.Writer) error { panic("stub") }
func (ix *Index) Check() error           { panic("stub") }

// cache
func (ix *Index) Cache() *Cache { panic("stub") }

// A Cache is roost.cache. All methods may be called by any goroutine.
type Cache struct{}

// A CacheEntry is what the cache holds for one message.
type CacheEntry struct {
	Size    int64     // of the file that was parsed
	Mtime   time.Time // of that file
	Parser  uint32    // version of the parser
	Payload []byte
}

// Get reads the entry of row r; Payload is appended to buf[:0].
func (c *Cache) Get(r Row, buf []byte) (CacheEntry, bool) { panic("stub") }
func (c *Cache) Put(r Row, e CacheEntry) error            { panic("stub") } // buffered, never synced
func (c *Cache) Drop(r Row)                               { panic("stub") }
func (c *Cache) Has(r Row) bool                           { panic("stub") }
func (c *Cache) Truncate() error                          { panic("stub") } // empties it
func (c *Cache) NeedsCompaction() bool                    { panic("stub") }
func (c *Cache) Compact() error                           { panic("stub") }

var _ iter.Seq[int]
