package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/disk/disktest"
)

// TestCopyMove: flags, keywords, dates and octets go along; U= does not.
func TestCopyMove(t *testing.T) {
	f := testFixture(t)
	f.deliver("cur/1.a,U=5:2,")
	f.deliver("cur/2.a:2,S")
	f.deliver("cur/3.a:2,")
	f.open()
	g := f.other()
	v := f.view(false)
	defer v.Close()
	w := g.view(false)
	defer w.Close()
	store(t, w, StoreReplace, nil, 0, "other") // slot a is another keyword there
	store(t, v, StoreAdd, one(1), Flagged, "Work")
	r, err := v.Copy(context.Background(), Seqs{{1, 2}}, g.mb)
	if err != nil || !slices.Equal(r.Source, []imap.UID{1, 2}) || !slices.Equal(r.Dest, []imap.UID{1, 2}) || r.UIDValidity != g.mb.UIDValidity() {
		t.Fatal(r, err)
	}
	g.noop(w)
	wantText(t, w, "1:1(F+Work) 2:2(S)")
	for _, name := range g.files() {
		if strings.Contains(name, "U=") {
			t.Errorf("name %q", name)
		}
	}
	if got := g.read(w, 1); got != testBody("1.a,U=5") {
		t.Errorf("copy is %q", got)
	}
	r, err = v.Move(context.Background(), Seqs{{2, 3}}, g.mb)
	if err != nil || !slices.Equal(r.Source, []imap.UID{2, 3}) || !slices.Equal(r.Dest, []imap.UID{3, 4}) {
		t.Fatal(r, err)
	}
	f.noop(v)
	g.noop(w)
	wantText(t, v, "1:1(F+Work)")
	wantText(t, w, "1:1(F+Work) 2:2(S) 3:3(S) 4:4")
	f.eventually("the sources go", func() bool { return len(f.files()) == 1 })
	// into itself
	if r, err = w.Move(context.Background(), one(1), g.mb); err != nil || !slices.Equal(r.Dest, []imap.UID{5}) {
		t.Fatal(r, err)
	}
	g.noop(w)
	wantText(t, w, "1:2(S) 2:3(S) 3:4 4:5(F+Work)")
}

// TestCopyFails: whichever link fails, nothing is left of the copies.
func TestCopyFails(t *testing.T) {
	const n = 6
	for k := 1; k <= n+1; k++ {
		f := testFixture(t)
		rec := disktest.Wrap(disk.OS())
		f.fsys = rec
		for i := range n {
			f.deliver(fmt.Sprintf("cur/%d.a:2,", i+1))
		}
		f.open()
		g := f.other()
		v, w := f.view(false), g.view(false)
		rec.Fail(disktest.Rule{Op: disktest.Link, Nth: k, Err: syscall.ENOSPC})
		_, err := v.Copy(context.Background(), Seqs{{1, n}}, g.mb)
		want := 0
		if k > n {
			want = n
		} else if !errors.Is(err, ErrOverQuota) {
			t.Errorf("link %d: %v", k, err)
		}
		g.noop(w)
		if len(g.files()) != want || w.Len() != want {
			t.Errorf("link %d fails: %d files, %d messages", k, len(g.files()), w.Len())
		}
		v.Close()
		w.Close()
		g.reopen()
		if w = g.view(false); w.Len() != want {
			t.Errorf("link %d fails: %d messages after a restart", k, w.Len())
		}
		w.Close()
		rec.Clear()
		g.close()
		f.close()
	}
}

// TestCopyWithoutLinks: the octets are copied where links cannot be had.
func TestCopyWithoutLinks(t *testing.T) {
	f := testFixture(t)
	rec := disktest.Wrap(disk.OS())
	f.fsys = rec
	f.deliver("cur/1.a:2,S")
	f.open()
	g := f.other()
	v, w := f.view(false), g.view(false)
	defer v.Close()
	defer w.Close()
	rec.Fail(disktest.Rule{Op: disktest.Link, Nth: 1, Sticky: true, Err: syscall.EXDEV})
	if _, err := v.Copy(context.Background(), one(1), g.mb); err != nil {
		t.Fatal(err)
	}
	g.noop(w)
	wantText(t, w, "1:1(S)")
	if got := g.read(w, 1); got != testBody("1.a") {
		t.Errorf("copy is %q", got)
	}
}

// TestRenameFails: a flag that cannot be written to the name is kept and tried
// again (R22).
func TestRenameFails(t *testing.T) {
	f := testFixture(t)
	rec := disktest.Wrap(disk.OS())
	f.fsys = rec
	f.deliver("cur/1.a:2,")
	f.open()
	v := f.view(false)
	defer v.Close()
	rec.Fail(disktest.Rule{Op: disktest.Rename, Nth: 1, Sticky: true, Err: syscall.ENOSPC, Match: func(c disktest.Call) bool {
		return strings.HasPrefix(c.Name, "1.a")
	}})
	store(t, v, StoreAdd, one(1), Seen)
	wantText(t, v, "1:1(S)")
	f.rename("cur/1.a:2,", "cur/1.a:2,F")
	f.noop(v)
	wantText(t, v, "1:1(FS)")
	if got := f.files()[0]; got != "cur/1.a:2,F" {
		t.Errorf("name %q", got)
	}
	rec.Clear()
	f.eventually("the name is put right", func() bool { return f.files()[0] == "cur/1.a:2,FS" })
}
