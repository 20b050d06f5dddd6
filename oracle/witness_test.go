package oracle

import (
	"os"
	"path/filepath"
	"testing"
)

// What the system calls of a program say of removals: a name that is unlinked
// after a link to it was made is a rename, and what was expected is nobody's fault.
func TestWitness(t *testing.T) {
	w := newWitness("/m")
	gone, kept, trash := Sum{1}, Sum{2}, Sum{3}
	w.delivered("1.gone.h,S=9", gone)
	w.delivered("2.kept.h", kept)
	w.delivered("3.trash.h", trash)
	w.expect(trash)
	trace := filepath.Join(t.TempDir(), "trace")
	text := `12 link("/m/new/2.kept.h", "/m/cur/2.kept.h:2,S") = 0
12 unlink("/m/new/2.kept.h") = 0
12 --- SIGCHLD {si_signo=SIGCHLD} ---
12 unlink("/m/cur/1.gone.h,S=9,U=4:2,F") = 0
12 unlink("/m/cur/3.trash.h:2,")          = 0
12 unlink("/m/cur/4.other.h:2,") = 0
12 unlink("/elsewhere/cur/2.kept.h:2,S") = 0
12 unlink("/m/cur/2.kept.h:2,S") = -1 ENOENT (No such file or directory)
`
	if err := os.WriteFile(trace, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.seen(trace); len(got) != 2 || got[0] != gone || got[1] != trash || w.wrong != 1 {
		t.Errorf("removed %d messages, %d of them wrongly: %x", len(got), w.wrong, got)
	}
}
