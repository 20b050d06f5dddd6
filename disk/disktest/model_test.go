package disktest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"roost/disk"
)

// A world is one file system with open directories and files, driven by the
// same random choices as another one.
type world struct {
	fsys  disk.FS
	dirs  []disk.Dir
	files []disk.File
}

// errorClass is what callers can tell apart.
func errorClass(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, disk.ErrNotRegular):
		return "not regular"
	case err == io.EOF:
		return "eof"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	for _, class := range []error{fs.ErrInvalid, fs.ErrClosed, fs.ErrExist, fs.ErrNotExist} {
		if errors.Is(err, class) {
			return class.Error()
		}
	}
	return err.Error()
}

var (
	modelNames = []string{"a", "b", "c", "d", "e", "..", "x/y", ""}
	modelFlags = []int{
		os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_EXCL,
		os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_TRUNC,
	}
)

// step does one random operation and describes what came of it.
func (w *world) step(r *rand.Rand) string {
	pick := func() string { return modelNames[r.IntN(len(modelNames))] }
	d, d2 := w.dirs[r.IntN(len(w.dirs))], w.dirs[r.IntN(len(w.dirs))]
	name, name2 := pick(), pick()
	flag, n := modelFlags[r.IntN(len(modelFlags))], 1+r.IntN(40)
	var f disk.File
	if len(w.files) > 0 {
		f = w.files[r.IntN(len(w.files))]
	}
	op := r.IntN(17)
	switch {
	case op == 0 && len(w.dirs) < 8:
		sub, err := d.OpenDir(name)
		if err == nil {
			w.dirs = append(w.dirs, sub)
		}
		return "opendir " + name + ": " + errorClass(err)
	case op == 1 || op == 2:
		f, err := d.OpenFile(name, flag, 0o640)
		if err == nil {
			w.files = append(w.files, f)
		}
		return fmt.Sprint("open ", name, flag, ": ", errorClass(err))
	case op == 3:
		return "mkdir " + name + ": " + errorClass(d.Mkdir(name, 0o750))
	case op == 4:
		return "rmdir " + name + ": " + errorClass(d.Rmdir(name))
	case op == 5:
		return "unlink " + name + ": " + errorClass(d.Unlink(name))
	case op == 6:
		return "rename " + name + " " + name2 + ": " + errorClass(d.Rename(name, d2, name2))
	case op == 7:
		return "noreplace " + name + " " + name2 + ": " + errorClass(d.RenameNoReplace(name, d2, name2))
	case op == 8:
		return "link " + name + " " + name2 + ": " + errorClass(d.Link(name, d2, name2))
	case op == 9:
		in, err := d.Lstat(name)
		size := in.Size
		if in.Mode.IsDir() {
			size, in.Nlink = 0, 0
		}
		return fmt.Sprint("lstat ", name, in.Mode, size, in.Nlink, ": ", errorClass(err))
	case op == 10:
		var names []string
		err := d.ReadDir(func(e disk.Entry) bool {
			names = append(names, string(e.Name)+e.Type.String())
			return true
		})
		slices.Sort(names)
		return fmt.Sprint("readdir ", names, ": ", errorClass(err))
	case op == 11:
		in, err := d.Stat()
		return fmt.Sprint("stat ", in.Nlink == 0, ": ", errorClass(err))
	case f == nil:
		return ""
	case op == 12:
		k, err := f.Write(bytes.Repeat([]byte{byte(n)}, n))
		return fmt.Sprint("write ", k, ": ", errorClass(err))
	case op == 13:
		k, err := f.WriteAt(bytes.Repeat([]byte{byte(n)}, n), int64(r.IntN(100)))
		return fmt.Sprint("writeat ", k, ": ", errorClass(err))
	case op == 14:
		buf := make([]byte, n+1)
		k, err := f.ReadAt(buf, int64(r.IntN(100)))
		return fmt.Sprint("readat ", k, buf[:k], ": ", errorClass(err))
	case op == 15:
		buf := make([]byte, n+1)
		k, err := f.Read(buf)
		return fmt.Sprint("read ", k, buf[:k], ": ", errorClass(err))
	default:
		err := f.Truncate(int64(n))
		if n%2 == 0 {
			err = f.Allocate(int64(n), int64(n+1))
		}
		in, serr := f.Stat()
		return fmt.Sprint("resize ", in.Size, in.Nlink, ": ", errorClass(err), errorClass(serr), errorClass(f.Sync()))
	}
}

