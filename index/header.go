package index

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
)

// A header stands at the front of a journal, twice. Layout, little-endian:
//
//	off size field
//	  0    8 magic       "roostidx"
//	  8    2 major       1; a larger one is refused
//	 10    2 minor       0
//	 12    4 CRC         CRC-32C of octets 0 to 11 and 16 to 127
//	 16    4 UIDVALIDITY
//	 20    4             zero
//	 24   16 mailbox id
//	 40    8 generation  random, new with every file that starts afresh
//	 48    8 seed        random, of the CRCs of frames
//	 56    8 inode       of the file itself
//	 64    8 birth       of the file itself, nanoseconds since 1970, 0 if unknown
//	 72    8 base        offset of the first section
//	 80    8 base end    offset of the first frame
//	 88    8 sequence    of the first frame
//	 96    8 created     nanoseconds since 1970
//	104    4 UIDNEXT     when the file was begun
//	108    4             zero
//	112    8 HIGHESTMODSEQ likewise
//	120    8             zero
type header struct {
	uidValidity uint32
	id          MailboxID
	generation  uint64
	seed        uint64
	inode       uint64
	birth       int64
	base        int64
	baseEnd     int64
	firstSeq    uint64
	created     int64
	uidNext     imap.UID
	highest     ModSeq
}

const (
	headerSize   = 128
	headerCopy   = 4096 // where the second copy stands
	baseStart    = 8192 // where the sections begin
	majorVersion = 1
	minorVersion = 0
)

var headerMagic = [8]byte{'r', 'o', 'o', 's', 't', 'i', 'd', 'x'}

func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	le := binary.LittleEndian
	copy(b, headerMagic[:])
	le.PutUint16(b[8:], majorVersion)
	le.PutUint16(b[10:], minorVersion)
	le.PutUint32(b[16:], h.uidValidity)
	copy(b[24:40], h.id[:])
	le.PutUint64(b[40:], h.generation)
	le.PutUint64(b[48:], h.seed)
	le.PutUint64(b[56:], h.inode)
	le.PutUint64(b[64:], uint64(h.birth))
	le.PutUint64(b[72:], uint64(h.base))
	le.PutUint64(b[80:], uint64(h.baseEnd))
	le.PutUint64(b[88:], h.firstSeq)
	le.PutUint64(b[96:], uint64(h.created))
	le.PutUint32(b[104:], uint32(h.uidNext))
	le.PutUint64(b[112:], uint64(h.highest))
	le.PutUint32(b[12:], headerCRC(b))
	return b
}

func headerCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:headerSize])
}

// parseHeader reads one copy. ok is false if it is damaged; the error is
// ErrVersion.
func parseHeader(b []byte) (h header, ok bool, err error) {
	le := binary.LittleEndian
	if len(b) < headerSize || [8]byte(b[:8]) != headerMagic || le.Uint32(b[12:]) != headerCRC(b) {
		return header{}, false, nil
	}
	if le.Uint16(b[8:]) != majorVersion {
		return header{}, false, ErrVersion
	}
	h = header{
		uidValidity: le.Uint32(b[16:]),
		id:          MailboxID(b[24:40]),
		generation:  le.Uint64(b[40:]),
		seed:        le.Uint64(b[48:]),
		inode:       le.Uint64(b[56:]),
		birth:       int64(le.Uint64(b[64:])),
		base:        int64(le.Uint64(b[72:])),
		baseEnd:     int64(le.Uint64(b[80:])),
		firstSeq:    le.Uint64(b[88:]),
		created:     int64(le.Uint64(b[96:])),
		uidNext:     imap.UID(le.Uint32(b[104:])),
		highest:     ModSeq(le.Uint64(b[112:])),
	}
	ok = h.uidValidity != 0 && h.base >= baseStart && h.base%8 == 0 && h.baseEnd >= h.base && h.baseEnd%8 == 0 && h.highest <= maxModSeq
	return h, ok, nil
}

// isOwn reports whether the header describes the very file that holds it,
// rather than one that this was copied from.
func (h *header) isOwn(info disk.Info) bool {
	return h.inode == info.Ino && h.birth == birthOf(info)
}

func birthOf(info disk.Info) int64 { return unixNano(info.Btime) }

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
