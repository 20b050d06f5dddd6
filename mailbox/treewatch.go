package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// This file is how a session hears of mailboxes that come, go and get another
// name, of subscriptions and of annotations (RFC 5465 §5.4 to §5.7).

// A TreeWatch follows the names that one session reaches.
type TreeWatch struct {
	x       *Access
	reaches func(name string) bool
	wake    func()
	last    *treeShot
	joined  map[*Account]struct{} // of other users, whose changes wake it too; held open

	mu       sync.Mutex // guards all below; taken last
	notes    []MetadataChange
	overflow bool // there were too many
}

// maxNotes is how many changed annotations wait for a session.
const maxNotes = 1000

// A TreeChange is a name that must be told. It is as the name is now; one that
// is gone is NonExistent.
type TreeChange struct {
	Listed
	OldName      string // from which it was renamed; "": it was not
	Before       Listed // of the same name, or of OldName; zero: there was none
	Name         bool   // created, deleted, renamed, or the parent of such a one
	Subscription bool   // subscribed or not any more
}

// A MetadataChange tells of annotations that were set or removed.
type MetadataChange struct {
	Mailbox string // "": of the account
	Entries []string
}

// treeWatches are those of an account, and what watches its root for them.
type treeWatches struct {
	mu   sync.Mutex // guards all below
	all  map[*TreeWatch]struct{}
	stop chan struct{} // of the goroutine that follows the root; nil: none runs
}

// WatchTree follows the names of the account: registered and listed in one
// step. wake is called, with locks held, after something may have changed: by
// sessions at once, by other programs when the system tells or within 30 s. It
// must not block.
func (a *Account) WatchTree(ctx context.Context, wake func()) (*TreeWatch, []Listed, error) {
	return a.Access(a.user).WatchTree(ctx, func(string) bool { return false }, wake)
}

// WatchTree is Account.WatchTree with the names of other users, as List has them.
// ErrLimit: those of too many users.
func (x *Access) WatchTree(ctx context.Context, reaches func(name string) bool, wake func()) (*TreeWatch, []Listed, error) {
	t := &TreeWatch{x: x, reaches: reaches, wake: wake, joined: map[*Account]struct{}{}}
	x.a.trees.add(x.a, t)
	if x.s != nil {
		x.s.watch(t, true)
	}
	shot, err := t.shot(ctx)
	if err != nil {
		t.Close()
		return nil, nil, fmt.Errorf("mailbox: watch names: %w", diskErr(err))
	}
	t.last = shot
	return t, slices.Clone(shot.list), nil
}

// maxJoined bounds the other users whose mailboxes one session follows.
const maxJoined = 1000

func (t *TreeWatch) shot(ctx context.Context) (*treeShot, error) {
	return t.x.shot(ctx, t.reaches, t.join)
}

// join makes changes of a, which is open, wake t.
func (t *TreeWatch) join(a *Account) error {
	if _, ok := t.joined[a]; ok {
		return nil
	}
	if len(t.joined) >= maxJoined {
		return ErrLimit
	}
	a.hold()
	t.joined[a] = struct{}{}
	a.trees.add(a, t)
	return nil
}

func (ts *treeWatches) add(a *Account, t *TreeWatch) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.all == nil {
		ts.all = map[*TreeWatch]struct{}{}
	}
	ts.all[t] = struct{}{}
	if ts.stop != nil {
		return
	}
	stop := make(chan struct{})
	ts.stop = stop
	q := maildir.NewQueue(rootQueue)
	if w := a.st.o.Watcher; w != nil {
		if err := w.Add(a.tree.Root(), a.user, 0, q); err != nil {
			a.log.Warn("no watch for new mailboxes, they are looked for", "err", err)
		}
	}
	a.bg.Go(func() { a.followRoot(q, stop) }) // ended by the Close of the last TreeWatch
}

// rootQueue bounds the events of the root that wait; more mean a look.
const rootQueue = 256

// Close ends t.
func (t *TreeWatch) Close() {
	if t.x.s != nil {
		t.x.s.watch(t, false)
	}
	t.x.a.trees.remove(t.x.a, t)
	for a := range t.joined {
		a.trees.remove(a, t)
		a.Release()
	}
	t.joined = nil
}

func (ts *treeWatches) remove(a *Account, t *TreeWatch) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.all, t)
	if len(ts.all) > 0 || ts.stop == nil {
		return
	}
	close(ts.stop)
	ts.stop = nil
	if w := a.st.o.Watcher; w != nil {
		w.Remove(a.tree.Root())
	}
}

