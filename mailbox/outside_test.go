package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestFirstLoad: names become messages in the order of U1, with their flags.
func TestFirstLoad(t *testing.T) {
	f := testFixture(t)
	f.deliver("new/30.M1.h")
	f.deliver("cur/20.M1.h:2,FS")
	f.deliver("cur/10.M9.h:2,RT")
	f.deliver("cur/10.M10.h:2,D")
	f.open()
	v := f.view(false)
	wantText(t, v, "1:1(AD) 2:2(X) 3:3(FS) 4:4")
	if v.Recent() != 1 || !v.Message(4).Recent || v.FirstUnseen() != 1 || v.UIDNext() != 5 {
		t.Errorf("recent %d, first unseen %d, UIDNEXT %d", v.Recent(), v.FirstUnseen(), v.UIDNext())
	}
	v.Close()
	v = f.view(false)
	if v.Recent() != 0 {
		t.Errorf("recent again: %d", v.Recent())
	}
	v.Close()
	f.reopen()
	v = f.view(false)
	defer v.Close()
	wantText(t, v, "1:1(AD) 2:2(X) 3:3(FS) 4:4")
}

// TestDeliveries: by rename and by link, each seen by the NOOP after it, and
// without any scan.
func TestDeliveries(t *testing.T) {
	f := testMailbox(t)
	v := f.view(true)
	defer v.Close()
	scans := f.count.Scans.Load()
	for i := range 50 {
		name := fmt.Sprintf("%d.M1.h", 1000+i)
		if i%2 == 0 {
			f.deliver("new/" + name)
		} else {
			p := f.write(name, testBody(name))
			if err := os.Link(p, filepath.Join(f.path, "new", name)); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(p); err != nil {
				t.Fatal(err)
			}
		}
		c := f.noop(v)
		if !c.Exists || v.Len() != i+1 {
			t.Fatalf("delivery %d: exists %v, %d messages", i, c.Exists, v.Len())
		}
	}
	if n := f.count.Scans.Load() - scans; n != 0 {
		t.Errorf("%d scans", n)
	}
	if len(f.files()) != 50 || f.files()[0] != "new/1000.M1.h" {
		t.Errorf("a read-only view moved files: %q", f.files()[0])
	}
}

// TestOutsideFlags: a rename by another program is told by the NOOP after it,
// once, with one mod-sequence.
func TestOutsideFlags(t *testing.T) {
	f := testFixture(t)
	f.deliver("cur/1.a:2,")
	f.deliver("cur/2.b:2,S")
	f.open()
	v := f.view(false)
	defer v.Close()
	scans := f.count.Scans.Load()
	name := "cur/1.a:2,"
	for _, next := range []string{"cur/1.a:2,S", "cur/1.a:2,FS", "cur/1.a:2,F", "new/1.a:2,F", "cur/1.a:2,FR"} {
		before := v.HighestModSeq()
		f.rename(name, next)
		c := f.noop(v)
		flagsChanged := next != "new/1.a:2,F"
		if flagsChanged && (len(c.Flags) != 1 || c.Flags[0].Seq != 1 || v.HighestModSeq() == before) ||
			!flagsChanged && (len(c.Flags) != 0 || v.HighestModSeq() != before) {
			t.Fatalf("%s: %+v", next, c)
		}
		if c = f.noop(v); len(c.Flags) != 0 {
			t.Fatalf("%s: told twice", next)
		}
		name = next
		if next == "new/1.a:2,F" {
			// What was told to a read-write session moves to cur/.
			f.eventually("move to cur", func() bool { return slices.Contains(f.files(), "cur/1.a:2,F") })
			name = "cur/1.a:2,F"
		}
	}
	wantText(t, v, "1:1(AF) 2:2(S)")
	if n := f.count.Scans.Load() - scans; n != 0 {
		t.Errorf("%d scans", n)
	}
}

// TestOutsideUnlink: a file that is gone is an expunge, by proof and without a scan.
func TestOutsideUnlink(t *testing.T) {
	f := testFixture(t)
	for i := range 5 {
		f.deliver(fmt.Sprintf("cur/%d.a:2,S", i+1))
	}
	f.open()
	v := f.view(false)
	defer v.Close()
	scans := f.count.Scans.Load()
	f.unlink("cur/2.a:2,S")
	f.rename("cur/4.a:2,S", "tmp/elsewhere")
	var got []Expunged
	f.eventually("both are expunged", func() bool {
		got = append(got, f.noop(v).Expunged...)
		return len(got) == 2
	})
	wantText(t, v, "1:1(S) 2:3(S) 3:5(S)")
	if n := f.count.Scans.Load() - scans; n != 0 {
		t.Errorf("%d scans", n)
	}
	// The base comes back: another message (N6).
	f.rename("tmp/elsewhere", "cur/4.a:2,S")
	f.noop(v)
	wantText(t, v, "1:1(S) 2:3(S) 3:5(S) 4:6(S)")
}

