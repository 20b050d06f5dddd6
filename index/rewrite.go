package index

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/slab"
)

// newName is the journal while it is being written.
const newName = JournalName + ".new"

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// random64 gives 64 random bits.
func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// A snapshot is what the base of a new file is made from. Rows may be newer
// than seq when they are written: the frames behind them say the same again.
type snapshot struct {
	seq     uint64
	rows    int
	ident   identity
	uidNext imap.UID
	highest ModSeq
	first   []byte   // items before the rows
	lists   [][]byte // items behind them
}

// takeSnapshot is called with mu held.
func (ix *Index) takeSnapshot() snapshot {
	return snapshot{
		seq: ix.seq, rows: ix.Len(), ident: *ix.ident.Load(), uidNext: ix.UIDNext(), highest: ix.HighestModSeq(),
		first: ix.encodeScalars(), lists: ix.encodeLists(),
	}
}

// newFile writes a complete journal from memory and puts it in the place of
// the old one. needed: only if needFile still says so, and it may not fail.
// Batches go on meanwhile; only the last step holds mu across syncs.
func (ix *Index) newFile(needed bool) error {
	ix.rewriteMu.Lock()
	defer ix.rewriteMu.Unlock()
	ix.mu.Lock()
	if err := ix.writable(); err != nil {
		ix.mu.Unlock()
		return err
	}
	if needed && !ix.needFile {
		ix.mu.Unlock()
		return nil
	}
	snap := ix.takeSnapshot()
	ix.shadow, ix.shadowing = nil, true
	if ix.needFile { // the old file is not written to any more
		ix.definedNames, ix.definedSets = len(*ix.words.names.Load()), len(ix.words.ids)
	}
	ix.mu.Unlock()

	w, err := ix.writeBase(snap)

	ix.mu.Lock()
	defer ix.mu.Unlock()
	for err == nil && ix.syncing {
		ix.cond.Wait()
	}
	if err == nil {
		err = ix.writable()
	}
	if err == nil {
		err = ix.finish(w, snap)
	}
	ix.shadow, ix.shadowing = nil, false
	if err != nil {
		w.abandon(ix.opt.Dir)
		return fmt.Errorf("index: write new journal: %w", err)
	}
	return nil
}

// A fileWriter writes a new journal file.
type fileWriter struct {
	file   disk.File
	info   disk.Info
	hdr    header
	seed   uint32
	at     int64
	buf    []byte
	number uint32
	alloc  int64
}

func (w *fileWriter) abandon(dir disk.Dir) {
	if w != nil && w.file != nil {
		_ = w.file.Close()
		_ = dir.Unlink(newName)
	}
}

