package mailbox

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"roost/disk"
	"roost/index"
	"roost/message"
)

// What the cache holds for a message, version 1; numbers are uvarints, octets
// have their number before them:
//
//	version served dev ino digest(16) part structure header preview [emailid(20)]
//
// part is what message.AppendBinary writes (with the envelope), structure is
// BODYSTRUCTURE in wire form, header the header block as stored, empty if it is
// longer than headerCached.
const cacheVersion = 1

// headerCached is the longest header block that is kept in the cache.
const headerCached = 16 << 10

type cacheRecord struct {
	served    int64
	id        disk.Identity
	digest    [16]byte
	part      []byte
	structure []byte
	header    []byte
	preview   []byte
	emailID   []byte // empty: not made yet

	size  int64     // of the file
	mtime time.Time // of the file
	buf   []byte    // holds the slices above
	field []byte    // scratch of make
}

// get reads the record of row; false if there is none that can be read.
func (r *cacheRecord) get(ix *index.Index, row index.Row) bool {
	return r.take(ix.Cache().Get(row, r.buf))
}

func (r *cacheRecord) take(e index.CacheEntry, ok bool) bool {
	if !ok {
		return false
	}
	r.size, r.mtime = e.Size, e.Mtime
	return r.decode(e.Payload)
}

// decode reads a payload, which it keeps.
func (r *cacheRecord) decode(b []byte) bool {
	r.buf = b
	if len(b) == 0 || b[0] != cacheVersion {
		return false
	}
	b = b[1:]
	var nums [3]uint64
	for i := range nums {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			return false
		}
		nums[i], b = n, b[k:]
	}
	r.served, r.id = int64(nums[0]), disk.Identity{Dev: nums[1], Ino: nums[2]}
	if r.served < 0 || len(b) < len(r.digest) {
		return false
	}
	copy(r.digest[:], b)
	b = b[len(r.digest):]
	for _, field := range [...]*[]byte{&r.part, &r.structure, &r.header, &r.preview} {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return false
		}
		*field, b = b[k:k+int(n):k+int(n)], b[k+int(n):]
	}
	r.emailID = nil
	if len(b) == emailIDSize {
		r.emailID = b
	}
	return true
}

// make fills r from a file that was parsed; emailID may be nil.
func (r *cacheRecord) make(h *head, info disk.Info, p *message.Part, emailID []byte) error {
	first, err := h.bytes(0, int(min(info.Size, digestSize)))
	if err != nil {
		return err
	}
	digest := digestOf(first)
	var header []byte
	if n := p.Body - p.Header; n > 0 && n <= headerCached {
		if header, err = h.bytes(p.Header, int(n)); err != nil {
			return err
		}
	}
	preview, err := message.Preview(h, p)
	if err != nil {
		return err
	}
	b := append(r.buf[:0], cacheVersion)
	b = binary.AppendUvarint(b, uint64(p.Size()))
	b = binary.AppendUvarint(b, info.Dev)
	b = binary.AppendUvarint(b, info.Ino)
	b = append(b, digest[:]...)
	r.field = p.AppendBinary(r.field[:0])
	b = appendField(b, r.field)
	r.field = p.AppendBodyStructure(r.field[:0])
	b = appendField(b, r.field)
	b = appendField(b, header)
	b = appendField(b, preview)
	b = append(b, emailID...)
	r.size, r.mtime = info.Size, info.Mtime
	r.decode(b)
	return nil
}

func appendField[T string | []byte](b []byte, field T) []byte {
	b = binary.AppendUvarint(b, uint64(len(field)))
	return append(b, field...)
}

// put writes r to the cache; without, everything still works.
func (r *cacheRecord) put(ix *index.Index, row index.Row, info disk.Info) {
	_ = ix.Cache().Put(row, index.CacheEntry{
		Size: info.Size, Mtime: info.Mtime, Parser: message.Version, Payload: r.buf,
	})
}

// digestSize is how much of a file is read to know it again: all that programs
// change in place is in the header.
const digestSize = 16 << 10

// digestOf is the SHA-256 of the beginning of a file, cut to 128 bits.
func digestOf(first []byte) (d [16]byte) {
	sum := sha256.Sum256(first)
	copy(d[:], sum[:])
	return d
}
