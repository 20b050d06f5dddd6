package mailbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/maildir"
)

// stampAge is how old the time of a directory must be before it proves that
// nothing happened since: times are coarse.
const stampAge = 1100 * time.Millisecond

// Listed is one name of the tree: a mailbox, a level above one, or a
// subscribed name that does not exist.
type Listed struct {
	Name        string
	Exists      bool // selectable
	NonExistent bool // no such mailbox (a subscribed name, or a level above mailboxes)
	NoInferiors bool
	Subscribed  bool
	HasChildren bool // existing children
	SpecialUse  []imap.MailboxAttr
	Rights      Rights // of the user; all of them on the own mailboxes
}

// A listing is what a reading of the directories gave, sorted by levels, INBOX
// first. It is not changed.
type listing struct {
	all    []maildir.Listed
	byName map[string]int // by Mailbox.String
	stamp  disk.Info      // of the root
}

// listing gives the mailboxes as they are now. In Maildir++ everything is in
// the root, so a root whose times are old and the same proves that the last
// listing is right; the fs layout is read each time.
func (a *Account) listing() (*listing, error) {
	root := a.tree.Root()
	before, err := root.Stat()
	if err != nil {
		return nil, err
	}
	if before.Nlink == 0 {
		return nil, fmt.Errorf("root of the Maildir was removed: %w", ErrUnavailable)
	}
	a.mu.Lock()
	last := a.listed
	a.mu.Unlock()
	if last != nil && sameStamp(last.stamp, before) {
		return last, nil
	}
	all, err := a.tree.List()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all[1:], func(x, y maildir.Listed) int { return slices.Compare(x.Name, y.Name) })
	ls := &listing{all: all, byName: make(map[string]int, len(all)), stamp: before}
	for i, l := range all {
		if _, dup := ls.byName[l.Name.String()]; !dup {
			ls.byName[l.Name.String()] = i
		}
	}
	if a.names.layout.Nested {
		return ls, nil
	}
	after, err := root.Stat()
	if err != nil {
		return nil, err
	}
	if sameStamp(before, after) && a.st.o.FS.Now().Sub(latest(after)) > stampAge {
		a.mu.Lock()
		a.listed = ls
		a.mu.Unlock()
	}
	return ls, nil
}

func sameStamp(x, y disk.Info) bool {
	return x.Identity == y.Identity && x.Mtime.Equal(y.Mtime) && x.Ctime.Equal(y.Ctime)
}

func latest(in disk.Info) time.Time {
	if in.Ctime.After(in.Mtime) {
		return in.Ctime
	}
	return in.Mtime
}

// List gives every name, sorted: INBOX first, parents before children. It is
// right also for what other programs made a moment ago. The slice belongs to
// the caller, what it points to does not. Errors: those of the disk,
// ErrUnavailable.
func (a *Account) List(ctx context.Context) ([]Listed, error) {
	b, err := a.builtNow(ctx)
	return slices.Clone(b.list), err
}

// builtNow is List with what the names were made of.
func (a *Account) builtNow(ctx context.Context) (builtList, error) {
	if err := ctx.Err(); err != nil {
		return builtList{}, err
	}
	ls, err := a.listing()
	if err != nil {
		return builtList{}, fmt.Errorf("mailbox: list: %w", diskErr(err))
	}
	subs, err := a.subscriptions()
	if err != nil {
		return builtList{}, fmt.Errorf("mailbox: list subscriptions: %w", diskErr(err))
	}
	var version uint64
	a.file.view(func(st *accountState) { version = st.changes })
	a.mu.Lock()
	last := a.built
	a.mu.Unlock()
	if last.ls == ls && last.subs == subs && last.version == version {
		return last, nil
	}
	b := builtList{ls: ls, subs: subs, version: version, list: a.build(ls, subs)}
	a.mu.Lock()
	a.built = b
	a.mu.Unlock()
	return b, nil
}

