package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/disk"
	"roost/disk/disktest"
)

// each runs a test on a real directory and in memory. at is the path of an
// empty directory of mode 0750.
func each(t *testing.T, f func(t *testing.T, r *disktest.Recorder, at string)) {
	t.Run("os", func(t *testing.T) {
		at := t.TempDir()
		if err := os.Chmod(at, 0o750); err != nil {
			t.Fatal(err)
		}
		f(t, disktest.Wrap(disk.OS()), at)
	})
	t.Run("mem", func(t *testing.T) {
		m := disktest.NewMem()
		if err := m.MkdirRoot("/box", 0o750); err != nil {
			t.Fatal(err)
		}
		f(t, disktest.Wrap(m), "/box")
	})
}

func openRoot(t testing.TB, fsys disk.FS, at string) disk.Dir {
	t.Helper()
	d, err := fsys.OpenRoot(at)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func openBox(t testing.TB, fsys disk.FS, at string) *Dir {
	t.Helper()
	d, err := Open(fsys, openRoot(t, fsys, at), Colon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(t testing.TB, d disk.Dir, name, text string) {
	t.Helper()
	f, err := d.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, d disk.Dir, name string) string {
	t.Helper()
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func namesOf(t testing.TB, d disk.Dir) []string {
	t.Helper()
	names := []string{}
	if err := d.ReadDir(func(e disk.Entry) bool { names = append(names, string(e.Name)); return true }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// listing gives "place/name" of all, sorted.
func listing(l *Listing) []string {
	names := []string{}
	for i := range l.Len() {
		n, p := l.At(i)
		raw, q := l.File(i)
		if string(raw) != n.String() || p != q {
			names = append(names, "BAD "+n.String())
		}
		names = append(names, p.String()+"/"+n.String())
	}
	slices.Sort(names)
	return names
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenMakesDirectories(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		d := openBox(t, r, at)
		if got := namesOf(t, d.Root()); !slices.Equal(got, []string{"cur", "new", "tmp"}) {
			t.Errorf("made %q", got)
		}
		if in, err := d.Root().Lstat("cur"); err != nil || in.Mode.Perm() != 0o750 {
			t.Errorf("cur: %v %v", in.Mode, err)
		}
		if d.FileMode() != 0o640 {
			t.Errorf("file mode %v", d.FileMode())
		}
		must(t, d.Check())
		// Only cur is gone: made again, three times at most.
		must(t, d.Root().Rmdir("cur"))
		if err := d.Check(); !errors.Is(err, ErrGone) {
			t.Errorf("check: %v", err)
		}
		again := openBox(t, r, at)
		must(t, again.Check())
		must(t, again.Root().Rmdir("cur"))
		gone := 0
		r.Before(func(c disktest.Call) {
			if c.Op == disktest.OpenDir && c.Name == "cur" {
				gone++
				d.Root().Rmdir("cur")
			}
		})
		_, err := Open(r, openRoot(t, r, at), Colon)
		r.Before(nil)
		if !errors.Is(err, fs.ErrNotExist) || gone != 2*openTries && gone != openTries {
			t.Errorf("removed again and again: %v after %d", err, gone)
		}
	})
}

// TestOpenGone: a mailbox that was removed is not made again.
func TestOpenGone(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		top := openRoot(t, r, at)
		must(t, top.Mkdir("sub", 0o700))
		sub, err := top.OpenDir("sub")
		must(t, err)
		must(t, top.Rmdir("sub"))
		if _, err := Open(r, sub, Colon); !errors.Is(err, ErrGone) {
			t.Errorf("open: %v", err)
		}
		if got := namesOf(t, top); len(got) != 0 {
			t.Errorf("made %q", got)
		}
	})
}

// TestOpenReadOnly: without tmp and the right to make it, mail can be read.
func TestOpenReadOnly(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		root := openRoot(t, r, at)
		must(t, root.Mkdir("cur", 0o700))
		must(t, root.Mkdir("new", 0o700))
		r.Fail(disktest.Rule{Op: disktest.Mkdir, Nth: 1, Sticky: true, Err: syscall.EROFS})
		d := openBox(t, r, at)
		put(t, d.Place(Cur), "a:2,", "text")
		f, err := d.OpenMessage(Cur, "a:2,")
		must(t, err)
		f.Close()
		if _, err := d.Create(NewNamer("h", nil, nil)); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("create: %v", err)
		}
		if n, err := d.PurgeTmp(time.Time{}, nil); n != 0 || err != nil {
			t.Errorf("purge: %d %v", n, err)
		}
		must(t, root.Rmdir("new"))
		if _, err := Open(r, openRoot(t, r, at), Colon); !errors.Is(err, syscall.EROFS) {
			t.Errorf("without new: %v", err)
		}
	})
}

