package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"roost/mailbox"
)

// linksPerFile is how many names one file gets: every message is a name, and a
// million files would only make the disk slow.
const linksPerFile = 50_000

// nameOctets is about the length of a name, as Postfix makes them.
const nameOctets = 60

// largeMailbox measures one mailbox of o.messages, and one of a thousandth of
// them: the work for a change must be the same.
func largeMailbox(ctx context.Context, r *report, home string, o options) error {
	small := max(1, o.messages/1000)
	costs := map[int][]int{}
	for _, n := range []int{small, o.messages} {
		r.title("One mailbox of %d messages", n)
		path := filepath.Join(home, fmt.Sprint("box", n))
		began := time.Now()
		if err := fill(ctx, path, n); err != nil {
			return err
		}
		syscall.Sync() // else the first sync that is measured pays for all of this
		r.took("made in", time.Since(began), 0)
		c, err := oneMailbox(ctx, r, path, n)
		if err != nil {
			return err
		}
		costs[n] = c
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	r.title("Calls for a change, %d and %d messages", small, o.messages)
	for i, what := range []string{"STORE of one flag", "outside delivery", "outside flag change"} {
		r.number(what+fmt.Sprintf(" (%d for the small one)", costs[small][i]), costs[o.messages][i], costs[small][i]+4)
	}
	return nil
}

// fill makes n messages in path.
func fill(ctx context.Context, path string, n int) error {
	for _, d := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(path, d), 0o700); err != nil {
			return err
		}
	}
	source := ""
	for i := range n {
		name := filepath.Join(path, "cur", fmt.Sprintf("%d.Vfe01I%07xM%06d.mail.example.org,S=14:2,S", 1500000000+i*10, i, i%1000000))
		if i%linksPerFile == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			source = name
			if err := os.WriteFile(name, []byte("Subject: x\n\nx\n"), 0o600); err != nil {
				return err
			}
			continue
		}
		if err := os.Link(source, name); err != nil {
			return err
		}
	}
	return nil
}

// loaded is an open mailbox with one session.
type loaded struct {
	account *mailbox.Account
	box     *mailbox.Mailbox
	view    *mailbox.View
	barrier mailbox.Barrier
	changed chan struct{}
}

func (w *world) load(ctx context.Context, path, name string) (*loaded, error) {
	l := &loaded{changed: make(chan struct{}, 1)}
	var err error
	if l.account, err = w.store.Open(ctx, mailbox.User{Name: "u", Path: path}); err != nil {
		return nil, err
	}
	if l.box, err = l.account.Mailbox(ctx, name); err != nil {
		return nil, err
	}
	if l.view, err = l.box.Open(ctx, false, &l.barrier); err != nil {
		return nil, err
	}
	l.view.OnChange(func() {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	})
	return l, l.barrier.Wait()
}

func (l *loaded) release() {
	l.view.Close()
	l.box.Release()
	l.account.Release()
}

// oneMailbox measures a mailbox of n messages and gives the calls for changes.
func oneMailbox(ctx context.Context, r *report, path string, n int) ([]int, error) {
	w, err := newWorld(1 << 40)
	if err != nil {
		return nil, err
	}
	spent := cpu()
	if err := bareList(filepath.Join(path, "cur")); err != nil {
		return nil, err
	}
	bare := cpu() - spent
	r.took("bare reading of the directory: CPU", bare, 0)
	began, spent := time.Now(), cpu()
	l, err := w.load(ctx, path, "INBOX")
	if err != nil {
		return nil, err
	}
	// The machine may be busy, so budgets are multiples of what the bare reading
	// costs. Dovecot takes 5.6 times as long, and 2.8 are allowed.
	r.took("SELECT, never indexed: CPU", cpu()-spent, bare*28/10+fixedCost)
	r.took("SELECT, never indexed", time.Since(began), 0)
	if l.view.Len() != n {
		return nil, fmt.Errorf("%d messages of %d", l.view.Len(), n)
	}
	settle(ctx)
	l.release()
	if err := w.close(); err != nil {
		return nil, err
	}

	before, pssBefore := heap(), pss()
	if w, err = newWorld(1 << 40); err != nil {
		return nil, err
	}
	began, spent = time.Now(), cpu()
	if l, err = w.load(ctx, path, "INBOX"); err != nil {
		return nil, err
	}
	r.took("SELECT after a restart: CPU", cpu()-spent, bare*3/10+fixedCost)
	r.took("SELECT after a restart", time.Since(began), 0)
	_, kinds := calls(w.fs)
	fmt.Printf("    %s\n", kinds)
	r.number("directories read for it", w.fs.Count("readdir"), 2) // of the account, for mailboxes and trash
	after := heap()
	r.octets("heap", after-before, int64(n)*(64+nameOctets+12)+1<<20)
	r.octets("PSS more than before", pss()-pssBefore, 0)

	began = time.Now()
	var b mailbox.Barrier
	second, err := l.box.Open(ctx, false, &b)
	if err != nil {
		return nil, err
	}
	r.took("SELECT of a second session", time.Since(began), 2*time.Millisecond)
	r.octets("heap of a second session", heap()-after, 64<<10)
	costs, err := changes(ctx, r, w, l, path, n)
	if err != nil {
		return nil, err
	}
	settle(ctx)
	second.Close()
	l.release()
	return costs, w.close()
}

