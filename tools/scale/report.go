package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"roost/disk/disktest"
)

// A report prints figures and remembers which missed their budget.
type report struct{ missed []string }

// took prints a time; budget 0 is none.
func (r *report) took(what string, d, budget time.Duration) {
	r.line(what, d.Round(10*time.Microsecond).String(), budget != 0 && d > budget, budget)
}

// cpu is the time that the processors spent on this process: on a busy machine
// it says more than the clock.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// octets prints a size.
func (r *report) octets(what string, n, budget int64) {
	r.line(what, fmt.Sprintf("%d KiB", n>>10), budget != 0 && n > budget, fmt.Sprintf("%d KiB", budget>>10))
}

// number prints a number that should be at most budget, if that is not negative.
func (r *report) number(what string, n, budget int) {
	r.line(what, fmt.Sprint(n), budget >= 0 && n > budget, budget)
}

func (r *report) line(what, value string, missed bool, budget any) {
	note := ""
	if missed {
		note = fmt.Sprintf("  MISSED: at most %v", budget)
		r.missed = append(r.missed, what)
	}
	fmt.Printf("%-62s %14s%s\n", what, value, note)
}

func (r *report) title(format string, args ...any) { fmt.Printf("\n"+format+"\n", args...) }

func (r *report) result() error {
	if len(r.missed) > 0 {
		return fmt.Errorf("budgets missed: %s", strings.Join(r.missed, "; "))
	}
	return nil
}

// calls sums what was done to the file system, with the kinds.
func calls(fs *disktest.Recorder) (n int, kinds string) {
	var parts []string
	for op, k := range fs.Counts() {
		if k > 0 {
			n += k
			parts = append(parts, fmt.Sprintf("%s %d", op, k))
		}
	}
	return n, strings.Join(parts, ", ")
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// pss is the proportional set size of the process, 0 where that is not told.
func pss() int64 {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(sc.Text(), "Pss: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