// writeBase writes all of a new file but its frames, and syncs it.
func (ix *Index) writeBase(snap snapshot) (*fileWriter, error) {
	dir := ix.opt.Dir
	if err := dir.Unlink(newName); err != nil && !notExist(err) {
		return nil, err
	}
	file, err := dir.OpenFile(newName, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	w := &fileWriter{file: file, at: baseStart}
	if w.info, err = file.Stat(); err != nil {
		return w, err
	}
	w.hdr = header{
		uidValidity: snap.ident.uidValidity, id: snap.ident.id, generation: snap.ident.generation,
		seed: random64(), inode: w.info.Ino, birth: birthOf(w.info),
		base: baseStart, firstSeq: snap.seq + 1, created: ix.opt.Now().UnixNano(),
		uidNext: snap.uidNext, highest: snap.highest,
	}
	w.seed = seedCRC(w.hdr.seed)
	if err := w.section(&snap, section{kind: sectionItems}, snap.first); err != nil {
		return w, err
	}
	if snap.rows > segmentRows {
		w.buf = append(slab.Make[byte](2 * flushSize)[:0], w.buf...)
	}
	for at := 0; at < snap.rows; at += segmentRows {
		seg, _ := ix.seg(Row(at))
		if err := w.rows(&snap, seg, min(segmentRows, snap.rows-at)); err != nil {
			return w, err
		}
	}
	for _, list := range snap.lists {
		if err := w.section(&snap, section{kind: sectionItems}, list); err != nil {
			return w, err
		}
	}
	return w, w.endBase(ix.opt.Fsync)
}

// flushSize is how much is written at once, at least.
const flushSize = 1 << 20

// section writes one section.
func (w *fileWriter) section(snap *snapshot, s section, payload []byte) error {
	w.next(snap, &s)
	w.buf = appendSection(w.buf, s, payload)
	return w.flushIfMuch()
}

// rows writes the section of the first n rows of seg, if one of them lives.
func (w *fileWriter) rows(snap *snapshot, seg *segment, n int) error {
	s := section{kind: sectionRows}
	at := len(w.buf)
	w.buf = append(w.buf, make([]byte, sectionHeader)...)
	w.buf, s.first, s.last, s.count = appendRows(w.buf, seg, n)
	if s.count == 0 {
		w.buf = w.buf[:at]
		return nil
	}
	w.next(snap, &s)
	w.buf = endSection(w.buf, at, &s)
	return w.flushIfMuch()
}

// next makes s the next section of the file.
func (w *fileWriter) next(snap *snapshot, s *section) {
	s.id, s.generation, s.seed = snap.ident.id, snap.ident.generation, w.hdr.seed
	s.validity, s.uidNext, s.highest = snap.ident.uidValidity, snap.uidNext, snap.highest
	s.number, s.firstSeq = w.number, w.hdr.firstSeq
	w.number++
}

func (w *fileWriter) flushIfMuch() error {
	if len(w.buf) < flushSize {
		return nil
	}
	return w.flush()
}

func (w *fileWriter) flush() error {
	_, err := w.file.WriteAt(w.buf, w.at)
	w.at += int64(len(w.buf))
	w.buf = w.buf[:0]
	return err
}

// endBase writes the headers and the zeroes, and syncs.
func (w *fileWriter) endBase(mode Fsync) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.buf = nil
	w.hdr.baseEnd = w.at
	front := make([]byte, baseStart)
	copy(front, w.hdr.encode())
	copy(front[headerCopy:], front[:headerSize])
	if _, err := w.file.WriteAt(front, 0); err != nil {
		return err
	}
	w.alloc = w.at + reserveSize + growMin
	if _, err := w.file.WriteAt(zeroes[:reserveSize+growMin], w.at); err != nil {
		return err
	}
	if mode == FsyncNever {
		return nil
	}
	return w.file.Sync()
}

// finish puts the batches since the snapshot behind the base and w in the
// place of the journal: mu must be held. Nothing is durable before it returns.
func (ix *Index) finish(w *fileWriter, snap snapshot) error {
	dir := ix.opt.Dir
	old, oldEnd, oldSeed, oldAlloc, oldHdr, oldInfo := ix.file, ix.end, ix.seed, ix.alloc, ix.hdr, ix.info
	oldSynced, oldNeed := ix.syncedOff, ix.needFile
	ix.file, ix.end, ix.seed, ix.alloc, ix.hdr, ix.info = w.file, w.at, w.seed, w.alloc, w.hdr, w.info
	ix.syncedOff, ix.grow = w.at, growMin
	restore := func(err error) error {
		ix.file, ix.end, ix.seed, ix.alloc, ix.hdr, ix.info = old, oldEnd, oldSeed, oldAlloc, oldHdr, oldInfo
		ix.syncedOff, ix.needFile = oldSynced, oldNeed
		return err
	}
	seq := snap.seq
	for _, b := range ix.shadow {
		b.frame.uidValidity, b.frame.synced = w.hdr.uidValidity, w.at
		ix.frames = appendFrames(ix.frames[:0], ix.seed, b.frame, seq+1, ix.end, b.payload)
		if err := ix.makeRoom(int64(len(ix.frames)), true); err != nil {
			return restore(err)
		}
		if _, err := ix.file.WriteAt(ix.frames, ix.end); err != nil {
			return restore(err)
		}
		ix.end += int64(len(ix.frames))
		seq += nFrames(len(b.payload))
	}
	sync := ix.opt.Fsync != FsyncNever
	if sync && len(ix.shadow) > 0 {
		if err := ix.file.Sync(); err != nil {
			return restore(err)
		}
	}
	if err := dir.Rename(newName, dir, JournalName); err != nil {
		return restore(err)
	}
	if sync {
		if err := dir.Sync(); err != nil {
			// Which file has the name after a crash is not known: neither is
			// to be trusted with more.
			ix.poison(err)
			w.file = nil
			if old != nil {
				_ = old.Close()
			}
			return err
		}
	}
	if old != nil {
		_ = old.Close()
	}
	ix.needFile, ix.blank = false, false
	ix.synced, ix.syncedOff = ix.seq, ix.end
	ix.cond.Broadcast()
	return nil
}