// wakeTrees tells that names or subscriptions may have changed.
func (a *Account) wakeTrees() {
	a.trees.mu.Lock()
	defer a.trees.mu.Unlock()
	for t := range a.trees.all {
		t.wake()
	}
}

// followRoot wakes after other programs have changed the root.
func (a *Account) followRoot(q *maildir.Queue, stop <-chan struct{}) {
	tick := time.NewTicker(a.st.o.Poll)
	defer tick.Stop()
	last := a.rootStamps()
	var events []maildir.Event
	for {
		changed := false
		select {
		case <-stop:
			return
		case <-q.Wake():
			events = q.Take(events[:0])
			changed = slices.ContainsFunc(events, a.namesMailbox)
		case <-tick.C:
			now := a.rootStamps()
			changed = a.names.layout.Nested || now != last
			last = now
		}
		if changed {
			a.wakeTrees()
		}
	}
}

// namesMailbox reports whether an event of the root may be about a mailbox or
// the subscriptions; most are about our own files.
func (a *Account) namesMailbox(e maildir.Event) bool {
	switch {
	case e.Op == maildir.Overflow || e.Op == maildir.Lost:
		return true
	case e.Op == maildir.Written:
		return e.Name == maildir.SubscriptionsFile
	}
	return e.Name == maildir.SubscriptionsFile ||
		!strings.HasPrefix(e.Name, maildir.OwnPrefix) && (a.names.layout.Nested || strings.HasPrefix(e.Name, "."))
}

// rootStamps are the times of the root and of the subscriptions.
func (a *Account) rootStamps() (s [2]rootStamp) {
	if in, err := a.tree.Root().Stat(); err == nil {
		s[0] = rootStamp{in.Mtime.UnixNano(), in.Ctime.UnixNano()}
	}
	if in, err := a.tree.Root().Lstat(maildir.SubscriptionsFile); err == nil {
		s[1] = rootStamp{in.Mtime.UnixNano(), in.Ctime.UnixNano()}
	}
	return s
}

type rootStamp struct{ mtime, ctime int64 }

// A treeShot is the names at one moment. It is not changed.
type treeShot struct {
	of    builtList
	list  []Listed
	index map[string]int // by name
	ids   map[string]treeID

	others []otherShot
}

// A treeID says which mailbox a name means.
type treeID struct {
	dir disk.Identity
	id  index.MailboxID // zero: not known yet
}

// same reports whether two names mean one mailbox. A number of a directory can
// be given to another one later.
func (x treeID) same(y treeID) bool {
	return x.dir == y.dir && x.dir != (disk.Identity{}) && (x.id.IsZero() || y.id.IsZero() || x.id == y.id)
}

// settledShot is treeShot while this process does not change the tree: a RENAME
// is several steps.
func (a *Account) settledShot(ctx context.Context) (*treeShot, error) {
	if err := a.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer a.giveTurn()
	return a.treeShot(ctx)
}

func (a *Account) treeShot(ctx context.Context) (*treeShot, error) {
	of, err := a.builtNow(ctx)
	if err != nil {
		return nil, err
	}
	shot := &treeShot{of: of, list: of.list, index: make(map[string]int, len(of.list)), ids: map[string]treeID{}}
	for i := range shot.list {
		shot.index[shot.list[i].Name] = i
	}
	known := map[string]index.MailboxID{}
	a.file.view(func(st *accountState) {
		for dir, r := range st.byDir {
			known[dir] = r.ID
		}
	})
	for _, l := range of.ls.all {
		if path := joinPath(l.Dir); l.Selectable && path != "" {
			if dir, ok := a.identityOf(path); ok {
				shot.ids[a.names.client(l.Name)] = treeID{dir, known[path]}
			}
		}
	}
	return shot, nil
}

func (s *treeShot) get(name string) Listed {
	if i, ok := s.index[name]; ok {
		return s.list[i]
	}
	return Listed{Name: name, NonExistent: true}
}

// has reports whether name is in the list at all.
func (s *treeShot) has(name string) bool {
	_, ok := s.index[name]
	return ok
}

