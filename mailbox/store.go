package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// Create says whether a Maildir that is missing is made at login.
type Create uint8

// The ways of Create.
const (
	CreateParent Create = iota // if its parent directory exists: an unmounted disk is no empty inbox
	CreateAlways               // with missing parents
	CreateNever
)

// Options are what a Store needs. The zero value of each has the meaning given.
type Options struct {
	FS       disk.FS          // required
	Log      *slog.Logger     // nil: discard
	Watcher  *maildir.Watcher // nil: poll
	Counters *Counters        // nil: private ones

	Layout    string // "maildir++" (also "") or "fs"
	Separator byte   // '/' (also 0) or '.'
	Prefix    string // of every name but INBOX, with the separator at its end
	Escape    string // one character, for what the layout cannot hold; "": such names are refused

	Create Create
	// SpecialUse gives the special use (RFC 6154 §2) of mailboxes by name,
	// without prefix.
	SpecialUse map[string]string
	// Autocreate and Autosubscribe are names without prefix that a new account
	// gets.
	Autocreate, Autosubscribe []string

	InfoSep maildir.Sep // in file names; 0: ':'
	KeepNew bool        // leave mail in new/
	Fsync   index.Fsync // what a flush waits for

	Metadata MetadataLimits
	Shared   SharedOptions

	MinOwner    uint32        // Maildirs whose owner has a lower user id are refused
	Poll        time.Duration // between two looks at the disk, beside its events; 0: 30 s
	Memory      int64         // octets of live mailboxes that no session uses; 0: 256 MiB
	Descriptors int           // limit of the process; unused live mailboxes go at 70 % of it; 0: 1,024
	Linger      time.Duration // how long accounts and mailboxes stay after their last use; 0: 10 minutes
}

// A Store is every account of the process: one writer per Maildir, shared by
// all its sessions. Create one per process.
type Store struct {
	o       Options
	namer   *maildir.Namer
	sharing *sharing // nil: nothing is shared

	mu       sync.Mutex // guards all below; never held across file system calls
	accounts map[disk.Identity]*Account
	closed   bool
	live     liveList
	jumps    jumpLog
}

// User is who opens an account.
type User struct {
	Name  string
	Path  string // of the Maildir, absolute
	Index string // of the index tree; empty: beside the mail
	Quota Quota
}

// NewStore checks o and gives an empty Store.
func NewStore(o Options) (*Store, error) {
	if o.FS == nil {
		return nil, errors.New("mailbox: options: no file system")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Counters == nil {
		o.Counters = &Counters{}
	}
	if o.Separator == 0 {
		o.Separator = '/'
	}
	if o.InfoSep == 0 {
		o.InfoSep = maildir.Colon
	}
	if o.Memory == 0 {
		o.Memory = 256 << 20
	}
	if o.Descriptors == 0 {
		o.Descriptors = 1024
	}
	if o.Poll == 0 {
		o.Poll = pollTime
	}
	if o.Linger == 0 {
		o.Linger = 10 * time.Minute
	}
	if _, err := newNameMap(&o); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	st := &Store{
		o: o, namer: maildir.NewNamer(host, o.FS.Now, nil),
		accounts: map[disk.Identity]*Account{}, jumps: jumpLog{},
	}
	if st.sharing, err = newSharing(st, o.Shared); err != nil {
		return nil, err
	}
	if st.sharing != nil {
		st.sharing.start()
	}
	return st, nil
}

// Open gives the account of u, shared by all its sessions; Release it. A
// missing Maildir is made as Options.Create says. Errors: ErrUnavailable
// (missing, and not made), ErrOwner, ErrPermission, ErrLocked.
func (st *Store) Open(ctx context.Context, u User) (*Account, error) {
	a, err := st.openFor(ctx, u, false)
	if err != nil {
		return nil, fmt.Errorf("mailbox: open account: %w", diskErr(err))
	}
	return a, nil
}

// openFor is Open, for a guest if it is not for the user: nothing is made then.
func (st *Store) openFor(ctx context.Context, u User, guest bool) (*Account, error) {
	create := st.o.Create
	if guest {
		create = CreateNever
	}
	tree, err := st.openTree(u.Path, create)
	if err != nil {
		return nil, err
	}
	info, err := tree.Root().Stat()
	if err != nil {
		tree.Close()
		return nil, err
	}
	for {
		st.mu.Lock()
		if st.closed {
			st.mu.Unlock()
			tree.Close()
			return nil, fmt.Errorf("store is closed: %w", ErrUnavailable)
		}
		a := st.accounts[info.Identity]
		if a == nil {
			a = newAccount(st, u, info.Identity)
			a.refs, a.visited = 1, guest
			st.accounts[info.Identity] = a
			st.mu.Unlock()
			return st.start(ctx, a, tree, info)
		}
		if a.closing == nil {
			a.refs++
			a.visited = a.visited && guest
			if a.linger != nil {
				a.linger.Stop()
				a.linger = nil
			}
			st.mu.Unlock()
			tree.Close()
			a.quota.configure(u.Quota)
			return a.join(ctx)
		}
		// Its lock is on the way back: wait for it, then look again.
		gone := a.closing
		st.mu.Unlock()
		select {
		case <-gone:
		case <-ctx.Done():
			tree.Close()
			return nil, ctx.Err()
		}
	}
}

// start loads a, which this caller put into the map.
func (st *Store) start(ctx context.Context, a *Account, tree *maildir.Tree, info disk.Info) (*Account, error) {
	if a.err = a.load(tree, info); a.err == nil {
		a.tellGrants()
		a.adoptSubscriptions(context.WithoutCancel(ctx))
		a.firstUse(context.WithoutCancel(ctx))
		close(a.ready)
		return a, nil
	}
	st.mu.Lock()
	mine := a.closing == nil // else Close sees to the rest
	if mine {
		a.closing = make(chan struct{})
	}
	st.mu.Unlock()
	close(a.ready)
	if mine {
		st.finish(a)
	}
	return nil, a.err
}

// finish ends an account that is marked as closing.
func (st *Store) finish(a *Account) error {
	err := a.unload()
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.accounts, a.id)
	close(a.closing)
	return err
}

