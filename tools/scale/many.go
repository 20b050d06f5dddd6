package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"roost/mailbox"
)

// usersMessages is how many messages each of many users has.
const usersMessages = 20

// statusTogether is how many answers to STATUS are sent at once: a client that
// asks for all has them in one pipeline, or in one LIST RETURN (STATUS).
const statusTogether = 100

// manyMailboxes measures one user with o.mailboxes mailboxes of one message.
func manyMailboxes(ctx context.Context, r *report, home string, o options) error {
	r.title("One user with %d mailboxes", o.mailboxes)
	root := filepath.Join(home, "many")
	if err := fill(ctx, root, 1); err != nil {
		return err
	}
	for i := range o.mailboxes {
		if err := fill(ctx, filepath.Join(root, fmt.Sprintf(".lists.m%05d", i)), 1); err != nil {
			return err
		}
	}
	w, err := newWorld(32 << 20)
	if err != nil {
		return err
	}
	a, err := w.store.Open(ctx, mailbox.User{Name: "u", Path: root})
	if err != nil {
		return err
	}
	var list []mailbox.Listed
	for _, again := range []string{"LIST", "LIST again"} {
		began := time.Now()
		if list, err = a.List(ctx); err != nil {
			return err
		}
		r.took(again, time.Since(began), 500*time.Millisecond)
	}
	before := heap()
	for _, again := range []string{"STATUS of all, never indexed", "STATUS of all again"} {
		began := time.Now()
		w.fs.Reset()
		n := 0
		var b mailbox.Barrier
		for i, l := range list {
			if !l.Exists {
				continue
			}
			s, err := a.Status(ctx, l.Name, mailbox.StatusItems{}, &b)
			if i%statusTogether == 0 {
				err = errors.Join(err, b.Wait())
			}
			if err != nil {
				return fmt.Errorf("%s: %w", l.Name, err)
			}
			n += s.Messages
		}
		if err := b.Wait(); err != nil {
			return err
		}
		d := time.Since(began)
		if n != o.mailboxes+1 {
			return fmt.Errorf("%d messages", n)
		}
		r.took(again, d, 0)
		r.took("  one of them", d/time.Duration(o.mailboxes), 0)
		k, _ := calls(w.fs)
		r.number("  calls for one of them", k/o.mailboxes, -1)
	}
	r.octets("heap of what is live (limit 32 MiB)", heap()-before, 48<<20)
	r.number("descriptors open", descriptors(), -1)
	a.Release()
	began := time.Now()
	if err := w.close(); err != nil {
		return err
	}
	r.took("closed in", time.Since(began), 0)
	return os.RemoveAll(root)
}

// descriptors counts the open files of the process.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// manyUsers measures o.users with INBOX selected at the same time, and that they
// give way to the limit of memory afterwards and come back.
func manyUsers(ctx context.Context, r *report, home string, o options) error {
	r.title("%d users at once, %d messages each", o.users, usersMessages)
	path := func(i int) string { return filepath.Join(home, fmt.Sprintf("user%05d", i)) }
	for i := range o.users {
		if err := fill(ctx, path(i), usersMessages); err != nil {
			return err
		}
	}
	const limit = 32 << 20
	w, err := newWorld(limit)
	if err != nil {
		return err
	}
	before, pssBefore, fds := heap(), pss(), descriptors()
	for _, again := range []string{"all selected, never indexed", "all selected again"} {
		began := time.Now()
		all := make([]*loaded, o.users)
		for i := range all {
			if all[i], err = w.load(ctx, path(i), "INBOX"); err != nil {
				return err
			}
			if all[i].view.Len() != usersMessages {
				return fmt.Errorf("user %d has %d messages", i, all[i].view.Len())
			}
		}
		r.took(again, time.Since(began), 0)
		r.octets("  heap for each", (heap()-before)/int64(o.users), 0)
		r.octets("  PSS for each", (pss()-pssBefore)/int64(o.users), 0)
		r.number("  descriptors for each", (descriptors()-fds)/o.users, -1)
		began = time.Now()
		for _, l := range all {
			l.release()
		}
		r.took("  all left, the oldest closed", time.Since(began), 0)
		clear(all)
		r.octets("  heap of what stays (limit 32 MiB)", heap()-before, limit*3/2)
	}
	if err := w.close(); err != nil {
		return err
	}
	for i := range o.users {
		if err := os.RemoveAll(path(i)); err != nil {
			return err
		}
	}
	return nil
}