// Changes gives what has changed since the last call, in an order in which it
// can be told, and the whole list; no
// changes, also of rights, give no list.
func (t *TreeWatch) Changes(ctx context.Context) ([]TreeChange, []Listed, error) {
	now, err := t.shot(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("mailbox: look for new names: %w", diskErr(err))
	}
	last := t.last
	t.last = now
	if last.sameAs(now) {
		return nil, nil, nil
	}
	d := treeDiff{last: last, now: now, sep: t.x.a.names.sep, out: map[string]*TreeChange{}}
	d.renames()
	d.names()
	if len(d.out) == 0 {
		if d.rights {
			return nil, slices.Clone(now.list), nil
		}
		return nil, nil, nil
	}
	changes := make([]TreeChange, 0, len(d.out))
	for _, c := range d.out {
		changes = append(changes, *c)
	}
	slices.SortFunc(changes, func(x, y TreeChange) int {
		return cmp.Or(d.rank(&x)-d.rank(&y), compareNames(x.Listed.Name, y.Listed.Name, d.sep))
	})
	return changes, slices.Clone(now.list), nil
}

// A treeDiff finds the changes between two moments.
type treeDiff struct {
	last, now *treeShot
	sep       byte
	out       map[string]*TreeChange
	from      map[string]string // new names to old ones
	moved     map[string]bool   // old names
	rights    bool              // those of the user on some mailbox are others
}

// renames finds mailboxes that have another name. Those below a renamed one
// went with it and are not told (RFC 5465 §5.4).
func (d *treeDiff) renames() {
	d.from, d.moved = map[string]string{}, map[string]bool{}
	gone := map[disk.Identity]string{}
	for name, id := range d.last.ids {
		if !d.now.get(name).Exists || d.now.ids[name].dir != id.dir {
			gone[id.dir] = name
		}
	}
	for _, l := range d.now.list {
		old, ok := gone[d.now.ids[l.Name].dir]
		if ok && l.Exists && old != l.Name && !d.last.get(l.Name).Exists && d.now.ids[l.Name].same(d.last.ids[old]) {
			d.from[l.Name], d.moved[old] = old, true
		}
	}
	for name, old := range d.from {
		if !d.whole(name, old) { // then one has gone and another has come
			delete(d.from, name)
			delete(d.moved, old)
		}
	}
	for name, old := range d.from {
		if up := parentOf(name, d.sep); d.from[up] != "" && old == d.from[up]+name[len(up):] {
			continue
		}
		c := d.change(name)
		c.OldName, c.Before, c.Name = old, d.last.get(old), true
		d.parents(name, old)
	}
}

// whole reports whether everything that was below old is below name now, or
// gone: a client takes it along.
func (d *treeDiff) whole(name, old string) bool {
	for _, l := range d.last.list {
		if l.Exists && below(l.Name, old, d.sep) && (d.now.get(l.Name).Exists || d.moved[l.Name] && d.from[name+l.Name[len(old):]] != l.Name) {
			return false
		}
	}
	return true
}

// names finds names that came, went, or are subscribed otherwise.
func (d *treeDiff) names() {
	for name := range maps.Keys(d.union()) {
		was, is := d.last.get(name), d.now.get(name)
		renamed := d.from[name] != ""
		d.rights = d.rights || was.Rights != is.Rights
		subscribed := was.Subscribed
		if renamed && !d.last.has(name) {
			subscribed = false // RENAME moves no subscriptions
		}
		switch {
		case was.Exists && !is.Exists && !d.moved[name], !was.Exists && is.Exists && !renamed:
			d.change(name).Name = true
			d.parents(name)
		case was.Exists && is.Exists && (was.HasChildren != is.HasChildren || d.replaced(name)),
			d.moved[name] && d.now.has(name) && !renamed:
			d.change(name).Name = true
		}
		if subscribed != is.Subscribed && (d.now.has(name) || !d.moved[name]) {
			d.change(name).Subscription = true
		}
	}
}

// replaced reports whether name means another directory now. One that went away
// while it was looked at is for the next look.
func (d *treeDiff) replaced(name string) bool {
	now, ok := d.now.ids[name]
	return ok && now.dir != d.last.ids[name].dir
}

// rank puts changes in an order in which they can be told: a rename takes along
// what is below a name, and it needs the name to be there.
func (d *treeDiff) rank(c *TreeChange) int {
	switch {
	case !c.NonExistent:
		return 1
	case d.moved[c.Listed.Name]:
		return 2
	}
	return 0
}

func (d *treeDiff) union() map[string]int {
	all := maps.Clone(d.last.index)
	maps.Copy(all, d.now.index)
	return all
}

