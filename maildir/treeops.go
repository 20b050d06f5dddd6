package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"roost/disk"
)

// TrashName is the directory in the root into which deleted mailboxes are
// moved before their files are removed.
const TrashName = OwnPrefix + ".trash"

// folderName is an empty file that tells delivery agents that a directory is a
// mailbox of the Maildir above it (Maildir++).
const folderName = "maildirfolder"

// MakeRoot makes the directory of a new Maildir, durably, with missing parents
// if parents says so. One that is there is left alone.
func MakeRoot(fsys disk.FS, path string, perm fs.FileMode, parents bool) error {
	err := fsys.MkdirRoot(path, perm)
	above := filepath.Dir(path)
	if parents && errors.Is(err, fs.ErrNotExist) && above != path {
		if err := MakeRoot(fsys, above, perm, true); err != nil {
			return err
		}
		err = fsys.MkdirRoot(path, perm)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("maildir: make root: %w", err)
	}
	dir, err := fsys.OpenRoot(above)
	if err != nil {
		return fmt.Errorf("maildir: make root: %w", err)
	}
	defer dir.Close()
	return dir.Sync()
}

// Create makes a mailbox, and in the fs layout the levels above it. It is
// durable on return. ErrExist: it is there; ErrName: it cannot be.
func (t *Tree) Create(m Mailbox) error {
	path, err := t.layout.Dir(m)
	if err != nil {
		return err
	}
	switch _, err := t.find(m); {
	case err == nil:
		return ErrExist
	case !errors.Is(err, ErrNotExist):
		return err
	}
	in, err := t.root.Stat()
	if err != nil {
		return err
	}
	if err := t.create(path, in.Mode.Perm()); err != nil {
		return fmt.Errorf("maildir: create mailbox: %w", err)
	}
	return nil
}

func (t *Tree) create(path []string, perm fs.FileMode) error {
	parent, err := t.makeLevels(path[:len(path)-1], perm)
	if err != nil {
		return err
	}
	defer parent.Close()
	name := path[len(path)-1]
	made := true
	if err := parent.Mkdir(name, perm); errors.Is(err, fs.ErrExist) {
		made = false
	} else if err != nil {
		return err
	}
	if err := t.fill(parent, name, perm); err != nil {
		if made {
			unmake(parent, name)
		}
		return err
	}
	return parent.Sync()
}

