package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// This file looks at an account as it lies on the disk, without changing
// anything: for roost fsck, dump and explain. inspectbox.go looks at one mailbox.

// Severity says how much a Finding matters.
type Severity uint8

// The severities.
const (
	Note    Severity = iota // worth knowing; nothing to do
	Warning                 // roost gets along with it; somebody should look
	Problem                 // mail, UIDs or flags are or may be affected
)

func (s Severity) String() string { return [...]string{"note", "warning", "problem"}[s] }

// A Finding is something that is not as it should be. What and Do are sentences
// for the operator.
type Finding struct {
	Mailbox  string // as clients see it; "": the account
	Severity Severity
	What     string   // what it is and what it means
	Do       string   // what to do; "": nothing
	Count    int      // how many; 0: that makes no sense
	Examples []string // names, at most 5
}

// An Inspection is what was found in one account.
type Inspection struct {
	// Busy: another process serves the account. It may be ahead of what is on
	// the disk, and what it does meanwhile looks like a finding.
	Busy      bool
	Mailboxes int
	Messages  int // files of messages
	Findings  []Finding
}

// InspectOptions are the wishes of who inspects.
type InspectOptions struct {
	Deep bool // read every message, to compare ,W= of its name
	// Progress is called now and then; total is 0 as long as it is unknown.
	Progress func(what string, done, total int)
}

// An inspector is the state of one inspection.
type inspector struct {
	st     *Store
	u      User
	o      InspectOptions
	tree   *maildir.Tree
	names  *nameMap
	own    disk.Dir // root of the index tree, nil: beside the mail
	state  *accountState
	out    Inspection
	ids    map[index.MailboxID]string // the mailboxes that were seen
	noted  map[string]int             // findings of one mailbox that are counted, by What
	inside string                     // the mailbox that is looked at
	path   string                     // of it
}

// Inspect looks at the account of u. It takes no lock that lasts and changes
// nothing. The error is one of the root of the Maildir; everything else that
// cannot be read is a Finding.
func (st *Store) Inspect(ctx context.Context, u User, o InspectOptions) (Inspection, error) {
	in, err := st.inspector(u)
	if err != nil {
		return Inspection{}, fmt.Errorf("mailbox: inspect: %w", diskErr(err))
	}
	defer in.close()
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	in.o = o
	in.account()
	list, err := in.tree.List()
	if err != nil {
		return Inspection{}, fmt.Errorf("mailbox: inspect: %w", diskErr(err))
	}
	for i, l := range list {
		if err := ctx.Err(); err != nil {
			return in.out, err
		}
		if l.Selectable {
			o.Progress("mailboxes", i, len(list))
			in.mailbox(ctx, joinPath(l.Dir))
		}
	}
	in.lost(list)
	return in.out, nil
}

// inspector opens what u has.
func (st *Store) inspector(u User) (*inspector, error) {
	names, err := newNameMap(&st.o)
	if err != nil {
		return nil, err
	}
	tree, err := maildir.OpenTree(st.o.FS, u.Path, names.layout, st.o.InfoSep)
	if err != nil {
		return nil, err
	}
	in := &inspector{st: st, u: u, tree: tree, names: names, ids: map[index.MailboxID]string{}, state: newAccountState()}
	if u.Index != "" {
		in.own, err = st.o.FS.OpenRoot(u.Index)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			tree.Close()
			return nil, fmt.Errorf("index tree: %w", err)
		}
	}
	return in, nil
}

func (in *inspector) close() {
	if in.own != nil {
		in.own.Close()
	}
	in.tree.Close()
}

// find adds a finding.
func (in *inspector) find(s Severity, do, format string, args ...any) {
	in.out.Findings = append(in.out.Findings, Finding{
		Mailbox: in.inside, Severity: s, What: fmt.Sprintf(format, args...), Do: do,
	})
}

// count adds example to the finding what, which is made if this is the first.
func (in *inspector) count(s Severity, what, do, example string) {
	i, ok := in.noted[what]
	if !ok {
		i = len(in.out.Findings)
		in.noted[what] = i
		in.find(s, do, "%s", what)
	}
	f := &in.out.Findings[i]
	f.Count++
	if len(f.Examples) < 5 && example != "" {
		f.Examples = append(f.Examples, example)
	}
}

