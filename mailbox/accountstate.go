package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/index"
)

// This file is what roost.account says: the state and the bytes of its
// records. accountfile.go is how they get to the disk.
//
// A record is a length, a kind, and fields; numbers are uvarints. A field is a
// tag, a length and that many octets. Fields and kinds of a newer minor
// version are kept as they are.
//
//	record = length kind *field      ; length of kind and fields
//	field  = tag length *OCTET

// The kinds of records.
const (
	recMailbox   = 1 // one mailbox, replaces what was known under its id
	recForget    = 2 // the mailbox with that id is gone
	recTombstone = 3 // the highest UIDVALIDITY that was used under a name
	recHighWater = 4 // account-wide: UIDVALIDITY and the tombstone floor
	recMetadata  = 5 // one annotation; without an id of the account, without a value it is gone
	recQuota     = 6 // the limits that the user set, replaces those before
	recACL       = 7 // the rights of one identifier on a mailbox; without rights it has none
)

// The tags of their fields.
const (
	tagID          = 1
	tagDir         = 2
	tagUIDValidity = 3
	tagUIDNext     = 4
	tagModSeq      = 5
	tagAdopted     = 6
	tagUse         = 7 // repeated
	tagFloor       = 8
	tagRenew       = 9
	tagEntry       = 10
	tagValue       = 11
	tagStorage     = 12
	tagMessages    = 13
	tagMailboxes   = 14
	tagIdentifier  = 15
	tagRights      = 16 // a letter each
)

// maxTombstones bounds what deleted names cost. Beyond it the lowest go, and
// the floor rises to the highest value among them.
const maxTombstones = 10000

var errRecord = errors.New("mailbox: malformed record")

// A mailboxRecord is what roost.account knows of one mailbox.
type mailboxRecord struct {
	ID          index.MailboxID // as its index has it
	Dir         string          // the path of its directory, as the layout names it; "" is INBOX
	UIDValidity uint32
	UIDNext     uint32 // ceiling: the mailbox may use values below it without asking; 1: none was ever given, and there may be no journal
	ModSeq      uint64 // ceiling, likewise
	Adopted     []byte // stamps of another server's files, opaque here; nil: not adopted
	Uses        []string
	Renew       bool   // it must take a new UIDVALIDITY before anyone sees it
	extra       []byte // fields of newer versions
}

func (r *mailboxRecord) known() index.Known {
	if r.Renew {
		return index.Known{ID: r.ID, UIDNext: imap.UID(r.UIDNext), ModSeq: index.ModSeq(r.ModSeq)}
	}
	return index.Known{UIDValidity: r.UIDValidity, ID: r.ID, UIDNext: imap.UID(r.UIDNext), ModSeq: index.ModSeq(r.ModSeq)}
}

func (r *mailboxRecord) equal(o *mailboxRecord) bool {
	return bytes.Equal(encodeMailbox(r), encodeMailbox(o))
}

// accountState is the decoded file. It is not locked.
type accountState struct {
	byID      map[index.MailboxID]*mailboxRecord // records are replaced, never changed
	byDir     map[string]*mailboxRecord
	tombs     map[string]uint32   // directory path to the highest UIDVALIDITY used there
	floor     uint32              // a tombstone that was dropped is not above it
	highWater uint32              // no UIDVALIDITY above it was ever given out
	unknown   [][]byte            // whole records of newer versions, in order
	changes   uint64              // of mailboxes; not in the file
	adopted   map[foreignKind]int // how many mailboxes came from there; not in the file
	metadata  metadata
	quota     Quota // set by the user
	acls      acls
}

func newAccountState() *accountState {
	return &accountState{
		byID:     map[index.MailboxID]*mailboxRecord{},
		byDir:    map[string]*mailboxRecord{},
		tombs:    map[string]uint32{},
		adopted:  map[foreignKind]int{},
		metadata: metadata{of: map[index.MailboxID]*annotations{}},
		acls:     acls{of: map[index.MailboxID]acl{}},
	}
}

// used is the highest UIDVALIDITY that was ever used under dir.
func (s *accountState) used(dir string) uint32 {
	v := max(s.floor, s.tombs[dir])
	if r := s.byDir[dir]; r != nil {
		v = max(v, r.UIDValidity)
	}
	return v
}

