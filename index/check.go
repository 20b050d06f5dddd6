package index

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
)

// Check verifies what must always hold, and returns everything that does not:
//
//   - UIDs are above 0, strictly ascending and below UIDNEXT
//   - no mod-sequence is above HIGHESTMODSEQ, nor is a floor
//   - every base is 1 to 255 octets without "/" and NUL, inside its block
//   - every keyword set is defined
//   - Live is the number of rows that are not gone
//   - expunged ranges are in order, below UIDNEXT and hold no message
//   - pending renames are of messages
//   - synced <= written, and the file is as long as it should be
//   - a fresh Open of the file's bytes gives the same messages and state
//
// It must not run beside a writer.
func (ix *Index) Check() error {
	ix.rewriteMu.Lock()
	defer ix.rewriteMu.Unlock()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	errs := append(ix.checkRows(), ix.checkState()...)
	if ix.file != nil && !ix.needFile && ix.err == nil && ix.readOnly == nil {
		errs = append(errs, ix.checkFile()...)
	}
	return errors.Join(errs...)
}

func (ix *Index) checkRows() (errs []error) {
	bad := func(format string, args ...any) {
		if len(errs) < 20 {
			errs = append(errs, fmt.Errorf("index: check: "+format, args...))
		}
	}
	live := 0
	for r := range Row(ix.Len()) {
		uid := ix.UID(r)
		if uid == 0 || uid >= ix.UIDNext() || r > 0 && ix.UID(r-1) >= uid {
			bad("row %d: UID %d out of order", r, uid)
		}
		if ix.ModSeq(r) > ix.HighestModSeq() {
			bad("UID %d: mod-sequence %d above %d", uid, ix.ModSeq(r), ix.HighestModSeq())
		}
		if !validBase(ix.Base(r)) {
			bad("UID %d: base %q", uid, ix.Base(r))
		}
		if int(ix.Keywords(r)) >= len(ix.words.ids) {
			bad("UID %d: keyword set %d", uid, ix.Keywords(r))
		}
		if !ix.Gone(r) {
			live++
		}
	}
	if live != ix.Live() {
		bad("%d messages counted, %d known", live, ix.Live())
	}
	return errs
}

func (ix *Index) checkState() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("index: check: "+format, args...)) }
	if ix.ExpungeFloor() > ix.HighestModSeq() || ix.FlagFloor() > ix.HighestModSeq() {
		bad("a floor is above %d", ix.HighestModSeq())
	}
	ix.stateMu.RLock()
	defer ix.stateMu.RUnlock()
	for i, v := range ix.st.vanished {
		if v.first > v.last || v.last >= ix.UIDNext() || i > 0 && ix.st.vanished[i-1].modseq > v.modseq || v.modseq > ix.HighestModSeq() {
			bad("expunged range %d to %d out of order", v.first, v.last)
		}
		for r := ix.RowFrom(v.first); int(r) < ix.Len() && ix.UID(r) <= v.last; r++ {
			if !ix.Gone(r) {
				bad("UID %d is a message and expunged", ix.UID(r))
			}
		}
	}
	for r := range ix.st.pending {
		if int(r) >= ix.Len() || ix.Gone(r) {
			bad("row %d: renames pending and gone", r)
		}
	}
	if ix.synced > ix.seq || ix.syncedOff > ix.end || ix.file != nil && ix.end > ix.alloc {
		bad("positions: synced %d of %d, %d of %d of %d octets", ix.synced, ix.seq, ix.syncedOff, ix.end, ix.alloc)
	}
	return errs
}

