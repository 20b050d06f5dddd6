package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"roost/disk"
	"roost/disk/disktest"
	"roost/maildir"
)

// crashBox is a mailbox in memory, opened again and again.
type crashBox struct {
	path string
	slot *testSlot
	mb   *Mailbox
}

func (c *crashBox) open(fsys disk.FS) error {
	root, err := fsys.OpenRoot(c.path)
	if err != nil {
		return err
	}
	at, err := fsys.OpenRoot(c.path)
	if err != nil {
		return err
	}
	dir, err := maildir.Open(fsys, root, maildir.Colon)
	if err != nil {
		return err
	}
	c.mb, err = openMailbox(context.Background(), mailboxOptions{FS: fsys, Dir: dir, IndexDir: at, Slot: c.slot})
	return err
}

// memDeliver puts a durable message into cur/.
func memDeliver(t testing.TB, fsys disk.FS, path, name string) {
	t.Helper()
	root, err := fsys.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	cur, err := root.OpenDir("cur")
	if err != nil {
		t.Fatal(err)
	}
	defer cur.Close()
	f, err := cur.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	base, _, _ := strings.Cut(name, ":")
	if _, err := io.WriteString(f, testBody(base)); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{f.Sync(), f.Close(), cur.Sync()} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// bodies lists the messages of a mailbox: body by UID.
func bodies(t testing.TB, mb *Mailbox) map[uint32]string {
	t.Helper()
	v, err := mb.Open(context.Background(), true, &Barrier{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	out := map[uint32]string{}
	for n := SeqNum(1); int(n) <= v.Len(); n++ {
		c := v.Content(n)
		r, size, err := c.Reader()
		if errors.Is(err, ErrUnavailable) {
			// The record of an addition survived and its name did not: nobody was
			// told, and two scans will expunge it.
			c.Close()
			continue
		}
		if err != nil {
			t.Fatalf("UID %d of %d: %v", v.UID(n), v.Len(), err)
		}
		b, err := io.ReadAll(io.NewSectionReader(r, 0, size))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		out[uint32(v.UID(n))] = string(b)
	}
	return out
}

func countBody(m map[uint32]string, body string) (n int) {
	for _, b := range m {
		if b == body {
			n++
		}
	}
	return n
}

// A crashTest is a command and what must be true after a crash in it.
type crashTest struct {
	name  string
	run   func(a, b *View) error
	check func(acked bool, a, b map[uint32]string, flags string) error
}

const crashMessages = 4

func crashBody(i int) string { return testBody(fmt.Sprintf("%d.m", i)) }

// wantCounts says how often a body may be in a and in b.
func wantCount(what string, n int, allowed ...int) error {
	if !slices.Contains(allowed, n) {
		return fmt.Errorf("%s: %d times, allowed %v", what, n, allowed)
	}
	return nil
}

var crashTests = []crashTest{
	{
		name: "append",
		run: func(a, b *View) error {
			_, err := appendTo(a.mb, AppendMeta{Flags: Seen}, a.b, "x: y\r\n\r\n")
			return err
		},
		check: func(acked bool, a, b map[uint32]string, _ string) error {
			n := countBody(a, "x: y\n\n")
			if acked {
				return wantCount("appended", n, 1)
			}
			return wantCount("appended", n, 0, 1)
		},
	},
	{
		name: "multiappend",
		run: func(a, b *View) error {
			_, err := appendTo(a.mb, AppendMeta{}, a.b, "x: 1\r\n\r\n", "x: 2\r\n\r\n", "x: 3\r\n\r\n")
			return err
		},
		check: func(acked bool, a, b map[uint32]string, _ string) error {
			n := 0
			for i := range 3 {
				n += countBody(a, fmt.Sprintf("x: %d\n\n", i+1))
			}
			if acked {
				return wantCount("appended", n, 3)
			}
			return wantCount("appended", n, 0, 3)
		},
	},
	{
		name: "copy",
		run: func(a, b *View) error {
			_, err := a.Copy(context.Background(), Seqs{{1, 3}}, b.mb)
			return err
		},
		check: func(acked bool, a, b map[uint32]string, _ string) error {
			if len(a) != crashMessages {
				return fmt.Errorf("source has %d messages", len(a))
			}
			if acked {
				return wantCount("copies", len(b), 3)
			}
			return wantCount("copies", len(b), 0, 3)
		},
	},
	{
		name: "move",
		run: func(a, b *View) error {
			_, err := a.Move(context.Background(), Seqs{{1, 3}}, b.mb)
			return err
		},
		check: func(acked bool, a, b map[uint32]string, _ string) error {
			for i := 1; i <= 3; i++ {
				na, nb := countBody(a, crashBody(i)), countBody(b, crashBody(i))
				if na+nb == 0 || na > 1 || nb > 1 || acked && (na != 0 || nb != 1) {
					return fmt.Errorf("message %d: %d in the source, %d in the destination", i, na, nb)
				}
			}
			return wantCount("what was not moved", countBody(a, crashBody(4)), 1)
		},
	},
	{
		name: "expunge",
		run: func(a, b *View) error {
			if _, err := a.Store(context.Background(), Seqs{{2, 3}}, StoreOp{Mode: StoreAdd, Flags: Deleted}); err != nil {
				return err
			}
			_, err := a.Expunge(context.Background(), nil)
			return err
		},
		check: func(acked bool, a, b map[uint32]string, _ string) error {
			for i := 1; i <= crashMessages; i++ {
				n := countBody(a, crashBody(i))
				switch {
				case i == 1 || i == 4:
					if n != 1 {
						return fmt.Errorf("message %d was not deleted and is there %d times", i, n)
					}
				case acked && n != 0:
					return fmt.Errorf("expunged message %d is there", i)
				}
			}
			return nil
		},
	},
	{
		name: "store",
		run: func(a, b *View) error {
			for _, op := range []StoreOp{
				{Mode: StoreAdd, Flags: Seen | Flagged}, {Mode: StoreRemove, Flags: Seen}, {Mode: StoreAdd, Keywords: []string{"Work"}},
			} {
				if _, err := a.Store(context.Background(), one(2), op); err != nil {
					return err
				}
			}
			return nil
		},
		check: func(acked bool, a, b map[uint32]string, flags string) error {
			allowed := []string{"1:1 2:2(F+Work) 3:3 4:4"}
			if !acked {
				allowed = append(allowed, "1:1 2:2 3:3 4:4", "1:1 2:2(FS) 3:3 4:4", "1:1 2:2(F) 3:3 4:4",
					// The last name survived, the last two records did not.
					"1:1 2:2(FS+Work) 3:3 4:4")
			}
			if !slices.Contains(allowed, flags) {
				return fmt.Errorf("flags are %q", flags)
			}
			return nil
		},
	},
}

// changing are the calls that a crash can come before.
var changing = []disktest.Op{
	disktest.Create, disktest.Unlink, disktest.Rename, disktest.Link, disktest.SyncDir,
	disktest.Write, disktest.Sync, disktest.Truncate, disktest.Allocate, disktest.Chtimes,
}

// TestCrash loses power before every call that changes something.
func TestCrash(t *testing.T) {
	for _, ct := range crashTests {
		for how := disktest.Random; how <= disktest.Everything; how++ {
			t.Run(fmt.Sprintf("%s/%d", ct.name, how), func(t *testing.T) {
				seeds := uint64(1)
				if how <= disktest.Ordered && disktest.Stride == 1 {
					seeds = 3
				}
				for seed := range seeds {
					crashEverywhere(t, ct, how, seed)
				}
			})
		}
	}
}

// crashEverywhere crashes before every call of the command.
func crashEverywhere(t *testing.T, ct crashTest, how disktest.Survival, seed uint64) {
	t.Helper()
	k := 1 + int(how)%disktest.Stride
	for ; k < 400 && !t.Failed() && crashOnce(t, ct, how, k, seed); k += disktest.Stride {
	}
	if k >= 400 {
		t.Error("the command never came to its end")
	}
}

// crashOnce runs the command and crashes before its k-th call; false if it had
// fewer.
func crashOnce(t *testing.T, ct crashTest, how disktest.Survival, k int, seed uint64) bool {
	rng := rand.New(rand.NewPCG(uint64(k), seed))
	mem := disktest.NewMem()
	rec := disktest.Wrap(mem)
	a := &crashBox{path: "/a", slot: &testSlot{}}
	b := &crashBox{path: "/b", slot: &testSlot{last: 5000}}
	for _, box := range []*crashBox{a, b} {
		if err := mem.MkdirRoot(box.path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("call %d: %v", k, err)
		}
	}
	must(a.open(rec))
	must(a.mb.close())
	for i := 1; i <= crashMessages; i++ {
		memDeliver(t, mem, "/a", fmt.Sprintf("%d.m:2,", i))
	}
	must(a.open(rec))
	must(b.open(rec))
	va, err := a.mb.Open(context.Background(), false, &Barrier{})
	must(err)
	vb, err := b.mb.Open(context.Background(), false, &Barrier{})
	must(err)
	must(va.b.Wait())
	must(vb.b.Wait())
	uidv := a.mb.UIDValidity()

	var mu sync.Mutex // guards n and crashed: the mailbox works in the background too
	n, crashed := 0, false
	rec.Before(func(c disktest.Call) {
		mu.Lock()
		defer mu.Unlock()
		if slices.Contains(changing, c.Op) && !crashed {
			if n++; n == k {
				crashed = true
				mem.Crash(rng, how)
			}
		}
	})
	err = ct.run(va, vb)
	if err == nil {
		err = va.b.Wait()
	}
	acked := err == nil
	if acked { // what is done in the background may crash too
		a.mb.unlinkExpunged(context.Background(), false)
		a.mb.syncDirs()
	}
	va.Close()
	vb.Close()
	a.mb.close()
	b.mb.close()
	rec.Before(nil)
	mu.Lock()
	done := crashed
	mu.Unlock()
	must(a.open(mem))
	must(b.open(mem))
	defer a.mb.close()
	defer b.mb.close()
	if a.mb.UIDValidity() != uidv {
		t.Errorf("call %d: UIDVALIDITY changed", k)
	}
	inA, inB := bodies(t, a.mb), bodies(t, b.mb)
	va, err = a.mb.Open(context.Background(), true, &Barrier{})
	must(err)
	flags := text(va)
	va.Close()
	if err := ct.check(acked, inA, inB, flags); err != nil {
		t.Errorf("crash before call %d, acknowledged %v: %v", k, acked, err)
	}
	for uid := uint32(1); uid <= crashMessages; uid++ {
		if body, ok := inA[uid]; ok && body != crashBody(int(uid)) {
			t.Errorf("crash before call %d: UID %d is another message", k, uid)
		}
	}
	for _, box := range []*crashBox{a, b} {
		if err := checkAtRest(box.mb); err != nil {
			t.Errorf("crash before call %d: %v", k, err)
		}
	}
	return done
}
