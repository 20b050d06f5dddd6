package mailbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"roost/disk"
	"roost/disk/disktest"
)

func openWithQuota(t testing.TB, st *Store, q Quota) *Account {
	t.Helper()
	a, err := st.Open(t.Context(), User{Name: "alice", Path: testRoot, Quota: q})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Release)
	return a
}

func wantUsage(t testing.TB, a *Account, want Usage) {
	t.Helper()
	if _, got, err := a.Quota(t.Context()); err != nil || got != want {
		t.Errorf("usage %+v, %v, want %+v", got, err, want)
	}
}

func write(t testing.TB, dir disk.Dir, name, content string) {
	t.Helper()
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
}

func dirAt(t testing.TB, mem *disktest.Mem, a *Account, path string) disk.Dir {
	t.Helper()
	dir, err := openPath(mem, a.tree.Root(), a.path, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// appendSize appends a message of size octets, each line with its CRLF.
func appendSize(t testing.TB, a *Account, name string, size int) error {
	t.Helper()
	mb, err := a.Mailbox(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	ap, err := mb.NewAppend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer ap.Abort()
	r := strings.NewReader(strings.Repeat("x", size))
	if err := ap.Add(AppendMeta{}, r, int64(size)); err != nil {
		if errors.Is(err, ErrOverQuota) && r.Len() < size {
			t.Error("octets were taken before the message was refused")
		}
		return err
	}
	var b Barrier
	if _, _, err := ap.Commit(t.Context(), &b); err != nil {
		return err
	}
	return b.Wait()
}

// TestUsageModel compares what is counted step by step with what lies on the
// disk, while mailboxes are live and not, and another program is at work.
func TestUsageModel(t *testing.T) {
	mem, st := memStore(t, nil)
	a := openWithQuota(t, st, Quota{Storage: 1 << 30})
	mustCreate(t, a, "A", "B")
	rnd := rand.New(rand.NewPCG(1, 2))
	paths := map[string]string{"INBOX": "", "A": ".A/", "B": ".B/"}
	names := []string{"INBOX", "A", "B"}
	want := Usage{Mailboxes: 3}
	type message struct{ size int64 }
	all := map[string][]message{}
	clock := time.Duration(0)
	for i := range 300 {
		name := names[rnd.IntN(3)]
		switch rnd.IntN(6) {
		case 0, 1:
			size := 1 + rnd.IntN(500)
			if err := appendSize(t, a, name, size); err != nil {
				t.Fatal(err)
			}
			all[name] = append(all[name], message{int64(size)})
			want.Storage += int64(size)
			want.Messages++
		case 2: // another program, with the size in the name or without
			size := 1 + rnd.IntN(500)
			base := fmt.Sprintf("17%08d.M%d.mta", i, i)
			if rnd.IntN(2) == 0 {
				base += fmt.Sprintf(",S=%d", size)
			}
			write(t, dirAt(t, mem, a, paths[name]+"new"), base, strings.Repeat("y", size))
			all[name] = append(all[name], message{int64(size)})
			want.Storage += int64(size)
			want.Messages++
		case 3:
			withView(t, a, name, func(v *View) {
				if v.Len() == 0 || v.Len() != len(all[name]) {
					return // some are not seen yet
				}
				n := 1 + rnd.IntN(v.Len())
				size := v.mb.fileSize(v.ix, v.row(SeqNum(n)))
				if _, err := v.Store(t.Context(), Seqs{{SeqNum(n), SeqNum(n)}}, StoreOp{Mode: StoreAdd, Flags: Deleted}); err != nil {
					t.Fatal(err)
				}
				if _, err := v.Expunge(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				for k, m := range all[name] {
					if m.size == size {
						all[name] = append(all[name][:k], all[name][k+1:]...)
						break
					}
				}
				want.Storage -= size
				want.Messages--
			})
		case 4:
			closeLive(t, a)
		case 5:
			clock += 10 * time.Second
			mem.Turn(clock)
		}
		if rnd.IntN(3) == 0 {
			for _, name := range names { // what is live hears of deliveries first
				withView(t, a, name, func(*View) {})
			}
			wantUsage(t, a, want)
			if t.Failed() {
				t.Fatalf("step %d", i)
			}
		}
	}
}

func withView(t testing.TB, a *Account, name string, f func(*View)) {
	t.Helper()
	mb, err := a.Mailbox(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	var b Barrier
	v, err := mb.Open(t.Context(), false, &b)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	f(v)
	if err := b.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestUsageCost: counting again costs two looks a mailbox, however many
// messages there are.
func TestUsageCost(t *testing.T) {
	mem := disktest.NewMem()
	if err := makeRoot(mem, testRoot, CreateAlways); err != nil {
		t.Fatal(err)
	}
	rec := disktest.Wrap(mem)
	st := newTestStore(t, rec, nil)
	a := openWithQuota(t, st, Quota{Messages: 1000})
	mustCreate(t, a, "A")
	closeLive(t, a)
	dir := dirAt(t, mem, a, ".A/cur")
	for i := range 200 {
		write(t, dir, fmt.Sprintf("%d.mta:2,", i), "x")
	}
	mem.Turn(time.Minute)
	wantUsage(t, a, Usage{Storage: 200, Messages: 200, Mailboxes: 2})
	before := rec.Count()
	wantUsage(t, a, Usage{Storage: 200, Messages: 200, Mailboxes: 2})
	if n := rec.Count() - before; n > 30 {
		t.Errorf("%d system calls to count again", n)
	}
	// Live: each file once, then none. The second load has nothing to do in the
	// background.
	withView(t, a, "A", func(*View) {})
	closeLive(t, a)
	withView(t, a, "A", func(*View) {})
	wantUsage(t, a, Usage{Storage: 200, Messages: 200, Mailboxes: 2})
	before = rec.Count()
	if err := appendSize(t, a, "A", 10); err != nil {
		t.Fatal(err)
	}
	if n := rec.Count() - before; n > 100 {
		t.Errorf("%d system calls for an APPEND", n)
	}
}

func TestOverQuota(t *testing.T) {
	_, st := memStore(t, nil)
	a := openWithQuota(t, st, Quota{Storage: 1000})
	if err := appendSize(t, a, "INBOX", 600); err != nil {
		t.Fatal(err)
	}
	if err := appendSize(t, a, "INBOX", 401); !errors.Is(err, ErrOverQuota) {
		t.Errorf("%v, want ErrOverQuota", err)
	}
	// What is on its way counts, and what is given up does not.
	mb, err := a.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer mb.Release()
	ap, err := mb.NewAppend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := ap.Add(AppendMeta{}, strings.NewReader(strings.Repeat("x", 300)), 300); err != nil {
		t.Fatal(err)
	}
	if err := appendSize(t, a, "INBOX", 200); !errors.Is(err, ErrOverQuota) {
		t.Errorf("%v beside an APPEND that goes on, want ErrOverQuota", err)
	}
	ap.Abort()
	if err := appendSize(t, a, "INBOX", 400); err != nil {
		t.Errorf("%v behind one that was given up", err)
	}
	wantUsage(t, a, Usage{Storage: 1000, Messages: 2, Mailboxes: 1})
	// A larger limit counts from the next login on.
	b := openWithQuota(t, st, Quota{Storage: 2000})
	if err := appendSize(t, b, "INBOX", 400); err != nil {
		t.Error(err)
	}
}

func readFile(t testing.TB, dir disk.Dir, name string) string {
	t.Helper()
	f, err := dir.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 64<<10)
	n, _ := f.ReadAt(b, 0)
	return string(b[:n])
}

// settle waits for what is written to maildirsize.
func settle(a *Account) string { a.bg.Wait(); return "" }

// TestMaildirsize: the file is kept if somebody made it, and only then
// (rule Q1).
func TestMaildirsize(t *testing.T) {
	mem, st := memStore(t, nil)
	a := openWithQuota(t, st, Quota{Storage: 1 << 20})
	if err := appendSize(t, a, "INBOX", 100); err != nil {
		t.Fatal(err)
	}
	settle(a)
	root := dirAt(t, mem, a, "")
	if _, err := root.Lstat("maildirsize"); err == nil {
		t.Fatal("it was made uninvited")
	}
	write(t, root, "maildirsize", "1048576S\n100 1\n")
	if err := appendSize(t, a, "INBOX", 50); err != nil {
		t.Fatal(err)
	}
	settle(a)
	if got, want := readFile(t, root, "maildirsize"), "1048576S\n100 1\n50 1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	withView(t, a, "INBOX", func(v *View) {
		mb, err := a.Mailbox(t.Context(), "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		defer mb.Release()
		if _, err := v.Copy(t.Context(), Seqs{{1, 2}}, mb); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Store(t.Context(), Seqs{{1, 1}}, StoreOp{Mode: StoreAdd, Flags: Deleted}); err != nil {
			t.Fatal(err)
		}
		settle(a)
		if _, err := v.Expunge(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		settle(a)
	})
	if got, want := readFile(t, root, "maildirsize"), "1048576S\n100 1\n50 1\n150 2\n-100 -1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// Too long: made anew, with the quota that it had.
	if err := root.Unlink("maildirsize"); err != nil {
		t.Fatal(err)
	}
	write(t, root, "maildirsize", "1048576S,1000C\n"+strings.Repeat("1 1\n", 1300))
	if err := appendSize(t, a, "INBOX", 7); err != nil {
		t.Fatal(err)
	}
	settle(a)
	if got, want := readFile(t, root, "maildirsize"), "1048576S,1000C\n207 4\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// A mailbox that is deleted takes its messages with it.
	mustCreate(t, a, "A")
	if err := appendSize(t, a, "A", 1000); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	settle(a)
	if got, want := readFile(t, root, "maildirsize"), "1048576S,1000C\n207 4\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if tmp := dirAt(t, mem, a, "tmp"); tmp != nil {
		n := 0
		tmp.ReadDir(func(disk.Entry) bool { n++; return true })
		if n > 0 {
			t.Errorf("%d files left in tmp", n)
		}
	}
}

func TestOwnQuota(t *testing.T) {
	mem, st := memStore(t, nil)
	a := openWithQuota(t, st, Quota{Storage: 1000})
	if err := a.SetQuota(Quota{Storage: 1001}); !errors.Is(err, ErrPermission) {
		t.Errorf("above the administrator's: %v", err)
	}
	if err := a.SetQuota(Quota{Storage: 500, Messages: 1}); err != nil {
		t.Fatal(err)
	}
	if err := appendSize(t, a, "INBOX", 501); !errors.Is(err, ErrOverQuota) {
		t.Errorf("%v, want ErrOverQuota", err)
	}
	mem.Crash(rand.New(rand.NewPCG(1, 5)), disktest.Nothing)
	st.Close() // its files are dead
	b := openWithQuota(t, newTestStore(t, mem, nil), Quota{Storage: 400})
	if l, _, err := b.Quota(t.Context()); err != nil || l != (Quota{Storage: 400, Messages: 1}) {
		t.Errorf("after a crash: %+v, %v", l, err)
	}
}
