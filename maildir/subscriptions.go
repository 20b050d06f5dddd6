package maildir

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"roost/utf7"
)

// SubscriptionsFile is Dovecot's list of subscribed names in the root.
//
//	v2 = "V" TAB "2" LF LF *( level *( TAB level ) LF )    ; levels TAB-escaped
//	v1 = *( name LF )                                      ; levels joined by the separator of the layout
const SubscriptionsFile = "subscriptions"

const (
	subscriptionsV2    = "V\t2\n\n"
	subscriptionsLimit = 16 << 20
	subscriptionsLock  = SubscriptionsFile + ".lock"
)

// Subscriptions is the contents of the file. Lines that cannot be decoded are
// kept as they are.
type Subscriptions struct {
	version int
	sep     string // between levels of v1
	lines   []string
}

// ParseSubscriptions reads the file; empty data is a new one of version 2. The
// layout says which separator version 1 has.
func ParseSubscriptions(data []byte, layout Layout) Subscriptions {
	s := Subscriptions{version: 1, sep: "."}
	if layout.Nested {
		s.sep = "/"
	}
	text, ok := strings.CutPrefix(string(data), subscriptionsV2)
	if ok || len(data) == 0 {
		s.version = 2
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			s.lines = append(s.lines, line)
		}
	}
	return s
}

// Append writes the file.
func (s Subscriptions) Append(b []byte) []byte {
	if s.version == 2 {
		b = append(b, subscriptionsV2...)
	}
	for _, line := range s.lines {
		b = append(append(b, line...), '\n')
	}
	return b
}

// Names are the subscribed mailboxes, each once, in the order of the file.
func (s Subscriptions) Names() []Mailbox {
	var names []Mailbox
	seen := make(map[string]bool)
	for _, line := range s.lines {
		if m, err := s.decode(line); err == nil && !seen[m.String()] {
			seen[m.String()] = true
			names = append(names, m)
		}
	}
	return names
}

// decode reads a line: modified UTF-7, or UTF-8 of servers that are set so.
func (s Subscriptions) decode(line string) (Mailbox, error) {
	sep := s.sep
	if s.version == 2 {
		sep = "\t"
	}
	levels := strings.Split(line, sep)
	if len(levels) > maxLevels {
		return nil, ErrName
	}
	for i, level := range levels {
		if s.version == 2 {
			level = tabUnescape(level)
		}
		if name, err := utf7.Decode(level); err == nil {
			level = name
		} else if isASCII(level) {
			return nil, ErrName
		}
		levels[i] = level
	}
	return ParseMailbox(strings.Join(levels, "/"), '/')
}

// encode writes a line. ErrName: version 1 cannot hold the name.
func (s Subscriptions) encode(m Mailbox) (string, error) {
	levels := make([]string, len(m))
	for i, level := range m {
		if !validLevel(level) || s.version != 2 && strings.Contains(level, s.sep) {
			return "", ErrName
		}
		levels[i] = utf7.Encode(level) // holds no TAB and no \001
	}
	if s.version == 2 {
		return strings.Join(levels, "\t"), nil
	}
	return strings.Join(levels, s.sep), nil
}

// Set adds or removes a name; false: nothing changed. A name that version 1
// cannot hold makes it a version 2.
func (s *Subscriptions) Set(m Mailbox, on bool) (bool, error) {
	if len(m) == 0 || len(m) > maxLevels {
		return false, ErrName
	}
	before := len(s.lines)
	if !on {
		s.lines = slices.DeleteFunc(s.lines, func(line string) bool {
			have, err := s.decode(line)
			return err == nil && have.String() == m.String()
		})
		return len(s.lines) != before, nil
	}
	for _, line := range s.lines {
		if have, err := s.decode(line); err == nil && have.String() == m.String() {
			return false, nil
		}
	}
	line, err := s.encode(m)
	if err != nil && s.version == 1 {
		s.upgrade()
		line, err = s.encode(m)
	}
	if err != nil {
		return false, err
	}
	s.lines = append(s.lines, line)
	return true, nil
}

// upgrade turns version 1 into version 2. Lines that cannot be decoded stay
// octet for octet, with their levels apart.
func (s *Subscriptions) upgrade() {
	for i, line := range s.lines {
		s.lines[i] = strings.ReplaceAll(tabEscape(line), s.sep, "\t")
	}
	s.version = 2
}

// tabEscapes are Dovecot's: \001 and a digit for what would end a level.
var (
	tabEscapes   = strings.NewReplacer("\x00", "\x010", "\x01", "\x011", "\t", "\x01t", "\r", "\x01r", "\n", "\x01n")
	tabUnescapes = strings.NewReplacer("\x010", "\x00", "\x011", "\x01", "\x01t", "\t", "\x01r", "\r", "\x01n", "\n")
)

func tabEscape(s string) string   { return tabEscapes.Replace(s) }
func tabUnescape(s string) string { return tabUnescapes.Replace(s) }

// ReadSubscriptions reads the file of the tree; none is no error.
func (t *Tree) ReadSubscriptions() (Subscriptions, FileStamp, error) {
	data, in, err := readSmall(t.root, SubscriptionsFile, subscriptionsLimit)
	if err != nil {
		return Subscriptions{}, FileStamp{}, fmt.Errorf("maildir: read subscriptions: %w", err)
	}
	return ParseSubscriptions(data, t.layout), fileStamp(in), nil
}

// Subscribe adds or removes names under the lock of the file, for which it
// waits until ctx ends (ErrLocked). It is durable on return.
func (t *Tree) Subscribe(ctx context.Context, on bool, names ...Mailbox) (err error) {
	in, err := t.root.Stat()
	if err != nil {
		return err
	}
	lock, err := dotLock(ctx, t.fsys, t.root, subscriptionsLock, subscriptionStale, in.Mode.Perm()&0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	s, _, err := t.ReadSubscriptions()
	if err != nil {
		return err
	}
	any := false
	for _, m := range names {
		changed, err := s.Set(m, on)
		if err != nil {
			return err
		}
		any = any || changed
	}
	if !any {
		return nil
	}
	if _, err := lock.Write(s.Append(nil)); err != nil {
		return fmt.Errorf("maildir: write subscriptions: %w", err)
	}
	return lock.Replace(SubscriptionsFile)
}

