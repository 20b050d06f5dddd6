package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"roost/disk"
	"roost/disk/disktest"
)

func TestParseKeywords(t *testing.T) {
	k, skipped := ParseKeywords([]byte("1 $Junk\n0 later\nbroken\n26 much\n-1 less\n3 \n4 LATER\n1 again\nx y\n25 last one\n7 cut"))
	want := Keywords{0: "later", 1: "$Junk", 25: "last one", 7: "cut"}
	if k != want || skipped != 7 {
		t.Errorf("%q, skipped %d", k, skipped)
	}
	if got := string(k.Append(nil)); got != "0 later\n1 $Junk\n7 cut\n25 last one\n" {
		t.Errorf("written %q", got)
	}
	if k.Slot("$JUNK") != 1 || k.Slot("none") != -1 || k.Slot("") != -1 || k.Slot("$Jun\u212a") != -1 {
		t.Error("look-up")
	}
}

func FuzzKeywordsFile(f *testing.F) {
	f.Add([]byte("0 a\n1 b\n"), "c")
	f.Add([]byte("25 $Forwarded\n0 \n 1\n"), "$forwarded")
	f.Add([]byte("\n\n-0 x\n+3 y\n003 z\r\n"), "")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		k, _ := ParseKeywords(data)
		again, skipped := ParseKeywords(k.Append(nil))
		if again != k || skipped != 0 {
			t.Fatalf("%q: %q, again %q", data, k, again)
		}
		old := k
		changed, err := k.add([]string{name})
		for i := range k {
			if old[i] != "" && k[i] != old[i] {
				t.Fatalf("slot %d changed from %q to %q", i, old[i], k[i])
			}
		}
		if err == nil && k.Slot(name) < 0 || changed == (k == old) {
			t.Fatalf("add %q: %v %v %q", name, changed, err, k)
		}
		if again, skipped := ParseKeywords(k.Append(nil)); again != k || skipped != 0 {
			t.Fatalf("%q after add: %q", k, again)
		}
	})
}

func TestAddKeywords(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		root := openRoot(t, r, at)
		ctx := context.Background()
		if k, stamp, err := ReadKeywords(root); err != nil || k != (Keywords{}) || stamp != (FileStamp{}) {
			t.Errorf("none: %q %v %v", k, stamp, err)
		}
		k, stamp, err := AddKeywords(ctx, r, root, 0o640, "a", "$Junk")
		if want := (Keywords{"a", "$Junk"}); err != nil || k != want {
			t.Fatalf("%q %v", k, err)
		}
		before, err := root.Lstat(KeywordsFile)
		must(t, err)
		if fileStamp(before) != stamp || before.Mode != 0o640 {
			t.Errorf("stamp %v of %+v", stamp, before)
		}
		// Another server has added one; its slot stays, ours is the next.
		must(t, root.Unlink(KeywordsFile))
		put(t, root, KeywordsFile, "0 a\n1 $Junk\n2 theirs\n")
		must(t, root.Chtimes(KeywordsFile, before.Mtime.Add(5*time.Second)))
		k, _, err = AddKeywords(ctx, r, root, 0o640, "ours", "A")
		if want := (Keywords{"a", "$Junk", "theirs", "ours"}); err != nil || k != want {
			t.Fatalf("%q %v", k, err)
		}
		// The time grows by whole seconds, since that is what Dovecot compares.
		after, err := root.Lstat(KeywordsFile)
		if err != nil || after.Mtime.Unix() <= before.Mtime.Add(5*time.Second).Unix() {
			t.Errorf("mtime %v after %v: %v", after.Mtime, before.Mtime, err)
		}
		r.Reset()
		if _, _, err = AddKeywords(ctx, r, root, 0o640, "ours"); err != nil || r.Count(disktest.Rename) != 0 {
			t.Errorf("nothing to do: %v %v", err, r.Counts())
		}
		var many []string
		for i := range 30 {
			many = append(many, fmt.Sprint("k", i))
		}
		k, _, err = AddKeywords(ctx, r, root, 0o640, many...)
		if !errors.Is(err, ErrNoSlot) || k[25] != "k21" {
			t.Errorf("full: %q %v", k, err)
		}
		if _, _, err := AddKeywords(ctx, r, root, 0o640, "a\nb"); !errors.Is(err, ErrName) && !errors.Is(err, ErrNoSlot) {
			t.Errorf("line break: %v", err)
		}
		if got := namesOf(t, root); !slices.Equal(got, []string{KeywordsFile}) {
			t.Errorf("left %q", got)
		}
	})
}

