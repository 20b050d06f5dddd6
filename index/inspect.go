package index

import (
	"errors"
	"fmt"
	"time"

	"roost/disk"
)

// An Inspection is what a journal says of itself, before any repair.
type Inspection struct {
	Missing    bool // there is no journal: the rest is zero
	Unreadable bool // nothing in it can be used

	Damaged []Range // what was durable and cannot be read
	Torn    int64   // octets of a write that was not finished; nobody was told of it
	Dropped string  // UIDs among which messages of damaged segments were
	Clean   bool    // it was closed properly
	BadCopy bool    // one of its two headers is damaged
	Foreign bool    // it is a copy of another file

	Info    disk.Info // of the file
	Created time.Time // when this file was begun; what was before is not in it
	Last    time.Time // of its last record
	Frames  uint64    // records since it was begun
}

// errInspected is why an inspected Index cannot be written.
var errInspected = errors.New("index: opened for inspection only")

// Inspect reads the journal in o.Dir as it is: nothing is repaired, jumped or
// written, and no lock is needed; a server may write meanwhile, and then the
// end of it may look torn. Of o only Dir, Now and Log count. The Index is nil if
// the journal is missing or holds nothing; Close it. The error is ErrVersion,
// or that of reading.
func Inspect(o Options) (*Index, Inspection, error) { return inspect(o, nil) }

// inspect calls trace after each batch was replayed.
func inspect(o Options, trace func(ix *Index, payload []byte, at time.Time)) (*Index, Inspection, error) {
	o.Raise = nil
	ix := newIndex(o)
	ix.readOnly, ix.needFile = errInspected, true
	var in Inspection
	file, err := o.Dir.Open(JournalName)
	if notExist(err) {
		in.Missing = true
		return nil, in, nil
	}
	if err != nil {
		return nil, in, fmt.Errorf("index: open journal: %w", err)
	}
	defer file.Close()
	if in.Info, err = file.Stat(); err != nil {
		return nil, in, fmt.Errorf("index: open journal: %w", err)
	}
	l := &loader{ix: ix, file: file}
	if trace != nil {
		l.trace = func(payload []byte, nanos int64) { trace(ix, payload, time.Unix(0, nanos)) }
	}
	if err := l.load(); err != nil {
		return nil, in, fmt.Errorf("index: read journal: %w", err)
	}
	in.Damaged, in.Torn, in.Clean, in.BadCopy, in.Dropped = l.damaged, l.torn, l.clean, l.badCopy, l.dropped.String()
	if l.hdr.uidValidity == 0 {
		in.Unreadable = true
		return nil, in, nil
	}
	in.Foreign = l.hasHeader && !l.hdr.isOwn(in.Info)
	in.Created, in.Last = time.Unix(0, l.hdr.created), time.Unix(0, l.lastTime)
	in.Frames = l.seq + 1 - l.hdr.firstSeq
	ix.hdr, ix.seq, ix.synced, ix.end = l.hdr, l.seq, l.seq, l.end
	ix.pos.Store(l.seq)
	return ix, in, nil
}
