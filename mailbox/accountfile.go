package mailbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"roost/disk"
)

// roost.account, little-endian, version 1:
//
//	off   size field
//	   0    12 magic "roost.accnt\n"
//	  12     2 major version; another one is refused
//	  14     2 minor version; newer ones add kinds and fields
//	  16     8 seed, random
//	  24     4 CRC-32C of the 24 octets before
//	4096    28 the same once more
//	4160       frames
//
//	frame: 4 length of the payload, 1 to 16 MiB
//	       8 sequence number, from 1, each one more
//	       n payload: records (accountstate.go)
//	       4 CRC-32C of seed, offset of the frame in the file, length,
//	         sequence number and payload
//
// The seed and the offset in the CRC keep stale frames, and bytes that an
// outsider chose (names), from passing for a frame. Zeroes follow the last one
// (accountreserve.go). A frame that does not hold at the end is a torn write
// and becomes zeroes. One that does not hold with good frames behind it is
// damage: what is readable counts, and the file is written anew.
const (
	accountFileName   = "roost.account"
	accountMagic      = "roost.accnt\n"
	accountMajor      = 1
	accountMinor      = 0
	accountHeaderSize = 28
	accountHeader2    = 4096
	accountFrames     = 4160
	accountFrameMax   = 16 << 20
	accountFileMax    = 256 << 20 // a larger file is not read
	accountFrameExtra = 16
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errAccountVersion is a roost.account of a newer roost: it must not be
// written over.
var errAccountVersion = errors.New("mailbox: roost.account is of a newer version")

// An accountFile is the open roost.account of one account.
type accountFile struct {
	dir disk.Dir // not owned
	log *slog.Logger

	smu sync.Mutex // held by settle; taken before wmu

	wmu    sync.Mutex // serialises writers, held across their writes and syncs; taken before mu
	file   disk.File  // nil before the first write
	seed   uint64
	seq    uint64 // of the last frame
	end    int64  // where the next frame goes
	alloc  int64  // size of the file: zeroes from end on
	base   int64  // size after the last compaction
	broken bool   // what is on the disk is not known: write everything anew first
	synced uint64 // the last frame that is durable

	mu    sync.Mutex // guards state
	state *accountState
}

// openAccountFile reads roost.account in dir. A missing file is an empty
// state; nothing is written before the first update.
func openAccountFile(dir disk.Dir, log *slog.Logger) (*accountFile, error) {
	af := &accountFile{dir: dir, log: log, state: newAccountState(), broken: true}
	file, err := dir.OpenFile(accountFileName, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return af, nil
	}
	readOnly := errors.Is(err, syscall.EROFS)
	if readOnly {
		file, err = dir.Open(accountFileName)
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox: open %s: %w", accountFileName, err)
	}
	if err := af.load(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("mailbox: read %s: %w", accountFileName, err)
	}
	af.broken = af.broken || readOnly // an update finds out whether that is still so
	if af.broken {
		af.synced = af.seq // what cannot be written need not be settled before it is told
	} // else 0: a process that was killed may not have come to its sync
	return af, nil
}

// load takes file over, but for an error.
func (af *accountFile) load(file disk.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	root, err := af.dir.Stat()
	if err != nil {
		return err
	}
	if info.Nlink != 1 || info.UID != root.UID && info.UID != uint32(os.Geteuid()) {
		return fmt.Errorf("uid %d, %d links: %w", info.UID, info.Nlink, ErrOwner)
	}
	if info.Size > accountFileMax {
		return fmt.Errorf("%d octets: %w", info.Size, ErrLimit)
	}
	data := make([]byte, info.Size)
	if n, err := file.ReadAt(data, 0); n < len(data) {
		return fmt.Errorf("octet %d: %w", n, err)
	}
	seed, ok, err := parseAccountHeader(data)
	if err != nil {
		return err
	}
	if !ok {
		// Nothing in it can be trusted. The indexes have ids and UIDVALIDITYs of their own.
		af.log.Error("roost.account is not readable, starting a new one", "dir", af.dir.Path(), "size", info.Size)
		return af.setAside(file)
	}
	res := parseAccountFrames(data, seed, af.state)
	af.seed, af.seq, af.end, af.base = seed, res.seq, res.end, res.end
	af.alloc = max(info.Size, res.end)
	af.file, af.broken = file, false
	if res.damaged > 0 {
		af.log.Error("roost.account is damaged, keeping what is readable", "dir", af.dir.Path(), "places", res.damaged)
		af.broken = true
		return nil
	}
	if rest := data[min(res.end, info.Size):]; tornSize(rest) > 0 {
		af.log.Warn("roost.account: cut a torn write", "dir", af.dir.Path(), "octets", tornSize(rest))
		if err := af.clearTorn(file, rest); err != nil {
			af.broken = true
		}
	}
	return nil
}

// setAside keeps an unreadable file under another name, for whoever wants to
// look into it; the next update writes a new one.
func (af *accountFile) setAside(file disk.File) error {
	err := af.dir.Rename(accountFileName, af.dir, accountFileName+".damaged")
	if err != nil {
		return err
	}
	return file.Close()
}

// parseAccountHeader gives the seed from either copy of the header. An error
// means that the file is good and not for us.
func parseAccountHeader(data []byte) (seed uint64, ok bool, err error) {
	for _, off := range []int{0, accountHeader2} {
		if len(data) < off+accountHeaderSize {
			continue
		}
		h := data[off : off+accountHeaderSize]
		if string(h[:12]) != accountMagic || crc32.Checksum(h[:24], crcTable) != binary.LittleEndian.Uint32(h[24:]) {
			continue
		}
		if v := binary.LittleEndian.Uint16(h[12:]); v != accountMajor {
			return 0, false, fmt.Errorf("version %d: %w", v, errAccountVersion)
		}
		return binary.LittleEndian.Uint64(h[16:]), true, nil
	}
	return 0, false, nil
}

type accountFrameResult struct {
	seq     uint64
	end     int64 // behind the last good frame
	damaged int   // places that do not hold with a good frame behind
}

// parseAccountFrames applies every good frame of data to state. After damage it
// looks for the next frame with a higher sequence number, octet by octet; it
// takes the CRC only where length and number are plausible, so that the work
// stays bounded: a number counts if it is within 2^20 of the last.
func parseAccountFrames(data []byte, seed uint64, state *accountState) accountFrameResult {
	res := accountFrameResult{end: accountFrames}
	budget := int64(4*len(data)) + 1<<20 // octets of CRC spent on guesses
	bad := false
	for off := int64(accountFrames); off+accountFrameExtra <= int64(len(data)); {
		payload, seq, ok := accountFrameAt(data, off, seed, &res, bad, &budget)
		if !ok {
			if budget < 0 {
				res.damaged++
				return res
			}
			bad = true
			off++
			continue
		}
		if bad || seq != res.seq+1 {
			res.damaged++
			bad = false
		}
		if state.apply(payload) != nil {
			res.damaged++
		}
		res.seq = seq
		off += accountFrameExtra + int64(len(payload))
		res.end = off
	}
	return res
}

func accountFrameAt(data []byte, off int64, seed uint64, res *accountFrameResult, guess bool, budget *int64) (payload []byte, seq uint64, ok bool) {
	n := int64(binary.LittleEndian.Uint32(data[off:]))
	seq = binary.LittleEndian.Uint64(data[off+4:])
	if n == 0 || n > accountFrameMax || n > int64(len(data))-off-accountFrameExtra {
		return nil, 0, false
	}
	if seq <= res.seq || seq-res.seq > 1<<20 {
		return nil, 0, false
	}
	if guess {
		*budget -= n
		if *budget < 0 {
			return nil, 0, false
		}
	}
	end := off + 12 + n
	if accountCRC(seed, off, data[off:end]) != binary.LittleEndian.Uint32(data[end:]) {
		return nil, 0, false
	}
	return data[off+12 : end], seq, true
}

func accountCRC(seed uint64, off int64, b []byte) uint32 {
	var pre [16]byte
	binary.LittleEndian.PutUint64(pre[:], seed)
	binary.LittleEndian.PutUint64(pre[8:], uint64(off))
	return crc32.Update(crc32.Checksum(pre[:], crcTable), crcTable, b)
}

func appendAccountFrame(dst []byte, seed uint64, off int64, seq uint64, payload []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint64(dst, seq)
	dst = append(dst, payload...)
	return binary.LittleEndian.AppendUint32(dst, accountCRC(seed, off, dst[start:]))
}

// view calls fn with the state, which it must not keep or change.
func (af *accountFile) view(fn func(*accountState)) {
	af.mu.Lock()
	defer af.mu.Unlock()
	fn(af.state)
}

// update writes the records that fn makes of the state. On return they are
// durable and in the state; after an error they are in neither, and unless only
// space was missing, the file is written anew at the next update. fn may return
// nil to do nothing; it must not change the state.
func (af *accountFile) update(fn func(*accountState) ([]byte, error)) error {
	return af.write(fn, false, true)
}

// append is update for records that are durable only after settle or an update
// that comes later. In the state they are at once, and stay there.
func (af *accountFile) append(fn func(*accountState) ([]byte, error)) error {
	return af.write(fn, false, false)
}

// write is update; reserved: the records may use the reserve; durable: they are,
// on return.
func (af *accountFile) write(fn func(*accountState) ([]byte, error), reserved, durable bool) error {
	af.wmu.Lock()
	defer af.wmu.Unlock()
	af.mu.Lock()
	payload, err := fn(af.state)
	af.mu.Unlock()
	if err != nil || len(payload) == 0 {
		return err
	}
	if len(payload) > accountFrameMax {
		return fmt.Errorf("mailbox: write %s: %w", accountFileName, ErrLimit)
	}
	if af.broken || af.end-af.base > max(256<<10, af.base) {
		// A file that is only long can wait for space.
		if err := af.rewrite(); err != nil && (af.broken || !diskFull(err)) {
			return fmt.Errorf("mailbox: write %s: %w", accountFileName, diskErr(err))
		}
	}
	frame := appendAccountFrame(nil, af.seed, af.end, af.seq+1, payload)
	if err := af.makeRoom(int64(len(frame)), reserved); err != nil {
		return fmt.Errorf("mailbox: extend %s: %w", accountFileName, diskErr(err))
	}
	if _, err = af.file.WriteAt(frame, af.end); err == nil && durable {
		err = af.file.Sync()
	}
	if err != nil {
		af.broken = true
		return fmt.Errorf("mailbox: write %s: %w", accountFileName, diskErr(err))
	}
	af.end += int64(len(frame))
	af.seq++
	if durable {
		af.synced = af.seq // and all before
	}
	af.mu.Lock()
	defer af.mu.Unlock()
	return af.state.apply(payload)
}

// settle makes what append wrote before it durable. Those who wait for each
// other here share one sync, and others may append meanwhile: mailboxes that are
// loaded together cost one.
func (af *accountFile) settle() error {
	af.smu.Lock()
	defer af.smu.Unlock()
	af.wmu.Lock()
	if af.broken && af.synced < af.seq {
		defer af.wmu.Unlock()
		return af.settled(af.rewrite())
	}
	file, seq, done := af.file, af.seq, af.synced >= af.seq
	af.wmu.Unlock()
	if done {
		return nil
	}
	err := file.Sync()
	af.wmu.Lock()
	defer af.wmu.Unlock()
	switch {
	case file == af.file && err == nil:
		af.synced = max(af.synced, seq)
	case file == af.file:
		af.broken = true
	case af.broken: // it was being written anew, and that failed
		err = af.rewrite()
	default: // it was, and all of it is durable
		err = nil
	}
	return af.settled(err)
}

func (af *accountFile) settled(err error) error {
	if err != nil {
		return fmt.Errorf("mailbox: write %s: %w", accountFileName, diskErr(err))
	}
	return nil
}

// rewrite replaces the file by a new one with the whole state. wmu is held, so
// nobody changes the state meanwhile.
func (af *accountFile) rewrite() error {
	var rnd [16]byte
	rand.Read(rnd[:])
	seed := binary.LittleEndian.Uint64(rnd[:])
	af.mu.Lock()
	payloads := af.state.all(1 << 20)
	af.mu.Unlock()

	data := make([]byte, accountFrames)
	copy(data, encodeAccountHeader(seed))
	copy(data[accountHeader2:], encodeAccountHeader(seed))
	seq := uint64(0)
	for _, p := range payloads {
		seq++
		data = appendAccountFrame(data, seed, int64(len(data)), seq, p)
	}
	tmp := accountFileName + ".tmp." + hex.EncodeToString(rnd[8:])
	file, err := af.dir.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, 0)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = af.dir.Rename(tmp, af.dir, accountFileName)
	}
	if err != nil {
		file.Close()
		af.dir.Unlink(tmp)
		return err
	}
	if af.file != nil {
		af.file.Close()
	}
	// From here on the new file is the one that is linked, and broken stays
	// true until its name is durable.
	af.file, af.seed, af.seq = file, seed, seq
	af.end, af.base, af.alloc = int64(len(data)), int64(len(data)), int64(len(data))
	af.broken = true
	if err := af.dir.Sync(); err != nil {
		return err
	}
	af.broken, af.synced = false, seq
	return nil
}

func encodeAccountHeader(seed uint64) []byte {
	h := make([]byte, accountHeaderSize)
	copy(h, accountMagic)
	binary.LittleEndian.PutUint16(h[12:], accountMajor)
	binary.LittleEndian.PutUint16(h[14:], accountMinor)
	binary.LittleEndian.PutUint64(h[16:], seed)
	binary.LittleEndian.PutUint32(h[24:], crc32.Checksum(h[:24], crcTable))
	return h
}

// close closes the file; nothing is pending in it.
func (af *accountFile) close() error {
	af.wmu.Lock()
	defer af.wmu.Unlock()
	if af.file == nil {
		return nil
	}
	err := af.file.Close()
	af.file, af.broken = nil, true
	return err
}
