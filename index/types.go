package index

import (
	"encoding/hex"
	"time"

	"github.com/emersion/go-imap/v2"
)

// ModSeq is a mod-sequence: positive, at most 2^63-1, strictly increasing per
// mailbox in the order of publication (RFC 7162 §3.1). 0 means none.
type ModSeq uint64

// Row is the position of a message in the table of its live mailbox, from 0,
// in UID order. It never changes while the mailbox is live, also when earlier
// messages are expunged; it is not kept on disk.
type Row int32

// NoRow is the answer for a message that the table does not hold.
const NoRow Row = -1

// Pos is a position in the journal: everything published up to it. It grows
// with every batch, also across a compaction, and is comparable only within
// one Index.
type Pos uint64

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

// Letters are the letters in the info part of a file name, as a set: a to z
// and D F P R S T. Bit 0 is a, bit 25 z; the capitals follow.
type Letters uint32

// capitals are the letters of the system flags and of $Forwarded, by bit from 26.
const capitals = "DFPRST"

// Letter gives the set that holds just c, or 0 if c is no letter that the
// table can hold.
func Letter(c byte) Letters {
	if 'a' <= c && c <= 'z' {
		return 1 << (c - 'a')
	}
	for i := range len(capitals) {
		if capitals[i] == c {
			return 1 << (26 + i)
		}
	}
	return 0
}

// Append appends the letters to b in the order of a file name (ASCII).
func (l Letters) Append(b []byte) []byte {
	for i := range len(capitals) {
		if l&(1<<(26+i)) != 0 {
			b = append(b, capitals[i])
		}
	}
	for i := range 26 {
		if l&(1<<i) != 0 {
			b = append(b, byte('a'+i))
		}
	}
	return b
}

// String gives the letters in the order of a file name (ASCII).
func (l Letters) String() string { return string(l.Append(nil)) }

// Where says in which directory a file is and how its info part is written.
type Where uint8

// The bits of Where.
const (
	InNew     Where = 1 << iota // in new/, else in cur/
	HasInfo                     // the name has an info part (":2,")
	ExactInfo                   // the info part is not what Letters alone would give: see Name.Exact

	allWhere = InNew | HasInfo | ExactInfo
)

// A Name is what the name of a message's file says beside its base.
type Name struct {
	Letters Letters
	Where   Where
	// Exact is the info text behind the separator as it stands, at most 255
	// octets; it counts only with ExactInfo.
	Exact string
}

// MailboxID is the lasting identity of a mailbox (RFC 8474 §4.1).
type MailboxID [16]byte

// String is the id in hexadecimal, fit for an objectid of RFC 8474 §7.
func (id MailboxID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id is unset.
func (id MailboxID) IsZero() bool { return id == MailboxID{} }

// A Stamp is what a directory looked like when its contents were proved equal
// to the index. The zero Stamp proves nothing.
type Stamp struct {
	Ino          uint64
	Mtime, Ctime int64 // nanoseconds since 1970
}

// Stamps are the stamps of new/ and cur/.
type Stamps struct{ New, Cur Stamp }

// A Date is an INTERNALDATE: seconds since 1970 and the zone in minutes east
// of UTC (within a day either way), or unknown (the zero Date).
type Date struct {
	Sec   int64
	Zone  int16
	Known bool
}

// DateOf gives the Date of t, whose zone is kept.
func DateOf(t time.Time) Date {
	_, off := t.Zone()
	return Date{Sec: t.Unix(), Zone: int16(off / 60), Known: true}
}

// Time gives the date in its own zone; the zero time if it is unknown.
func (d Date) Time() time.Time {
	if !d.Known {
		return time.Time{}
	}
	if d.Zone == 0 {
		return time.Unix(d.Sec, 0).UTC()
	}
	return time.Unix(d.Sec, 0).In(time.FixedZone("", int(d.Zone)*60))
}

// UnknownSize is the size of a message that was never measured.
const UnknownSize int64 = -1
