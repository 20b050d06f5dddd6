package mailbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roost/disk"
)

// The benchmarks in this file tell, beside their own time, how many times the
// bare system calls take, made by the same process on the same disk in the same
// run: "x-bare" is what budgets are about.

const benchMany = 10000

// bareRun makes n files and times f on an open directory descriptor.
func bareRun(b *testing.B, n int, f func(dir int, names []string)) time.Duration {
	b.Helper()
	root, err := os.MkdirTemp(b.TempDir(), "bare")
	if err != nil {
		b.Fatal(err)
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%d.M%d.h:2,S", 1700000000+i/10, i)
		if err := os.WriteFile(filepath.Join(root, names[i]), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	dir, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(dir)
	start := time.Now()
	f(dir, names)
	return time.Since(start)
}

func check(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// against reports the median of times and of what is bare in the same round.
func against(b *testing.B, times, bare []time.Duration) {
	b.ReportMetric(float64(median(times))/float64(median(bare)), "x-bare")
	b.ReportMetric(float64(median(times).Microseconds())/1000, "ms")
	b.ReportMetric(float64(median(bare).Microseconds())/1000, "bare-ms")
}

// benchRounds runs one round a time, each with its bare counterpart.
func benchRounds(b *testing.B, bare func(dir int, names []string), round func() time.Duration) {
	var times, bares []time.Duration
	for range b.N {
		unix.Sync()
		bares = append(bares, bareRun(b, benchMany, bare))
		unix.Sync()
		times = append(times, round())
	}
	against(b, times, bares)
}

func bareRename(b *testing.B) func(int, []string) {
	return func(dir int, names []string) {
		for _, n := range names {
			check(b, unix.Renameat(dir, n, dir, n[:len(n)-1]+"FS"))
		}
	}
}

// BenchmarkStoreMany is STORE 1:* on 10,000 messages.
func BenchmarkStoreMany(b *testing.B) {
	f := big(b, benchMany)
	f.open()
	v := f.view(false)
	defer v.Close()
	mode := StoreAdd
	benchRounds(b, bareRename(b), func() time.Duration {
		check(b, v.Refresh(context.Background()))
		start := time.Now()
		store(b, v, mode, Seqs{{1, benchMany}}, Flagged)
		check(b, v.b.Wait())
		took := time.Since(start)
		mode = StoreAdd + StoreRemove - mode
		return took
	})
}

// BenchmarkCopyMany is COPY 1:* of 10,000 messages, against links.
func BenchmarkCopyMany(b *testing.B) { benchCopy(b, false) }

// BenchmarkMoveMany is MOVE 1:* of 10,000 messages, against links; the files
// go in the background.
func BenchmarkMoveMany(b *testing.B) { benchCopy(b, true) }

func benchCopy(b *testing.B, move bool) {
	bare := func(dir int, names []string) {
		for _, n := range names {
			check(b, unix.Linkat(dir, n, dir, "1"+n, 0))
		}
	}
	benchRounds(b, bare, func() time.Duration {
		src, dest := big(b, benchMany), testFixture(b)
		src.old()
		src.open()
		dest.open()
		v := src.view(false)
		defer v.Close()
		start := time.Now()
		run := v.Copy
		if move {
			run = v.Move
		}
		_, err := run(context.Background(), Seqs{{1, benchMany}}, dest.mb)
		check(b, err)
		check(b, v.b.Wait())
		took := time.Since(start)
		if move {
			_, err = v.Sync(SyncEverything)
			check(b, err)
		}
		return took
	})
}

// old gives all files a time from before: young ones are synced by COPY.
func (f *fixture) old() {
	then := time.Now().Add(-time.Hour)
	for _, n := range f.files() {
		if err := os.Chtimes(filepath.Join(f.path, n), then, then); err != nil {
			f.t.Fatal(err)
		}
	}
}

// BenchmarkExpungeMany is EXPUNGE of 10,000 messages up to its answer, against
// unlinks; the files go in the background.
func BenchmarkExpungeMany(b *testing.B) {
	bare := func(dir int, names []string) {
		for _, n := range names {
			check(b, unix.Unlinkat(dir, n, 0))
		}
	}
	benchRounds(b, bare, func() time.Duration {
		f := big(b, benchMany)
		f.open()
		v := f.view(false)
		defer v.Close()
		store(b, v, StoreAdd, Seqs{{1, benchMany}}, Deleted)
		check(b, v.b.Wait())
		start := time.Now()
		n, err := v.Expunge(context.Background(), nil)
		check(b, err)
		_, err = v.Sync(SyncEverything)
		check(b, err)
		check(b, v.b.Wait())
		took := time.Since(start)
		if n != benchMany {
			b.Fatal(n)
		}
		return took
	})
}

// BenchmarkFirstLoadMany is SELECT of 100,000 messages, never indexed, against
// reading the directory.
func BenchmarkFirstLoadMany(b *testing.B) {
	const n = 100000
	f := big(b, n)
	var times, bares []time.Duration
	for range b.N {
		start := time.Now()
		dir, err := f.fsys.OpenRoot(filepath.Join(f.path, "cur"))
		check(b, err)
		names := 0
		check(b, dir.ReadDir(func(disk.Entry) bool { names++; return true }))
		dir.Close()
		bares = append(bares, time.Since(start))
		start = time.Now()
		f.open()
		v := f.view(true)
		if err := v.b.Wait(); err != nil || v.Len() != n || names != n {
			b.Fatal(err, v.Len(), names)
		}
		times = append(times, time.Since(start))
		v.Close()
		f.mb.close()
		f.mb = nil
		for _, name := range []string{"roost.index", "roost.cache"} {
			os.Remove(filepath.Join(f.path, name))
		}
		f.slot = &testSlot{}
	}
	against(b, times, bares)
}
