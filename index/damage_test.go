package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
)

// A victim is a small journal with every kind of item, and what it says.
type victim struct {
	fsys    *disktest.Mem
	dir     disk.Dir
	o       Options
	bytes   []byte
	w       *world
	highest ModSeq
	end     int64
	pairs   map[imap.UID]map[string]bool // bases that a UID ever had
	ends    []int64                      // of frames
	quick   bool                         // try does not go on with what it opened
}

// newVictim makes one: part of it compacted, the rest frames.
func newVictim(t testing.TB, seed uint64, steps int) *victim {
	t.Helper()
	v := &victim{w: newWorld(), pairs: map[imap.UID]map[string]bool{}}
	v.fsys, v.dir = memRoot(t)
	v.o = testOptions(v.fsys, v.dir)
	ix, _, err := Open(v.o)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	for n := range steps {
		if n == steps/2 {
			mustWait(t, ix)
			if err := ix.Compact(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := v.w.step(t, ix, rng); err != nil {
			t.Fatal(err)
		}
		if n%3 == 0 {
			mustWait(t, ix)
		}
		if n >= steps/2 {
			v.ends = append(v.ends, ix.end)
		}
		v.remember(ix)
	}
	mustWait(t, ix)
	mustCheck(t, ix)
	v.highest, v.end = ix.HighestModSeq(), ix.end
	abandon(ix)
	v.bytes = journalBytes(t, v.dir)[:v.end+512]
	return v
}

func (v *victim) remember(ix *Index) {
	for r := range Row(ix.Len()) {
		uid := ix.UID(r)
		if v.pairs[uid] == nil {
			v.pairs[uid] = map[string]bool{}
		}
		v.pairs[uid][ix.Base(r)] = true
	}
}

// try opens b in place of the journal and checks that nothing wrong is said.
func (v *victim) try(t *testing.T, b []byte, what string) Recovery {
	t.Helper()
	setJournal(t, v.dir, b)
	raised := imap.UID(0)
	o := v.o
	o.Raise = func(next imap.UID, _ ModSeq) error { raised = next; return nil }
	ix, rec, err := Open(o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer abandon(ix)
	if st := ix.Stamps(); rec.Jumped != "" && (st.New.Mtime != 0 || st.Cur.Mtime != 0) {
		t.Fatalf("%s: a jump, and the directories are trusted: %+v", what, st)
	}
	if rec.NewUIDValidity {
		return rec
	}
	if ix.UIDValidity() != testValidity {
		t.Fatalf("%s: UIDVALIDITY %d", what, ix.UIDValidity())
	}
	for r := range Row(ix.Len()) {
		if !v.pairs[ix.UID(r)][ix.Base(r)] {
			t.Fatalf("%s: UID %d is %q", what, ix.UID(r), ix.Base(r))
		}
	}
	if ix.UIDNext() < v.w.next || ix.HighestModSeq() < v.highest {
		t.Fatalf("%s: UIDNEXT %d, was %d; HIGHESTMODSEQ %d, was %d; %+v", what, ix.UIDNext(), v.w.next, ix.HighestModSeq(), v.highest, rec)
	}
	if d := v.w.diff(ix, rec.Jumped != ""); d != "" {
		if rec.Jumped == "" {
			t.Fatalf("%s: %s, and no jump", what, d)
		}
		if ix.FlagFloor() <= v.highest || ix.ExpungeFloor() <= v.highest {
			t.Fatalf("%s: floors %d and %d after a jump, were %d", what, ix.FlagFloor(), ix.ExpungeFloor(), v.highest)
		}
	}
	if v.quick {
		return rec
	}
	next := ix.UIDNext()
	a := mustApply(t, ix, &Batch{Adds: []Add{{Base: "after.damage", Size: UnknownSize}}})
	if uid := ix.UID(a.First); uid != next {
		t.Fatalf("%s: UID %d, UIDNEXT was %d", what, uid, next)
	}
	if err := ix.Wait(a.Pos); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if raised < next {
		t.Fatalf("%s: told UID %d above the ceiling %d", what, next, raised)
	}
	if err := ix.Check(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return rec
}

// again makes a victim whose file is the same as before damage; a try may have
// replaced the file, so the header must be of the file that is there.
func (v *victim) again(t *testing.T) {
	t.Helper()
	f, err := v.dir.OpenFile(JournalName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	_ = f.Close()
	if err != nil {
		t.Fatal(err)
	}
	h, ok, err := parseHeader(v.bytes)
	if !ok || err != nil {
		t.Fatal(err)
	}
	h.inode, h.birth = info.Ino, birthOf(info)
	copy(v.bytes, h.encode())
	copy(v.bytes[headerCopy:], h.encode())
}

func TestUndamaged(t *testing.T) {
	v := newVictim(t, 1, 40)
	v.again(t)
	if rec := v.try(t, v.bytes, "as it is"); rec.Jumped != "" || rec.Torn != 0 || len(rec.Damaged) > 0 {
		t.Fatalf("%+v", rec)
	}
}

// A journal cut at every octet never fails to open; what is lost is jumped over.
func TestCutEverywhere(t *testing.T) {
	v := newVictim(t, 3, 40)
	for n := 0; n < len(v.bytes); n += disktest.Stride {
		if n > headerSize && n < headerCopy || n > headerCopy+headerSize && n < baseStart {
			continue
		}
		v.again(t)
		rec := v.try(t, v.bytes[:n], fmt.Sprintf("cut at %d of %d (end %d)", n, len(v.bytes), v.end))
		if n >= baseStart && rec.NewUIDValidity {
			t.Fatalf("cut at %d: UIDVALIDITY is lost", n)
		}
	}
}

// Every bit of a small journal flipped, one at a time.
func TestFlipEveryBit(t *testing.T) {
	v := newVictim(t, 5, 24)
	for i := 0; i < len(v.bytes); i += disktest.Stride {
		if i > headerSize && i < headerCopy || i > headerCopy+headerSize && i < baseStart {
			continue // never looked at
		}
		for bit := range 8 {
			v.again(t)
			b := bytes.Clone(v.bytes)
			b[i] ^= 1 << bit
			v.quick = bit != i%8
			rec := v.try(t, b, fmt.Sprintf("bit %d of octet %d flipped (end %d)", bit, i, v.end))
			if rec.NewUIDValidity {
				t.Fatalf("octet %d bit %d: UIDVALIDITY is lost", i, bit)
			}
		}
	}
}

// Blocks of a journal zeroed, exchanged and overwritten.
func TestBlocksDamaged(t *testing.T) {
	v := newVictim(t, 7, 200)
	rng := rand.New(rand.NewPCG(7, 7))
	for n := range 3000 / disktest.Stride {
		v.again(t)
		b := bytes.Clone(v.bytes)
		size := 1 << (3 + rng.IntN(8))
		from, to := rng.IntN(len(b)-size), rng.IntN(len(b)-size)
		switch n % 3 {
		case 0:
			clear(b[from : from+size])
			if len(bytes.TrimRight(b[from:], "\x00")) == 0 {
				continue // where a frame begins, that is a journal in which it was never written
			}
		case 1:
			copy(b[from:from+size], v.bytes[to:to+size])
			copy(b[to:to+size], v.bytes[from:from+size])
		case 2:
			for i := range size {
				b[from+i] = byte(rng.Uint32())
			}
		}
		if rec := v.try(t, b, fmt.Sprintf("round %d: %d octets at %d", n, size, from)); rec.NewUIDValidity {
			t.Fatalf("round %d: UIDVALIDITY is lost: %d octets at %d, %d", n, size, from, to)
		}
	}
}

// Both headers gone: the segments still know the UIDVALIDITY, UIDs and frames.
func TestHeadersLost(t *testing.T) {
	v := newVictim(t, 9, 60)
	v.again(t)
	b := bytes.Clone(v.bytes)
	clear(b[:baseStart])
	setJournal(t, v.dir, b)
	ix, rec := mustOpen(t, v.o)
	if rec.NewUIDValidity || rec.Jumped == "" || ix.ID() != (MailboxID{1, 2, 3}) {
		t.Fatalf("%+v", rec)
	}
	if d := v.w.diff(ix, true); d != "" {
		t.Fatal(d)
	}
}

// Frames of an older life of the file, which still lie behind the end, do not
// count, though their numbers and places fit.
func TestOlderFrames(t *testing.T) {
	v := newVictim(t, 11, 40)
	v.again(t)
	h, _, _ := parseHeader(v.bytes)
	other := appendFrames(nil, seedCRC(h.seed+1), frame{uidValidity: testValidity, uidNext: 999999, synced: v.end}, 1e6, v.end, []byte{0})
	b := append(bytes.Clone(v.bytes[:v.end]), other...)
	b = append(b, make([]byte, 512)...)
	rec := v.try(t, b, "frame of another file")
	if rec.Torn == 0 || len(rec.Damaged) > 0 {
		t.Fatalf("%+v", rec)
	}

	// The same file: a frame with a lower number behind damage.
	v.again(t)
	stale := appendFrames(nil, seedCRC(h.seed), frame{uidValidity: testValidity, uidNext: 1, synced: v.end + 64}, h.firstSeq, v.end+64, jumpItems(5, 1<<62))
	b = append(bytes.Clone(v.bytes[:v.end]), bytes.Repeat([]byte{0xff}, 64)...)
	b = append(append(b, stale...), make([]byte, 512)...)
	v.try(t, b, "stale frame")
	setJournal(t, v.dir, b)
	v.again(t)
	ix, _ := mustOpen(t, v.o)
	if ix.HighestModSeq() >= 1<<62 {
		t.Fatal("a stale frame counted")
	}
}

// A damaged frame that was synced costs that frame only: what is behind counts.
func TestSyncedFrameDamaged(t *testing.T) {
	m, dir := memRoot(t)
	o := testOptions(m, dir)
	ix, _ := mustOpen(t, o)
	mustApply(t, ix, &Batch{Adds: adds(0, 2)})
	mustWait(t, ix)
	at := ix.end
	mustApply(t, ix, &Batch{Flags: []FlagChange{{Row: 0, Flags: Flagged}}})
	mustWait(t, ix)
	mustApply(t, ix, &Batch{Adds: adds(2, 1)})
	mustWait(t, ix)
	next := ix.UIDNext()
	abandon(ix)
	b := journalBytes(t, dir)
	b[at+frameHeader+3] ^= 1
	setJournal(t, dir, b)
	ix, rec := mustOpen(t, o)
	if ix.Live() != 3 || ix.Base(2) != adds(2, 1)[0].Base || ix.Flags(0) != Seen {
		t.Fatalf("%d messages", ix.Live())
	}
	if len(rec.Damaged) != 1 || rec.Damaged[0].From != at || ix.UIDNext() != next+1<<16 || rec.Jumped == "" {
		t.Fatalf("%+v", rec)
	}
	mustWait(t, ix)
}

// What makes an index jump, one by one.
func TestJumps(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, m *disktest.Mem, dir disk.Dir, o *Options)
		big    bool
		none   bool
	}{
		"nothing": {func(*testing.T, *disktest.Mem, disk.Dir, *Options) {}, false, true},
		"removed": {func(t *testing.T, _ *disktest.Mem, dir disk.Dir, o *Options) {
			o.Known = Known{UIDValidity: testValidity, ID: MailboxID{1, 2, 3}, UIDNext: 1001, ModSeq: 1 << 51}
			if err := dir.Unlink(JournalName); err != nil {
				t.Fatal(err)
			}
		}, true, false},
		"copied": {func(t *testing.T, _ *disktest.Mem, dir disk.Dir, _ *Options) {
			b := journalBytes(t, dir)
			if err := dir.Rename(JournalName, dir, "old"); err != nil {
				t.Fatal(err)
			}
			f, err := dir.OpenFile(JournalName, os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			setJournal(t, dir, b)
		}, true, false},
		"UIDs below the ceiling": {func(_ *testing.T, _ *disktest.Mem, _ disk.Dir, o *Options) {
			o.Known = Known{UIDValidity: testValidity, UIDNext: 4 + CeilingUIDs + 1}
		}, true, false},
		"UIDs at the ceiling": {func(_ *testing.T, _ *disktest.Mem, _ disk.Dir, o *Options) {
			o.Known = Known{UIDValidity: testValidity, UIDNext: 4 + CeilingUIDs}
		}, false, true},
		"mod-sequences below the ceiling": {func(_ *testing.T, _ *disktest.Mem, _ disk.Dir, o *Options) {
			o.Known = Known{UIDValidity: testValidity, ModSeq: 1 << 52}
		}, true, false},
		"ceilings of another UIDVALIDITY": {func(_ *testing.T, _ *disktest.Mem, _ disk.Dir, o *Options) {
			o.Known = Known{UIDValidity: testValidity + 1, UIDNext: 99999, ModSeq: 1 << 52}
		}, false, true},
		"clock behind": {func(_ *testing.T, m *disktest.Mem, _ disk.Dir, _ *Options) { m.Turn(-time.Hour) }, true, false},
		"stale":        {func(_ *testing.T, m *disktest.Mem, _ disk.Dir, _ *Options) { m.Turn(11 * time.Minute) }, true, false},
		"not so stale": {func(_ *testing.T, m *disktest.Mem, _ disk.Dir, _ *Options) { m.Turn(9 * time.Minute) }, false, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, dir := memRoot(t)
			o := testOptions(m, dir)
			ix, _ := mustOpen(t, o)
			mustApply(t, ix, &Batch{Adds: adds(0, 3)})
			mustWait(t, ix)
			next, highest := ix.UIDNext(), ix.HighestModSeq()
			abandon(ix)
			tt.change(t, m, dir, &o)
			ix, rec := mustOpen(t, o)
			if tt.none != (rec.Jumped == "") {
				t.Fatalf("%+v", rec)
			}
			if tt.big && (ix.UIDNext() < next+1<<16 || ix.HighestModSeq() < highest+1<<32 || ix.UIDNext() < o.Known.UIDNext ||
				ix.HighestModSeq() < o.Known.ModSeq || ix.FlagFloor() != ix.HighestModSeq() || ix.ExpungeFloor() != ix.HighestModSeq()) {
				t.Fatalf("UIDNEXT %d from %d, HIGHESTMODSEQ %d from %d", ix.UIDNext(), next, ix.HighestModSeq(), highest)
			}
			if ix.UIDValidity() != testValidity || ix.HighestModSeq() >= 1<<53 {
				t.Fatal("wrong UIDVALIDITY or mod-sequence")
			}
			// It is durable, and happens once.
			mustWait(t, ix)
			next, highest = ix.UIDNext(), ix.HighestModSeq()
			mustClose(t, ix)
			m.Turn(0)
			o.Known = Known{}
			if tt.none {
				return
			}
			ix, rec = mustOpen(t, o)
			if ix.UIDNext() < next || ix.HighestModSeq() < highest || !rec.Clean {
				t.Fatalf("%+v: UIDNEXT %d from %d, HIGHESTMODSEQ %d from %d", rec, ix.UIDNext(), next, ix.HighestModSeq(), highest)
			}
		})
	}
}

// A clean close stays clean however long it is ago.
func TestCleanIsNeverStale(t *testing.T) {
	m, dir := memRoot(t)
	ix, _ := mustOpen(t, testOptions(m, dir))
	mustApply(t, ix, &Batch{Adds: adds(0, 3)})
	mustClose(t, ix)
	before := journalBytes(t, dir)
	m.Turn(365 * 24 * time.Hour)
	ix, rec := mustOpen(t, testOptions(m, dir))
	if !rec.Clean || rec.Jumped != "" {
		t.Fatalf("%+v", rec)
	}
	mustClose(t, ix)
	if !bytes.Equal(before, journalBytes(t, dir)) {
		t.Fatal("a look at the index changed it")
	}
}

func TestNewerVersion(t *testing.T) {
	v := newVictim(t, 13, 10)
	b := bytes.Clone(v.bytes)
	for _, at := range []int{0, headerCopy} {
		b[at+8] = 2
		crc := headerCRC(b[at:])
		b[at+12], b[at+13], b[at+14], b[at+15] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	}
	setJournal(t, v.dir, b)
	if _, _, err := Open(v.o); err == nil || !bytes.Equal(b, journalBytes(t, v.dir)) {
		t.Fatalf("a newer version was opened or changed: %v", err)
	}
}

// What is left of a frame that was cut off may be octets that are zero: its
// length may be a multiple of 256.
func TestCutBehindZeroOctet(t *testing.T) {
	for extra := range frameHeader {
		v := newVictim(t, 9, 10)
		v.again(t)
		cut := append(v.bytes[:v.end:v.end], make([]byte, extra)...)
		if rec := v.try(t, cut, fmt.Sprintf("%d zeroes behind the last frame", extra)); rec.Jumped == "" {
			t.Fatalf("%d zeroes: no jump: %+v", extra, rec)
		}
	}
}
