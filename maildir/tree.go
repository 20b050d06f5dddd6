package maildir

import (
	"errors"
	"fmt"
	"io/fs"

	"roost/disk"
)

// A Tree is the open Maildir of one user: INBOX in its root and the other
// mailboxes as directories in it. It is safe for concurrent use, but whoever
// creates, renames and deletes must see to it that these do not overlap.
type Tree struct {
	fsys   disk.FS
	path   string
	root   disk.Dir
	layout Layout
	sep    Sep
}

// OpenTree opens the Maildir at path, which must exist.
func OpenTree(fsys disk.FS, path string, layout Layout, sep Sep) (*Tree, error) {
	root, err := fsys.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("maildir: open tree: %w", err)
	}
	return &Tree{fsys: fsys, path: path, root: root, layout: layout, sep: sep}, nil
}

// Close closes the root. Mailboxes opened from it stay open.
func (t *Tree) Close() error { return t.root.Close() }

// Root is the open root; it belongs to t.
func (t *Tree) Root() disk.Dir { return t.root }

// Layout is the layout.
func (t *Tree) Layout() Layout { return t.layout }

// Open opens a mailbox. ErrNotExist: there is none of that name.
func (t *Tree) Open(m Mailbox) (*Dir, error) {
	dir, err := t.find(m)
	if err != nil {
		return nil, err
	}
	return t.OpenAt(dir)
}

// OpenAt opens the mailbox whose directory is dir, as Listed has it.
func (t *Tree) OpenAt(dir []string) (*Dir, error) {
	root, err := t.dir(dir)
	if err != nil {
		return nil, missing(err)
	}
	return Open(t.fsys, root, t.sep)
}

// dir opens a directory of the tree; the caller closes it.
func (t *Tree) dir(path []string) (disk.Dir, error) {
	if len(path) == 0 {
		return t.reopen()
	}
	at := t.root
	for _, name := range path {
		next, err := at.OpenDir(name)
		if at != t.root {
			at.Close()
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// reopen gives a second descriptor of the root.
func (t *Tree) reopen() (disk.Dir, error) {
	again, err := t.fsys.OpenRoot(t.path)
	if err != nil {
		return nil, err
	}
	if err := t.sameRoot(again); err != nil {
		again.Close()
		return nil, err
	}
	return again, nil
}

// sameRoot is ErrGone unless other is the root.
func (t *Tree) sameRoot(other disk.Dir) error {
	a, err := t.root.Stat()
	if err != nil {
		return err
	}
	b, err := other.Stat()
	if err != nil {
		return err
	}
	if a.Identity != b.Identity {
		return ErrGone
	}
	return nil
}

// missing tells ErrNotExist for all that means it.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotExist, err)
	}
	return err
}

// Check compares the path of a mailbox with its open directory (R16): ErrGone
// if the mailbox was moved or removed from outside.
func (t *Tree) Check(dir []string, d *Dir) error {
	root, err := t.reopen()
	if errors.Is(err, fs.ErrNotExist) {
		return ErrGone
	}
	if err != nil {
		return err
	}
	root.Close()
	if len(dir) > 0 {
		parent := t.root
		if len(dir) > 1 {
			if parent, err = t.dir(dir[:len(dir)-1]); errors.Is(err, fs.ErrNotExist) {
				return ErrGone
			} else if err != nil {
				return err
			}
			defer parent.Close()
		}
		if err := sameDir(parent, dir[len(dir)-1], d.root); err != nil {
			return err
		}
	}
	return d.Check()
}

// Find gives the directory of a mailbox. ErrNotExist: there is none, or (fs
// layout) it is only a level above others.
func (t *Tree) Find(m Mailbox) ([]string, error) { return t.find(m) }

func (t *Tree) find(m Mailbox) ([]string, error) {
	dir, err := t.layout.Dir(m)
	if err == nil {
		ok, err := t.holds(dir)
		if err != nil || ok {
			return dir, err
		}
	}
	// Another spelling of the name, or one that only the listing has.
	all, err := t.List()
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if l.Selectable && l.Name.String() == m.String() {
			return l.Dir, nil
		}
	}
	return nil, ErrNotExist
}

// holds reports whether dir is a mailbox.
func (t *Tree) holds(dir []string) (bool, error) {
	if len(dir) == 0 {
		return true, nil
	}
	d, err := t.dir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
			return false, nil
		}
		return false, err
	}
	defer d.Close()
	return !t.layout.Nested || isMailbox(d), nil
}

// isMailbox reports whether an open directory holds messages.
func isMailbox(d disk.Dir) bool {
	for _, p := range []Place{Cur, New} {
		if in, err := d.Lstat(p.String()); err == nil && in.Mode.IsDir() {
			return true
		}
	}
	return false
}