// A builtList is the answer of List for what it was made of. It is not changed.
type builtList struct {
	ls      *listing
	subs    *subscriptionList
	version uint64 // accountState.changes
	acls    uint64 // likewise acls.changes; only of other users' accounts
	list    []Listed
}

func (a *Account) build(ls *listing, subs *subscriptionList) []Listed {
	t := listTree{nodes: make(map[string]int, len(ls.all)), sep: a.names.sep}
	uses := a.usesOf(ls)
	for i, l := range ls.all {
		t.add(Listed{Name: a.names.client(l.Name), Exists: l.Selectable, SpecialUse: uses[i], Rights: ownRights(l.Selectable)})
	}
	t.addLevels()
	for _, m := range subs.names {
		t.subscribe(a.names.client(m))
	}
	return t.sorted()
}

func ownRights(exists bool) Rights {
	if exists {
		return AllRights
	}
	return 0
}

// usesOf gives the special uses of the mailboxes in ls, by index.
func (a *Account) usesOf(ls *listing) [][]imap.MailboxAttr {
	names := make([]maildir.Mailbox, len(ls.all))
	chosen := make([][]string, len(ls.all))
	a.file.view(func(st *accountState) {
		for i, l := range ls.all {
			if l.Selectable {
				names[i] = l.Name
			}
			if r := st.byDir[joinPath(l.Dir)]; r != nil {
				chosen[i] = r.Uses
			}
		}
	})
	return assignUses(names, chosen, a.uses)
}

// A listTree makes the list of names out of mailboxes and subscriptions.
type listTree struct {
	list  []Listed
	nodes map[string]int // by name
	sep   byte
}

func (t *listTree) add(l Listed) int {
	if i, ok := t.nodes[l.Name]; ok {
		return i // two mailboxes of one name: the first is meant
	}
	t.list = append(t.list, l)
	t.nodes[l.Name] = len(t.list) - 1
	return len(t.list) - 1
}

// addLevels adds the levels above mailboxes that are no mailboxes, and tells
// which names have children.
func (t *listTree) addLevels() {
	for i := range len(t.list) {
		if !t.list[i].Exists {
			continue
		}
		name := t.list[i].Name
		for {
			cut := lastIndex(name, t.sep)
			if cut < 0 {
				break
			}
			name = name[:cut]
			j, known := t.nodes[name]
			if !known {
				j = t.add(Listed{Name: name, NonExistent: true})
			}
			if t.list[j].HasChildren {
				break // and all above it too
			}
			t.list[j].HasChildren = true
		}
	}
}

func lastIndex(s string, c byte) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == c {
			return i
		}
	}
	return -1
}

func (t *listTree) subscribe(name string) {
	i, known := t.nodes[name]
	if !known {
		i = t.add(Listed{Name: name, NonExistent: true})
	}
	t.list[i].Subscribed = true
}

// sorted orders by levels, INBOX first.
func (t *listTree) sorted() []Listed {
	slices.SortFunc(t.list, func(x, y Listed) int { return compareNames(x.Name, y.Name, t.sep) })
	return t.list
}

// compareNames puts INBOX and what is below it first, then goes by octets,
// where the separator is the lowest: parents stand right before their children.
func compareNames(x, y string, sep byte) int {
	if x == y {
		return 0
	}
	if ix, iy := belowInbox(x, sep), belowInbox(y, sep); ix != iy {
		if ix {
			return -1
		}
		return 1
	}
	for i := 0; i < len(x) && i < len(y); i++ {
		switch {
		case x[i] == y[i]:
			continue
		case x[i] == sep:
			return -1
		case y[i] == sep:
			return 1
		}
		return int(x[i]) - int(y[i])
	}
	return len(x) - len(y)
}

func belowInbox(name string, sep byte) bool {
	const inbox = maildir.Inbox
	return len(name) >= len(inbox) && name[:len(inbox)] == inbox && (len(name) == len(inbox) || name[len(inbox)] == sep)
}
