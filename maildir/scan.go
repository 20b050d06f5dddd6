package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"roost/disk"
	"roost/slab"
)

// A Stamp tells two states of a directory apart. Stamps are compared for
// equality only, never for order (R10).
type Stamp struct {
	Mtime, Ctime int64 // ns since 1970
	Ino          uint64
}

// Stamps are those of both places, by Place.
type Stamps [2]Stamp

// Granules in which two changes of a directory can look like one (R9).
const (
	Granule        = 1100 * time.Millisecond
	NetworkGranule = 2100 * time.Millisecond
)

// StampOf is the stamp of an open directory.
func StampOf(dir disk.Dir) (Stamp, error) {
	in, err := dir.Stat()
	if err != nil {
		return Stamp{}, err
	}
	return Stamp{Mtime: in.Mtime.UnixNano(), Ctime: in.Ctime.UnixNano(), Ino: in.Ino}, nil
}

// Settled reports whether the directory has been still for longer than the
// granule, so that an equal stamp later means that nothing changed. A time in
// the future says nothing, so it is not settled.
func (s Stamp) Settled(now time.Time, granule time.Duration) bool {
	age := now.UnixNano() - max(s.Mtime, s.Ctime)
	return age > int64(granule)
}

// Settled is that of both.
func (s Stamps) Settled(now time.Time, granule time.Duration) bool {
	return s[New].Settled(now, granule) && s[Cur].Settled(now, granule)
}

// Coarse reports that the file system may count in whole seconds: then two
// changes within one second look like one.
func (s Stamps) Coarse() bool {
	return s[New].Mtime%int64(time.Second) == 0 || s[Cur].Mtime%int64(time.Second) == 0
}

