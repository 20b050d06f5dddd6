package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"roost/disk"
	"roost/maildir"
)

// lockFileName is locked where a file system refuses a lock on the directory.
const lockFileName = maildir.OwnPrefix + ".lock"

// An Account is the mail of one user: a tree of mailboxes, subscriptions and
// roost.account. All sessions of the user share it.
//
// Create, Delete, Rename and Subscribe take turns. Nothing else waits for
// them: a mailbox that vanishes under a session is ErrGone there.
type Account struct {
	st    *Store
	user  string
	log   *slog.Logger
	names *nameMap
	uses  map[string]string // Options.SpecialUse, small letters too

	id    disk.Identity // of the root
	path  string        // of the Maildir
	index string        // path of the index tree; "": beside the mail

	ready chan struct{} // closed once the account is loaded, or err set
	err   error

	// Set by load.
	tree     *maildir.Tree
	ownIndex disk.Dir // root of the index tree if that is elsewhere, else nil
	lockFile disk.File
	file     *accountFile

	quota *quota

	turn chan struct{} // capacity 1: who holds the element changes the tree
	bg   sync.WaitGroup
	stop chan struct{} // closed when background work must end

	// Store.mu guards these.
	refs    int
	visited bool // only guests have opened it
	linger  *time.Timer
	closing chan struct{}
	live    map[disk.Identity]*liveMailbox

	mu         sync.Mutex        // guards all below
	listed     *listing          // the last one that was proved, see list.go
	subscribed *subscriptionList // likewise
	built      builtList         // what List made of them
	foreign    foreignCounter

	trees    treeWatches
	granting sync.Mutex // whoever tells what is shared holds it
	hidden   sync.Once  // to be told of a mailbox behind the names of other users
}

func newAccount(st *Store, u User, id disk.Identity) *Account {
	names, err := newNameMap(&st.o)
	if err != nil {
		panic(err) // NewStore tried it
	}
	a := &Account{
		st: st, user: u.Name, names: names, uses: foldUses(st.o.SpecialUse),
		log:  st.o.Log.With("user", u.Name),
		id:   id,
		path: u.Path, index: u.Index,
		ready: make(chan struct{}),
		turn:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		live:  map[disk.Identity]*liveMailbox{},
	}
	a.quota = &quota{a: a, config: u.Quota}
	return a
}

// Separator is the hierarchy separator that clients see.
func (a *Account) Separator() byte { return a.names.sep }

// Prefix is what every name but INBOX begins with, "" or with the separator at
// its end.
func (a *Account) Prefix() string { return a.names.prefix }

// load takes the lock and reads roost.account. tree is taken over, also on an
// error; unload closes it.
func (a *Account) load(tree *maildir.Tree, root disk.Info) error {
	a.tree = tree
	if uid := uint32(os.Geteuid()); uid != 0 && root.UID != uid {
		a.log.Error("Maildir belongs to another user", "path", a.path, "owner", root.UID, "own", uid)
		return ErrOwner
	}
	if root.UID < a.st.o.MinOwner {
		a.log.Error("mail of this owner is refused: change the owner of the Maildir, or lower [limits] min_uid", "path", a.path, "owner", root.UID, "min_uid", a.st.o.MinOwner)
		return fmt.Errorf("%s has owner %d, [limits] min_uid is %d: %w", a.path, root.UID, a.st.o.MinOwner, ErrOwner)
	}
	if err := a.lock(); err != nil {
		return err
	}
	if a.index != "" {
		if err := makeRoot(a.st.o.FS, a.index, CreateAlways); err != nil {
			return fmt.Errorf("index tree: %w", err)
		}
		dir, err := a.st.o.FS.OpenRoot(a.index)
		if err != nil {
			return fmt.Errorf("index tree: %w", err)
		}
		a.ownIndex = dir
	}
	file, err := openAccountFile(a.indexRoot(), a.log)
	if err != nil {
		return err
	}
	a.file = file
	a.purgeTrash()
	return nil
}

// indexRoot is where roost.account and the index of INBOX are.
func (a *Account) indexRoot() disk.Dir {
	if a.ownIndex != nil {
		return a.ownIndex
	}
	return a.tree.Root()
}