// account looks at the root and at roost.account.
func (in *inspector) account() {
	root := in.tree.Root()
	info, err := root.Stat()
	if err != nil {
		in.find(Problem, "make it readable for the user that roost runs as", "the Maildir cannot be read: %v", err)
		return
	}
	if uid := uint32(os.Geteuid()); uid != 0 && info.UID != uid {
		in.find(Problem, fmt.Sprintf("chown -R, or run roost as uid %d", info.UID), "the Maildir belongs to uid %d, this is uid %d: roost refuses to serve it", info.UID, uid)
	}
	if info.Mode.Perm()&0o022 != 0 {
		in.find(Warning, "chmod go-w "+in.u.Path, "others may write into the Maildir (mode %04o)", info.Mode.Perm())
	}
	if lock, err := in.st.o.FS.OpenRoot(in.u.Path); err == nil {
		ok, err := lock.TryLock()
		in.out.Busy = err == nil && !ok
		lock.Close()
	}
	in.accountFile()
}

// indexRoot is where roost.account is; nil if that directory is missing.
func (in *inspector) indexRoot() disk.Dir {
	if in.u.Index != "" {
		return in.own
	}
	return in.tree.Root()
}

func (in *inspector) accountFile() {
	dir := in.indexRoot()
	if dir == nil {
		return
	}
	data, info, err := readAccountFile(dir)
	if errors.Is(err, fs.ErrNotExist) {
		in.find(Note, "", "there is no %s: roost never served this account, or the file was removed. UIDs and UIDVALIDITY are also in the indexes", accountFileName)
		return
	}
	if err != nil {
		in.find(Problem, "see the error", "%s cannot be read: %v", accountFileName, err)
		return
	}
	in.fileMode(accountFileName, info)
	seed, ok, err := parseAccountHeader(data)
	switch {
	case err != nil:
		in.find(Problem, "use that version of roost", "%s: %v", accountFileName, err)
	case !ok:
		in.find(Problem, "nothing: at the next use roost keeps it as "+accountFileName+".damaged and makes a new one from the indexes; special uses and annotations are lost unless a backup has them",
			"nothing in %s can be read", accountFileName)
	default:
		res := parseAccountFrames(data, seed, in.state)
		if res.damaged > 0 {
			in.find(Problem, "roost fsck --repair writes it anew", "%s is damaged in %d places; what is readable counts", accountFileName, res.damaged)
		} else if torn := tornSize(data[min(res.end, int64(len(data))):]); torn > 0 && !in.out.Busy {
			in.find(Note, "", "the last write to %s was not finished (%d octets); roost cuts it", accountFileName, torn)
		}
	}
}

// readAccountFile reads roost.account in dir.
func readAccountFile(dir disk.Dir) ([]byte, disk.Info, error) {
	file, err := dir.Open(accountFileName)
	if err != nil {
		return nil, disk.Info{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, info, err
	}
	if info.Size > accountFileMax {
		return nil, info, fmt.Errorf("%d octets: %w", info.Size, ErrLimit)
	}
	data := make([]byte, info.Size)
	n, err := file.ReadAt(data, 0)
	if n < len(data) {
		return nil, info, err
	}
	return data, info, nil
}

// fileMode checks a file of ours.
func (in *inspector) fileMode(name string, info disk.Info) {
	if root, err := in.tree.Root().Stat(); err == nil && info.UID != root.UID && info.UID != uint32(os.Geteuid()) {
		in.find(Problem, "chown it, or remove it if it is not yours", "%s belongs to uid %d, the Maildir to uid %d", name, info.UID, root.UID)
	}
	if info.Mode.Perm()&0o077 != 0 {
		in.find(Warning, "chmod 600 "+name, "others may read or write %s (mode %04o)", name, info.Mode.Perm())
	}
	if info.Nlink > 1 {
		in.find(Warning, "make backups by copying, not by hard links", "%s has %d names: roost writes a new one at the next use, so that the other stays what it is", name, info.Nlink)
	}
}

// lost tells of mailboxes that roost.account knows and the tree does not have.
func (in *inspector) lost(list []maildir.Listed) {
	in.inside = ""
	there := make(map[string]bool, len(list))
	for _, l := range list {
		there[joinPath(l.Dir)] = true
	}
	for dir, r := range in.state.byDir {
		if !there[dir] {
			in.find(Note, "", "the directory of the mailbox %s is gone: it was deleted by another program. If it comes back, it keeps its UIDs", in.name(r.Dir))
		}
	}
}

// name is what clients call the mailbox at path.
func (in *inspector) name(path string) string {
	m, err := in.names.layout.Mailbox(parts(path))
	if err != nil {
		return path
	}
	return in.names.client(m)
}