func TestScan(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		d := openBox(t, r, at)
		put(t, d.Place(New), "1.a", "")
		put(t, d.Place(New), "2.b:2,F", "")
		put(t, d.Place(Cur), "3.c:2,FS", "")
		put(t, d.Place(Cur), "1.a:2,", "")
		put(t, d.Place(Cur), "4.d:2,SF,rest", "")
		put(t, d.Place(Cur), ".hidden", "")
		put(t, d.Place(Cur), ":2,S", "")
		put(t, d.Place(Cur), "bad\nname", "")
		must(t, d.Place(Cur).Mkdir("dir", 0o700))
		var l Listing
		r.Turn(10 * time.Second)
		r.Reset()
		must(t, d.Scan(&l))
		want := []string{"cur/1.a:2,", "cur/3.c:2,FS", "cur/4.d:2,SF,rest", "new/1.a", "new/2.b:2,F"}
		if got := listing(&l); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if !l.Stable() || l.Skipped != 4 {
			t.Errorf("still %v settled %v skipped %d", l.Still, l.Settled, l.Skipped)
		}
		if n := r.Count(); n != 6 || r.Count(disktest.ReadDir) != 2 {
			t.Errorf("%d calls: %v", n, r.Counts())
		}
		stamps, err := d.Stamps()
		if err != nil || stamps != l.Stamps {
			t.Errorf("stamps %v %v", stamps, err)
		}
		// Too young to be a proof.
		r.Turn(0)
		put(t, d.Place(Cur), "5.e:2,", "")
		must(t, d.Scan(&l))
		if l.Stable() || !l.Still || l.Settled || l.Len() != 6 {
			t.Errorf("young: still %v settled %v, %d", l.Still, l.Settled, l.Len())
		}
		if stamps == l.Stamps {
			t.Error("stamps are equal after a change")
		}
		// A clock before the last change proves nothing.
		r.Turn(-time.Hour)
		must(t, d.Scan(&l))
		if l.Settled {
			t.Error("settled in the future")
		}
	})
}

// TestScanWhileMoving: what is moved between the places during a scan is seen,
// and the scan is no proof.
func TestScanWhileMoving(t *testing.T) {
	for _, from := range []Place{New, Cur} {
		for at := 1; at <= 2; at++ {
			each(t, func(t *testing.T, r *disktest.Recorder, path string) {
				d := openBox(t, r, path)
				put(t, d.Place(from), "1.a", "")
				put(t, d.Place(New), "2.b", "")
				r.Turn(10 * time.Second)
				reads := 0
				r.Before(func(c disktest.Call) {
					if c.Op == disktest.ReadDir {
						if reads++; reads == at {
							must(t, d.Rename(from, "1.a", 1-from, "1.a"))
						}
					}
				})
				var l Listing
				must(t, d.Scan(&l))
				r.Before(nil)
				if l.Stable() {
					t.Error("stable")
				}
				seen := slices.ContainsFunc(listing(&l), func(s string) bool { return strings.HasSuffix(s, "/1.a") })
				if !seen {
					t.Errorf("from %v before read %d: not seen in %q", from, at, listing(&l))
				}
				n := 0
				for i := range l.Len() {
					if name, _ := l.File(i); string(name) == "2.b" {
						n++
					}
				}
				if n != 1 {
					t.Errorf("2.b %d times", n)
				}
			})
		}
	}
}

// TestScanAgain: new is read twice while it is young; each name comes once.
func TestScanAgain(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		d := openBox(t, r, at)
		var want []string
		for i := range 200 {
			put(t, d.Place(New), fmt.Sprintf("%03d", i), "")
			want = append(want, fmt.Sprintf("new/%03d", i))
		}
		put(t, d.Place(Cur), "c:2,", "")
		want = slices.Insert(want, 0, "cur/c:2,")
		reads := 0
		r.Before(func(c disktest.Call) {
			if c.Op != disktest.ReadDir {
				return
			}
			if reads++; reads == 3 {
				r.Before(nil)
				put(t, d.Place(New), "late", "")
				must(t, d.Unlink(New, "100"))
			}
		})
		var l Listing
		must(t, d.Scan(&l))
		want = append(want, "new/late")
		if got := listing(&l); !slices.Equal(got, want) || l.Still {
			t.Errorf("still %v, %d names: %q", l.Still, l.Len(), got)
		}
	})
}

