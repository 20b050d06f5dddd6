package mailbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
	"roost/maildir"
)

// rebasing is a mailbox in which mbsync writes its UID into a name right before
// a call of ours.
func rebasing(t *testing.T, messages int, when func(disktest.Call) bool) (f *fixture, arm func()) {
	f = testFixture(t)
	rec := disktest.Wrap(disk.OS())
	f.fsys = rec
	for i := range messages {
		f.deliver("cur/" + string(rune('1'+i)) + ".a:2,")
	}
	f.open()
	var once sync.Once
	return f, func() {
		rec.Before(func(c disktest.Call) {
			if !when(c) {
				return
			}
			once.Do(func() {
				list, err := os.ReadDir(filepath.Join(f.path, "cur"))
				if err != nil || len(list) == 0 {
					t.Errorf("cur: %v", err)
					return
				}
				base, info, _ := strings.Cut(list[0].Name(), ":")
				f.rename("cur/"+list[0].Name(), "cur/"+base+",U=7:"+info)
			})
		})
	}
}

// TestRebasedWhileRenamed: our rename of the same file finds nothing, and the
// message keeps its UID and gets its flag.
func TestRebasedWhileRenamed(t *testing.T) {
	f, arm := rebasing(t, 1, func(c disktest.Call) bool { return c.Op == disktest.Rename && strings.HasSuffix(c.Dir, "/cur") })
	v := f.view(false)
	defer v.Close()
	arm()
	store(t, v, StoreAdd, one(1), Seen)
	f.eventually("the flag is in the new name", func() bool {
		f.noop(v)
		list := f.files()
		return len(list) == 1 && list[0] == "cur/1.a,U=7:2,S"
	})
	wantText(t, v, "1:1(S)")
}

// TestRebasedWhileAdded: the messages of an APPEND are two, with the UIDs that
// were told.
func TestRebasedWhileAdded(t *testing.T) {
	f, arm := rebasing(t, 0, func(c disktest.Call) bool { return c.Op == disktest.SyncDir && strings.HasSuffix(c.Dir, "/cur") })
	v := f.view(false)
	defer v.Close()
	arm()
	uids, err := appendTo(f.mb, AppendMeta{}, v.b, "a: 1\r\n\r\n", "a: 2\r\n\r\n")
	if err != nil || len(uids) != 2 {
		t.Fatal(uids, err)
	}
	f.eventually("the new base is taken up", func() bool {
		f.noop(v)
		f.mb.mu.Lock()
		defer f.mb.mu.Unlock()
		ix := f.mb.ix
		return strings.HasSuffix(ix.Base(0), ",U=7") || ix.Len() > 1 && strings.HasSuffix(ix.Base(1), ",U=7")
	})
	wantText(t, v, "1:1 2:2")
}

// TestRebasedAsAddedEnds: the old name was told to be gone while we were at work
// on it, the new one right after that.
func TestRebasedAsAddedEnds(t *testing.T) {
	f := testFixture(t)
	f.deliver("cur/1.a:2,")
	f.open()
	v := f.view(false)
	defer v.Close()
	f.mb.syncing <- struct{}{}
	f.mb.mu.Lock()
	f.mb.deferHintLocked(hint{place: maildir.Cur, name: "1.a:2,", gone: true})
	f.mb.mu.Unlock()
	f.rename("cur/1.a:2,", "cur/1.a,U=7:2,")
	if err := f.mb.follow(t.Context(), []hint{{place: maildir.Cur, name: "1.a,U=7:2,"}}); err != nil {
		t.Error(err)
	}
	<-f.mb.syncing
	f.eventually("the new base is taken up", func() bool {
		f.noop(v)
		f.mb.mu.Lock()
		defer f.mb.mu.Unlock()
		return f.mb.ix.Base(0) == "1.a,U=7"
	})
	wantText(t, v, "1:1")
}

// TestRebasedWhileScanned: a listing shows the new name of a message that was
// not there yet when it was begun.
func TestRebasedWhileScanned(t *testing.T) {
	f := testFixture(t)
	f.deliver("cur/1.a:2,")
	f.open()
	v := f.view(false)
	defer v.Close()
	f.mb.syncing <- struct{}{}
	f.rename("cur/1.a:2,", "cur/1.a,U=7:2,")
	f.mb.files.scanning, f.mb.files.scanRows = true, 0
	if err := f.mb.follow(t.Context(), []hint{{place: maildir.Cur, name: "1.a,U=7:2,"}}); err != nil {
		t.Error(err)
	}
	f.mb.files.scanning = false
	<-f.mb.syncing
	f.noop(v)
	wantText(t, v, "1:1")
}

// TestRebasedWhileExpunged: the file goes under its new name too.
func TestRebasedWhileExpunged(t *testing.T) {
	f, arm := rebasing(t, 1, func(c disktest.Call) bool { return c.Op == disktest.Unlink && strings.HasSuffix(c.Dir, "/cur") })
	v := f.view(false)
	defer v.Close()
	store(t, v, StoreAdd, one(1), Deleted)
	f.eventually("the name has the flag", func() bool { return f.files()[0] == "cur/1.a:2,T" })
	arm()
	if n, err := v.Expunge(context.Background(), nil); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	f.noop(v)
	f.eventually("no file is left", func() bool { return len(f.files()) == 0 })
	f.noop(v)
	wantText(t, v, "")
	f.reopenView(&v)
	wantText(t, v, "")
}

// TestAppendedTime: the time of the file is the INTERNALDATE that was told, so
// that it survives the loss of the index.
func TestAppendedTime(t *testing.T) {
	f := testMailbox(t)
	v := f.view(false)
	defer v.Close()
	if _, err := appendTo(f.mb, AppendMeta{}, v.b, "a: 1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	f.noop(v)
	date, err := v.Content(1).InternalDate()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(f.path, f.files()[0]))
	if err != nil || info.ModTime().Unix() != date.Unix() {
		t.Errorf("the file is of %v, INTERNALDATE is %v, %v", info.ModTime(), date, err)
	}
}

