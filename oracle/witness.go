package oracle

import (
	"bufio"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A witness sees which messages a program removes itself. NeoMutt unlinks
// messages that nobody deleted when they leave new/ while it looks (see
// docs/interop.md): those are no loss of the server's, and only the system
// calls of NeoMutt tell them apart.
type witness struct {
	maildir string

	mu    sync.Mutex
	sums  map[string]Sum // by key: the name up to the first ','
	known map[Sum]bool   // may be removed
	wrong int            // removed, though nobody deleted them
}

func newWitness(maildir string) *witness {
	return &witness{maildir: maildir, sums: map[string]Sum{}, known: map[Sum]bool{}}
}

// keyIn is the key of a message's file; "" if path is none.
func (w *witness) keyIn(path string) string {
	dir, name := filepath.Split(path)
	if dir != w.maildir+"/new/" && dir != w.maildir+"/cur/" {
		return ""
	}
	return keyOf(name)
}

// keyOf is the key of a file name.
func keyOf(name string) string {
	base, _, _ := strings.Cut(name, ":")
	key, _, _ := strings.Cut(base, ",")
	return key
}

// learn reads the messages that it has not seen yet.
func (w *witness) learn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, place := range []string{"new", "cur"} {
		list, _ := os.ReadDir(filepath.Join(w.maildir, place))
		for _, e := range list {
			path := filepath.Join(w.maildir, place, e.Name())
			key := w.keyIn(path)
			if _, seen := w.sums[key]; seen {
				continue
			}
			if raw, err := os.ReadFile(path); err == nil {
				w.sums[key] = Served(raw)
			}
		}
	}
}

// delivered says which message has the name base. A nil witness does not care.
func (w *witness) delivered(base string, sum Sum) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sums[keyOf(base)] = sum
}

// expect says that a message is there to be removed.
func (w *witness) expect(sum Sum) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[sum] = true
}

// canTrace reports whether strace is there and may trace: some containers forbid it.
var canTrace = sync.OnceValue(func() bool {
	return exec.Command("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=unlink", "true").Run() == nil
})

// command is a command line that runs name so that seen can read into trace what
// it did.
func (w *witness) command(trace, name string, args ...string) (string, []string) {
	if !canTrace() {
		return name, args // nothing is excused
	}
	with := []string{"-f", "-qq", "--seccomp-bpf", "-s", "4096", "-e", "trace=/^(un)?link(at)?$,/^rename(at2?)?$", "-o", trace, name}
	return "strace", append(with, args...)
}

var (
	tracedCall = regexp.MustCompile(`^\d+ +(\w+)\((.*)\) += 0$`)
	tracedPath = regexp.MustCompile(`"([^"]*)"`)
)

// seen gives the messages that the program removed, and counts those that nobody
// had deleted. A name that is unlinked after a link to it was made is a rename.
func (w *witness) seen(trace string) []Sum {
	f, err := os.Open(trace)
	if err != nil {
		return nil
	}
	defer f.Close()
	w.learn()
	w.mu.Lock()
	defer w.mu.Unlock()
	names := map[string]int{} // links that the program made, by key
	gone := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		call := tracedCall.FindStringSubmatch(lines.Text())
		if call == nil {
			continue
		}
		paths := tracedPath.FindAllStringSubmatch(call[2], 2)
		if len(paths) == 0 {
			continue
		}
		switch key := w.keyIn(paths[0][1]); {
		case key == "":
		case strings.HasPrefix(call[1], "link"):
			names[key]++
		case !strings.HasPrefix(call[1], "unlink"):
		case names[key] > 0:
			names[key]--
		default:
			gone[key] = true
		}
	}
	var out []Sum
	for _, key := range slices.Sorted(maps.Keys(gone)) {
		if sum, ok := w.sums[key]; ok {
			out = append(out, sum)
			if !w.known[sum] {
				w.wrong++
			}
		}
	}
	return out
}
