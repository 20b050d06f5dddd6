package mailbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"roost/disk"
	"roost/maildir"
)

// This file is QUOTA (RFC 9208): one quota root for all mailboxes of an
// account. usage.go counts.

// Quota limits an account; 0 is no limit.
type Quota struct {
	Storage   int64 // octets of the files of messages
	Messages  int64
	Mailboxes int64
}

// within gives the stricter of both for each resource.
func (q Quota) within(o Quota) Quota {
	least := func(x, y int64) int64 {
		if x == 0 || y != 0 && y < x {
			return y
		}
		return x
	}
	return Quota{least(q.Storage, o.Storage), least(q.Messages, o.Messages), least(q.Mailboxes, o.Mailboxes)}
}

// Usage is what an account uses of each resource.
type Usage = Quota

// quota knows the limits of one account and what it uses. nil limits nothing.
type quota struct {
	a *Account

	mu     sync.Mutex // guards all below
	config Quota
	held   Usage // by additions that are not messages yet
	dirs   map[string]dirUsage
	ls     *listing // of dirs
	lsTime time.Time

	owed      Usage // to maildirsize
	anew      bool  // it is to be made anew
	writing   bool  // a goroutine sees to it
	recounted time.Time
}

// limits are those of the configuration and of the user together.
func (q *quota) limits() Quota {
	q.mu.Lock()
	l := q.config
	q.mu.Unlock()
	q.a.file.view(func(st *accountState) { l = l.within(st.quota) })
	return l
}

// limitsMail says whether messages are limited.
func (q *quota) limitsMail() bool {
	l := q.limits()
	return l.Storage != 0 || l.Messages != 0
}

func (q *quota) configure(c Quota) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.config = c
}

// Quota gives the limits and what is used; that is exact also for what other
// programs did a moment ago.
func (a *Account) Quota(ctx context.Context) (limits Quota, used Usage, err error) {
	used, err = a.quota.usage(ctx, true)
	if err != nil {
		return Quota{}, Usage{}, fmt.Errorf("mailbox: quota: %w", diskErr(err))
	}
	return a.quota.limits(), used, nil
}

// SetQuota sets limits of the user's own, durably; they count beside those of
// the administrator. ErrPermission: a limit is above one of those.
func (a *Account) SetQuota(limits Quota) error {
	a.quota.mu.Lock()
	config := a.quota.config
	a.quota.mu.Unlock()
	above := func(own, most int64) bool { return most != 0 && own > most }
	if above(limits.Storage, config.Storage) || above(limits.Messages, config.Messages) || above(limits.Mailboxes, config.Mailboxes) {
		return fmt.Errorf("mailbox: set quota: %w", ErrPermission)
	}
	err := a.file.update(func(st *accountState) ([]byte, error) {
		if st.quota == limits {
			return nil, nil
		}
		return encodeQuota(limits), nil
	})
	if err != nil {
		return fmt.Errorf("mailbox: set quota: %w", err)
	}
	return nil
}

func encodeQuota(q Quota) []byte {
	return newRecord(recQuota).number(tagStorage, uint64(q.Storage)).
		number(tagMessages, uint64(q.Messages)).number(tagMailboxes, uint64(q.Mailboxes)).done()
}

// reserve makes sure that messages of octets fit, and keeps room for them until
// release is called. ErrOverQuota: they do not. If what is used cannot be found
// out, mail is let in.
func (q *quota) reserve(ctx context.Context, octets, messages int64) (release func(), err error) {
	none := func() {}
	if q == nil {
		return none, nil
	}
	l := q.limits()
	if !q.limitsMail() {
		return none, nil
	}
	used, err := q.usage(ctx, false)
	if err != nil {
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		q.a.log.Error("quota cannot be counted", "err", err)
		return none, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.Storage != 0 && used.Storage+q.held.Storage+octets > l.Storage ||
		l.Messages != 0 && used.Messages+q.held.Messages+messages > l.Messages {
		if now := q.a.st.o.FS.Now(); now.Sub(q.recounted) > recountTime {
			q.recounted = now
			q.oweLocked(Usage{}, true)
		}
		return none, ErrOverQuota
	}
	q.held.Storage += octets
	q.held.Messages += messages
	var once sync.Once
	return func() {
		once.Do(func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.held.Storage -= octets
			q.held.Messages -= messages
		})
	}, nil
}

// recountTime is how old maildirsize may be before it is not believed that an
// account is over its quota.
const recountTime = 15 * time.Minute

// roomFor makes sure that m and what is missing above it may be made; self says
// that m itself is a new one. The caller has the turn.
func (q *quota) roomFor(m maildir.Mailbox, self bool) error {
	most := q.limits().Mailboxes
	if most == 0 {
		return nil
	}
	ls, err := q.a.listing()
	if err != nil {
		return treeErr(err)
	}
	n := ls.selectable()
	if self {
		n++
	}
	for i := 1; i < len(m); i++ {
		if _, ok := ls.byName[m[:i].String()]; !ok && !ls.hasBelow(m[:i]) {
			n++
		}
	}
	if n > most {
		return ErrOverQuota
	}
	return nil
}

func (ls *listing) selectable() (n int64) {
	for i := range ls.all {
		if ls.all[i].Selectable {
			n++
		}
	}
	return n
}

// owe notes for maildirsize what this process added or took away (rule Q1). It
// makes no system call, so it may be called under any lock but mu.
func (q *quota) owe(octets, messages int64) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.oweLocked(Usage{Storage: octets, Messages: messages}, false)
}

func (q *quota) oweLocked(u Usage, anew bool) {
	if q.config.Storage == 0 && q.config.Messages == 0 {
		return
	}
	q.owed.Storage += u.Storage
	q.owed.Messages += u.Messages
	q.anew = q.anew || anew
	if !q.writing {
		q.writing = true
		q.a.bg.Go(q.write)
	}
}

// recount has maildirsize made anew.
func (q *quota) recount() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.oweLocked(Usage{}, true)
}

// write pays what is owed, until nothing is.
func (q *quota) write() {
	root := q.a.tree.Root()
	for {
		q.mu.Lock()
		owed, anew := q.owed, q.anew
		q.owed, q.anew = Usage{}, false
		if owed == (Usage{}) && !anew {
			q.writing = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		if owed != (Usage{}) {
			full, err := maildir.AppendSize(root, owed.Storage, owed.Messages)
			if err != nil {
				q.a.log.Warn("maildirsize is not kept up to date", "err", err)
			}
			anew = anew || full
		}
		if anew {
			err := maildir.RewriteSize(root, q.a.st.namer.Base(0, 0), func() (int64, int64, error) {
				u, err := q.usage(context.Background(), true)
				return u.Storage, u.Messages, err
			})
			if err != nil {
				q.a.log.Warn("maildirsize is not kept up to date", "err", err)
			}
		}
	}
}

// sameDirStamp says that nothing happened in a directory since it was counted.
func sameDirStamp(before, after disk.Info, counted time.Time) bool {
	return sameStamp(before, after) && counted.Sub(latest(after)) > stampAge
}
