package mailbox

import (
	"context"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/message"
)

// This file is the contract that session/ is written against. Each function
// moves to the file of its noun when it is made; the file is gone at the end.

// ---- barrier.go (core) ----

// A Barrier collects the journal positions that the output of one session
// depends on. Wait makes them durable; the session calls it before each flush.
// It is used by one goroutine.
type Barrier struct{}

// Add makes the next Wait wait for pos of mb's journal.
// (internal callers)

// Wait returns once everything added is durable; after an error nothing that
// was written since the last successful Wait may be sent.
func (b *Barrier) Wait() error { panic("stub") }

// ---- mailbox.go, view.go (core) ----

type Mailbox struct{}

func (mb *Mailbox) Release()            { panic("stub") }
func (mb *Mailbox) UIDValidity() uint32 { panic("stub") }
func (mb *Mailbox) ID() string          { panic("stub") } // MAILBOXID (RFC 8474)

// Open gives a session its View: registered for changes and filled in one
// step. It brings the mailbox up to date first. Everything the View tells and
// does is added to b.
func (mb *Mailbox) Open(ctx context.Context, readOnly bool, b *Barrier) (*View, error) {
	panic("stub")
}

// A View is one session's picture of a mailbox: message numbers as its client
// knows them. They change only in Sync. It is used by one goroutine.
type View struct{}

func (v *View) Close()                                   { panic("stub") }
func (v *View) Mailbox() *Mailbox                        { panic("stub") }
func (v *View) ReadOnly() bool                           { panic("stub") } // asked for, or the files cannot be written
func (v *View) Len() int                                 { panic("stub") }
func (v *View) Recent() int                              { panic("stub") }
func (v *View) UIDNext() imap.UID                        { panic("stub") }
func (v *View) FirstUnseen() SeqNum                      { panic("stub") } // 0: none
func (v *View) HighestModSeq() index.ModSeq              { panic("stub") } // below any expunge still owed (RFC 7162 §3.2)
func (v *View) UID(n SeqNum) imap.UID                    { panic("stub") }
func (v *View) Seq(uid imap.UID) SeqNum                  { panic("stub") } // 0: not in the view
func (v *View) Message(n SeqNum) Message                 { panic("stub") }
func (v *View) KeywordNames(k index.KeywordSet) []string { panic("stub") } // shared: do not change
func (v *View) Keywords() []string                       { panic("stub") } // in use, for FLAGS
func (v *View) KeywordsFull() bool                       { panic("stub") } // no \* any more
func (v *View) Expunged(n SeqNum) bool                   { panic("stub") } // gone, but this session was not told

// Numbers resolves a sequence set: a number beyond Len is ErrBadSet; `*` in an
// empty mailbox too. UIDs resolves a UID set; `n:*` holds the last message.
func (v *View) Numbers(set imap.SeqSet) (Seqs, error) { panic("stub") }
func (v *View) UIDs(set imap.UIDSet) Seqs             { panic("stub") }

// Refresh brings the mailbox up to date with the files, cheaply; every command
// starts with it.
func (v *View) Refresh(ctx context.Context) error { panic("stub") }

// Sync moves the View on. It is the only place where message numbers change.
// ErrGone: the session must end with BYE.
func (v *View) Sync(p Policy) (Changes, error) { panic("stub") }

// Changed wakes a waiting session (IDLE): at least one Sync is worth while.
func (v *View) Changed() <-chan struct{} { panic("stub") }

// Store is STORE. The caller reports Stored; Sync does not tell these changes
// again unless others changed the messages too.
func (v *View) Store(ctx context.Context, msgs Seqs, op StoreOp) (StoreResult, error) { panic("stub") }

// Expunge removes what is \Deleted, in set if that is not nil; the following
// Sync tells it. n is how many went.
func (v *View) Expunge(ctx context.Context, set Seqs) (n int, err error) { panic("stub") }

// Copy and Move are all or nothing; dest may be v's own mailbox. Expunged
// messages in msgs: ErrExpunged.
func (v *View) Copy(ctx context.Context, msgs Seqs, dest *Mailbox) (CopyResult, error) { panic("stub") }

// Move gives what was moved also beside an error, when a part had to stay.
func (v *View) Move(ctx context.Context, msgs Seqs, dest *Mailbox) (CopyResult, error) { panic("stub") }

// Content opens what message n says. It works for messages that are expunged
// but not yet told, as long as their file is kept (else ErrExpunged).
func (v *View) Content(n SeqNum) *Content { panic("stub") }

// ---- content.go (core) ----

// Content is the lazily opened content of one message: from the cache where
// that knows, from the file else. Close it.
type Content struct{}

func (c *Content) Close()                              { panic("stub") }
func (c *Content) Size() (int64, error)                { panic("stub") } // RFC822.SIZE
func (c *Content) InternalDate() (time.Time, error)    { panic("stub") }
func (c *Content) SaveDate() (time.Time, error)        { panic("stub") } // RFC 8514
func (c *Content) Envelope() ([]byte, error)           { panic("stub") } // wire form
func (c *Content) Body() ([]byte, error)               { panic("stub") } // wire form of BODY
func (c *Content) BodyStructure() ([]byte, error)      { panic("stub") } // wire form
func (c *Content) Part() (*message.Part, error)        { panic("stub") } // parsed structure
func (c *Content) Reader() (io.ReaderAt, int64, error) { panic("stub") } // the stored bytes and their size
// Header gives the header block as stored, from the cache if it has it.
func (c *Content) Header() ([]byte, error) { panic("stub") }

// ---- append.go (core) ----

// Append is one APPEND, MULTIAPPEND or REPLACE in progress.
type Append struct{}

// AppendMeta is what comes with one message.
type AppendMeta struct {
	Flags    index.Flags
	Keywords []string
	Date     *time.Time // with its zone; nil: now
}

// NewAppend prepares to add messages to mb; nothing is visible before Commit.
func (mb *Mailbox) NewAppend(ctx context.Context) (*Append, error) { panic("stub") }

// Add streams size octets of r into a file in tmp/. No lock is held.
func (ap *Append) Add(meta AppendMeta, r io.Reader, size int64) error { panic("stub") }

// Commit makes all of them messages, or none. The UIDs are in the order of Add.
func (ap *Append) Commit(ctx context.Context, b *Barrier) (uidValidity uint32, uids []imap.UID, err error) {
	panic("stub")
}

// Abort frees what Add took. It may be called after Commit and then does nothing.
func (ap *Append) Abort() { panic("stub") }

// ---- search.go, criteria.go (search helper) ----
// Criteria, View.Search(ctx, *Criteria) ([]SeqNum or Seqs, error), Sort, Thread.
