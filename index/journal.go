package index

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

const (
	reserveSize = 64 << 10 // the last zeroes, for batches that free space
	cutTail     = 4 << 10  // less behind the last record means that the file was cut
	growMin     = 64 << 10
	growMax     = 1 << 20
)

var zeroes [growMax]byte

// A shadowBatch is a batch written while a new journal file is made.
type shadowBatch struct {
	payload []byte
	frame   frame // uidNext, time; the rest is filled in
}

// nFrames is how many frames a payload takes.
func nFrames(n int) uint64 { return uint64(max(1, (n+maxPayload-1)/maxPayload)) }

// write records one batch: mu must be held. frees says that it may use the
// reserve. On an error nothing was recorded.
func (ix *Index) write(payload []byte, now int64, frees, flags bool) error {
	f := frame{uidValidity: ix.UIDValidity(), uidNext: ix.UIDNext(), time: now}
	if ix.file != nil && !ix.needFile {
		if err := ix.writeFrames(payload, f, frees); err != nil {
			return err
		}
	}
	if ix.shadowing {
		ix.shadow = append(ix.shadow, shadowBatch{append([]byte(nil), payload...), f})
	}
	ix.seq += nFrames(len(payload))
	ix.pos.Store(ix.seq)
	ix.clean, ix.blank = false, false
	if !flags {
		ix.important = ix.seq
	}
	return nil
}

// writeFrames puts the frames of payload at the end of the file.
func (ix *Index) writeFrames(payload []byte, f frame, frees bool) error {
	f.synced = ix.syncedOff
	ix.frames = appendFrames(ix.frames[:0], ix.seed, f, ix.seq+1, ix.end, payload)
	size := int64(len(ix.frames))
	if err := ix.makeRoom(size, frees); err != nil {
		return fmt.Errorf("index: extend journal: %w", err)
	}
	if _, err := ix.file.WriteAt(ix.frames, ix.end); err != nil {
		err = fmt.Errorf("index: write journal: %w", err)
		if !diskFull(err) {
			ix.poison(err)
		}
		return err
	}
	ix.end += size
	if cap(ix.frames) > keepBuffer {
		ix.frames = nil
	}
	return nil
}

// appendFrames appends the frames of payload, the first with number seq at
// offset of the file.
func appendFrames(b []byte, seed uint32, f frame, seq uint64, offset int64, payload []byte) []byte {
	n := nFrames(len(payload))
	start := len(b)
	b = slices.Grow(b, len(payload)+int(n)*(frameHeader+8))
	for i := range n {
		piece := payload[:min(len(payload), maxPayload)]
		payload = payload[len(piece):]
		switch {
		case n == 1:
			f.kind = frameBatch
		case i == n-1:
			f.kind, f.part = frameCommit, byte(i)
		default:
			f.kind, f.part = framePart, byte(i)
		}
		f.seq, f.offset = seq+i, offset+int64(len(b)-start)
		b = appendFrame(b, seed, f, piece)
	}
	return b
}

// makeRoom sees to zeroes behind size more octets. The last octet of the file
// is never written, so that a file cut between two frames shows.
func (ix *Index) makeRoom(size int64, frees bool) error {
	if ix.end+size+reserveSize <= ix.alloc {
		return nil
	}
	err := ix.extend(ix.end + size + reserveSize + ix.grow)
	if diskFull(err) {
		// The cache can be made anew, the journal cannot.
		if ix.cache.Truncate() == nil {
			err = ix.extend(ix.end + size + reserveSize)
		}
	}
	switch {
	case err == nil:
		ix.grow = min(2*ix.grow, growMax)
		return nil
	case frees && ix.end+size < ix.alloc:
		return nil
	}
	return err
}