// makeLevels opens the directory path, and makes what is missing of it. The
// caller closes it.
func (t *Tree) makeLevels(path []string, perm fs.FileMode) (disk.Dir, error) {
	at, err := t.reopen()
	if err != nil {
		return nil, err
	}
	for _, name := range path {
		next, err := at.OpenDir(name)
		if errors.Is(err, fs.ErrNotExist) {
			if err = at.Mkdir(name, perm); err == nil || errors.Is(err, fs.ErrExist) {
				if err = at.Sync(); err == nil {
					next, err = at.OpenDir(name)
				}
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

// fill makes the directories and the file of a new mailbox.
func (t *Tree) fill(parent disk.Dir, name string, perm fs.FileMode) error {
	dir, err := parent.OpenDir(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, sub := range []string{tmpName, New.String(), Cur.String()} {
		if err := dir.Mkdir(sub, perm); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if !t.layout.Nested {
		f, err := dir.OpenFile(folderName, os.O_WRONLY|os.O_CREATE, perm&0o666)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return dir.Sync()
}

// unmake removes what fill has made, as far as it can.
func unmake(parent disk.Dir, name string) {
	if dir, err := parent.OpenDir(name); err == nil {
		for _, sub := range []string{tmpName, New.String(), Cur.String()} {
			dir.Rmdir(sub)
		}
		dir.Unlink(folderName)
		dir.Close()
	}
	parent.Rmdir(name)
}

// Delete moves a mailbox out of sight, into the trash; EmptyTrash removes it.
// It is durable on return. In the fs layout mailboxes below it stay, and so do
// levels above it that hold nothing any more. INBOX cannot be deleted (ErrName).
func (t *Tree) Delete(m Mailbox) error {
	if m.IsInbox() {
		return ErrName
	}
	path, err := t.find(m)
	if err != nil {
		return err
	}
	trash, err := openOrMake(t.root, TrashName, 0o700)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = t.discardAsTrash(path, err)
	} else if err == nil {
		defer trash.Close()
		err = t.discard(path, trash)
	}
	if err != nil {
		return fmt.Errorf("maildir: delete mailbox: %w", err)
	}
	return nil
}

// discardAsTrash makes the mailbox itself the trash: a full disk has no block
// for a new directory, and is to be emptied. A mailbox with others below it
// cannot go that way; cause is why.
func (t *Tree) discardAsTrash(path []string, cause error) error {
	parent, err := t.makeLevels(path[:len(path)-1], 0o700)
	if err != nil {
		return err
	}
	defer parent.Close()
	name := path[len(path)-1]
	if t.layout.Nested {
		dir, err := parent.OpenDir(name)
		if err != nil {
			return err
		}
		below, err := t.subdirs(dir)
		dir.Close()
		if err != nil {
			return err
		}
		if len(below) > 0 {
			return cause
		}
	}
	if err := parent.RenameNoReplace(name, t.root, TrashName); err != nil {
		return missing(err)
	}
	return errors.Join(parent.Sync(), t.root.Sync())
}

func (t *Tree) discard(path []string, trash disk.Dir) error {
	parent, err := t.makeLevels(path[:len(path)-1], 0o700)
	if err != nil {
		return err
	}
	defer parent.Close()
	name, gone := path[len(path)-1], fmt.Sprintf("%016x", randomBits())
	if t.layout.Nested {
		dir, err := parent.OpenDir(name)
		if err != nil {
			return err
		}
		defer dir.Close()
		below, err := t.subdirs(dir)
		if err != nil {
			return err
		}
		if len(below) > 0 {
			return t.hollow(dir, trash, gone)
		}
	}
	if err := parent.RenameNoReplace(name, trash, gone); err != nil {
		return missing(err)
	}
	return errors.Join(trash.Sync(), parent.Sync(), t.root.Sync())
}

// hollow moves all but the mailboxes below it out of the open directory dir.
func (t *Tree) hollow(dir, trash disk.Dir, gone string) error {
	below, err := t.subdirs(dir)
	if err != nil {
		return err
	}
	var names []string
	err = dir.ReadDir(func(e disk.Entry) bool {
		name := string(e.Name)
		if _, found := slices.BinarySearch(below, name); !found {
			names = append(names, name)
		}
		return true
	})
	if err != nil {
		return err
	}
	if err := trash.Mkdir(gone, 0o700); err != nil {
		return err
	}
	to, err := trash.OpenDir(gone)
	if err != nil {
		return err
	}
	defer to.Close()
	// cur and new first: without them it is no mailbox any more.
	slices.SortStableFunc(names, func(a, b string) int { return messagesFirst(a) - messagesFirst(b) })
	for _, name := range names {
		if err := dir.RenameNoReplace(name, to, name); err != nil {
			return err
		}
	}
	return errors.Join(to.Sync(), trash.Sync(), dir.Sync(), t.root.Sync())
}

func messagesFirst(name string) int {
	if name == Cur.String() || name == New.String() {
		return 0
	}
	return 1
}

// A Move is a mailbox that Rename has renamed.
type Move struct {
	From, To Listed
}

// Rename renames a mailbox and all below it (RFC 9051 §6.3.6), and makes the
// levels above the new name in the fs layout. It is durable on return. In
// Maildir++ that is one rename each: on an error those done are undone.
// ErrExist: a new name is taken. INBOX, and a name below itself, are ErrName.
func (t *Tree) Rename(from, to Mailbox) ([]Move, error) {
	if from.IsInbox() || to.Under(from) {
		return nil, ErrName
	}
	if _, err := t.layout.Dir(to); err != nil {
		return nil, err
	}
	all, err := t.List()
	if err != nil {
		return nil, err
	}
	sortListed(all)
	moves, err := t.moves(all, from, to)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		for _, mv := range moves {
			if l.Name.String() == mv.To.Name.String() {
				return nil, ErrExist
			}
		}
	}
	if t.layout.Nested {
		err = t.move(moves[0].From.Dir, moves[0].To.Dir)
	} else {
		err = t.moveAll(moves)
	}
	if err != nil {
		return nil, fmt.Errorf("maildir: rename mailbox: %w", err)
	}
	return moves, nil
}

// moves lists what Rename has to do, parents first.
func (t *Tree) moves(all []Listed, from, to Mailbox) ([]Move, error) {
	var moves []Move
	for _, l := range all {
		if !l.Name.Under(from) {
			continue
		}
		name := append(slices.Clone(to), l.Name[len(from):]...)
		dir, err := t.layout.Dir(name)
		if err != nil {
			return nil, err
		}
		if t.layout.Nested && len(moves) > 0 {
			// The directory moves as a whole, so what is below keeps its spelling.
			dir = append(slices.Clone(moves[0].To.Dir), l.Dir[len(moves[0].From.Dir):]...)
		}
		moves = append(moves, Move{From: l, To: Listed{Name: name, Dir: dir, Selectable: l.Selectable}})
	}
	if len(moves) == 0 {
		return nil, ErrNotExist
	}
	if t.layout.Nested && len(moves[0].From.Name) != len(from) {
		return nil, ErrNotExist
	}
	return moves, nil
}

// moveAll renames directories of the root one by one.
func (t *Tree) moveAll(moves []Move) error {
	for i, mv := range moves {
		err := t.root.RenameNoReplace(mv.From.Dir[0], t.root, mv.To.Dir[0])
		if err == nil {
			continue
		}
		for _, done := range slices.Backward(moves[:i]) {
			err = errors.Join(err, t.root.RenameNoReplace(done.To.Dir[0], t.root, done.From.Dir[0]))
		}
		return exists(err)
	}
	return t.root.Sync()
}

func exists(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", ErrExist, err)
	}
	return err
}

// move renames a directory of the fs layout.
func (t *Tree) move(from, to []string) error {
	in, err := t.root.Stat()
	if err != nil {
		return err
	}
	source, err := t.makeLevels(from[:len(from)-1], in.Mode.Perm())
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := t.makeLevels(to[:len(to)-1], in.Mode.Perm())
	if err != nil {
		return err
	}
	defer target.Close()
	if err := source.RenameNoReplace(from[len(from)-1], target, to[len(to)-1]); err != nil {
		return exists(err)
	}
	return errors.Join(target.Sync(), source.Sync())
}

// EmptyTrash removes the files of deleted mailboxes until ctx ends.
func (t *Tree) EmptyTrash(ctx context.Context) error {
	trash, err := t.root.OpenDir(TrashName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer trash.Close()
	if err := removeBelow(ctx, trash, 0); err != nil {
		return fmt.Errorf("maildir: empty trash: %w", err)
	}
	return nil
}

// removeBatch is how many names are removed per reading of a directory.
const removeBatch = 4096

var errTooDeep = errors.New("directories too deep")

// removeBelow empties an open directory. No link is followed.
func removeBelow(ctx context.Context, dir disk.Dir, depth int) error {
	if depth > 2*maxLevels {
		return errTooDeep
	}
	for {
		var names []string
		err := dir.ReadDir(func(e disk.Entry) bool {
			names = append(names, string(e.Name))
			return len(names) < removeBatch
		})
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := remove(ctx, dir, name, depth); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}

func remove(ctx context.Context, dir disk.Dir, name string, depth int) error {
	sub, err := dir.OpenDir(name)
	if isNotDir(err) {
		return dir.Unlink(name)
	}
	if err != nil {
		return err
	}
	err = removeBelow(ctx, sub, depth+1)
	sub.Close()
	if err != nil {
		return err
	}
	return dir.Rmdir(name)
}