// TestAddKeywordsFails: at whatever call, the old file or the new one is
// there, and no lock.
func TestAddKeywordsFails(t *testing.T) {
	each(t, func(t *testing.T, r *disktest.Recorder, at string) {
		root := openRoot(t, r, at)
		put(t, root, KeywordsFile, "0 a\n")
		for n := 1; ; n++ {
			if n > 100 {
				t.Fatal("still failing")
			}
			r.Fail(disktest.Rule{Nth: n, Short: true, Err: syscall.ENOSPC})
			_, _, err := AddKeywords(context.Background(), r, root, 0o640, fmt.Sprint("k", n))
			r.Clear()
			for _, name := range namesOf(t, root) {
				if name != KeywordsFile {
					must(t, root.Unlink(name)) // its removal failed; it goes stale
				}
			}
			k, _, rerr := ReadKeywords(root)
			if rerr != nil || k[0] != "a" || err == nil && k.Slot(fmt.Sprint("k", n)) < 0 {
				t.Fatalf("call %d: %q %v %v", n, k, err, rerr)
			}
			if err == nil {
				return
			}
		}
	})
}

// TestKeywordsDurable: after AddKeywords no crash takes a name away.
func TestKeywordsDurable(t *testing.T) {
	for seed := range uint64(40) {
		m := disktest.NewMem()
		root := openRoot(t, m, "/")
		_, _, err := AddKeywords(context.Background(), m, root, 0o600, "a")
		must(t, err)
		m.Crash(rand.New(rand.NewPCG(seed, 2)), disktest.Random)
		if k, _, err := ReadKeywords(openRoot(t, m, "/")); err != nil || k[0] != "a" {
			t.Fatalf("seed %d: %q %v", seed, k, err)
		}
	}
}

// TestDotLock: a lock is waited for, and broken only when it is stale.
func TestDotLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := disktest.NewMem()
		root := openRoot(t, m, "/")
		lock, err := LockUidlist(context.Background(), m, root, 0o600)
		must(t, err)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if _, err := LockUidlist(ctx, m, root, 0o600); !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("held: %v", err)
		}
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("waited %v", got)
		}
		// It is released while another one waits.
		got := make(chan error)
		go func() {
			second, err := LockUidlist(context.Background(), m, root, 0o600)
			if err == nil {
				err = second.Unlock()
			}
			got <- err
		}()
		time.AfterFunc(time.Second, func() { lock.Unlock() })
		must(t, <-got)
		// Its holder died.
		put(t, root, UidlistLock, "")
		start = time.Now()
		third, err := LockUidlist(context.Background(), m, root, 0o600)
		must(t, err)
		if got := time.Since(start); got < uidlistStale-time.Second || got > uidlistStale+time.Second {
			t.Errorf("stale after %v", got)
		}
		// Somebody thinks the same of us: we notice and leave theirs alone.
		must(t, root.Unlink(UidlistLock))
		put(t, root, UidlistLock, "theirs")
		if err := third.Unlock(); !errors.Is(err, ErrLocked) {
			t.Errorf("unlock: %v", err)
		}
		if got := namesOf(t, root); !slices.Equal(got, []string{UidlistLock}) {
			t.Errorf("left %q", got)
		}
	})
}

// TestBreakStaleRace: the stale lock is replaced by a fresh one just before it
// is moved aside.
func TestBreakStaleRace(t *testing.T) {
	r := disktest.Wrap(disktest.NewMem())
	root := openRoot(t, r, "/")
	put(t, root, UidlistLock, "stale")
	r.Turn(uidlistStale)
	r.Before(func(c disktest.Call) {
		if c.Op == disktest.Rename && c.Name == UidlistLock {
			r.Before(nil)
			must(t, root.Unlink(UidlistLock))
			put(t, root, UidlistLock, "fresh")
		}
	})
	if removed, err := breakStale(r, root, UidlistLock, uidlistStale); removed || err != nil {
		t.Errorf("%v %v", removed, err)
	}
	if got := get(t, root, UidlistLock); got != "fresh" {
		t.Errorf("lock %q", got)
	}
}

func TestSubscriptions(t *testing.T) {
	tests := []struct {
		layout Layout
		data   string
		want   string // joined with " "
		add    string
		after  string
	}{
		{plain, "", "", "A/B.x", "V\t2\n\nA\tB%2ex\n"},
		{plain, "V\t2\n\nINBOX\nA\tB\nA\tB\nbad&\n", "INBOX A/B", "Entwürfe", "V\t2\n\nINBOX\nA\tB\nA\tB\nbad&\nEntw&APw-rfe\n"},
		{plain, "inbox\nA.B\n", "INBOX A/B", "C/D.e", "inbox\nA.B\nC.D%2ee\n"},
		{nested, "A/B.c\nEntwürfe\n", "A/B.c Entwürfe", "A/B.c", "A/B.c\nEntwürfe\n"},
		{plain, "V\t2\n\nA\x01tB\n", "", "C", "V\t2\n\nA\x01tB\nC\n"},
		{plain, "no line end", "no line end", "C", "no line end\nC\n"},
	}
	for _, tt := range tests {
		s := ParseSubscriptions([]byte(tt.data), tt.layout)
		var names []string
		for _, m := range s.Names() {
			names = append(names, m.String())
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%q: %q", tt.data, got)
		}
		changed, err := s.Set(box(t, tt.add), true)
		if got := string(s.Append(nil)); got != tt.after || err != nil || changed == (tt.after == tt.data) {
			t.Errorf("%q + %q: %q %v %v", tt.data, tt.add, got, changed, err)
		}
		if changed, err := s.Set(box(t, tt.add), false); !changed || err != nil {
			t.Errorf("%q - %q: %v %v", tt.data, tt.add, changed, err)
		}
		if changed, err := s.Set(box(t, tt.add), false); changed || err != nil {
			t.Errorf("%q - %q again: %v %v", tt.data, tt.add, changed, err)
		}
	}
	s := ParseSubscriptions(nil, strict)
	if _, err := s.Set(Mailbox{"a.b"}, true); !errors.Is(err, ErrName) {
		t.Errorf("no escape: %v", err)
	}
}

