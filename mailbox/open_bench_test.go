package mailbox

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roost/disk"
	"roost/maildir"
)

// The benchmarks in this file open mailboxes as a server does, through a Store.
// They tell processor time beside the time by the clock, since a busy machine
// spoils that, and how many times the bare reading of the directory takes, read
// in the same round by the same process: the budgets are such multiples.

var (
	openMessages  = flag.Int("open.messages", 100_000, "messages of the mailbox that the benchmarks of opening use")
	openMailboxes = flag.Int("open.mailboxes", 200, "mailboxes that the benchmark of STATUS uses")
)

// spent is what one thing cost.
type spent struct{ clock, cpu time.Duration }

func measure(f func()) spent {
	runtime.GC() // what was before is not what f costs
	cpu, began := cpuTime(), time.Now()
	f()
	return spent{time.Since(began), cpuTime() - cpu}
}

func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func medianOf(all []spent) (s spent) {
	for _, of := range []func(*spent) *time.Duration{
		func(s *spent) *time.Duration { return &s.clock },
		func(s *spent) *time.Duration { return &s.cpu },
	} {
		list := make([]time.Duration, len(all))
		for i := range all {
			list[i] = *of(&all[i])
		}
		slices.Sort(list)
		*of(&s) = list[len(list)/2]
	}
	return s
}

func reportSpent(b *testing.B, what string, all []spent, n int) spent {
	m := medianOf(all)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(n) }
	b.ReportMetric(ms(m.clock), what+"-ms")
	b.ReportMetric(ms(m.cpu), what+"-cpu-ms")
	return m
}

// fillPlace makes n names of one file after the other, 50,000 names each, with
// names as Postfix makes them.
func fillPlace(b *testing.B, dir string, n int) {
	b.Helper()
	source := ""
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("%d.Vfe01I%07xM%06d.mail.example.org,S=14:2,S", 1500000000+i*10, i, i%1000000))
		if i%50_000 == 0 {
			source = name
			check(b, os.WriteFile(name, []byte("Subject: x\n\nx\n"), 0o600))
			continue
		}
		check(b, os.Link(source, name))
	}
}

func makeMaildir(b *testing.B, path string) {
	b.Helper()
	for _, d := range []string{"new", "cur", "tmp"} {
		check(b, os.MkdirAll(filepath.Join(path, d), 0o700))
	}
}

// benchStore is a server without the network.
func benchStore(b *testing.B, path string) (*Store, *Account, func()) {
	b.Helper()
	w, err := maildir.NewWatcher(maildir.WatchOptions{TempDir: b.TempDir()})
	check(b, err)
	st, err := NewStore(Options{FS: disk.OS(), Watcher: w, Memory: 1 << 40, Descriptors: 1 << 20, Escape: "%"})
	check(b, err)
	a, err := st.Open(context.Background(), User{Name: "u", Path: path})
	check(b, err)
	return st, a, func() {
		a.Release()
		check(b, st.Close())
		check(b, w.Close())
	}
}

// selectOne is SELECT up to its answer.
func selectOne(b *testing.B, a *Account, name string, want int) func() {
	b.Helper()
	var bar Barrier
	mb, err := a.Mailbox(context.Background(), name)
	check(b, err)
	v, err := mb.Open(context.Background(), false, &bar)
	check(b, err)
	check(b, bar.Wait())
	if v.Len() != want {
		b.Fatal(v.Len(), want)
	}
	return func() { v.Close(); mb.Release() }
}

func readBare(b *testing.B, path string) {
	d, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	check(b, err)
	defer unix.Close(d)
	buf := make([]byte, 128<<10)
	for {
		n, err := unix.Getdents(d, buf)
		check(b, err)
		if n == 0 {
			return
		}
	}
}

func removeIndex(path string) {
	for _, name := range []string{"roost.index", "roost.cache", "roost.account"} {
		os.Remove(filepath.Join(path, name))
	}
}

// BenchmarkOpenLarge is SELECT of a large mailbox: never indexed; after a
// restart; after a restart while its directory was changed from outside.
func BenchmarkOpenLarge(b *testing.B) {
	n := *openMessages
	path := filepath.Join(b.TempDir(), "Maildir")
	makeMaildir(b, path)
	fillPlace(b, filepath.Join(path, "cur"), n)
	unix.Sync()
	var bare, first, again, changed []spent
	extra := filepath.Join(path, "cur", "1.x:2,S")
	for range b.N {
		removeIndex(path)
		<-time.After(maildir.Granule) // the directory settles
		bare = append(bare, measure(func() { readBare(b, filepath.Join(path, "cur")) }))
		for i, into := range []*[]spent{&first, &again, &changed} {
			want := n
			if i == 2 {
				check(b, os.WriteFile(extra, nil, 0o600))
				want++
			}
			var leave, end func()
			*into = append(*into, measure(func() {
				var a *Account
				_, a, end = benchStore(b, path)
				leave = selectOne(b, a, "INBOX", want)
			}))
			leave()
			end()
			os.Remove(extra)
		}
	}
	reportSpent(b, "bare", bare, 1)
	base := medianOf(bare).cpu
	for what, all := range map[string][]spent{"first": first, "again": again, "changed": changed} {
		m := reportSpent(b, what, all, 1)
		b.ReportMetric(float64(m.cpu)/float64(base), what+"-x-bare")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOpenSmall is STATUS of many mailboxes: never indexed, and again after
// a restart; for each.
func BenchmarkOpenSmall(b *testing.B) {
	for _, messages := range []int{0, 1} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) { benchStatus(b, messages) })
	}
}

func benchStatus(b *testing.B, messages int) {
	n := *openMailboxes
	var first, again []spent
	for range b.N {
		path := filepath.Join(b.TempDir(), "Maildir")
		makeMaildir(b, path)
		names := make([]string, n)
		for i := range n {
			names[i] = fmt.Sprintf("lists/m%05d", i)
			sub := filepath.Join(path, fmt.Sprintf(".lists.m%05d", i))
			makeMaildir(b, sub)
			fillPlace(b, filepath.Join(sub, "cur"), messages)
		}
		unix.Sync()
		for _, into := range []*[]spent{&first, &again} {
			_, a, end := benchStore(b, path)
			*into = append(*into, measure(func() {
				for _, name := range names {
					var bar Barrier
					s, err := a.Status(context.Background(), name, StatusItems{}, &bar)
					check(b, err)
					check(b, bar.Wait())
					if s.Messages != messages {
						b.Fatal(s.Messages)
					}
				}
			}))
			end()
		}
		check(b, os.RemoveAll(path))
	}
	reportSpent(b, "first", first, n)
	reportSpent(b, "again", again, n)
	b.ReportMetric(0, "ns/op")
}