// Stamps reads the stamps of both places: two system calls.
func (d *Dir) Stamps() (s Stamps, err error) {
	for _, p := range []Place{New, Cur} {
		if s[p], err = StampOf(d.places[p]); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Granule is that of the file system of d.
func (d *Dir) Granule() time.Duration {
	if d.network {
		return NetworkGranule
	}
	return Granule
}

// listed is one name of a Listing: 16 bytes and the name.
type listed struct {
	off     uint32
	inode   uint32 // InodePrint
	size    uint8
	base    uint8 // length
	place   Place
	exact   bool
	letters Letters
}

// A Listing is what a scan saw. It can be used again for the next one.
type Listing struct {
	// Stamps are those from before the first name was read.
	Stamps Stamps
	// Still: both directories had the same stamps after the scan.
	Still bool
	// Settled: Stamps were older than the granule when the scan began.
	Settled bool
	// Skipped counts names that are no messages (N2).
	Skipped int

	sep     Sep
	list    []listed
	names   [][]byte // chunks, of which the first ones are in use
	chunk   int      // the one that is being filled
	used    int      // octets of it
	fetched byte     // makes sure that Fetch reads
}

// A name is found by the number of its chunk and its place in there.
const (
	chunkBits  = 22
	chunkFirst = 1 << 10
	chunkMost  = 1 << chunkBits
	maxChunks  = 1 << (32 - chunkBits)
)

// name is what e is called.
func (l *Listing) name(e *listed) []byte {
	at := e.off & (chunkMost - 1)
	return l.names[e.off>>chunkBits][at : at+uint32(e.size) : at+uint32(e.size)]
}

// keep copies name and tells where it is; false: there is no room.
func (l *Listing) keep(name []byte) (off uint32, ok bool) {
	if len(l.names) == 0 || l.used+len(name) > len(l.names[l.chunk]) {
		if !l.nextChunk() {
			return 0, false
		}
	}
	off = uint32(l.chunk<<chunkBits | l.used)
	l.used += copy(l.names[l.chunk][l.used:], name)
	return off, true
}

// nextChunk makes room for a name at least. What was copied stays where it is:
// a million names are much to copy again.
func (l *Listing) nextChunk() bool {
	if len(l.names) > 0 {
		l.chunk++
	}
	l.used = 0
	if l.chunk == maxChunks {
		return false
	}
	if l.chunk == len(l.names) {
		size := chunkFirst
		if l.chunk > 0 {
			size = min(4*len(l.names[l.chunk-1]), chunkMost)
		}
		l.names = append(l.names, slab.Make[byte](size))
	}
	return true
}

// Stable reports whether the listing proves absence (R1): a name that is not
// in it was not there. Any other listing may add but never expunge.
func (l *Listing) Stable() bool { return l.Still && l.Settled }

// Len is the number of names.
func (l *Listing) Len() int { return len(l.list) }

// At is name i, in the order of reading: first those of new. It is valid until
// the listing is used again.
func (l *Listing) At(i int) (Name, Place) {
	e := &l.list[i]
	name := l.name(e)
	n := Name{Base: name[:e.base:e.base], Info: name[e.base:], Letters: e.letters}
	if e.exact {
		n.Exact = n.Info
	}
	return n, e.place
}

// File is the file name i as it was read, valid like At.
func (l *Listing) File(i int) ([]byte, Place) {
	e := &l.list[i]
	return l.name(e), e.place
}

// Octets is what the bases of the names in list take together.
func (l *Listing) Octets(list []int32) (n int) {
	for _, i := range list {
		n += int(l.list[i].base)
	}
	return n
}

// Fetch reads a little of each of the names in list, which one after the other
// would be waiting for memory: all at once, the processor waits for them
// together.
func (l *Listing) Fetch(list []int32) {
	sum := byte(0)
	for _, i := range list {
		e := &l.list[i]
		c, at := l.names[e.off>>chunkBits], e.off&(chunkMost-1)
		sum += c[at] + c[at+uint32(e.size)-1]
	}
	l.fetched = sum
}

// Inode is the InodePrint of name i, as the directory tells it.
func (l *Listing) Inode(i int) uint32 { return l.list[i].inode }

// InodePrint is an inode in four octets, never 0. Where inodes are no longer
// than that it is the inode.
func InodePrint(ino uint64) uint32 {
	return max(uint32(ino^ino>>32), 1)
}

func (l *Listing) reset(sep Sep) {
	*l = Listing{sep: sep, names: l.names, list: l.list[:0]}
}

// maxListed bounds a listing, as maxChunks does. A directory beyond that is an
// error, not a surprise.
const maxListed = 1 << 26

var errTooMany = errors.New("too many files")

// add takes one entry; false ends the reading.
func (l *Listing) add(e disk.Entry, p Place) bool {
	n, err := ParseName(e.Name, l.sep)
	if err != nil || e.Type != 0 && e.Type != fs.ModeIrregular {
		l.Skipped++
		return true
	}
	if len(l.list) >= maxListed {
		return false
	}
	off, ok := l.keep(e.Name)
	if !ok {
		return false
	}
	if len(l.list) == cap(l.list) {
		l.list = append(slab.Make[listed](max(64, 4*len(l.list)))[:0], l.list...)
	}
	l.list = append(l.list, listed{
		off: off, inode: InodePrint(e.Ino), size: uint8(len(e.Name)), base: uint8(len(n.Base)),
		place: p, exact: len(n.Exact) > 0, letters: n.Letters,
	})
	return true
}

// Scan lists the messages into l: names only, no file is looked at. What is
// said not to be a regular file is left out; where the file system does not
// say, OpenMessage will. new is read first, then cur, then new again unless it
// was still and settled, since a message may be moved either way meanwhile
// (R3). The same name is given once per place; the same base twice is left to
// the caller (R4). On an error l holds nothing (R18).
func (d *Dir) Scan(l *Listing) error {
	l.reset(d.sep)
	if err := d.scan(l); err != nil {
		l.reset(d.sep)
		return fmt.Errorf("maildir: scan %s: %w", d.root.Path(), err)
	}
	return nil
}

func (d *Dir) scan(l *Listing) error {
	var err error
	if l.Stamps, err = d.Stamps(); err != nil {
		return err
	}
	l.Settled = l.Stamps.Settled(d.now(), d.Granule())
	for _, p := range []Place{New, Cur} {
		if err := d.list(p, l); err != nil {
			return err
		}
	}
	after, err := d.Stamps()
	if err != nil {
		return err
	}
	l.Still = after == l.Stamps
	if after[New] == l.Stamps[New] && l.Stamps[New].Settled(d.now(), d.Granule()) {
		return nil
	}
	if err := d.relist(l); err != nil {
		return err
	}
	after, err = d.Stamps()
	l.Still = l.Still && after == l.Stamps
	return err
}

func (d *Dir) list(p Place, l *Listing) error {
	full := false
	err := d.places[p].ReadDir(func(e disk.Entry) bool {
		full = !l.add(e, p)
		return !full
	})
	if full {
		return errTooMany
	}
	return err
}

// relist reads new again and adds what is new in it.
func (d *Dir) relist(l *Listing) error {
	first := len(l.list)
	if err := d.list(New, l); err != nil {
		return err
	}
	again := l.list[first:]
	if len(again) == 0 {
		return nil
	}
	// Nearly always it is the same list in the same order.
	var known map[string]struct{}
	same := func(i int) bool {
		name, _ := l.File(first + i)
		if known == nil && i < first {
			if old, p := l.File(i); p == New && bytes.Equal(old, name) {
				return true
			}
		}
		if known == nil {
			known = l.placeNames(New, first)
		}
		_, ok := known[string(name)]
		return ok
	}
	kept := l.list[:first]
	for i, e := range again {
		if !same(i) {
			kept = append(kept, e) // in place: never ahead of i
		}
	}
	l.list = kept
	return nil
}

// placeNames is the set of names of a place among the first n.
func (l *Listing) placeNames(p Place, n int) map[string]struct{} {
	set := make(map[string]struct{}, n)
	for i := range n {
		if name, at := l.File(i); at == p {
			set[string(name)] = struct{}{}
		}
	}
	return set
}
