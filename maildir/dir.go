package maildir

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"roost/disk"
)

// A Place is a directory of a mailbox that holds messages.
type Place uint8

// The places.
const (
	New Place = iota
	Cur
)

func (p Place) String() string {
	if p == New {
		return "new"
	}
	return "cur"
}

// tmpName is the directory in which messages are written.
const tmpName = "tmp"

// openTries is how often the directories of a mailbox are made before the
// race with whoever removes them is given up (R16).
const openTries = 3

// A Dir is the open directory of a mailbox. It works through descriptors, so
// it stays with its mailbox when that is moved. It is safe for concurrent use.
type Dir struct {
	fsys    disk.FS
	sep     Sep
	root    disk.Dir
	places  [2]disk.Dir // by Place
	tmp     disk.Dir    // nil if it is missing and cannot be made
	perm    fs.FileMode // of files made here (P2)
	network bool

	mu   sync.Mutex          // guards below
	ours map[string]struct{} // names in tmp/ that are being written
}

// Open takes over the directory root of a mailbox, which Close closes; on an
// error it is closed too. new, cur and tmp are made if they are missing, with
// the permissions of root. ErrGone: root itself is no more.
func Open(fsys disk.FS, root disk.Dir, sep Sep) (*Dir, error) {
	d := &Dir{fsys: fsys, sep: sep, root: root, ours: make(map[string]struct{})}
	if err := d.open(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) open() error {
	in, err := d.root.Stat()
	switch {
	case err != nil:
		return err
	case in.Nlink == 0:
		return ErrGone
	}
	d.perm = in.Mode.Perm() & 0o666
	if d.network, err = d.root.Network(); err != nil {
		return err
	}
	for _, p := range []Place{New, Cur} {
		if d.places[p], err = openOrMake(d.root, p.String(), in.Mode.Perm()); err != nil {
			return err
		}
	}
	d.tmp, err = openOrMake(d.root, tmpName, in.Mode.Perm())
	if errors.Is(err, fs.ErrPermission) || isReadOnly(err) {
		return nil // readable all the same
	}
	return err
}

// openOrMake opens the directory name of root, and makes it, durably, if it is
// missing while root is there: what is synced inside it later must not be lost
// with it.
func openOrMake(root disk.Dir, name string, perm fs.FileMode) (disk.Dir, error) {
	var err error
	for range openTries {
		var dir disk.Dir
		if dir, err = root.OpenDir(name); !errors.Is(err, fs.ErrNotExist) {
			return dir, err
		}
		if in, err := root.Stat(); err != nil {
			return nil, err
		} else if in.Nlink == 0 {
			return nil, ErrGone
		}
		if err := root.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, ErrGone
			}
			return nil, err
		}
		if err := root.Sync(); err != nil {
			return nil, err
		}
	}
	return nil, err
}

// Close closes the descriptors. Files that are open stay so.
func (d *Dir) Close() error {
	var errs []error
	for _, dir := range []disk.Dir{d.places[New], d.places[Cur], d.tmp, d.root} {
		if dir != nil {
			errs = append(errs, dir.Close())
		}
	}
	return errors.Join(errs...)
}

// Root is the directory of the mailbox, for files beside the mail; it belongs
// to d.
func (d *Dir) Root() disk.Dir { return d.root }

// Place is the open directory new or cur; it belongs to d.
func (d *Dir) Place(p Place) disk.Dir { return d.places[p] }

// Tmp is the open directory tmp, nil where it cannot be made; it belongs to d.
func (d *Dir) Tmp() disk.Dir { return d.tmp }

// Sep is the separator of names.
func (d *Dir) Sep() Sep { return d.sep }

// FileMode is what new files get: the permissions of the directory without
// execution (rule P2).
func (d *Dir) FileMode() fs.FileMode { return d.perm }

// Network reports whether others may change the files unseen by this kernel.
func (d *Dir) Network() bool { return d.network }

// Check compares the names new and cur with the open directories: ErrGone if
// they, or the mailbox, were removed or replaced. Whether the mailbox itself
// still has its name only Tree.Check can say.
func (d *Dir) Check() error {
	in, err := d.root.Stat()
	if err != nil {
		return err
	}
	if in.Nlink == 0 {
		return ErrGone
	}
	for _, p := range []Place{New, Cur} {
		if err := sameDir(d.root, p.String(), d.places[p]); err != nil {
			return err
		}
	}
	return nil
}

// sameDir is ErrGone unless name in parent is the directory dir.
func sameDir(parent disk.Dir, name string, dir disk.Dir) error {
	named, err := parent.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrGone
	}
	if err != nil {
		return err
	}
	open, err := dir.Stat()
	if err != nil {
		return err
	}
	if named.Identity != open.Identity {
		return ErrGone
	}
	return nil
}

// OpenMessage opens a message for reading: a regular file, or ErrNotRegular of
// package disk. fs.ErrNotExist often means that another program has renamed it
// (R5).
func (d *Dir) OpenMessage(p Place, name string) (disk.File, error) {
	return d.places[p].Open(name)
}

// Lstat describes a message.
func (d *Dir) Lstat(p Place, name string) (disk.Info, error) {
	return d.places[p].Lstat(name)
}

// Rename moves a message to another name or place. It never replaces one:
// fs.ErrExist (R8). fs.ErrNotExist: another program was faster (R6).
func (d *Dir) Rename(from Place, name string, to Place, newname string) error {
	if from == to && name == newname {
		return nil
	}
	err := d.places[from].RenameNoReplace(name, d.places[to], newname)
	if d.network && errors.Is(err, fs.ErrNotExist) {
		// A repeated request may answer so although the first one was done
		// (R19).
		if _, lerr := d.places[to].Lstat(newname); lerr == nil {
			return nil
		}
	}
	return err
}

// Unlink removes a message.
func (d *Dir) Unlink(p Place, name string) error { return d.places[p].Unlink(name) }

// Link gives a message of d a second name in dest.
func (d *Dir) Link(p Place, name string, dest *Dir, to Place, newname string) error {
	return d.places[p].Link(name, dest.places[to], newname)
}

// Sync makes the names of a place durable.
func (d *Dir) Sync(p Place) error { return d.places[p].Sync() }

// Find looks for the name that a base has now. It reads both directories; the
// lists are of no use as proof of absence. fs.ErrNotExist: not seen.
func (d *Dir) Find(base string) (Place, string, error) {
	for _, p := range []Place{Cur, New} {
		found := ""
		err := d.places[p].ReadDir(func(e disk.Entry) bool {
			if n, err := ParseName(e.Name, d.sep); err == nil && string(n.Base) == base {
				found = string(e.Name)
			}
			return found == ""
		})
		if err != nil {
			return p, "", err
		}
		if found != "" {
			return p, found, nil
		}
	}
	return Cur, "", fs.ErrNotExist
}

// now is the clock of the file system.
func (d *Dir) now() time.Time { return d.fsys.Now() }
