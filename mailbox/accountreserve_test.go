package mailbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"roost/disk/disktest"
	"roost/index"
)

// On a full disk, records that help to empty it are written for long, others
// not at all; what was written is there after a crash, and the file works again
// once there is space, without being written anew.
func TestAccountReserve(t *testing.T) {
	mem := disktest.NewMem()
	dir := testDir(t, mem)
	af := openTestAccountFile(t, dir)
	box := func(n int, next uint32) []byte {
		return encodeMailbox(&mailboxRecord{ID: testID(n), Dir: fmt.Sprintf(".box%d", n), UIDValidity: 1, UIDNext: next, ModSeq: 1 << 50})
	}
	for n := range 30 {
		if err := af.update(always(box(n, 1))); err != nil {
			t.Fatal(err)
		}
	}
	mem.SetCapacity(0)
	// What is left before the reserve is for everybody.
	n := 0
	var err error
	for ; err == nil && n < 1000; n++ {
		err = af.update(always(encodeTombstone(fmt.Sprint("x", n), 7)))
	}
	if !errors.Is(err, ErrOverQuota) || af.broken {
		t.Fatalf("after %d records: %v, broken %v", n, err, af.broken)
	}
	written := 0
	for ; written < 1000; written++ {
		if err = af.updateAlways(always(box(written%30, uint32(2+written)))); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrOverQuota) || af.broken || written < 200 {
		t.Fatalf("the reserve took %d records: %v, broken %v", written, err, af.broken)
	}
	want := af.describe()
	mem.Crash(rand.New(rand.NewPCG(1, 1)), disktest.Survival(0))
	dir = testDir(t, mem)
	af = openTestAccountFile(t, dir)
	if got := af.describe(); got != want || af.broken {
		t.Fatalf("after a crash, broken %v:\n%swant\n%s", af.broken, got, want)
	}
	mem.SetCapacity(1 << 40)
	before, err := dir.Lstat(accountFileName)
	if err != nil {
		t.Fatal(err)
	}
	if err := af.update(always(encodeHighWater(9, 0))); err != nil {
		t.Fatal(err)
	}
	after, err := dir.Lstat(accountFileName)
	if err != nil {
		t.Fatal(err)
	}
	if after.Identity != before.Identity || af.alloc-af.end < accountReserve || after.Size != af.alloc {
		t.Fatalf("there is space: %d octets, %d before, %d allocated, end %d", after.Size, before.Size, af.alloc, af.end)
	}
}

// A write torn on a full disk costs no reserve.
func TestAccountReserveSurvivesTornWrite(t *testing.T) {
	data, states, ends := accountFileImage(t, 5)
	last := ends[len(ends)-1]
	data = append(data, make([]byte, accountReserve)...)
	copy(data[last:], "torn")
	dir := writeAccountFile(t, data)
	for range 2 {
		af := openTestAccountFile(t, dir)
		if got := af.describe(); got != states[len(states)-1] || af.broken || af.alloc != int64(len(data)) {
			t.Fatalf("broken %v, %d of %d octets:\n%s", af.broken, af.alloc, len(data), got)
		}
		tail := make([]byte, af.alloc-af.end)
		if _, err := af.file.ReadAt(tail, af.end); err != nil || tornSize(tail) != 0 {
			t.Fatalf("%v: %q", err, tail[:8])
		}
		af.close()
	}
}

// A full disk can be emptied for as long as that takes: past the ceilings that
// roost.account has, and by DELETE and RENAME.
func TestAccountFullDisk(t *testing.T) {
	mem, st := memStore(t, nil)
	a := openTestAccount(t, st)
	mustCreate(t, a, "A", "B", "C", "D")
	mb, err := a.Mailbox(t.Context(), "A")
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	mem.SetCapacity(0)
	ix := mb.index()
	for n := range 50 {
		// As a million changes each that free space.
		modSeq := ix.HighestModSeq() + index.ModSeq(n+1)*index.CeilingModSeqs
		if err := mb.o.Slot.raise(ix.ID(), ix.UIDNext(), modSeq); err != nil {
			t.Fatalf("ceiling %d: %v", n, err)
		}
	}
	if err := a.Rename(t.Context(), "B", "E"); err != nil {
		t.Errorf("RENAME: %v", err)
	}
	for _, name := range []string{"E", "C"} {
		if err := a.Delete(t.Context(), name); err != nil {
			t.Errorf("DELETE %s: %v", name, err)
		}
	}
	if got, want := listText(t, a), "INBOX A D"; got != want {
		t.Errorf("left are %q, want %q", got, want)
	}
	mem.SetCapacity(1 << 40)
	mustCreate(t, a, "F")
}