// extend writes zeroes from alloc up to size.
func (ix *Index) extend(size int64) error {
	for at := ix.alloc; at < size; {
		n, err := ix.file.WriteAt(zeroes[:min(size-at, int64(len(zeroes)))], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	ix.alloc = max(ix.alloc, size)
	return nil
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// poison makes err the answer to everything from now on. mu must be held.
func (ix *Index) poison(err error) {
	if ix.err == nil {
		ix.err = fmt.Errorf("%w: %w", ErrPoisoned, err)
		ix.log.Error("journal cannot be trusted any more", "dir", ix.opt.Dir.Path(), "err", err)
	}
	ix.cond.Broadcast()
}

// Pos is what is published up to now. What Open found counts: it may be told
// only after Wait(Pos()).
func (ix *Index) Pos() Pos {
	return Pos(ix.pos.Load())
}

// Synced is what is durable.
func (ix *Index) Synced() Pos {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return Pos(ix.synced)
}

// Err is why the Index is poisoned; nil if it is not.
func (ix *Index) Err() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.err
}

// Wait returns once everything up to p is durable. Any number of goroutines
// may wait; they share one fdatasync. After an error, which is sticky, nothing
// that was published since Synced may be told. With FsyncMessages it does not
// wait for flags, with FsyncNever for nothing.
func (ix *Index) Wait(p Pos) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	target := uint64(p)
	if ix.opt.Fsync != FsyncAlways {
		target = min(target, ix.important)
	}
	return ix.waitFor(target)
}

// waitFor returns once frame number target is durable. mu must be held; it is
// let go while waiting.
func (ix *Index) waitFor(target uint64) error {
	for {
		switch {
		case ix.err != nil:
			return ix.err
		case ix.synced >= target && !ix.aboveCeilings():
			return nil
		case ix.readOnly != nil:
			return fmt.Errorf("%w: %w", ErrReadOnly, ix.readOnly)
		case ix.closed:
			return ErrClosed
		case ix.syncing:
			ix.cond.Wait()
		default:
			ix.syncOnce()
		}
	}
}

// aboveCeilings reports whether Raise must be called before anything is told.
func (ix *Index) aboveCeilings() bool {
	return ix.opt.Raise != nil && ix.readOnly == nil &&
		(ix.UIDNext() > ix.ceilUID || ix.HighestModSeq() > ix.ceilModSeq)
}

// syncOnce makes what is written now durable, or poisons. mu is held at call
// and return, but not while the disk works.
func (ix *Index) syncOnce() {
	ix.syncing = true
	seq, end, file, need, blank := ix.seq, ix.end, ix.file, ix.needFile && !ix.blank, ix.blank
	raise := ix.aboveCeilings()
	uidNext, modSeq := ix.UIDNext(), ix.HighestModSeq()
	if !blank {
		uidNext += min(CeilingUIDs, maxUID-uidNext)
		modSeq += CeilingModSeqs
	}
	ix.mu.Unlock()

	var err error
	if raise {
		err = ix.opt.Raise(uidNext, modSeq)
	}
	linked := true
	if err == nil && !need && !blank {
		if linked, err = ix.linked(); err == nil && linked && ix.opt.Fsync != FsyncNever {
			err = file.Sync()
		}
	}

	ix.mu.Lock()
	ix.syncing = false
	switch {
	case err != nil:
		ix.poison(fmt.Errorf("index: sync journal: %w", err))
		return
	case raise:
		ix.ceilUID, ix.ceilModSeq = uidNext, modSeq
	}
	if need || !linked {
		if !linked {
			ix.log.Warn("the journal was removed or replaced; writing a new one from memory", "dir", ix.opt.Dir.Path())
			ix.needFile = true
		}
		ix.cond.Broadcast()
		ix.mu.Unlock()
		err = ix.newFile(true)
		ix.mu.Lock()
		if err != nil {
			ix.poison(err)
		}
		return
	}
	ix.synced = max(ix.synced, seq)
	ix.syncedOff = max(ix.syncedOff, end)
	ix.cond.Broadcast()
}

// linked reports whether the name of the journal is still that of our file.
func (ix *Index) linked() (bool, error) {
	info, err := ix.opt.Dir.Lstat(JournalName)
	if notExist(err) {
		return false, nil
	}
	return err == nil && info.Identity == ix.info.Identity, err
}

// NeedsCompaction reports whether Compact is worth while: the tail is over 1
// MiB and a quarter of the file.
func (ix *Index) NeedsCompaction() bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	tail := ix.end - ix.hdr.baseEnd
	return ix.file != nil && ix.writable() == nil && !ix.needFile && tail > max(1<<20, ix.end/4)
}

// Compact writes a new journal file without a tail. It may run beside all
// else; an error leaves the old file in use and is not sticky, unless the new
// one is in its place already.
func (ix *Index) Compact() error { return ix.newFile(false) }

// Close marks the journal clean and makes everything durable, flags too. The
// Index must not be used any more. It returns the first error; the files are
// closed in any case.
func (ix *Index) Close() error {
	err := ix.closeJournal()
	if errors.Is(err, ErrReadOnly) || errors.Is(err, ErrClosed) {
		err = nil
	}
	ix.cache.close()
	ix.rewriteMu.Lock() // a compaction ends first
	defer ix.rewriteMu.Unlock()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for ix.syncing {
		ix.cond.Wait()
	}
	ix.closed = true
	ix.cond.Broadcast()
	if ix.file != nil {
		err = errors.Join(err, ix.file.Close())
		ix.file = nil
	}
	return err
}

func (ix *Index) closeJournal() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if err := ix.writable(); err != nil || ix.clean {
		return err
	}
	if ix.needFile {
		if err := ix.waitFor(ix.seq); err != nil {
			return err
		}
	}
	e := encoder{b: []byte{0}} // no mod-sequence
	e.begin(itemClean, 0)
	e.end()
	if err := ix.write(e.b, ix.opt.Now().UnixNano(), true, false); err != nil {
		return err
	}
	return ix.waitFor(ix.seq)
}

// heartbeatLimit is how old the last record of an index that was not closed
// may be.
const heartbeatLimit = 10 * time.Minute
