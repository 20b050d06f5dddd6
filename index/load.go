package index

import (
	"bytes"
	"io"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
)

// Bounds of what is looked at in a damaged file.
const (
	searchLimit = 64 << 20 // octets behind damage in which a frame or section must follow
	searchStep  = 1 << 20

	windowSize = 256 << 10
)

// A loader reads a journal into an Index that nobody else has yet.
type loader struct {
	ix    *Index
	file  disk.File
	size  int64
	limit int64 // frames from here on do not count

	hdr       header
	hasHeader bool // hdr is from a header, not put together from sections
	badCopy   bool // one of the two headers is damaged
	seed      uint32

	end      int64 // where the next frame goes
	seq      uint64
	synced   int64 // the highest position known synced
	lastTime int64
	clean    bool
	torn     int64 // octets behind end that are no frames and not zero
	cut      bool  // hardly a zero is left behind those
	damaged  []Range
	parts    []byte // of a batch without its commit so far
	nParts   int
	buf      []byte // octets of the file from bufAt on
	bufAt    int64
	dropped  imap.UIDSet // where rows were lost
	gap      bool        // a section was lost since the last row
	room     room

	trace func(payload []byte, nanos int64) // called after a batch; nil: nobody asks
}

// load reads all of it. Damage is told by the fields; the error is ErrVersion
// or that of reading.
func (l *loader) load() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	l.size = info.Size
	if l.limit == 0 {
		l.limit = l.size
	}
	if err := l.readHeader(); err != nil {
		return err
	}
	if !l.hasHeader {
		l.damage(0, headerCopy+headerSize)
	}
	if err := l.readBase(); err != nil {
		return err
	}
	if l.hdr.uidValidity == 0 {
		l.damage(0, l.size)
		return nil
	}
	l.ix.ident.Store(&identity{l.hdr.uidValidity, l.hdr.id, l.hdr.generation})
	l.seed = seedCRC(l.hdr.seed)
	l.end, l.seq, l.synced = l.hdr.baseEnd, l.hdr.firstSeq-1, l.hdr.baseEnd
	l.lastTime = max(l.lastTime, l.hdr.created)
	return l.readFrames()
}

// damage notes a range that could not be read.
func (l *loader) damage(from, to int64) {
	if n := len(l.damaged); n > 0 && l.damaged[n-1].To >= from {
		l.damaged[n-1].To = max(to, l.damaged[n-1].To)
		return
	}
	l.damaged = append(l.damaged, Range{from, to})
}

// window gives n octets at offset at, fewer at the end of the file. They stay
// valid until the next call.
func (l *loader) window(at int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(0, l.size-at)))
	if at >= l.bufAt && at+int64(n) <= l.bufAt+int64(len(l.buf)) {
		return l.buf[at-l.bufAt:][:n], nil
	}
	fill := int(min(int64(max(n, windowSize)), l.size-at))
	if n == 0 {
		fill = 0
	}
	if cap(l.buf) < fill {
		l.buf = make([]byte, fill)
	}
	l.buf, l.bufAt = l.buf[:fill], at
	got, err := l.file.ReadAt(l.buf, at)
	l.buf = l.buf[:got]
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	return l.buf[:min(n, got)], nil
}

func (l *loader) readHeader() error {
	for i, at := range [...]int64{0, headerCopy} {
		b, err := l.window(at, headerSize)
		if err != nil {
			return err
		}
		h, ok, err := parseHeader(b)
		if err != nil {
			return err
		}
		if !ok {
			l.badCopy = true
			continue
		}
		if i == 0 || !l.hasHeader {
			l.hdr, l.hasHeader = h, true
			l.ix.raiseUIDNext(min(h.uidNext, maxUID))
			l.ix.raiseHighest(h.highest)
		}
	}
	return nil
}

// readBase reads the sections. Without a header it goes by what they say of
// themselves, from the place where the first must stand.
func (l *loader) readBase() error {
	at, end := int64(baseStart), l.size
	if l.hasHeader {
		at, end = l.hdr.base, min(l.size, l.hdr.baseEnd)
		if l.hdr.baseEnd > l.size {
			l.damage(l.size, l.hdr.baseEnd)
		}
	}
	for at < end {
		n, err := l.readSection(at, end)
		if err != nil {
			return err
		}
		if n > 0 {
			at += n
			continue
		}
		next, frames, err := l.nextSection(at+8, end)
		if err != nil {
			return err
		}
		if !l.hasHeader && (frames || next >= end) {
			break // the frames begin here, or nothing does
		}
		l.damage(at, next)
		l.gap = true
		at = next
	}
	if !l.hasHeader {
		l.hdr.base, l.hdr.baseEnd = baseStart, at
	}
	if next := l.ix.UIDNext(); len(l.damaged) > 0 && l.lastUID()+1 < next {
		l.dropped = append(l.dropped, imap.UIDRange{Start: l.lastUID() + 1, Stop: next - 1})
	}
	return nil
}