// TestRebaseStorm: mbsync writes its UIDs into all names, as on its first run,
// while a client sets flags and, half way, expunges every fifth message. The
// others keep their UIDs and their flags, and what is expunged stays so.
func TestRebaseStorm(t *testing.T) {
	t.Run("watched", func(t *testing.T) { testRebaseStorm(t, testFixture(t)) })
	t.Run("polled", func(t *testing.T) {
		f := testFixture(t)
		f.watch = nil
		testRebaseStorm(t, f)
	})
}

func testRebaseStorm(t *testing.T, f *fixture) {
	const n = 300
	for i := range n {
		f.deliver(fmt.Sprintf("cur/%d.a:2,", i+1))
	}
	f.open()
	v := f.view(false)
	defer v.Close()
	f.noop(v) // the UIDs are told, so they are durable
	stored := make(chan struct{}, 1)
	pass := func() (left int) { // as mbsync: what was listed is renamed, if it is still there
		list, err := os.ReadDir(filepath.Join(f.path, "cur"))
		if err != nil {
			t.Error(err)
		}
		for _, e := range list {
			base, info, _ := strings.Cut(e.Name(), ":")
			if strings.Contains(base, ",U=") {
				continue
			}
			number, _, _ := strings.Cut(base, ".")
			from := filepath.Join(f.path, "cur", e.Name())
			_ = os.Rename(from, filepath.Join(f.path, "cur", base+",U="+number+":"+info))
			if left++; left%4 == 0 {
				<-stored // so that both are at work all the time
			}
		}
		return left
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for pass() > 0 {
		}
	})
	want := make([]index.Flags, n)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	gone := func(i int) bool { return i%5 == 0 }
	for step := range 6 * n {
		if step == 3*n {
			for i := 0; i < n; i += 5 {
				store(t, v, StoreAdd, one(SeqNum(i+1)), Deleted)
			}
			if k, err := v.Expunge(t.Context(), nil); err != nil || k != n/5 {
				t.Errorf("%d expunged, %v", k, err)
			}
		}
		i, mode, flag := rng.IntN(n), StoreAdd, [...]index.Flags{Seen, Flagged, Answered}[rng.IntN(3)]
		if step >= 3*n && gone(i) {
			continue
		}
		if want[i] |= flag; rng.IntN(3) == 0 {
			mode, want[i] = StoreRemove, want[i]&^flag
		}
		store(t, v, mode, one(SeqNum(i+1)), flag)
		select {
		case stored <- struct{}{}:
		default:
		}
	}
	close(stored)
	wg.Wait()
	f.noop(v)
	defer func() {
		if !t.Failed() {
			return
		}
		for _, name := range f.files() {
			var i int
			_, err := fmt.Sscanf(name, "cur/%d.a,U=", &i)
			_, info, _ := strings.Cut(name, ":2,")
			switch {
			case err != nil || i < 1 || i > n:
				t.Errorf("file %s", name)
			case gone(i - 1):
				t.Errorf("file %s of an expunged message", name)
			case info != stormLetters(want[i-1]):
				t.Errorf("file %s of a message with %v", name, want[i-1])
			}
		}
		t.Log(text(v))
	}()
	f.eventually("the names have the flags", func() bool {
		pass() // a listing may miss what is renamed meanwhile
		f.noop(v)
		names := f.files()
		for _, name := range names {
			var i int
			if _, err := fmt.Sscanf(name, "cur/%d.a,U=", &i); err != nil || i < 1 || i > n || gone(i-1) {
				return false
			}
			if _, info, _ := strings.Cut(name, ":2,"); info != stormLetters(want[i-1]) {
				return false
			}
		}
		return len(names) == n-n/5
	})
	if v.Len() != n-n/5 {
		t.Errorf("%d messages, want %d", v.Len(), n-n/5)
	}
	seq := 0
	for i := range n {
		if gone(i) {
			continue
		}
		if seq++; seq > v.Len() {
			break
		}
		if m := v.Message(SeqNum(seq)); int(m.UID) != i+1 || m.Flags != want[i] {
			t.Errorf("message %d: UID %d, flags %v, want UID %d and %v", seq, m.UID, m.Flags, i+1, want[i])
		}
	}
}

func stormLetters(f index.Flags) (s string) {
	for _, l := range []struct {
		flag   index.Flags
		letter string
	}{{Flagged, "F"}, {Answered, "R"}, {Seen, "S"}} {
		if f&l.flag != 0 {
			s += l.letter
		}
	}
	return s
}

// TestRebasedAsItSettles: a message counts as missing by mistake, and mbsync gives
// its file another base right when that is looked at for the last time.
func TestRebasedAsItSettles(t *testing.T) {
	f, arm := rebasing(t, 1, func(c disktest.Call) bool { return c.Op == disktest.Lstat && c.Name == "1.a:2," })
	v := f.view(false)
	defer v.Close()
	f.mb.syncing <- struct{}{}
	if !f.mb.files.watched {
		t.Fatal("the mailbox is not watched")
	}
	f.mb.files.missing[0] = missing{since: time.Now().Add(-time.Minute), breaks: f.mb.queue.Breaks()}
	arm()
	f.mb.settle(t.Context())
	<-f.mb.syncing
	f.eventually("the new base is taken up", func() bool {
		f.noop(v)
		return v.Len() == 1 && v.ix.Base(v.row(1)) == "1.a,U=7"
	})
	wantText(t, v, "1:1")
}
