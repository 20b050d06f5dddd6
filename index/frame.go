package index

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/emersion/go-imap/v2"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A frame is one record of the journal's tail. Layout, little-endian:
//
//	off size field
//	  0    4 header CRC  CRC-32C of octets 4 to 55, seeded
//	  4    4 payload CRC CRC-32C of the payload, seeded
//	  8    4 length      payload octets, at most maxPayload
//	 12    1 kind        frameBatch, framePart, frameCommit
//	 13    1 part        number of the piece, from 0 (framePart, frameCommit)
//	 14    2             zero
//	 16    4 UIDVALIDITY
//	 20    4 UIDNEXT     before the batch
//	 24    8 sequence    number of the frame, one more than that before it
//	 32    8 offset      of this header in the file
//	 40    8 synced      offset up to which the file was known synced
//	 48    8 time        nanoseconds since 1970
//	 56    n payload, then zeroes up to a multiple of 8
type frame struct {
	kind        byte
	part        byte
	length      int
	payloadCRC  uint32
	uidValidity uint32
	uidNext     imap.UID
	seq         uint64
	offset      int64
	synced      int64
	time        int64
}

const (
	frameHeader = 56
	maxPayload  = 16 << 20 // a batch that needs more comes in parts

	frameBatch  = 1 // a whole batch
	framePart   = 2 // a piece of a batch
	frameCommit = 3 // the last piece: the batch counts
)

// frameSize is what a frame with n octets of payload takes.
func frameSize(n int) int64 { return int64(frameHeader+n+7) &^ 7 }

// seedCRC is the CRC of the random octets of a file's header; all CRCs of its
// frames go on from it.
func seedCRC(seed uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	return crc32.Checksum(b[:], castagnoli)
}

// appendFrame appends the frame f with payload to b. It fills in the length
// and the CRCs.
func appendFrame(b []byte, seed uint32, f frame, payload []byte) []byte {
	var h [frameHeader]byte
	le := binary.LittleEndian
	le.PutUint32(h[4:], crc32.Update(seed, castagnoli, payload))
	le.PutUint32(h[8:], uint32(len(payload)))
	h[12], h[13] = f.kind, f.part
	le.PutUint32(h[16:], f.uidValidity)
	le.PutUint32(h[20:], uint32(f.uidNext))
	le.PutUint64(h[24:], f.seq)
	le.PutUint64(h[32:], uint64(f.offset))
	le.PutUint64(h[40:], uint64(f.synced))
	le.PutUint64(h[48:], uint64(f.time))
	le.PutUint32(h[0:], crc32.Update(seed, castagnoli, h[4:]))
	b = append(b, h[:]...)
	b = append(b, payload...)
	for n := frameHeader + len(payload); n%8 != 0; n++ {
		b = append(b, 0)
	}
	return b
}

// parseFrame reads a header that should stand at offset. The payload is not
// looked at.
func parseFrame(h []byte, seed uint32, offset int64) (frame, bool) {
	le := binary.LittleEndian
	if len(h) < frameHeader || int64(le.Uint64(h[32:])) != offset {
		return frame{}, false
	}
	f := frame{
		kind:        h[12],
		part:        h[13],
		length:      int(le.Uint32(h[8:])),
		payloadCRC:  le.Uint32(h[4:]),
		uidValidity: le.Uint32(h[16:]),
		uidNext:     imap.UID(le.Uint32(h[20:])),
		seq:         le.Uint64(h[24:]),
		offset:      offset,
		synced:      int64(le.Uint64(h[40:])),
		time:        int64(le.Uint64(h[48:])),
	}
	ok := le.Uint32(h[8:]) <= maxPayload && le.Uint32(h) == crc32.Update(seed, castagnoli, h[4:frameHeader])
	return f, ok
}

// checkPayload reports whether payload is that of f.
func (f *frame) checkPayload(seed uint32, payload []byte) bool {
	return len(payload) == f.length && crc32.Update(seed, castagnoli, payload) == f.payloadCRC
}