func (w *world) close() {
	for _, d := range w.dirs {
		d.Close()
	}
	for _, f := range w.files {
		f.Close()
	}
}

// TestMemIsLikeOS does the same random operations on both and compares every
// answer.
func TestMemIsLikeOS(t *testing.T) {
	for seed := range uint64(60) {
		mem, real := newWorld(t, NewMem(), "/"), newWorld(t, disk.OS(), t.TempDir())
		rm, ro := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 1))
		for i := range 800 {
			got, want := mem.step(rm), real.step(ro)
			if got != want {
				t.Fatalf("seed %d step %d: mem %q, real %q", seed, i, got, want)
			}
		}
		mem.close()
		real.close()
	}
}

func newWorld(t *testing.T, fsys disk.FS, path string) *world {
	t.Helper()
	root, err := fsys.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	return &world{fsys: fsys, dirs: []disk.Dir{root}}
}

func root(t *testing.T, fsys disk.FS) disk.Dir {
	t.Helper()
	d, err := fsys.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func write(t *testing.T, d disk.Dir, name, text string, sync bool) {
	t.Helper()
	f, err := d.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}

// read gives the contents, or "-" if the file is not there.
func read(t *testing.T, d disk.Dir, name string) string {
	t.Helper()
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
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

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// TestCrashKeepsWhatWasSynced: contents by Sync of the file and the name by
// Sync of the directory, whatever else is lost.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	for _, how := range []Survival{Random, Ordered, Nothing, Everything} {
		for seed := range uint64(50) {
			m := NewMem()
			d := root(t, m)
			write(t, d, "kept", "safe", true)
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			write(t, d, "late", "unsafe", false)
			if err := d.Rename("kept", d, "moved"); err != nil {
				t.Fatal(err)
			}
			m.Crash(rng(seed), how)
			if _, err := d.Stat(); !errors.Is(err, fs.ErrClosed) {
				t.Fatalf("old directory: %v", err)
			}
			d = root(t, m)
			kept, moved := read(t, d, "kept"), read(t, d, "moved")
			if (kept == "safe") == (moved == "safe") {
				t.Fatalf("how %d seed %d: kept %q, moved %q: a rename is done or not", how, seed, kept, moved)
			}
		}
	}
}

// TestCrashOutcomes: every legal outcome happens, and no other.
func TestCrashOutcomes(t *testing.T) {
	outcomes := func(how Survival) map[string]bool {
		seen := make(map[string]bool)
		for seed := range uint64(300) {
			m := NewMem()
			d := root(t, m)
			write(t, d, "a", "old", true)
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			write(t, d, "a", "new!", false)
			write(t, d, "b", "B", false)
			m.Crash(rng(seed), how)
			d = root(t, m)
			seen[fmt.Sprintf("%q %q", read(t, d, "a"), read(t, d, "b"))] = true
		}
		return seen
	}
	all := outcomes(Random)
	for _, want := range []string{`"old" "-"`, `"new!" "B"`, `"old" "B"`, `"new!" ""`, `"new!" "-"`, `"old\x00" "\x00"`} {
		if !all[want] {
			t.Errorf("random: never %s in %v", want, all)
		}
	}
	if got := outcomes(Nothing); len(got) != 1 || !got[`"old" "-"`] {
		t.Errorf("nothing: %v", got)
	}
	if got := outcomes(Everything); len(got) != 1 || !got[`"new!" "B"`] {
		t.Errorf("everything: %v", got)
	}
	for got := range outcomes(Ordered) {
		if bytes.Contains([]byte(got), []byte(`\x00`)) {
			t.Errorf("ordered: %s", got)
		}
	}
}

// TestCrashNeedsParent: a synced directory is lost with the entry that leads
// to it.
func TestCrashNeedsParent(t *testing.T) {
	lost := 0
	for seed := range uint64(40) {
		m := NewMem()
		d := root(t, m)
		if err := d.Mkdir("box", 0o700); err != nil {
			t.Fatal(err)
		}
		box, err := d.OpenDir("box")
		if err != nil {
			t.Fatal(err)
		}
		write(t, box, "a", "A", true)
		if err := box.Sync(); err != nil {
			t.Fatal(err)
		}
		m.Crash(rng(seed), Random)
		box, err = root(t, m).OpenDir("box")
		if err != nil {
			lost++
			continue
		}
		if got := read(t, box, "a"); got != "A" {
			t.Fatalf("a: %q", got)
		}
	}
	if lost == 0 || lost == 40 {
		t.Errorf("lost %d of 40", lost)
	}
}