// put makes r the record of its id and of its directory. A different mailbox
// that was known in that directory leaves its UIDVALIDITY as a tombstone.
func (s *accountState) put(r mailboxRecord) {
	s.changes++
	s.countAdopted(s.byID[r.ID], -1)
	s.countAdopted(&r, 1)
	if old := s.byID[r.ID]; old != nil && s.byDir[old.Dir] == old {
		delete(s.byDir, old.Dir)
		if old.Dir != r.Dir || old.UIDValidity != r.UIDValidity {
			s.bury(old.Dir, old.UIDValidity)
		}
	}
	if other := s.byDir[r.Dir]; other != nil {
		if other.ID != r.ID {
			s.countAdopted(s.byID[other.ID], -1)
		}
		s.bury(r.Dir, other.UIDValidity)
		delete(s.byID, other.ID)
	}
	s.byID[r.ID], s.byDir[r.Dir] = &r, &r
	s.highWater = max(s.highWater, r.UIDValidity)
}

// countAdopted counts r, if it was adopted, n times.
func (s *accountState) countAdopted(r *mailboxRecord, n int) {
	if r == nil || r.Adopted == nil {
		return
	}
	kind := decodeForeign(r.Adopted).kind
	if s.adopted[kind] += n; s.adopted[kind] == 0 {
		delete(s.adopted, kind)
	}
}

// forget drops the record of id and leaves a tombstone.
func (s *accountState) forget(id index.MailboxID) {
	if r := s.byID[id]; r != nil {
		s.changes++
		s.countAdopted(r, -1)
		delete(s.byID, id)
		delete(s.byDir, r.Dir)
		s.bury(r.Dir, r.UIDValidity)
		s.metadata.drop(id)
		s.acls.drop(id)
	}
}

// bury notes that uidValidity was used under dir.
func (s *accountState) bury(dir string, uidValidity uint32) {
	s.highWater = max(s.highWater, uidValidity)
	if uidValidity > s.used(dir) {
		s.tombs[dir] = uidValidity
	}
	if len(s.tombs) <= maxTombstones {
		return
	}
	values := make([]uint32, 0, len(s.tombs))
	for _, v := range s.tombs {
		values = append(values, v)
	}
	slices.Sort(values)
	s.floor = max(s.floor, values[maxTombstones/10])
	for name, v := range s.tombs {
		if v <= s.floor {
			delete(s.tombs, name)
		}
	}
}

// apply decodes the records of one frame and applies them. Records before a
// malformed one count.
func (s *accountState) apply(payload []byte) error {
	for len(payload) > 0 {
		n, k := binary.Uvarint(payload)
		if k <= 0 || n == 0 || n > uint64(len(payload)-k) {
			return errRecord
		}
		if err := s.applyRecord(payload[k : k+int(n)]); err != nil {
			return err
		}
		payload = payload[k+int(n):]
	}
	return nil
}

func (s *accountState) applyRecord(b []byte) error {
	kind, k := binary.Uvarint(b)
	if k <= 0 {
		return errRecord
	}
	var r mailboxRecord
	var floor uint32
	var note MetadataEntry
	var quota Quota
	var identifier, rights string
	for f := b[k:]; len(f) > 0; {
		tag, n := binary.Uvarint(f)
		if n <= 0 {
			return errRecord
		}
		size, m := binary.Uvarint(f[n:])
		if m <= 0 || size > uint64(len(f)-n-m) {
			return errRecord
		}
		end := n + m + int(size)
		v := f[n+m : end]
		switch tag {
		case tagID:
			if len(v) != len(r.ID) {
				return errRecord
			}
			copy(r.ID[:], v)
		case tagDir:
			r.Dir = string(v)
		case tagUIDValidity:
			r.UIDValidity = uint32(fieldNumber(v))
		case tagUIDNext:
			r.UIDNext = uint32(fieldNumber(v))
		case tagModSeq:
			r.ModSeq = fieldNumber(v)
		case tagFloor:
			floor = uint32(fieldNumber(v))
		case tagRenew:
			r.Renew = fieldNumber(v) != 0
		case tagAdopted:
			r.Adopted = slices.Clone(v)
		case tagUse:
			r.Uses = append(r.Uses, string(v))
		case tagEntry:
			note.Name = string(v)
		case tagValue:
			note.Value = append([]byte{}, v...)
		case tagStorage:
			quota.Storage = int64(fieldNumber(v))
		case tagMessages:
			quota.Messages = int64(fieldNumber(v))
		case tagMailboxes:
			quota.Mailboxes = int64(fieldNumber(v))
		case tagIdentifier:
			identifier = string(v)
		case tagRights:
			rights = string(v)
		default:
			r.extra = append(r.extra, f[:end]...)
		}
		f = f[end:]
	}
	switch kind {
	case recMailbox:
		if r.ID.IsZero() || r.UIDValidity == 0 {
			return errRecord
		}
		s.put(r)
	case recForget:
		s.forget(r.ID)
	case recTombstone:
		s.bury(r.Dir, r.UIDValidity)
	case recHighWater:
		s.highWater = max(s.highWater, r.UIDValidity)
		s.floor = max(s.floor, floor)
	case recMetadata:
		if note.Name == "" {
			return errRecord
		}
		s.metadata.set(r.ID, note)
	case recQuota:
		s.quota = quota
	case recACL:
		if r.ID.IsZero() || identifier == "" {
			return errRecord
		}
		s.acls.set(r.ID, identifier, rights)
	default:
		s.unknown = append(s.unknown, slices.Clone(b))
	}
	return nil
}