// join waits until the opener of a has loaded it. The caller holds a reference.
func (a *Account) join(ctx context.Context) (*Account, error) {
	select {
	case <-a.ready:
	case <-ctx.Done():
		a.Release()
		return nil, ctx.Err()
	}
	if a.err != nil {
		return nil, a.err // the opener removed it; references do not count any more
	}
	return a, nil
}

// openTree opens the Maildir, and makes it first if it is missing and may be.
func (st *Store) openTree(path string, create Create) (*maildir.Tree, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("path of the Maildir is not absolute: %w", ErrUnavailable)
	}
	names, err := newNameMap(&st.o)
	if err != nil {
		return nil, err
	}
	tree, err := maildir.OpenTree(st.o.FS, path, names.layout, st.o.InfoSep)
	if !errors.Is(err, fs.ErrNotExist) {
		return tree, err
	}
	if err := makeRoot(st.o.FS, path, create); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, err
	}
	return maildir.OpenTree(st.o.FS, path, names.layout, st.o.InfoSep)
}

// makeRoot makes the directory path as how says; one that is there is fine. An
// error that is fs.ErrNotExist says that it may not be made. It is durable on
// return.
func makeRoot(fsys disk.FS, path string, how Create) error {
	if how == CreateNever {
		return &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrNotExist}
	}
	err := fsys.MkdirRoot(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) && how == CreateAlways && filepath.Dir(path) != path {
		if err := makeRoot(fsys, filepath.Dir(path), how); err != nil {
			return err
		}
		err = fsys.MkdirRoot(path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	parent, err := fsys.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.Sync()
}

// Release gives the account back. The last one to do so starts its time to
// linger, after which it is dropped.
func (a *Account) Release() {
	st := a.st
	st.mu.Lock()
	defer st.mu.Unlock()
	if a.refs--; a.refs > 0 || a.closing != nil || st.closed {
		return
	}
	linger := st.o.Linger
	if a.visited && len(st.accounts)*accountDescriptors > st.o.Descriptors/4 {
		linger = 0 // a LIST of what many users share opens many
	}
	a.linger = time.AfterFunc(linger, func() { st.drop(a) })
}

// hold adds a reference to an account that is open; Release it.
func (a *Account) hold() {
	a.st.mu.Lock()
	defer a.st.mu.Unlock()
	a.refs++
}

// accountDescriptors is what an account holds open: its root, tmp, roost.account
// and the root of an index tree.
const accountDescriptors = 4

// usedLocked reports whether a session has a mailbox of the account, maybe one of
// another user. Store.mu must be held.
func (a *Account) usedLocked() bool {
	for _, lm := range a.live {
		if lm.refs > 0 {
			return true
		}
	}
	return false
}

// drop ends an account that is still unused.
func (st *Store) drop(a *Account) {
	st.mu.Lock()
	if a.refs > 0 || a.closing != nil || st.closed {
		st.mu.Unlock()
		return
	}
	if a.usedLocked() {
		a.linger = time.AfterFunc(max(st.o.Linger, time.Second), func() { st.drop(a) })
		st.mu.Unlock()
		return
	}
	a.closing = make(chan struct{})
	st.mu.Unlock()

	if err := st.finish(a); err != nil {
		a.log.Error("close account", "err", err)
	}
}

// Close flushes and drops every account; sessions must have ended. It gives
// the first error of what it closed.
func (st *Store) Close() error {
	st.mu.Lock()
	st.closed = true
	sharing := st.sharing
	var mine []*Account
	var others []chan struct{}
	for _, a := range st.accounts {
		if a.closing != nil {
			others = append(others, a.closing)
			continue
		}
		a.closing = make(chan struct{})
		if a.linger != nil {
			a.linger.Stop()
		}
		mine = append(mine, a)
	}
	st.mu.Unlock()
	if sharing != nil {
		sharing.bg.Wait()
	}

	var first error
	for _, a := range mine {
		<-a.ready
		first = cmp.Or(first, st.finish(a))
	}
	for _, gone := range others {
		<-gone
	}
	return first
}