func FuzzSubscriptions(f *testing.F) {
	f.Add([]byte("V\t2\n\nA\tB\n"), "C/D")
	f.Add([]byte("A.B\nINBOX\n"), "C.D")
	f.Add([]byte("V\t2\n\nA\x01t\x01\tB\n\x00"), "~x/%2e")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		for _, l := range []Layout{plain, nested, strict} {
			s := ParseSubscriptions(data, l)
			again := ParseSubscriptions(s.Append(nil), l)
			if len(s.lines) > 0 && !slices.Equal(again.lines, s.lines) {
				t.Fatalf("%q: %q, again %q", data, s.lines, again.lines)
			}
			old := s.Names()
			m, err := ParseMailbox(name, '/')
			if err != nil {
				continue
			}
			if _, err := s.Set(m, true); err != nil {
				continue
			}
			again = ParseSubscriptions(s.Append(nil), l)
			names := again.Names()
			has := func(x Mailbox) func(Mailbox) bool {
				return func(m Mailbox) bool { return slices.Equal(x, m) }
			}
			if !slices.ContainsFunc(names, has(m)) {
				t.Fatalf("%q + %q: %q", data, m, names)
			}
			for _, o := range old {
				if !slices.ContainsFunc(names, has(o)) {
					t.Fatalf("%q + %q lost %q", data, m, o)
				}
			}
			if _, err := again.Set(m, false); err != nil || slices.ContainsFunc(again.Names(), has(m)) {
				t.Fatalf("%q - %q: %v", data, m, err)
			}
		}
	})
}

func TestSubscribe(t *testing.T) {
	eachTree(t, func(t *testing.T, r *disktest.Recorder, tree *Tree) {
		ctx := context.Background()
		must(t, tree.Subscribe(ctx, true, box(t, "INBOX"), box(t, "A/B")))
		s, stamp, err := tree.ReadSubscriptions()
		if err != nil || len(s.Names()) != 2 || stamp == (FileStamp{}) {
			t.Errorf("%q %v %v", s.Names(), stamp, err)
		}
		if got := get(t, tree.Root(), SubscriptionsFile); got != "V\t2\n\nINBOX\nA\tB\n" {
			t.Errorf("file %q", got)
		}
		must(t, tree.Subscribe(ctx, false, box(t, "INBOX")))
		again, err := StampFile(tree.Root(), SubscriptionsFile)
		if err != nil || again == stamp {
			t.Errorf("stamp %v %v", again, err)
		}
		must(t, tree.Subscribe(ctx, true, box(t, "A/B"))) // is there
		if same, err := StampFile(tree.Root(), SubscriptionsFile); err != nil || same != again {
			t.Errorf("written although nothing changed: %v %v", same, err)
		}
		if got := namesOf(t, tree.Root()); !slices.Equal(got, []string{SubscriptionsFile}) {
			t.Errorf("left %q", got)
		}
		r.Fail(disktest.Rule{Op: disktest.Sync, Nth: 1, Err: syscall.EIO})
		if err := tree.Subscribe(ctx, true, box(t, "C")); !errors.Is(err, syscall.EIO) {
			t.Errorf("sync: %v", err)
		}
		if got := get(t, tree.Root(), SubscriptionsFile); got != "V\t2\n\nA\tB\n" {
			t.Errorf("file after a failure %q", got)
		}
	})
}

// TestHugeFiles: a planted file does not fill the memory.
func TestHugeFiles(t *testing.T) {
	at := t.TempDir()
	root := openRoot(t, disk.OS(), at)
	for _, name := range []string{KeywordsFile, SubscriptionsFile} {
		put(t, root, name, "x")
		f, err := root.OpenFile(name, 2, 0)
		must(t, err)
		must(t, f.Truncate(1<<40))
		f.Close()
	}
	if _, _, err := ReadKeywords(root); !errors.Is(err, ErrTooLarge) {
		t.Errorf("keywords: %v", err)
	}
	if _, _, err := openTree(t, disk.OS(), at, plain).ReadSubscriptions(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("subscriptions: %v", err)
	}
	if !bytes.Equal(tail(t, root), []byte{0}) {
		t.Error("sparse file")
	}
}

func tail(t *testing.T, root disk.Dir) []byte {
	t.Helper()
	f, err := root.Open(KeywordsFile)
	must(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 1<<40-1)
	must(t, err)
	return b
}