// readSection reads the section at offset at; n is its size, 0 if there is
// none or it is damaged.
func (l *loader) readSection(at, end int64) (n int64, err error) {
	b, err := l.window(at, sectionHeader+segmentRows*rowSize)
	if err != nil {
		return 0, err
	}
	s, ok := parseSection(b)
	if !ok || !l.belongs(&s) || at+sectionSize(s.length) > (end+7)&^7 {
		return 0, nil
	}
	if s.kind == sectionRows {
		l.room.expect(&s, end-at)
		seg, ok, err := readRows(l.file, &s, b, at, &l.room)
		if !ok || err != nil {
			return 0, err
		}
		if !l.addRows(seg) {
			return 0, nil
		}
	} else {
		if b, err = l.window(at, sectionHeader+s.length); err != nil {
			return 0, err
		}
		if len(b) < sectionHeader+s.length || crcOf(b[8:]) != s.crc {
			return 0, nil
		}
		if s.kind == sectionItems {
			l.ix.replayItems(b[sectionHeader:], 0, 0, l.ix.opt.Now().UnixNano())
		}
	}
	l.adopt(&s)
	return sectionSize(s.length), nil
}

// belongs reports whether s is a section of this file.
func (l *loader) belongs(s *section) bool {
	if l.hdr.uidValidity == 0 {
		return true // the first, and no header
	}
	return s.id == l.hdr.id && s.generation == l.hdr.generation && s.seed == l.hdr.seed && s.validity == l.hdr.uidValidity
}

// adopt takes what the header should have said from a sound section.
func (l *loader) adopt(s *section) {
	if l.hdr.uidValidity == 0 {
		l.hdr.uidValidity, l.hdr.id, l.hdr.generation, l.hdr.seed = s.validity, s.id, s.generation, s.seed
		l.hdr.firstSeq = s.firstSeq
	}
	l.ix.raiseUIDNext(min(s.uidNext, maxUID))
	l.ix.raiseHighest(s.highest)
}

// lastUID is the UID of the last row; 0 if there is none.
func (l *loader) lastUID() imap.UID {
	if n := l.ix.Len(); n > 0 {
		return l.ix.UID(Row(n - 1))
	}
	return 0
}

// addRows puts a segment behind the table. Full ones are taken as they are.
func (l *loader) addRows(seg *segment) bool {
	ix := l.ix
	n, rows := ix.Len(), seg.rows()
	last := l.lastUID()
	if n > maxRows || seg.uid[0] <= last {
		return false
	}
	if l.gap && last+1 < seg.uid[0] {
		l.dropped = append(l.dropped, imap.UIDRange{Start: last + 1, Stop: seg.uid[0] - 1})
	}
	l.gap = false
	var top uint64
	sets := uint32(len(ix.words.ids))
	for i := range rows {
		top = max(top, seg.modseq[i])
		if seg.flags[i]>>8 >= sets {
			seg.flags[i] &= 0xff // the definition was lost
		}
	}
	ix.raiseHighest(ModSeq(top))
	ix.raiseUIDNext(min(seg.uid[rows-1], maxUID-1) + 1)
	if n%segmentRows == 0 {
		ix.replace(n/segmentRows, seg)
		ix.publish(rows)
		return true
	}
	// Segments on disk are not full where rows were expunged before they were
	// written: in memory all but the last are.
	ix.reserve(rows)
	for i := range rows {
		d, k := ix.seg(Row(n + i))
		d.modseq[k], d.date[k], d.size[k], d.name[k] = seg.modseq[i], seg.date[i], seg.size[i], seg.name[i]
		d.uid[k], d.flags[k], d.saved[k] = seg.uid[i], seg.flags[i], seg.saved[i]
		d.base[k], _ = d.addName(seg.baseOf(i))
	}
	ix.publish(rows)
	return true
}

// nextSection looks for a section from offset at on, or, without a header, for
// the first frame.
func (l *loader) nextSection(at, end int64) (next int64, frames bool, err error) {
	seed := seedCRC(l.hdr.seed)
	limit := min(end, at+searchLimit)
	for ; at < limit; at += searchStep {
		b, err := l.window(at, searchStep+sectionHeader)
		if err != nil {
			return 0, false, err
		}
		for i := 0; i < searchStep && i+frameHeader <= len(b); i += 8 {
			if s, ok := parseSection(b[i:]); ok && l.belongs(&s) {
				return at + int64(i), false, nil
			}
			if _, ok := parseFrame(b[i:], seed, at+int64(i)); ok && !l.hasHeader && l.hdr.uidValidity != 0 {
				return at + int64(i), true, nil
			}
		}
	}
	return end, false, nil
}

