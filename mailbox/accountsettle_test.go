package mailbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"roost/disk/disktest"
	"roost/index"
)

func appendBox(t *testing.T, af *accountFile, n byte) {
	t.Helper()
	r := mailboxRecord{ID: index.MailboxID{1, n}, Dir: fmt.Sprint(n), UIDValidity: 7}
	if err := af.append(func(*accountState) ([]byte, error) { return encodeMailbox(&r), nil }); err != nil {
		t.Fatal(err)
	}
}

// What append wrote is in the state at once, and on the disk after settle, also
// if another process wrote it and was killed.
func TestAccountSettle(t *testing.T) {
	for _, killed := range []bool{false, true} {
		mem := disktest.NewMem()
		dir := testDir(t, mem)
		af := openTestAccountFile(t, dir)
		for n := range byte(5) {
			appendBox(t, af, n)
		}
		if killed {
			af = openTestAccountFile(t, dir)
		}
		if len(af.state.byID) != 5 {
			t.Fatalf("%d records in the state", len(af.state.byID))
		}
		if err := af.settle(); err != nil {
			t.Fatal(err)
		}
		mem.Crash(rand.New(rand.NewPCG(1, 1)), disktest.Nothing)
		if after := openTestAccountFile(t, testDir(t, mem)); len(after.state.byID) != 5 {
			t.Errorf("killed %v: %d records after the loss of power", killed, len(after.state.byID))
		}
	}
}

// Many who settle at once share syncs, and none returns before its record is
// durable, whatever rewrites and failures come between.
func TestAccountSettleTogether(t *testing.T) {
	mem := disktest.NewMem()
	rec := disktest.Wrap(mem)
	dir := testDir(t, rec)
	af := openTestAccountFile(t, dir)
	appendBox(t, af, 0)
	rec.Fail(disktest.Rule{Op: disktest.Sync, Nth: 1, Err: syscall.EIO})
	if err := af.settle(); !errors.Is(err, syscall.EIO) || !af.broken {
		t.Fatalf("broken %v, %v", af.broken, err)
	}
	rec.Clear()
	var wg sync.WaitGroup
	for n := range byte(8) {
		wg.Go(func() {
			for i := range byte(20) {
				appendBox(t, af, n*20+i)
				if i%7 == 3 {
					af.wmu.Lock()
					if err := af.rewrite(); err != nil {
						t.Error(err)
					}
					af.wmu.Unlock()
				}
				if err := af.settle(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mem.Crash(rand.New(rand.NewPCG(1, 1)), disktest.Nothing)
	if after := openTestAccountFile(t, testDir(t, mem)); len(after.state.byID) != 160 {
		t.Errorf("%d records", len(after.state.byID))
	}
}