// fixedCost is allowed beside what grows with the number of messages.
const fixedCost = 20 * time.Millisecond

// bareList reads a directory and does nothing with it.
func bareList(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := syscall.Getdents(int(d.Fd()), buf)
		if n <= 0 {
			return err
		}
	}
}

// settle waits until the stamps of the directories can be proved.
func settle(ctx context.Context) {
	t := time.NewTimer(1500 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// changes makes one change of each kind, twice: what is made once for many
// (the table of names) is not what a change costs.
func changes(ctx context.Context, r *report, w *world, l *loaded, path string, n int) ([]int, error) {
	file := filepath.Join(path, "tmp", "delivery")
	var costs []int
	for i, c := range []struct {
		what string
		do   func(round int) error
	}{
		{"STORE of one flag, durable", func(round int) error {
			_, err := l.view.Store(ctx, mailbox.Seqs{{First: 1, Last: 1}}, mailbox.StoreOp{Mode: mailbox.StoreMode(1 + round%2), Flags: mailbox.Flagged})
			return err
		}},
		{"outside delivery to EXISTS", func(round int) error {
			if err := os.WriteFile(file, []byte("Subject: new\n\nnew\n"), 0o600); err != nil {
				return err
			}
			return os.Rename(file, filepath.Join(path, "new", fmt.Sprintf("1900000000.M%d.x", round)))
		}},
		{"outside flag change to FETCH", func(round int) error {
			names := [2]string{"S", "FS"}
			base := filepath.Join(path, "cur", fmt.Sprintf("1500000010.Vfe01I%07xM%06d.mail.example.org,S=14:2,", 1, 1))
			return os.Rename(base+names[round%2], base+names[1-round%2])
		}},
	} {
		for round := range 3 {
			quiet(ctx, l)
			w.fs.Reset()
			began := time.Now()
			if err := c.do(round); err != nil {
				return nil, err
			}
			if i > 0 {
				if err := told(ctx, l); err != nil {
					return nil, fmt.Errorf("%s: %w", c.what, err)
				}
			}
			if err := l.barrier.Wait(); err != nil {
				return nil, err
			}
			d := time.Since(began)
			if round == 0 {
				r.took("first "+c.what, d, 0)
				continue
			}
			if round == 1 {
				continue
			}
			k, kinds := calls(w.fs)
			costs = append(costs, k)
			r.took(c.what, d, 20*time.Millisecond)
			fmt.Printf("    %s\n", kinds)
			r.number("directories read for it", w.fs.Count("readdir"), 0)
		}
	}
	return costs, nil
}

// quiet waits until nothing is left to do for what was changed before.
func quiet(ctx context.Context, l *loaded) {
	for range 5 {
		settle(ctx)
		if l.view.Refresh(ctx) != nil {
			return
		}
		if c, err := l.view.Sync(mailbox.SyncEverything); err != nil || len(c.Flags) == 0 && !c.Exists {
			return
		}
	}
}

var errNotTold = errors.New("the session was not told within 10 s")

// told waits until the session hears of a change.
func told(ctx context.Context, l *loaded) error {
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return errNotTold
		case <-l.changed:
		}
		c, err := l.view.Sync(mailbox.SyncEverything)
		if err != nil {
			return err
		}
		if len(c.Flags) > 0 || c.Exists {
			return nil
		}
	}
}