// lock makes this process the one writer of the Maildir. ErrLocked: another
// one is.
func (a *Account) lock() error {
	ok, err := a.tree.Root().TryLock()
	if err != nil && lockRefused(err) {
		ok, err = a.lockByFile()
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if !ok {
		a.log.Error("another process has the Maildir", "path", a.path)
		return ErrLocked
	}
	return nil
}

// lockRefused reports that a file system has no lock for directories.
func lockRefused(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EOPNOTSUPP, syscall.ENOLCK, syscall.ENOSYS, syscall.EINVAL, syscall.EBADF, syscall.EISDIR,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// lockByFile locks roost.lock, which is made once and never replaced.
func (a *Account) lockByFile() (bool, error) {
	root := a.tree.Root()
	file, err := root.OpenFile(lockFileName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	locker, can := file.(disk.FileLocker)
	if !can {
		file.Close()
		return false, fmt.Errorf("%s: %w", lockFileName, errors.ErrUnsupported)
	}
	ok, err := locker.TryLock()
	if err == nil && ok {
		// Somebody may have replaced the file meanwhile.
		var mine, named disk.Info
		if mine, err = file.Stat(); err == nil {
			named, err = root.Lstat(lockFileName)
		}
		ok = err == nil && mine.Identity == named.Identity
	}
	if err != nil || !ok {
		file.Close()
		return false, err
	}
	a.lockFile = file
	return true, nil
}

// unload undoes load, as far as that came. The lock goes last.
func (a *Account) unload() error {
	close(a.stop)
	a.bg.Wait()
	err := a.closeAll()
	a.leaveForeign()
	if a.file != nil {
		err = cmp.Or(err, a.file.close())
	}
	if a.ownIndex != nil {
		err = cmp.Or(err, a.ownIndex.Close())
	}
	if a.lockFile != nil {
		err = cmp.Or(err, a.lockFile.Close())
	}
	if a.tree != nil {
		err = cmp.Or(err, a.tree.Close())
	}
	return err
}

// takeTurn waits for the right to change the tree; giveTurn returns it.
func (a *Account) takeTurn(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *Account) giveTurn() { <-a.turn }

// newUIDValidity gives a UIDVALIDITY greater than every one that the account
// ever gave out or saw, and than seen (rule X2). The next update of the account
// makes it durable.
func (a *Account) newUIDValidity(seen uint32) (uint32, error) {
	var v uint32
	seen = max(seen, a.foreignUIDValidity())
	err := a.file.append(func(st *accountState) ([]byte, error) {
		now := max(0, min(a.st.o.FS.Now().Unix(), math.MaxUint32-1))
		high := max(st.highWater, st.floor, seen)
		if high == math.MaxUint32 {
			return nil, fmt.Errorf("mailbox: no UIDVALIDITY left: %w", ErrUnavailable)
		}
		v = max(high+1, uint32(now))
		return encodeHighWater(v, st.floor), nil
	})
	return v, err
}

// openPath opens the directory at path below root, "" is root again. The
// caller closes it.
func openPath(fsys disk.FS, root disk.Dir, rootPath, path string) (disk.Dir, error) {
	names := parts(path)
	if len(names) == 0 {
		return fsys.OpenRoot(rootPath)
	}
	at := root
	for _, name := range names {
		next, err := at.OpenDir(name)
		if at != root {
			at.Close()
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// lstatPath describes the directory at path.
func (a *Account) lstatPath(path string) (disk.Info, error) {
	names := parts(path)
	if len(names) == 0 {
		dir, err := a.st.o.FS.OpenRoot(a.path)
		if err != nil {
			return disk.Info{}, err
		}
		defer dir.Close()
		return dir.Stat()
	}
	parent, last, done, err := a.parentOf(a.tree.Root(), names)
	if err != nil {
		return disk.Info{}, err
	}
	defer done()
	return parent.Lstat(last)
}

// parentOf opens the directory above the last of names, which are not empty;
// done closes it.
func (a *Account) parentOf(root disk.Dir, names []string) (parent disk.Dir, last string, done func(), err error) {
	last = names[len(names)-1]
	if len(names) == 1 {
		return root, last, func() {}, nil
	}
	parent, err = openPath(a.st.o.FS, root, "", strings.Join(names[:len(names)-1], "/"))
	if err != nil {
		return nil, "", nil, err
	}
	return parent, last, func() { parent.Close() }, nil
}

// pathExists reports whether a directory is at path.
func (a *Account) pathExists(path string) (bool, error) {
	info, err := a.lstatPath(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Mode.IsDir(), nil
}

// nameOf is the name that clients see for the mailbox at path, for logs.
func (a *Account) nameOf(path string) string {
	m, err := a.names.layout.Mailbox(parts(path))
	if err != nil {
		return path
	}
	return a.names.client(m)
}

// openLive opens the mailbox in dir, which is taken over.
func (a *Account) openLive(ctx context.Context, lm *liveMailbox, dir disk.Dir) (*Mailbox, error) {
	indexDir, err := a.openIndexDir(lm.slot.path())
	if err != nil {
		dir.Close()
		return nil, vanished(lm.slot.path(), err)
	}
	md, err := maildir.Open(a.st.o.FS, dir, a.st.o.InfoSep)
	if err != nil {
		indexDir.Close()
		return nil, vanished(lm.slot.path(), err)
	}
	mb, err := openMailbox(ctx, mailboxOptions{
		FS: a.st.o.FS, Dir: md, IndexDir: indexDir, Slot: lm.slot, Released: lm.release,
		Namer: a.st.namer, Watcher: a.st.o.Watcher, Owner: a.user, Log: a.log.With("mailbox", lm.slot.name()), Counters: a.st.o.Counters,
		KeepNew: a.st.o.KeepNew, Fsync: a.st.o.Fsync, Poll: a.st.o.Poll, Quota: a.quota,
		Foreign: &foreignOptions{Default: a.foreignDefault}, MayJump: a.st.mayJump,
	})
	if err != nil {
		return nil, vanished(lm.slot.path(), err)
	}
	return mb, nil
}

// openIndexDir opens where the index of the mailbox at path is, and makes it
// in an index tree.
func (a *Account) openIndexDir(path string) (disk.Dir, error) {
	if a.ownIndex == nil {
		return openPath(a.st.o.FS, a.tree.Root(), a.path, path)
	}
	at, err := a.st.o.FS.OpenRoot(a.index)
	if err != nil {
		return nil, err
	}
	for _, name := range parts(path) {
		next, err := at.OpenDir(name)
		if errors.Is(err, fs.ErrNotExist) {
			if err = at.Mkdir(name, 0o700); err == nil {
				next, err = at.OpenDir(name)
			}
		}
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// changed notes that this process changed the tree or the subscriptions.
func (a *Account) changed() { a.wakeTrees() }

// firstUse makes the mailboxes that a new account gets. An account is new as
// long as roost.account knows nothing.
func (a *Account) firstUse(ctx context.Context) {
	names := a.st.o.Autocreate
	fresh := false
	a.file.view(func(st *accountState) { fresh = len(st.byID) == 0 && st.highWater == 0 })
	if !fresh || len(names)+len(a.st.o.Autosubscribe) == 0 {
		return
	}
	ls, err := a.listing()
	if err != nil {
		a.log.Warn("make the mailboxes of a new account", "err", err)
		return
	}
	taken := map[string]bool{}
	for i, uses := range a.usesOf(ls) {
		for _, u := range uses {
			taken[string(u)] = ls.all[i].Selectable
		}
	}
	for _, name := range names {
		// An account that comes from elsewhere has its own Sent, whatever it is called.
		if use := a.st.o.SpecialUse[name]; use != "" && taken[use] {
			continue
		}
		if _, err := a.Create(ctx, a.names.prefix+name, nil); err != nil && !errors.Is(err, ErrExist) {
			a.log.Warn("make a mailbox of a new account", "mailbox", name, "err", err)
		}
	}
	for _, name := range a.st.o.Autosubscribe {
		if err := a.Subscribe(ctx, a.names.prefix+name, true); err != nil && !errors.Is(err, ErrNotExist) {
			a.log.Warn("subscribe a mailbox of a new account", "mailbox", name, "err", err)
		}
	}
}