// parents adds the direct parents of names, which are affected too.
func (d *treeDiff) parents(names ...string) {
	for _, name := range names {
		if up := parentOf(name, d.sep); up != "" && d.from[up] == "" && (d.now.has(up) || d.last.has(up) && !d.moved[up]) {
			d.change(up).Name = true
		}
	}
}

func (d *treeDiff) change(name string) *TreeChange {
	c := d.out[name]
	if c == nil {
		c = &TreeChange{Listed: d.now.get(name), Before: d.last.get(name)}
		d.out[name] = c
	}
	return c
}

// parentOf is the level above name; "" if there is none.
func parentOf(name string, sep byte) string {
	if i := lastIndex(name, sep); i > 0 {
		return name[:i]
	}
	return ""
}

// Own says what the session itself has just done: exists and gone are names
// that must exist now, and that must not; what changed of them, of what is below
// them and of what is above is not told, unless somebody else did more.
func (t *TreeWatch) Own(ctx context.Context, exists, gone string) {
	now, err := t.shot(ctx)
	if err != nil || exists != "" && !now.get(exists).Exists || gone != "" && now.get(gone).Exists {
		return
	}
	sep := t.x.a.names.sep
	t.take(now, func(name string) bool {
		for _, own := range []string{exists, gone} {
			if own != "" && (name == own || below(name, own, sep) || below(own, name, sep)) {
				return true
			}
		}
		return false
	})
}

// OwnSubscription says that the session itself has subscribed name, or ended
// that.
func (t *TreeWatch) OwnSubscription(ctx context.Context, name string, on bool) {
	now, err := t.shot(ctx)
	if err == nil && now.get(name).Subscribed == on {
		t.take(now, func(other string) bool { return other == name })
	}
}

// below reports whether name is inferior to top.
func below(name, top string, sep byte) bool {
	return len(name) > len(top) && name[len(top)] == sep && name[:len(top)] == top
}

// take makes what own accepts of now known, and leaves the rest to be told.
func (t *TreeWatch) take(now *treeShot, own func(name string) bool) {
	mixed := &treeShot{index: map[string]int{}, ids: map[string]treeID{}} // of: differs from everything
	from := func(s *treeShot, mine bool) {
		for _, l := range s.list {
			if own(l.Name) != mine {
				continue
			}
			mixed.index[l.Name] = len(mixed.list)
			mixed.list = append(mixed.list, l)
			if id, ok := s.ids[l.Name]; ok {
				mixed.ids[l.Name] = id
			}
		}
	}
	from(now, true)
	from(t.last, false)
	t.last = mixed
}

// noteMetadata tells the sessions that annotations of the mailbox id, of the
// account if it is zero, were set or removed.
func (a *Account) noteMetadata(id index.MailboxID, entries []MetadataEntry) {
	dir, known := "", id.IsZero()
	a.file.view(func(st *accountState) {
		if r := st.byID[id]; r != nil {
			dir, known = r.Dir, true
		}
	})
	if !known {
		return
	}
	a.trees.mu.Lock()
	defer a.trees.mu.Unlock()
	for t := range a.trees.all {
		if c := t.x.metadataChange(a, id, dir, entries); len(c.Entries) > 0 {
			t.note(c)
		}
	}
}

func (t *TreeWatch) note(c MetadataChange) {
	t.mu.Lock()
	if len(t.notes) >= maxNotes {
		t.overflow = true
	} else {
		t.notes = append(t.notes, c)
	}
	t.mu.Unlock()
	t.wake()
}

// Metadata gives the annotations that changed since the last call, in order;
// overflow: there were more than can be told.
func (t *TreeWatch) Metadata() (changes []MetadataChange, overflow bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changes, overflow = t.notes, t.overflow
	t.notes, t.overflow = nil, false
	return changes, overflow
}

// List is the list that Changes gave last, or would have given.
func (t *TreeWatch) List() []Listed { return slices.Clone(t.last.list) }

// Subscribed reports whether name was subscribed when t looked last.
func (t *TreeWatch) Subscribed(name string) bool { return t.last.get(name).Subscribed }

// OwnMetadata says that the session itself has set annotations: that is not
// told to it.
func (t *TreeWatch) OwnMetadata(name string, entries []MetadataEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, c := range t.notes {
		if c.Mailbox == name && slices.EqualFunc(c.Entries, entries, func(e string, m MetadataEntry) bool { return e == m.Name }) {
			t.notes = slices.Delete(t.notes, i, i+1)
			return
		}
	}
}
