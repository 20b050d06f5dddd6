package mailbox

import (
	"fmt"
	"strings"

	"roost/maildir"
)

// A nameMap translates between the names that clients see (UTF-8, separator,
// prefix) and the levels that package maildir knows.
//
// With a prefix ("INBOX/") every mailbox but INBOX is called prefix and name,
// and a name that does not start with the prefix does not exist.
type nameMap struct {
	sep    byte
	prefix string // "" or ends with sep
	escape byte   // 0: none
	layout maildir.Layout
}

// newNameMap checks the options about names.
func newNameMap(o *Options) (*nameMap, error) {
	nm := &nameMap{sep: o.Separator, prefix: o.Prefix}
	if o.Separator != '/' && o.Separator != '.' {
		return nil, fmt.Errorf("mailbox: options: separator %q must be a slash or a dot", o.Separator)
	}
	switch o.Layout {
	case "", "maildir++":
	case "fs":
		nm.layout.Nested = true
	default:
		return nil, fmt.Errorf("mailbox: options: layout %q is neither maildir++ nor fs", o.Layout)
	}
	switch len(o.Escape) {
	case 0:
	case 1:
		nm.escape, nm.layout.Escape = o.Escape[0], o.Escape[0]
	default:
		return nil, fmt.Errorf("mailbox: options: escape %q is more than one octet", o.Escape)
	}
	if nm.prefix == "" {
		return nm, nil
	}
	head, ok := strings.CutSuffix(nm.prefix, string(nm.sep))
	if !ok {
		return nil, fmt.Errorf("mailbox: options: prefix %q does not end with the separator", o.Prefix)
	}
	m, err := maildir.ParseMailbox(head, nm.sep)
	if err != nil {
		return nil, fmt.Errorf("mailbox: options: prefix %q: %w", o.Prefix, err)
	}
	nm.prefix = strings.Join(m, string(nm.sep)) + string(nm.sep) // INBOX in capitals
	return nm, nil
}

// parse reads the name of a mailbox. ErrName: no mailbox can have it;
// ErrNotExist: it is outside the prefix, where there are none.
func (nm *nameMap) parse(name string) (maildir.Mailbox, error) {
	m, err := maildir.ParseMailbox(name, nm.sep)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrName, err)
	}
	if m.IsInbox() {
		return m, nil
	}
	if nm.prefix != "" {
		full := strings.Join(m, string(nm.sep))
		rest, ok := strings.CutPrefix(full, nm.prefix)
		if !ok {
			return nil, fmt.Errorf("name is outside the prefix: %w", ErrNotExist)
		}
		if m, err = maildir.ParseMailbox(rest, nm.sep); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrName, err)
		}
		if m.IsInbox() {
			// INBOX/INBOX would be a second INBOX.
			return nil, fmt.Errorf("INBOX below the prefix: %w", ErrName)
		}
	}
	for i, level := range m {
		m[i] = nm.unhide(level)
	}
	return m, nil
}

// client is the name that clients see.
func (nm *nameMap) client(m maildir.Mailbox) string {
	if m.IsInbox() {
		return maildir.Inbox
	}
	var b strings.Builder
	b.WriteString(nm.prefix)
	for i, level := range m {
		if i > 0 {
			b.WriteByte(nm.sep)
		}
		b.WriteString(nm.hide(level))
	}
	return b.String()
}

// hide makes a level that holds the separator fit for clients: with the
// separator '.' and the fs layout, or an escaped dot on disk, "v1.0" is a level.
func (nm *nameMap) hide(level string) string {
	if nm.sep != '.' || nm.escape == 0 || !strings.Contains(level, ".") {
		return level
	}
	return strings.ReplaceAll(level, ".", string(nm.escape)+"2e")
}

func (nm *nameMap) unhide(level string) string {
	if nm.sep != '.' || nm.escape == 0 {
		return level
	}
	return strings.ReplaceAll(level, string(nm.escape)+"2e", ".")
}

// dirPath is where the layout puts m: directories joined with '/', "" for
// INBOX. ErrName: it cannot hold it.
func (nm *nameMap) dirPath(m maildir.Mailbox) (string, error) {
	dirs, err := nm.layout.Dir(m)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrName, err)
	}
	return strings.Join(dirs, "/"), nil
}

// parts splits a path of dirPath.
func parts(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}
