package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"

	"roost/disk/disktest"
)

// replaceOne is what REPLACE does (RFC 8508 §3.4): the new message is durable
// before the old one goes.
func replaceOne(v *View, n SeqNum, dest *Mailbox, body string) error {
	ap, err := dest.NewAppend(context.Background())
	if err != nil {
		return err
	}
	defer ap.Abort()
	if err := ap.Build(AppendMeta{}, func(w io.Writer) error { _, err := io.WriteString(w, body); return err }); err != nil {
		return err
	}
	var made Barrier
	if _, _, err := ap.Commit(context.Background(), &made); err != nil {
		return err
	}
	if err := made.Wait(); err != nil {
		return err
	}
	_, err = v.Remove(context.Background(), one(n))
	return err
}

// TestCrashReplace loses power before every call of a REPLACE: at no time are
// both messages gone, and after it only the new one is there.
func TestCrashReplace(t *testing.T) {
	ct := crashTest{
		name: "replace",
		run:  func(a, b *View) error { return replaceOne(a, 2, b.mb, "x: y\r\n\r\n") },
		check: func(acked bool, a, b map[uint32]string, _ string) error {
			old, fresh := countBody(a, crashBody(2)), countBody(b, "x: y\n\n")
			if old+fresh == 0 || old > 1 || fresh > 1 || acked && (old != 0 || fresh != 1) {
				return fmt.Errorf("the old one %d times, the new one %d times", old, fresh)
			}
			for _, i := range []int{1, 3, 4} {
				if n := countBody(a, crashBody(i)); n != 1 {
					return fmt.Errorf("message %d is there %d times", i, n)
				}
			}
			return nil
		},
	}
	for how := disktest.Random; how <= disktest.Everything; how++ {
		crashEverywhere(t, ct, how, 1)
	}
}

// TestMultiAppendFails: whichever call fails, all of the messages are there or
// none, now and after a restart (RFC 3502 §3).
func TestMultiAppendFails(t *testing.T) {
	for _, op := range []disktest.Op{disktest.Create, disktest.Write, disktest.Sync, disktest.Rename, disktest.SyncDir} {
		for k := 1; ; k++ {
			if k == 100 {
				t.Fatalf("%s: never without an error", op)
			}
			mem := disktest.NewMem()
			rec := disktest.Wrap(mem)
			box := &crashBox{path: "/a", slot: &testSlot{}}
			if err := errors.Join(mem.MkdirRoot(box.path, 0o700), box.open(rec)); err != nil {
				t.Fatal(err)
			}
			v, err := box.mb.Open(context.Background(), false, &Barrier{})
			if err != nil {
				t.Fatal(err)
			}
			failed := false
			rec.Fail(disktest.Rule{Op: op, Nth: k, Err: syscall.ENOSPC, Match: func(c disktest.Call) bool {
				return !strings.Contains(c.Name, "roost.cache")
			}})
			_, err = appendTo(box.mb, AppendMeta{}, v.b, "a: 1\r\n\r\n", "a: 2\r\n\r\n", "a: 3\r\n\r\n")
			if err == nil {
				err = v.b.Wait()
			}
			failed = err != nil
			rec.Clear()
			v.Close()
			box.mb.close()
			if err := box.open(mem); err != nil {
				t.Fatal(err)
			}
			got := len(bodies(t, box.mb))
			if got != 3 && (got != 0 || !failed) {
				t.Errorf("%s %d: %d messages, error %v", op, k, got, err)
			}
			if err := checkAtRest(box.mb); err != nil {
				t.Errorf("%s %d: %v", op, k, err)
			}
			box.mb.close()
			if !failed {
				break
			}
		}
	}
}

// TestEmailID: the same octets have one EMAILID, however they are stored and
// wherever they are, and nobody reads them twice (RFC 8474 §5.1).
func TestEmailID(t *testing.T) {
	f := testFixture(t)
	rec := disktest.Wrap(f.fsys)
	f.fsys = rec
	f.deliver("cur/1.a:2,")
	f.deliver("cur/2.b:2,")
	f.open()
	v := f.view(false)
	id := func(v *View, n SeqNum) string {
		t.Helper()
		c := v.Content(n)
		defer c.Close()
		id, err := c.EmailID()
		if err != nil || len(id) != 33 || id[0] != 'M' {
			t.Fatalf("message %d: %q, %v", n, id, err)
		}
		return id
	}
	first := id(v, 1)
	if first == id(v, 2) {
		t.Error("two messages have one EMAILID")
	}
	// With CRLF, as APPEND brings it, and as a copy.
	body := strings.ReplaceAll(testBody("1.a"), "\n", "\r\n")
	if _, err := appendTo(f.mb, AppendMeta{}, v.b, body, strings.Replace(body, "hello", "hallo", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Copy(context.Background(), one(1), f.mb); err != nil {
		t.Fatal(err)
	}
	f.noop(v)
	if got := []bool{id(v, 3) == first, id(v, 4) == first, id(v, 5) == first}; got[0] != true || got[1] != false || got[2] != true {
		t.Errorf("appended, another, copied: the same %v", got)
	}
	res, err := v.Search(context.Background(), &Criteria{Kind: SearchEmailID, Text: first}, SearchOptions{})
	if err != nil || fmt.Sprint(res.Seqs) != "[{1 1} {3 3} {5 5}]" {
		t.Errorf("search: %v, %v", res.Seqs, err)
	}
	v.Close()
	f.reopen()
	v = f.view(true)
	defer v.Close()
	var mu sync.Mutex
	var opened []string
	rec.Before(func(c disktest.Call) {
		if c.Op == disktest.Open && strings.HasSuffix(c.Dir, "cur") {
			mu.Lock()
			opened = append(opened, c.Name)
			mu.Unlock()
		}
	})
	if id(v, 1) != first || id(v, 5) != first {
		t.Error("EMAILID changed with a restart")
	}
	rec.Before(nil)
	mu.Lock()
	if len(opened) > 0 {
		t.Errorf("%q opened for EMAILIDs that are in the cache", opened)
	}
	mu.Unlock()
	// What is longer than the background reads at once.
	big := "Subject: big\r\n\r\n" + strings.Repeat("x", emailIDAtOnce) + "\r\n"
	w := f.view(false)
	defer w.Close()
	if _, err := appendTo(f.mb, AppendMeta{}, w.b, big, big); err != nil {
		t.Fatal(err)
	}
	f.noop(w)
	if id(w, 6) != id(w, 7) {
		t.Error("a big message has two EMAILIDs")
	}
}
