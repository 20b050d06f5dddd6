package mailbox

import (
	"testing"

	"roost/disk/disktest"
)

// Another program put a directory in the place of a mailbox, and its index was
// not closed: it is served with its UIDs, though the account knows another
// mailbox there.
func TestMovedFromOutsideUnclean(t *testing.T) {
	mem, st := memStore(t, nil)
	a := openTestAccount(t, st)
	defer a.Release()
	mustCreate(t, a, "A", "B")
	mb, err := a.Mailbox(t.Context(), "A")
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	var b Barrier
	if _, err := appendTo(mb, AppendMeta{}, &b, "x: y\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(); err != nil {
		t.Fatal(err)
	}
	want := statusOf(t, a, "A")
	for _, forget := range []bool{false, true} {
		killed := mem.Clone()
		root, err := killed.OpenRoot(testRoot)
		if err != nil {
			t.Fatal(err)
		}
		if err := root.Rename(".B", root, ".C"); err != nil {
			t.Fatal(err)
		}
		if err := root.Rename(".A", root, ".B"); err != nil {
			t.Fatal(err)
		}
		if forget {
			af := openTestAccountFile(t, root)
			if err := af.update(func(s *accountState) ([]byte, error) { return encodeForget(s.byDir[".A"].ID), nil }); err != nil {
				t.Fatal(err)
			}
			af.close()
		}
		root.Close()
		openMoved(t, killed, want)
	}
}

func openMoved(t *testing.T, mem *disktest.Mem, want statusNumbers) {
	t.Helper()
	a := openTestAccount(t, newTestStore(t, mem, nil))
	defer a.Release()
	mb, err := a.Mailbox(t.Context(), "B")
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	got := statusOf(t, a, "B")
	if got.uidNext < want.uidNext || mb.live.Len() != 1 {
		t.Errorf("%d messages, %+v, was %+v", mb.live.Len(), got, want)
	}
	if err := mb.Check(); err != nil {
		t.Error(err)
	}
}
