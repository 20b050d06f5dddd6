package maildir

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"roost/disk"
)

// Listed is one mailbox of a tree.
type Listed struct {
	Name Mailbox
	Dir  []string // directories from the root
	// Selectable is false for a directory of the fs layout that only holds
	// other mailboxes.
	Selectable bool
}

// maxMailboxes bounds what one listing gives; what is beyond is not seen.
const maxMailboxes = 1 << 17

func isNotDir(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// List gives all mailboxes, INBOX first, then by the octets of their
// directories. Symbolic links are not followed. A directory whose name cannot
// be decoded, or decodes to a name that is taken, has a name in which some
// octets are shown as % and two hex digits: reachable, and never merged with
// another (rule B1).
func (t *Tree) List() ([]Listed, error) {
	all := []Listed{{Name: Mailbox{Inbox}, Selectable: true}}
	if t.layout.Nested {
		return t.listNested(all, t.root, nil, nil)
	}
	names, err := t.subdirs(t.root)
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{Inbox: true}
	for i, m := range t.layout.nameAll(names, true, taken) {
		all = append(all, Listed{Name: m, Dir: []string{names[i]}, Selectable: true})
	}
	return all, nil
}

// subdirs gives the sorted names of the directories in d that may be mailboxes.
func (t *Tree) subdirs(d disk.Dir) ([]string, error) {
	var names, unknown []string
	err := d.ReadDir(func(e disk.Entry) bool {
		if len(e.Name) == 0 || t.layout.hidden(string(e.Name)) {
			return true
		}
		switch {
		case e.Type.IsDir():
			names = append(names, string(e.Name))
		case e.Type&fs.ModeIrregular != 0:
			unknown = append(unknown, string(e.Name))
		}
		return len(names)+len(unknown) < maxMailboxes
	})
	if err != nil {
		return nil, err
	}
	for _, name := range unknown {
		if in, err := d.Lstat(name); err == nil && in.Mode.IsDir() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// nameAll names directories that are siblings, in their order; top: in the
// root. Names that lead back to their directory come first, so that Dir finds
// it.
func (l Layout) nameAll(dirs []string, top bool, taken map[string]bool) []Mailbox {
	names := make([]Mailbox, len(dirs))
	claim := func(i int, m Mailbox) {
		if top && isInbox(m[0]) && m[0] != Inbox {
			return // it would be INBOX for clients
		}
		if key := m.String(); !taken[key] {
			taken[key] = true
			names[i] = m
		}
	}
	for i, dir := range dirs {
		if m, canonical, err := l.read(dir, top); err == nil && canonical {
			claim(i, m)
		}
	}
	for i, dir := range dirs {
		if m, _, err := l.read(dir, top); err == nil && names[i] == nil {
			claim(i, m)
		}
	}
	for i, dir := range dirs {
		for n := 0; names[i] == nil; n++ {
			claim(i, l.show(dir, n))
		}
	}
	return names
}

// read decodes one directory; canonical: encoding gives it back.
func (l Layout) read(dir string, top bool) (m Mailbox, canonical bool, err error) {
	if l.Nested && !top {
		level, err := l.decode(dir)
		if err != nil {
			return nil, false, err
		}
		back, err := l.encode(level, false)
		return Mailbox{level}, err == nil && back == dir, nil
	}
	if m, err = l.Mailbox([]string{dir}); err != nil {
		return nil, false, err
	}
	if l.Nested && m.IsInbox() {
		return m, dir == Inbox, nil // only a level: INBOX itself is the root
	}
	back, err := l.Dir(m)
	return m, err == nil && len(back) == 1 && back[0] == dir, nil
}

// show is a printable name for a directory; try counts up until it is free.
func (l Layout) show(dir string, try int) Mailbox {
	levels := Mailbox{dir}
	if !l.Nested {
		levels = strings.Split(dir[1:], ".")
	}
	for i, level := range levels {
		var b strings.Builder
		for j := range len(level) {
			c := level[j]
			if c > ' ' && c < 0x7f && c != '%' && c != '&' && c != '/' && (i > 0 || j >= min(try, len(level))) {
				b.WriteByte(c)
				continue
			}
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
		levels[i] = b.String()
		if level == "" {
			levels[i] = "%"
		}
	}
	if n := try - len(levels[0]); n > 0 {
		levels[0] += strings.Repeat("%", n)
	}
	return levels
}

// listNested adds what is below the open directory d, which is dir and named
// under.
func (t *Tree) listNested(all []Listed, d disk.Dir, under Mailbox, dir []string) ([]Listed, error) {
	if len(dir) >= maxLevels {
		return all, nil
	}
	names, err := t.subdirs(d)
	if err != nil {
		return all, err
	}
	for i, m := range t.layout.nameAll(names, len(dir) == 0, make(map[string]bool)) {
		if len(all) >= maxMailboxes {
			return all, nil
		}
		sub, err := d.OpenDir(names[i])
		if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
			continue // gone, or changed meanwhile
		}
		if err != nil {
			return all, err
		}
		name := append(slices.Clone(under), m...)
		path := append(slices.Clone(dir), names[i])
		selectable := isMailbox(sub)
		if !name.IsInbox() {
			all = append(all, Listed{Name: name, Dir: path, Selectable: selectable})
		} else if selectable { // the root is INBOX already
			all = append(all, Listed{Name: t.layout.show(names[i], 1), Dir: path, Selectable: true})
		}
		all, err = t.listNested(all, sub, name, path)
		sub.Close()
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// sortListed brings parents before their children.
func sortListed(all []Listed) {
	slices.SortFunc(all, func(a, b Listed) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), slices.Compare(a.Name, b.Name))
	})
}