// TestScanFails: a listing that ended early, or could not be made, is none.
func TestScanFails(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		d := openBox(t, r, at)
		for i := range 10 {
			put(t, d.Place(Cur), fmt.Sprintf("%d.x:2,", i), "")
		}
		r.Reset()
		var l Listing
		must(t, d.Scan(&l))
		calls := r.Count()
		for n := 1; n <= calls; n++ {
			r.Fail(disktest.Rule{Nth: n, Short: true, Err: syscall.EIO})
			if err := d.Scan(&l); !errors.Is(err, syscall.EIO) || l.Len() != 0 || l.Stable() {
				t.Errorf("call %d: %v, %d names", n, err, l.Len())
			}
			r.Clear()
		}
		must(t, d.Scan(&l))
		if l.Len() != 10 {
			t.Errorf("%d names", l.Len())
		}
	})
}

func TestRename(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		d := openBox(t, r, at)
		put(t, d.Place(New), "1.a", "A")
		put(t, d.Place(Cur), "1.a:2,F", "other")
		must(t, d.Rename(New, "1.a", New, "1.a"))
		if err := d.Rename(New, "1.a", Cur, "1.a:2,F"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("onto another: %v", err)
		}
		must(t, d.Rename(New, "1.a", Cur, "1.a:2,S"))
		if err := d.Rename(New, "1.a", Cur, "1.a:2,T"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("gone: %v", err)
		}
		if p, name, err := d.Find("1.a"); err != nil || p != Cur || !strings.HasPrefix(name, "1.a:2,") {
			t.Errorf("find: %v %q %v", p, name, err)
		}
		if _, _, err := d.Find("1"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("find: %v", err)
		}
		if got := get(t, d.Place(Cur), "1.a:2,F"); got != "other" {
			t.Errorf("other: %q", got)
		}
	})
}

func TestWriteMessage(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		d := openBox(t, r, at)
		g := NewNamer("h", nil, nil)
		when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		tmp, err := d.Create(g)
		must(t, err)
		if got := namesOf(t, d.Tmp()); !slices.Equal(got, []string{tmp.Name()}) {
			t.Errorf("tmp %q", got)
		}
		_, err = tmp.Write([]byte("text"))
		must(t, err)
		r.Reset()
		var order []disktest.Op
		r.Before(func(c disktest.Call) { order = append(order, c.Op) })
		must(t, tmp.Commit(when, Cur, "1.a:2,S"))
		r.Before(nil)
		if want := []disktest.Op{disktest.Chtimes, disktest.Sync, disktest.Close, disktest.Rename}; !slices.Equal(order, want) {
			t.Errorf("order %q", order)
		}
		in, err := d.Lstat(Cur, "1.a:2,S")
		if err != nil || !in.Mtime.Equal(when) || in.Size != 4 || in.Mode != 0o640 {
			t.Errorf("message %+v %v", in, err)
		}
		tmp.Abort() // nothing to do any more
		if got := namesOf(t, d.Tmp()); len(got) != 0 {
			t.Errorf("tmp %q", got)
		}
		// The name is taken: nothing is replaced, nothing is left.
		second, err := d.Create(g)
		must(t, err)
		if err := second.Commit(time.Time{}, Cur, "1.a:2,S"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("second: %v", err)
		}
		third, err := d.Create(g)
		must(t, err)
		third.Abort()
		if got := namesOf(t, d.Tmp()); len(got) != 0 || len(d.ours) != 0 {
			t.Errorf("tmp %q, ours %v", got, d.ours)
		}
		if got := get(t, d.Place(Cur), "1.a:2,S"); got != "text" {
			t.Errorf("first: %q", got)
		}
	})
}

