package index

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
)

const (
	maxUID    imap.UID = 1<<32 - 1 // never given, so that UIDNEXT can be told
	maxModSeq ModSeq   = 1<<63 - 1
)

// An Index is the persistent index of one live mailbox.
//
// One goroutine at a time writes (Apply, SetName, SetOf, Jump, Renew: under
// the caller's mailbox lock). All other methods may be called by any goroutine
// without that lock; those that read a row never wait. A row must be below Len.
//
// Lock order: the caller's mailbox lock, rewriteMu, mu, stateMu.
type Index struct {
	*table
	opt   Options
	log   *slog.Logger
	words *keywords
	cache *Cache

	ident        atomic.Pointer[identity]
	uidNext      atomic.Uint64
	highest      atomic.Uint64
	expungeFloor atomic.Uint64
	flagFloor    atomic.Uint64
	lastIntent   atomic.Uint64

	pos     atomic.Uint64 // seq, for readers without mu
	stateMu sync.RWMutex
	st      state // guarded by stateMu

	rewriteMu sync.Mutex // held while a new journal file is written

	// mu guards the journal: all below. It is held across writes to the file,
	// and across syncs only when a new file takes the place of the old.
	mu   sync.Mutex
	cond *sync.Cond // syncing or synced changed, with mu

	file      disk.File // nil: none yet, or not writable
	info      disk.Info // of file
	hdr       header    // of file
	seed      uint32    // CRC of hdr.seed
	end       int64     // where the next frame goes
	alloc     int64     // the file is zero from end to here
	grow      int64     // size of the next extension
	syncedOff int64     // of file, known synced
	needFile  bool      // the next Wait writes a complete new file
	blank     bool      // see Blank
	readOnly  error     // why nothing can be written
	err       error     // sticky
	closed    bool
	clean     bool // the last frame is a clean mark

	seq          uint64 // of the last frame; as a Pos, what is published
	synced       uint64 // what is durable
	important    uint64 // the last frame that was not flags only
	syncing      bool
	ceilUID      imap.UID // ceilings as far as Raise made them durable
	ceilModSeq   ModSeq
	definedNames int // keywords that the file knows
	definedSets  int
	shadow       []shadowBatch // batches since the snapshot of a new file
	shadowing    bool
	payload      encoder // reused
	frames       []byte  // reused
}

// identity is what a mailbox is, to clients and to its files.
type identity struct {
	uidValidity uint32
	id          MailboxID
	generation  uint64
}

func newIndex(o Options) *Index {
	ix := &Index{
		table: newTable(), opt: o, log: o.Log, words: newKeywords(), st: newState(),
		ceilUID: o.Known.UIDNext, ceilModSeq: o.Known.ModSeq,
		definedSets: 1,
	}
	if ix.log == nil {
		ix.log = slog.New(slog.DiscardHandler)
	}
	if ix.opt.Now == nil {
		ix.opt.Now = time.Now
	}
	ix.cond = sync.NewCond(&ix.mu)
	ix.ident.Store(&identity{})
	ix.uidNext.Store(1)
	ix.cache = openCache(ix)
	return ix
}

// raise makes v at least n. Writer only.
func raise(v *atomic.Uint64, n uint64) {
	if v.Load() < n {
		v.Store(n)
	}
}

func (ix *Index) raiseUIDNext(uid imap.UID) { raise(&ix.uidNext, uint64(uid)) }
func (ix *Index) raiseHighest(m ModSeq)     { raise(&ix.highest, uint64(m)) }

func clampUID(v uint64) imap.UID { return imap.UID(min(v, uint64(maxUID))) }

// UIDNext is the UID that the next message gets, or a lower bound of it.
func (ix *Index) UIDNext() imap.UID { return imap.UID(ix.uidNext.Load()) }

// HighestModSeq is the highest mod-sequence of the mailbox (RFC 7162 §3.1.2).
func (ix *Index) HighestModSeq() ModSeq { return ModSeq(ix.highest.Load()) }

// UIDValidity is that of the mailbox; it changes only by Renew.
func (ix *Index) UIDValidity() uint32 { return ix.ident.Load().uidValidity }

// ID is the lasting id of the mailbox (RFC 8474 §4.1).
func (ix *Index) ID() MailboxID { return ix.ident.Load().id }

// Generation is random; the cache of another generation is empty.
func (ix *Index) Generation() uint64 { return ix.ident.Load().generation }

// ExpungeFloor is the mod-sequence below which not all expunged UIDs are known
// (RFC 7162 §3.2.5.2).
func (ix *Index) ExpungeFloor() ModSeq { return ModSeq(ix.expungeFloor.Load()) }

// FlagFloor is the mod-sequence that every message has at least, to clients.
func (ix *Index) FlagFloor() ModSeq { return ModSeq(ix.flagFloor.Load()) }

// Told is the mod-sequence of row r that a client is told: max(own, flag floor).
func (ix *Index) Told(r Row) ModSeq { return max(ix.ModSeq(r), ix.FlagFloor()) }

// State gives what Told does and flags and keywords that are at least as new.
func (ix *Index) State(r Row) (ModSeq, Flags, KeywordSet) {
	m := ix.Told(r)
	s, i := ix.seg(r)
	f, k := unpackFlags(atomic.LoadUint32(&s.flags[i]))
	return m, f, k
}

// SetName tells the table the name that a message has now, after a rename that
// was announced. It is memory only: RenamesSynced makes it last. Writer only.
func (ix *Index) SetName(r Row, n Name) { ix.setName(r, n) }

// Cache gives the cache of this Index; it lives as long as the Index.
func (ix *Index) Cache() *Cache { return ix.cache }