// TestFailedSync: after a failed sync a later one that succeeds has not
// written what the first one dropped.
func TestFailedSync(t *testing.T) {
	for _, evict := range []bool{false, true} {
		m := NewMem()
		d := root(t, m)
		write(t, d, "a", "old", true)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		f, err := d.OpenFile("a", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("new!")); err != nil {
			t.Fatal(err)
		}
		m.FailSync(1, evict)
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("sync: %v", err)
		}
		want := "new!"
		if evict {
			want = "old\x00"
		}
		if got := read(t, d, "a"); got != want {
			t.Errorf("evict %v: read %q", evict, got)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		m.Crash(rng(1), Everything)
		if got := read(t, root(t, m), "a"); got != "old\x00" {
			t.Errorf("evict %v: after crash %q", evict, got)
		}
	}
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10)
	d := root(t, m)
	f, err := d.OpenFile("a", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.Write(make([]byte, 16))
	if n != 10 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("write: %d, %v", n, err)
	}
	if n, err := f.WriteAt([]byte("xy"), 3); n != 2 || err != nil {
		t.Fatalf("write in place: %d, %v", n, err)
	}
	if err := f.Truncate(4); err != nil {
		t.Fatal(err)
	}
	if err := f.Allocate(4, 7); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("allocate: %v", err)
	}
	if err := f.Allocate(4, 6); err != nil {
		t.Fatalf("allocate: %v", err)
	}
}

func TestPlantAndLock(t *testing.T) {
	m := NewMem()
	if err := m.Plant("/pipe", fs.ModeNamedPipe|0o600); err != nil {
		t.Fatal(err)
	}
	d, other := root(t, m), root(t, m)
	if _, err := d.Open("pipe"); !errors.Is(err, disk.ErrNotRegular) {
		t.Errorf("open: %v", err)
	}
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
	m.Crash(rng(1), Nothing)
	if _, err := root(t, m).Open("pipe"); !errors.Is(err, disk.ErrNotRegular) {
		t.Errorf("planted is durable: %v", err)
	}
}

func TestRecorder(t *testing.T) {
	r := Wrap(NewMem())
	d := root(t, r)
	write(t, d, "a", "text", true)
	if got := r.Count(Write); got != 1 {
		t.Errorf("writes: %d", got)
	}
	if got := r.Count(); got != 5 { // openroot, create, write, sync, close
		t.Errorf("all: %d %v", got, r.Counts())
	}
	r.Reset()
	r.Fail(Rule{Op: Sync, Nth: 2, Err: syscall.EIO})
	f, err := d.OpenFile("a", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, syscall.EIO, nil} {
		if err := f.Sync(); !errors.Is(err, want) {
			t.Errorf("sync %d: %v", i, err)
		}
	}
	r.Fail(Rule{Op: Write, Nth: 1, Sticky: true, Short: true, Err: syscall.ENOSPC})
	for range 2 {
		if n, err := f.Write([]byte("1234")); n != 2 || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("write: %d %v", n, err)
		}
	}
	r.Clear()
	var seen []string
	r.Before(func(c Call) { seen = append(seen, string(c.Op)+" "+c.Name+" "+c.NewName) })
	if err := d.Rename("a", d, "b"); err != nil {
		t.Fatal(err)
	}
	if err := d.Link("b", d, "c"); err != nil {
		t.Fatal(err)
	}
	r.Before(nil)
	if want := []string{"rename a b", "link b c"}; !slices.Equal(seen, want) {
		t.Errorf("seen %q", seen)
	}
	r.Fail(Rule{Op: ReadDir, Nth: 1, Short: true, Err: syscall.EIO})
	n := 0
	if err := d.ReadDir(func(disk.Entry) bool { n++; return true }); n != 1 || !errors.Is(err, syscall.EIO) {
		t.Errorf("readdir: %d %v", n, err)
	}
	before := r.Now()
	r.Turn(-time.Hour)
	if gone := before.Sub(r.Now()); gone < 59*time.Minute {
		t.Errorf("clock turned by %v", gone)
	}
}
