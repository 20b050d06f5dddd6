package mailbox

import (
	"fmt"
	"math/rand/v2"
	"path"
	"testing"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
)

// boxesIn makes n mailbox directories, durably, as another program would.
func boxesIn(t *testing.T, fsys disk.FS, n int) (names []string) {
	t.Helper()
	for i := range n {
		if err := makeRoot(fsys, path.Join(testRoot, fmt.Sprintf(".b%d", i)), CreateAlways); err != nil {
			t.Fatal(err)
		}
		for _, sub := range []string{"new", "cur", "tmp"} {
			if err := fsys.MkdirRoot(path.Join(testRoot, fmt.Sprintf(".b%d", i), sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		names = append(names, fmt.Sprint("b", i))
		for _, p := range []string{testRoot, path.Join(testRoot, fmt.Sprintf(".b%d", i))} {
			dir, err := fsys.OpenRoot(p)
			if err != nil {
				t.Fatal(err)
			}
			if err := dir.Sync(); err != nil {
				t.Fatal(err)
			}
			dir.Close()
		}
	}
	return names
}

// STATUS of mailboxes without messages costs one sync together, makes no file
// in them, and what it told stays so over restarts and losses of power.
func TestStatusOfEmpty(t *testing.T) {
	mem := disktest.NewMem()
	if err := makeRoot(mem, testRoot, CreateAlways); err != nil {
		t.Fatal(err)
	}
	names := boxesIn(t, mem, 20)
	rec := disktest.Wrap(mem)
	st := newTestStore(t, rec, nil)
	a := openTestAccount(t, st)
	statusOf(t, a, "INBOX") // makes roost.account
	told := map[string]Status{}
	var b Barrier
	rec.Reset()
	for _, name := range names {
		s, err := a.Status(t.Context(), name, StatusItems{}, &b)
		if err != nil {
			t.Fatal(err)
		}
		told[name] = s
	}
	if err := b.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := rec.Count(disktest.Sync); n != 1 {
		t.Errorf("%d syncs: %v", n, rec.Counts())
	}
	check := func(what string, fsys disk.FS) {
		t.Helper()
		st := newTestStore(t, fsys, nil)
		a := openTestAccount(t, st)
		defer a.Release()
		for _, name := range names {
			s, err := a.Status(t.Context(), name, StatusItems{}, &Barrier{})
			if err != nil || s != told[name] {
				t.Errorf("%s: %s is %+v, was %+v: %v", what, name, s, told[name], err)
			}
			dir, err := fsys.OpenRoot(path.Join(testRoot, "."+name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := dir.Lstat(index.JournalName); err == nil {
				t.Errorf("%s: %s has a journal", what, name)
			}
			dir.Close()
		}
	}
	r := rand.New(rand.NewPCG(7, 8))
	for how := range disktest.Everything + 1 {
		lost := mem.Clone()
		lost.Crash(r, how)
		check(fmt.Sprint("crash ", how), lost)
	}
	a.Release()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	check("restart", mem)
}

// What was blank goes on from what was told of it, once it gets messages or is
// selected.
func TestBlankGoesOn(t *testing.T) {
	for _, restart := range []bool{false, true} {
		mem := disktest.NewMem()
		if err := makeRoot(mem, testRoot, CreateAlways); err != nil {
			t.Fatal(err)
		}
		boxesIn(t, mem, 1)
		st := newTestStore(t, mem, nil)
		a := openTestAccount(t, st)
		var b Barrier
		before, err := a.Status(t.Context(), "b0", StatusItems{}, &b)
		if err == nil {
			err = b.Wait()
		}
		if err != nil {
			t.Fatal(err)
		}
		if restart {
			a.Release()
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			st = newTestStore(t, mem, nil)
			a = openTestAccount(t, st)
		}
		mb, err := a.Mailbox(t.Context(), "b0")
		if err != nil {
			t.Fatal(err)
		}
		v, err := mb.Open(t.Context(), false, &b)
		if err == nil {
			err = b.Wait()
		}
		if err != nil || v.UIDNext() != 1 || v.HighestModSeq() != before.HighestModSeq || mb.UIDValidity() != before.UIDValidity || mb.ID() != before.ID {
			t.Fatalf("restart %v: UIDNEXT %d, HIGHESTMODSEQ %d, UIDVALIDITY %d, id %s after %+v: %v",
				restart, v.UIDNext(), v.HighestModSeq(), mb.UIDValidity(), mb.ID(), before, err)
		}
		uids, err := appendTo(mb, AppendMeta{}, &b, "a: b\r\n\r\n")
		if err == nil {
			err = b.Wait()
		}
		if err != nil || len(uids) != 1 || uids[0] != 1 {
			t.Fatalf("UIDs %v, %v", uids, err)
		}
		v.Close()
		mb.Release()
		lost := mem.Clone()
		lost.Crash(rand.New(rand.NewPCG(9, 10)), disktest.Nothing)
		after := newTestStore(t, lost, nil)
		a2 := openTestAccount(t, after)
		s, err := a2.Status(t.Context(), "b0", StatusItems{}, &Barrier{})
		if err != nil || s.Messages != 1 || s.UIDNext != 2 || s.UIDValidity != before.UIDValidity || s.ID != before.ID || s.HighestModSeq <= before.HighestModSeq {
			t.Errorf("restart %v: %+v after %+v: %v", restart, s, before, err)
		}
		a2.Release()
		a.Release()
	}
}