// TestWriteFails: at whatever call it fails, no message appears and nothing is
// left in tmp.
func TestWriteFails(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		d := openBox(t, r, at)
		g := NewNamer("h", nil, nil)
		write := func() error {
			tmp, err := d.Create(g)
			if err != nil {
				return err
			}
			if _, err := tmp.Write([]byte("text")); err != nil {
				tmp.Abort()
				return err
			}
			return tmp.Commit(time.Now(), New, "1.a")
		}
		for n := 1; n <= 6; n++ {
			r.Fail(disktest.Rule{Nth: n, Short: true, Err: syscall.ENOSPC})
			if err := write(); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("call %d: %v", n, err)
			}
			r.Clear()
			if a, b := namesOf(t, d.Tmp()), namesOf(t, d.Place(New)); len(a)+len(b) != 0 {
				t.Errorf("call %d: tmp %q new %q", n, a, b)
			}
		}
		must(t, write())
	})
}

func TestPurgeTmp(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		d := openBox(t, r, at)
		tmp := d.Tmp()
		for _, name := range []string{"old", "kept", ".dot", "young"} {
			put(t, tmp, name, "")
		}
		must(t, tmp.Mkdir("dir", 0o700))
		ours, err := d.Create(NewNamer("h", nil, nil))
		must(t, err)
		must(t, tmp.Chtimes("young", time.Now().Add(40*time.Hour)))
		keep := func(name string) bool { return name == "kept" }
		for _, tt := range []struct {
			turn   time.Duration
			newest time.Time
			want   int
		}{
			{35 * time.Hour, time.Time{}, 0},
			{40 * time.Hour, time.Now().Add(50 * time.Hour), 0}, // the clock is wrong
			{40 * time.Hour, time.Now(), 1},
			{40 * time.Hour, time.Now(), 0},
		} {
			r.Turn(tt.turn)
			if n, err := d.PurgeTmp(tt.newest, keep); n != tt.want || err != nil {
				t.Errorf("%v: %d %v", tt.turn, n, err)
			}
		}
		want := []string{".dot", "dir", "kept", ours.Name(), "young"}
		slices.Sort(want)
		if got := namesOf(t, tmp); !slices.Equal(got, want) {
			t.Errorf("left %q", got)
		}
		ours.Abort()
	})
}

// TestHostileFiles is the list of planted files (4.2.11): none is opened,
// none stops the others.
func TestHostileFiles(t *testing.T) {
	at := t.TempDir()
	d := openBox(t, disk.OS(), at)
	for _, err := range []error{
		syscall.Mkfifo(at+"/cur/fifo:2,", 0o600),
		os.Symlink("/etc/passwd", at+"/cur/link:2,"),
		os.WriteFile(at+"/cur/1,S=99999999999999999999:2,"+strings.Repeat("S", 200), nil, 0o600),
		os.WriteFile(at+"/cur/"+strings.Repeat("n", 255), nil, 0o600),
		os.WriteFile(at+"/cur/2\xff\xfe:2,S", nil, 0o600),
		os.WriteFile(at+"/cur/3,S=1\r\n* 1 EXPUNGE", nil, 0o600),
		os.WriteFile(at+"/cur/4:2,S", []byte("text"), 0o600),
	} {
		must(t, err)
	}
	must(t, d.Place(Cur).Chtimes("4:2,S", time.Unix(-2_000_000_000, 0)))
	var l Listing
	must(t, d.Scan(&l))
	if l.Len() != 4 || l.Skipped != 3 {
		t.Errorf("%d names, %d skipped: %q", l.Len(), l.Skipped, listing(&l))
	}
	for _, name := range []string{"fifo:2,", "link:2,"} {
		if _, err := d.OpenMessage(Cur, name); !errors.Is(err, disk.ErrNotRegular) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, err := d.OpenMessage(Cur, "4:2,S")
	must(t, err)
	defer f.Close()
	buf := make([]byte, 8)
	if n, err := f.ReadAt(buf, 0); !bytes.Equal(buf[:n], []byte("text")) || err != io.EOF {
		t.Errorf("%q %v", buf[:n], err)
	}
}

func BenchmarkScan(b *testing.B) {
	at := b.TempDir()
	d := openBox(b, disk.OS(), at)
	for i := range 100_000 {
		name := fmt.Sprintf("%s/cur/1700000000.M%06dP1234Q%d.host.example.org,S=4321,W=4400:2,S", at, i, i)
		must(b, os.WriteFile(name, nil, 0o600))
	}
	var l Listing
	b.ReportAllocs()
	for b.Loop() {
		must(b, d.Scan(&l))
		if l.Len() != 100_000 {
			b.Fatal(l.Len())
		}
	}
}