// checkFile compares memory with what the file gives.
func (ix *Index) checkFile() (errs []error) {
	bad := func(format string, args ...any) {
		if len(errs) < 20 {
			errs = append(errs, fmt.Errorf("index: check: "+format, args...))
		}
	}
	other := newIndex(ix.opt)
	file, err := ix.opt.Dir.OpenFile(JournalName, os.O_RDONLY, 0)
	if notExist(err) {
		return nil // removed: the next sync makes another
	}
	if err != nil {
		return []error{err}
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || info.Identity != ix.info.Identity {
		return nil // replaced, or not to be told
	}
	l := &loader{ix: other, file: file}
	if err := l.load(); err != nil {
		return []error{err}
	}
	if len(l.damaged) > 0 || l.torn > 0 || l.end != ix.end || l.seq != ix.seq {
		bad("file: damaged %v, torn %d, end %d at frame %d, want %d at %d", l.damaged, l.torn, l.end, l.seq, ix.end, ix.seq)
	}
	if *ix.ident.Load() != *other.ident.Load() {
		bad("file is of another mailbox")
	}
	if a, b := ix.scalars(), other.scalars(); a != b {
		bad("scalars %v, in the file %v", a, b)
	}
	ix.compareRows(other, bad)
	ix.compareState(other, bad)
	return errs
}

// scalars are compared as a whole.
func (ix *Index) scalars() [6]uint64 {
	return [...]uint64{ix.uidNext.Load(), ix.highest.Load(), ix.expungeFloor.Load(), ix.flagFloor.Load(),
		uint64(ix.st.recent), uint64(ix.Live())}
}

func (ix *Index) compareRows(other *Index, bad func(string, ...any)) {
	for r := range Row(ix.Len()) {
		if ix.Gone(r) {
			if o := other.RowOf(ix.UID(r)); o != NoRow {
				bad("UID %d is expunged, in the file it is not", ix.UID(r))
			}
			continue
		}
		o := other.RowOf(ix.UID(r))
		if o == NoRow {
			bad("UID %d is not in the file", ix.UID(r))
			continue
		}
		a, b := ix.describe(r), other.describe(o)
		if len(ix.st.pending) > 0 || ix.Name(r) != other.Name(o) {
			a.name, b.name = Name{}, Name{} // SetName is memory only
		}
		if !reflect.DeepEqual(a, b) {
			bad("UID %d is %v, in the file %v", ix.UID(r), a, b)
		}
	}
}

// A description is everything about one row that lasts.
type description struct {
	base     string
	name     Name
	flags    Flags
	keywords []string
	modSeq   ModSeq
	date     Date
	size     int64
	saved    int64
}

func (ix *Index) describe(r Row) description {
	return description{
		base: ix.Base(r), name: ix.Name(r), flags: ix.Flags(r), keywords: append([]string{}, ix.KeywordNames(ix.Keywords(r))...),
		modSeq: ix.ModSeq(r), date: ix.Date(r), size: ix.Size(r), saved: ix.SaveDate(r).Unix(),
	}
}

func (ix *Index) compareState(other *Index, bad func(string, ...any)) {
	if !slices.Equal(ix.st.vanished, other.st.vanished) {
		bad("%d expunged ranges, in the file %d or others", len(ix.st.vanished), len(other.st.vanished))
	}
	same := func(a, b ToUnlink) bool {
		return a.UID == b.UID && a.Base == b.Base && a.Name.Letters == b.Name.Letters && a.Size == b.Size && a.Mtime.Equal(b.Mtime)
	}
	if !slices.EqualFunc(ix.ToUnlink(), other.ToUnlink(), same) {
		bad("to-unlink lists differ: %d, in the file %d", len(ix.st.unlink), len(other.st.unlink))
	}
	if a, b := slices.Sorted(maps.Keys(ix.st.intents)), slices.Sorted(maps.Keys(other.st.intents)); !slices.Equal(a, b) {
		bad("intents %v, in the file %v", a, b)
	}
	uids := func(ix *Index) (out []uint64) {
		for _, r := range ix.Pending() {
			out = append(out, uint64(ix.UID(r)))
		}
		return out
	}
	if a, b := uids(ix), uids(other); !slices.Equal(a, b) {
		bad("pending renames of %v, in the file %v", a, b)
	}
	if ix.st.stamps != other.st.stamps {
		bad("stamps differ")
	}
}
