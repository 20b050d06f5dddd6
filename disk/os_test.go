package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openTemp(t testing.TB, options ...Option) (Dir, string) {
	t.Helper()
	path := t.TempDir()
	d, err := OS(options...).OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

func create(t testing.TB, d Dir, name, text string) File {
	t.Helper()
	f, err := d.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestNotRegular: nothing but a regular file is opened, and nothing blocks.
func TestNotRegular(t *testing.T) {
	d, path := openTemp(t)
	create(t, d, "file", "text")
	for _, err := range []error{
		unix.Mkfifo(filepath.Join(path, "fifo"), 0o600),
		unix.Symlink("file", filepath.Join(path, "link")),
		unix.Symlink("/etc", filepath.Join(path, "dirlink")),
		unix.Symlink("nowhere", filepath.Join(path, "dangling")),
		unix.Mkdir(filepath.Join(path, "dir"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"fifo", "link", "dangling", "dir"} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_TRUNC} {
			if _, err := d.OpenFile(name, flag, 0o600); !errors.Is(err, ErrNotRegular) {
				t.Errorf("%s with %x: %v", name, flag, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(path, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("created through a link: %v", err)
	}
	for _, name := range []string{"dirlink", "file", "fifo"} {
		if _, err := d.OpenDir(name); !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ELOOP) {
			t.Errorf("opendir %s: %v", name, err)
		}
	}
	in, err := d.Lstat("link")
	if err != nil || in.Mode.Type() != fs.ModeSymlink {
		t.Errorf("lstat link: %v %v", in.Mode, err)
	}
}

func TestNames(t *testing.T) {
	d, _ := openTemp(t)
	for _, name := range []string{"", ".", "..", "a/b", "/", "/etc/passwd", "a\x00b", "../x"} {
		_, errOpen := d.Open(name)
		_, errDir := d.OpenDir(name)
		_, errStat := d.Lstat(name)
		for i, err := range []error{
			errOpen, errDir, errStat, d.Mkdir(name, 0o700), d.Rmdir(name), d.Unlink(name),
			d.Rename(name, d, "x"), d.Rename("x", d, name), d.RenameNoReplace("x", d, name),
			d.Link(name, d, "x"), d.Link("x", d, name), d.Chtimes(name, time.Now()),
		} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%q call %d: %v", name, i, err)
			}
		}
	}
	if _, err := d.Open(string(bytes.Repeat([]byte("n"), 256))); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("long name: %v", err)
	}
}

func TestInfo(t *testing.T) {
	d, path := openTemp(t)
	f := create(t, d, "a", "12345")
	want := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	if err := f.Chtimes(want); err != nil {
		t.Fatal(err)
	}
	in, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	lin, err := d.Lstat("a")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(path, "a"), &st); err != nil {
		t.Fatal(err)
	}
	if in != lin {
		t.Errorf("fstat %+v, lstat %+v", in, lin)
	}
	if in.Size != 5 || in.Nlink != 1 || !in.Mtime.Equal(want) || in.Mode != 0o600 ||
		in.Ino != st.Ino || in.Dev != st.Dev || int(in.UID) != os.Getuid() {
		t.Errorf("info %+v, stat %+v", in, st)
	}
	old, err := statOld(f.(*osFile).fd, "")
	if err != nil {
		t.Fatal(err)
	}
	if old.Btime = in.Btime; old != in {
		t.Errorf("fstatat %+v, statx %+v", old, in)
	}
	for _, mtime := range []time.Time{time.Unix(-5000000000, 0), time.Unix(1<<33, 7)} {
		if err := d.Chtimes("a", mtime); err != nil {
			t.Fatal(err)
		}
		if in, err := d.Lstat("a"); err != nil || in.Mtime.Unix() == 0 {
			t.Errorf("%v: %v %v", mtime, in.Mtime, err)
		}
	}
}

func TestRenameNoReplace(t *testing.T) {
	d, _ := openTemp(t)
	create(t, d, "a", "A")
	create(t, d, "b", "B")
	if err := d.RenameNoReplace("a", d, "b"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("onto b: %v", err)
	}
	if err := d.RenameNoReplace("a", d, "c"); err != nil {
		t.Fatal(err)
	}
	if err := d.RenameNoReplace("a", d, "d"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("gone: %v", err)
	}
	if err := d.Rename("c", d, "b"); err != nil {
		t.Fatal(err)
	}
	f, err := d.Open("b")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil || string(data) != "A" {
		t.Errorf("b: %q %v", data, err)
	}
}

// TestPermissions: what is made has the permissions asked for, whatever the
// umask, and only what was made is touched.
func TestPermissions(t *testing.T) {
	d, path := openTemp(t)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	if err := d.Mkdir("sub", 0o750); err != nil {
		t.Fatal(err)
	}
	f, err := d.OpenFile("file", os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Chmod(filepath.Join(path, "file"), 0o400|0o040); err != nil {
		t.Fatal(err)
	}
	if f, err = d.OpenFile("file", os.O_RDONLY|os.O_CREATE, 0o644); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for name, want := range map[string]fs.FileMode{"sub": fs.ModeDir | 0o750, "file": 0o440} {
		if in, err := d.Lstat(name); err != nil || in.Mode != want {
			t.Errorf("%s: %v %v", name, in.Mode, err)
		}
	}
	if err := os.Chmod(path, 0o700|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	if err := d.Mkdir("group", 0o770); err != nil {
		t.Fatal(err)
	}
	if in, err := d.Lstat("group"); err != nil || in.Mode != fs.ModeDir|fs.ModeSetgid|0o770 {
		t.Errorf("group: %v %v", in.Mode, err)
	}
}

// TestGiveToOwner needs root to make a directory of somebody else; without it
// the owner is the same, and the calls must still work.
func TestGiveToOwner(t *testing.T) {
	d, path := openTemp(t, GiveToOwner())
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 4242, 4243
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	create(t, d, "file", "")
	if err := d.Mkdir("sub", 0o711); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"file": 0o600, "sub": fs.ModeDir | 0o711} {
		in, err := d.Lstat(name)
		if err != nil || int(in.UID) != uid || int(in.GID) != gid || in.Mode != mode {
			t.Errorf("%s: %d:%d %v %v", name, in.UID, in.GID, in.Mode, err)
		}
	}
	if err := OS(GiveToOwner()).MkdirRoot(filepath.Join(path, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if in, err := d.Lstat("new"); err != nil || int(in.UID) != uid {
		t.Errorf("new: %+v %v", in, err)
	}
}

func TestReadDir(t *testing.T) {
	d, path := openTemp(t)
	var want []string
	for i := range 5000 {
		name := fmt.Sprintf("%06d-%s", i, bytes.Repeat([]byte("x"), i%200))
		want = append(want, name)
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a second listing begins at the start
		var got []string
		err := d.ReadDir(func(e Entry) bool {
			if e.Type != 0 || e.Ino == 0 {
				t.Errorf("%s: type %v, ino %d", e.Name, e.Type, e.Ino)
			}
			got = append(got, string(e.Name))
			return true
		})
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%d names, %v", len(got), err)
		}
	}
	n := 0
	if err := d.ReadDir(func(Entry) bool { n++; return n < 7 }); err != nil || n != 7 {
		t.Errorf("stopped after %d: %v", n, err)
	}
	if _, err := eachDirent([]byte{1, 2, 3}, nil); !errors.Is(err, unix.EIO) {
		t.Errorf("torn entry: %v", err)
	}
	if _, err := eachDirent(make([]byte, 40), nil); !errors.Is(err, unix.EIO) {
		t.Errorf("entry without a size: %v", err)
	}
}

func TestFile(t *testing.T) {
	d, _ := openTemp(t)
	f := create(t, d, "a", "0123456789")
	if n, err := f.WriteAt([]byte("xy"), 3); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	buf := make([]byte, 20)
	if n, err := f.ReadAt(buf, 2); string(buf[:n]) != "2xy56789" || err != io.EOF {
		t.Errorf("read %q %v", buf[:n], err)
	}
	if _, err := f.ReadAt(buf, -1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("negative offset: %v", err)
	}
	if err := f.Truncate(4); err != nil {
		t.Fatal(err)
	}
	if err := f.Allocate(4, 100_000); err != nil {
		t.Fatal(err)
	}
	if in, err := f.Stat(); err != nil || in.Size != 100_004 {
		t.Errorf("size %d %v", in.Size, err)
	}
	if err := f.(*osFile).writeZeroes(100_004, 300_000); err != nil {
		t.Fatal(err)
	}
	if in, err := f.Stat(); err != nil || in.Size != 300_000 {
		t.Errorf("size %d %v", in.Size, err)
	}
	if n, err := f.ReadAt(buf, 299_990); n != 10 || err != io.EOF || !bytes.Equal(buf[:n], make([]byte, 10)) {
		t.Errorf("tail %d %v %q", n, err, buf[:n])
	}
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	reader, err := d.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	if !reader.Busy() {
		t.Error("not busy while open for writing")
	}
	f.Close()
	if reader.Busy() {
		t.Error("busy after close")
	}
	if _, err := reader.Write([]byte("x")); !errors.Is(err, syscall.EBADF) {
		t.Errorf("write to a reader: %v", err)
	}
	reader.Close()
}

// TestClosed: after Close every call says so, and the number of the descriptor
// is not used any more.
func TestClosed(t *testing.T) {
	d, _ := openTemp(t)
	f := create(t, d, "a", "A")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	other := create(t, d, "b", "B") // takes the number over
	_, errRead := f.Read(make([]byte, 1))
	_, errWrite := f.Write([]byte("x"))
	_, errStat := f.Stat()
	for i, err := range []error{errRead, errWrite, errStat, f.Sync(), f.Truncate(0), f.Close()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if in, err := other.Stat(); err != nil || in.Size != 1 {
		t.Errorf("b: %+v %v", in, err)
	}
	sub, err := OS().OpenRoot(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	sub.Close()
	_, errOpen := sub.Open("b")
	_, errDir := sub.Stat()
	for i, err := range []error{errOpen, errDir, sub.Sync(), sub.Rename("b", d, "c"), d.Rename("b", sub, "c"), sub.Close()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("dir call %d: %v", i, err)
		}
	}
}

// TestCloseWhileReading closes files while others read them: a reader sees its
// own file or an error, never another file that got the number.
func TestCloseWhileReading(t *testing.T) {
	d, _ := openTemp(t)
	for i := range 4 {
		create(t, d, fmt.Sprint(i), string(bytes.Repeat([]byte{byte('0' + i)}, 4096))).Close()
	}
	var wg sync.WaitGroup
	for i := range 4 {
		for range 50 {
			f, err := d.Open(fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				wg.Go(func() {
					buf := make([]byte, 4096)
					for {
						n, err := f.ReadAt(buf, 0)
						if err != nil {
							if !errors.Is(err, fs.ErrClosed) {
								t.Errorf("read: %v", err)
							}
							return
						}
						if buf[0] != byte('0'+i) || n != 4096 {
							t.Errorf("file %d: %c", i, buf[0])
							return
						}
					}
				})
			}
			wg.Go(func() { f.Close() })
		}
		wg.Wait()
	}
}

func TestLock(t *testing.T) {
	d, path := openTemp(t)
	other, err := OS().OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if ok, err := d.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := other.TryLock(); ok || err != nil {
		t.Fatal(ok, err)
	}
	d.Close()
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestWatchPath(t *testing.T) {
	d, path := openTemp(t)
	in, err := d.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+"-moved"); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(path + "-moved")
	var st unix.Stat_t
	if err := unix.Stat(d.WatchPath(), &st); err != nil || st.Ino != in.Ino {
		t.Errorf("%s: ino %d, want %d: %v", d.WatchPath(), st.Ino, in.Ino, err)
	}
	if network, err := d.Network(); network || err != nil {
		t.Errorf("network: %v %v", network, err)
	}
}

// BenchmarkReadDir lists 100,000 names.
func BenchmarkReadDir(b *testing.B) {
	d, path := openTemp(b)
	for i := range 100_000 {
		name := fmt.Sprintf("%s/1700000000.M%06dP1234Q%d.host.example.org,S=4321,W=4400:2,S", path, i, i)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		if err := d.ReadDir(func(Entry) bool { n++; return true }); err != nil || n != 100_000 {
			b.Fatal(n, err)
		}
	}
}