// readFrames reads the frames and makes their changes.
func (l *loader) readFrames() error {
	for l.end < l.limit {
		f, payload, err := l.frameAt(l.end)
		if err != nil {
			return err
		}
		if payload == nil || f.seq != l.seq+1 {
			break
		}
		l.replay(f, payload)
		l.end += frameSize(f.length)
	}
	later, last, err := l.laterFrames(l.end)
	if err != nil {
		return err
	}
	synced := l.synced
	for _, f := range later {
		synced = max(synced, f.synced)
	}
	if l.limit < l.size {
		return nil // what is behind the last good sync does not count
	}
	if synced > l.end {
		return l.readDamaged(later, synced)
	}
	if last > l.end {
		l.torn = last - l.end
	} else if l.end+frameHeader > l.size {
		l.torn = 1 // cut: zeroes always follow the last frame, and the first octets of one may be zero too
	}
	l.cut = l.torn > 0 && l.end+l.torn+cutTail > l.size
	l.clean = l.clean && l.torn == 0
	return nil
}

// readDamaged makes the changes of the frames behind damage that was synced.
func (l *loader) readDamaged(later []frame, synced int64) error {
	from := l.end
	for _, f := range later {
		if f.seq <= l.seq || f.offset < l.end {
			continue
		}
		f, payload, err := l.frameAt(f.offset)
		if err != nil {
			return err
		}
		if payload == nil {
			continue
		}
		if f.offset > from {
			if from >= synced {
				break // torn behind the last sync
			}
			l.damage(from, f.offset)
		}
		l.parts, l.nParts = nil, 0
		l.replay(f, payload)
		from = f.offset + frameSize(f.length)
		l.end = from
	}
	if len(l.damaged) == 0 || synced > from {
		l.damage(from, max(synced, from+1))
	}
	l.clean = false
	return nil
}

// frameAt reads the frame at offset at; payload is nil if there is none.
func (l *loader) frameAt(at int64) (frame, []byte, error) {
	b, err := l.window(at, frameHeader)
	if err != nil {
		return frame{}, nil, err
	}
	f, ok := parseFrame(b, l.seed, at)
	if !ok || f.uidValidity != l.hdr.uidValidity || at+frameSize(f.length) > l.limit+7 {
		return frame{}, nil, nil
	}
	if b, err = l.window(at, frameHeader+f.length); err != nil {
		return frame{}, nil, err
	}
	if frameHeader+f.length > len(b) {
		return frame{}, nil, nil
	}
	payload := b[frameHeader : frameHeader+f.length]
	if !f.checkPayload(l.seed, payload) {
		return frame{}, nil, nil
	}
	return f, payload, nil
}

// replay makes the changes of a frame, once its batch is whole.
func (l *loader) replay(f frame, payload []byte) {
	l.seq = f.seq
	l.synced = max(l.synced, f.synced)
	l.lastTime = max(l.lastTime, f.time)
	l.ix.raiseUIDNext(min(f.uidNext, maxUID))
	l.clean = false
	switch {
	case f.kind == frameBatch:
		l.parts, l.nParts = nil, 0
		r := l.ix.replayBatch(payload, Pos(f.seq), f.time)
		l.traced(payload, f.time)
		l.clean = r.clean
		if r.bad {
			l.ix.log.Warn("a batch could not be read whole", "dir", l.ix.opt.Dir.Path(), "offset", f.offset)
		}
	case f.part != byte(l.nParts) && f.part != 0:
		l.parts, l.nParts = nil, 0
	case f.kind == framePart:
		if f.part == 0 {
			l.parts, l.nParts = nil, 0
		}
		l.parts = append(l.parts, payload...)
		l.nParts++
	case f.kind == frameCommit:
		whole := append(l.parts, payload...)
		l.ix.replayBatch(whole, Pos(f.seq), f.time)
		l.traced(whole, f.time)
		l.parts, l.nParts = nil, 0
	}
}

func (l *loader) traced(payload []byte, nanos int64) {
	if l.trace != nil {
		l.trace(payload, nanos)
	}
}

// laterFrames finds the frames from offset at on, in order, whatever lies
// between, and where the last octet lies that is not zero.
func (l *loader) laterFrames(at int64) (found []frame, last int64, err error) {
	last = at
	for limit := at + searchLimit; at < min(limit, l.size); {
		b, err := l.window(at, searchStep+frameHeader)
		if err != nil {
			return nil, 0, err
		}
		step := int64(searchStep)
		for i := 0; i < searchStep && i < len(b); i += 8 {
			if i%4096 == 0 && len(b)-i >= 4096 && bytes.Equal(b[i:i+4096], zeroes[:4096]) {
				i += 4096 - 8
				continue
			}
			chunk := b[i:min(i+8, len(b))]
			if allZero(chunk) {
				continue
			}
			here := at + int64(i)
			last = here + int64(len(chunk))
			if f, ok := parseFrame(b[i:], l.seed, here); ok && f.uidValidity == l.hdr.uidValidity {
				g, payload, err := l.frameAt(here)
				if err != nil {
					return nil, 0, err
				}
				if payload != nil {
					found = append(found, g)
					step = int64(i) + frameSize(g.length)
					last = here + frameSize(g.length)
					limit = here + searchLimit
				} else {
					step = int64(i) + 8
				}
				break // the window was used
			}
		}
		at += step
	}
	return found, last, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
