package index

import (
	"encoding/binary"
	"time"

	"github.com/emersion/go-imap/v2"
)

// An encoder appends items to a payload. See FORMAT.md for the layout.
type encoder struct {
	b     []byte
	start int      // of the body of the open item
	uid   imap.UID // the last one written in the open item
}

// begin opens an item, end closes it.
func (e *encoder) begin(kind byte, n int) {
	e.b = append(e.b, kind, 0, 0, 0, 0)
	e.start = len(e.b)
	e.uid = 0
	e.num(uint64(n))
}

func (e *encoder) end() {
	binary.LittleEndian.PutUint32(e.b[e.start-4:], uint32(len(e.b)-e.start))
}

func (e *encoder) num(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)  { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) octet(v byte) { e.b = append(e.b, v) }

func (e *encoder) str(s string) {
	e.num(uint64(len(s)))
	e.b = append(e.b, s...)
}

// uidDelta writes a UID as the difference to the one before it in the item.
func (e *encoder) uidDelta(uid imap.UID) {
	e.int(int64(uid) - int64(e.uid))
	e.uid = uid
}

func (e *encoder) name(n Name) {
	e.num(uint64(n.Letters))
	e.octet(byte(n.Where & allWhere))
	if n.Where&ExactInfo != 0 {
		e.str(n.Exact)
	}
}

func (e *encoder) date(d Date) {
	if !d.Known {
		e.octet(0)
		return
	}
	e.octet(1)
	e.int(packDate(d))
}

// mtime writes a time to the nanosecond.
func (e *encoder) mtime(t time.Time) {
	if t.IsZero() {
		e.octet(0)
		return
	}
	e.octet(1)
	e.int(t.Unix())
	e.num(uint64(t.Nanosecond()))
}

// add writes a but for its UID.
func (e *encoder) add(a *Add) {
	e.str(a.Base)
	e.name(a.Name)
	e.octet(byte(a.Flags))
	e.num(uint64(a.Keywords))
	e.date(a.Date)
	e.int(max(a.Size, UnknownSize))
	e.num(uint64(packTime(a.SaveDate)))
}

// A decoder reads the body of an item. Its error is sticky: after it all that
// is read is zero.
type decoder struct {
	b   []byte
	bad bool
	uid imap.UID
}

func (d *decoder) fail() {
	d.b, d.bad = nil, true
}

func (d *decoder) num() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) octet() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// str reads at most limit octets; the string is a copy.
func (d *decoder) str(limit int) string {
	n := d.num()
	if n > uint64(limit) || n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// count reads how many entries follow; each takes an octet at least.
func (d *decoder) count() int {
	n := d.num()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) uidDelta() imap.UID {
	v := int64(d.uid) + d.int()
	if v < 1 || v >= int64(maxUID) {
		d.fail()
		return 0
	}
	d.uid = imap.UID(v)
	return d.uid
}

func (d *decoder) name() Name {
	n := Name{Letters: Letters(d.num())}
	n.Where = Where(d.octet()) & allWhere
	if n.Where&ExactInfo != 0 {
		n.Exact = d.str(maxBase)
	}
	return n
}

func (d *decoder) date() Date {
	if d.octet() == 0 {
		return Date{}
	}
	return unpackDate(d.int())
}

func (d *decoder) mtime() time.Time {
	if d.octet() == 0 {
		return time.Time{}
	}
	sec := d.int()
	return time.Unix(sec, int64(d.num()%1e9))
}

func (d *decoder) add() Add {
	return Add{
		Base:     d.str(maxBase),
		Name:     d.name(),
		Flags:    Flags(d.octet()) & AllFlags,
		Keywords: KeywordSet(d.num() & 0xffffff),
		Date:     d.date(),
		Size:     max(d.int(), UnknownSize),
		SaveDate: unpackTime(uint32(d.num())),
	}
}

// An item is one undecoded item of a payload.
type item struct {
	kind byte
	body []byte
}

// nextItem splits the first item off payload. ok is false at its end or if
// what is there is no item.
func nextItem(payload []byte) (it item, rest []byte, ok bool) {
	if len(payload) < 5 {
		return item{}, nil, false
	}
	n := binary.LittleEndian.Uint32(payload[1:])
	if uint64(n) > uint64(len(payload)-5) {
		return item{}, nil, false
	}
	return item{payload[0], payload[5 : 5+n]}, payload[5+n:], true
}