// fieldNumber reads a number of up to 8 octets, little-endian; a longer field
// is not a number and reads as 0.
func fieldNumber(v []byte) uint64 {
	if len(v) > 8 {
		return 0
	}
	var b [8]byte
	copy(b[:], v)
	return binary.LittleEndian.Uint64(b[:])
}

// all gives records that rebuild s, in frames' payloads of about size octets.
func (s *accountState) all(size int) [][]byte {
	var out [][]byte
	var cur []byte
	add := func(rec []byte) {
		cur = append(cur, rec...)
		if len(cur) >= size {
			out, cur = append(out, cur), nil
		}
	}
	add(encodeHighWater(s.highWater, s.floor))
	names := make([]string, 0, len(s.tombs))
	for name := range s.tombs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		add(encodeTombstone(name, s.tombs[name]))
	}
	recs := make([]*mailboxRecord, 0, len(s.byID))
	for _, r := range s.byID {
		recs = append(recs, r)
	}
	slices.SortFunc(recs, func(a, b *mailboxRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, r := range recs {
		add(encodeMailbox(r))
	}
	s.metadata.each(func(id index.MailboxID, note MetadataEntry) {
		if id.IsZero() || s.byID[id] != nil { // else another mailbox took its place, and it was not seen since
			add(encodeMetadata(id, note))
		}
	})
	s.acls.each(func(id index.MailboxID, identifier string, r Rights) { // also of one that lost its place and may come back
		add(encodeACL(id, identifier, r))
	})
	if s.quota != (Quota{}) {
		add(encodeQuota(s.quota))
	}
	for _, b := range s.unknown {
		add(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
	}
	if len(cur) > 0 {
		out = append(out, cur)
	}
	return out
}

// A recordBuilder makes the octets of one record.
type recordBuilder struct{ b []byte }

func newRecord(kind uint64) *recordBuilder {
	return &recordBuilder{binary.AppendUvarint(nil, kind)}
}

func (rb *recordBuilder) bytes(tag uint64, v []byte) *recordBuilder {
	rb.b = binary.AppendUvarint(rb.b, tag)
	rb.b = binary.AppendUvarint(rb.b, uint64(len(v)))
	rb.b = append(rb.b, v...)
	return rb
}

// number leaves 0 out, and octets that are 0 at the end.
func (rb *recordBuilder) number(tag, v uint64) *recordBuilder {
	if v == 0 {
		return rb
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	n := 8
	for b[n-1] == 0 {
		n--
	}
	return rb.bytes(tag, b[:n])
}

func (rb *recordBuilder) done() []byte {
	return append(binary.AppendUvarint(nil, uint64(len(rb.b))), rb.b...)
}

func encodeMailbox(r *mailboxRecord) []byte {
	rb := newRecord(recMailbox).bytes(tagID, r.ID[:]).bytes(tagDir, []byte(r.Dir)).
		number(tagUIDValidity, uint64(r.UIDValidity)).
		number(tagUIDNext, uint64(r.UIDNext)).
		number(tagModSeq, r.ModSeq)
	if r.Adopted != nil {
		rb.bytes(tagAdopted, r.Adopted)
	}
	for _, use := range r.Uses {
		rb.bytes(tagUse, []byte(use))
	}
	if r.Renew {
		rb.number(tagRenew, 1)
	}
	rb.b = append(rb.b, r.extra...)
	return rb.done()
}

func encodeForget(id index.MailboxID) []byte {
	return newRecord(recForget).bytes(tagID, id[:]).done()
}

func encodeTombstone(dir string, uidValidity uint32) []byte {
	return newRecord(recTombstone).bytes(tagDir, []byte(dir)).number(tagUIDValidity, uint64(uidValidity)).done()
}

func encodeHighWater(uidValidity, floor uint32) []byte {
	return newRecord(recHighWater).number(tagUIDValidity, uint64(uidValidity)).number(tagFloor, uint64(floor)).done()
}