// TestNotMessages: what is no message is left alone.
func TestNotMessages(t *testing.T) {
	f := testFixture(t)
	make := func(tag string) {
		cur := filepath.Join(f.path, "cur")
		for _, err := range []error{
			syscall.Mkfifo(filepath.Join(cur, "fifo"+tag), 0o600),
			os.Symlink("/etc/passwd", filepath.Join(cur, "link"+tag)),
			os.Mkdir(filepath.Join(cur, "dir"+tag), 0o700),
			os.WriteFile(filepath.Join(cur, ".dot"+tag), nil, 0o600),
			os.WriteFile(filepath.Join(cur, "a\nb"+tag), nil, 0o600),
			os.WriteFile(filepath.Join(cur, ":2,S"), nil, 0o600),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	make("1")
	f.deliver("cur/1.a:2,")
	f.open()
	v := f.view(false)
	defer v.Close()
	make("2")
	f.deliver("cur/2.a:2,")
	f.noop(v)
	wantText(t, v, "1:1 2:2")
	if n := len(f.files()); n != 13 {
		t.Errorf("%d files: %q", n, f.files())
	}
}

// TestAddedField: mbsync adds ,U=; the message stays the same (R13). Without
// the same file under the same key it is another one.
func TestAddedField(t *testing.T) {
	f := testMailbox(t)
	v := f.view(false)
	defer v.Close()
	f.deliver("cur/1.a.h:2,S")
	f.deliver("cur/2.a.h:2,S")
	f.noop(v)
	wantText(t, v, "1:1(S) 2:2(S)")
	f.rename("cur/1.a.h:2,S", "cur/1.a.h,U=7:2,S")
	c := f.noop(v)
	if len(c.Flags)+len(c.Expunged) > 0 || c.Exists {
		t.Errorf("adding a field is told: %+v", c)
	}
	wantText(t, v, "1:1(S) 2:2(S)")
	// and then flags under the new name
	f.rename("cur/1.a.h,U=7:2,S", "cur/1.a.h,U=7:2,FS")
	f.noop(v)
	wantText(t, v, "1:1(FS) 2:2(S)")
	f.reopenView(&v)
	wantText(t, v, "1:1(FS) 2:2(S)")
	// another file under the same key, once it is known what this one is
	for n := range 2 {
		c := v.Content(SeqNum(n + 1))
		if _, err := c.Envelope(); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	f.unlink("cur/2.a.h:2,S")
	f.deliver("cur/2.a.h,U=8:2,S")
	f.eventually("a new message, and the old one gone", func() bool {
		f.noop(v)
		return text(v) == "1:1(FS) 2:3(S)"
	})
}

// reopenView closes the mailbox and opens all again.
func (f *fixture) reopenView(v **View) {
	f.t.Helper()
	(*v).Close()
	f.reopen()
	*v = f.view((*v).readOnly)
}

// TestDuplicates: two files of one base are two messages; nothing is removed.
func TestDuplicates(t *testing.T) {
	for _, early := range []bool{true, false} {
		f := testFixture(t)
		if early {
			f.deliver("cur/1.a:2,S")
			f.deliver("new/1.a")
			f.open()
		} else {
			f.deliver("cur/1.a:2,S")
			f.open()
			f.deliver("new/1.a")
		}
		v := f.view(true)
		f.eventually("two messages", func() bool { f.noop(v); return v.Len() == 2 })
		wantText(t, v, "1:1(S) 2:2")
		if len(f.files()) != 2 {
			t.Errorf("files: %q", f.files())
		}
		v.Close()
		f.close()
	}
}

// TestLinkAndUnlink: a program that changes flags by link and unlink does not
// make a second message.
func TestLinkAndUnlink(t *testing.T) {
	f := testFixture(t)
	f.deliver("cur/1.a:2,")
	f.open()
	v := f.view(false)
	defer v.Close()
	if err := os.Link(filepath.Join(f.path, "cur/1.a:2,"), filepath.Join(f.path, "cur/1.a:2,S")); err != nil {
		t.Fatal(err)
	}
	f.noop(v)
	wantText(t, v, "1:1")
	f.unlink("cur/1.a:2,")
	f.eventually("the flag", func() bool { f.noop(v); return text(v) == "1:1(S)" })
}

// TestMissedWhileClosed: changes between two loads are found, also expunges.
func TestMissedWhileClosed(t *testing.T) {
	f := testFixture(t)
	for i := range 4 {
		f.deliver(fmt.Sprintf("cur/%d.a:2,", i+1))
	}
	f.open()
	f.close()
	f.rename("cur/1.a:2,", "cur/1.a:2,S")
	f.unlink("cur/2.a:2,")
	f.deliver("new/0.z")
	f.open()
	v := f.view(true)
	defer v.Close()
	f.eventually("the expunge", func() bool { f.noop(v); return text(v) == "1:1(S) 2:3 3:4 4:5" })
}
