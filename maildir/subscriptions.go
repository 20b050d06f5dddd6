package maildir

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	layout  Layout
	lines   []string
}

// ParseSubscriptions reads the file; empty data is a new one of version 2. The
// layout says how levels are written, and which separator version 1 has.
func ParseSubscriptions(data []byte, layout Layout) Subscriptions {
	s := Subscriptions{version: 1, layout: layout}
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

// sep is between the levels of a line.
func (s Subscriptions) sep() string {
	switch {
	case s.version == 2:
		return "\t"
	case s.layout.Nested:
		return "/"
	}
	return "."
}

// decode reads a line. Levels are written as they are on disk.
func (s Subscriptions) decode(line string) (Mailbox, error) {
	m := Mailbox(strings.Split(line, s.sep()))
	if len(m) > maxLevels {
		return nil, ErrName
	}
	for i, level := range m {
		if s.version == 2 {
			level = tabUnescapes.Replace(level)
		}
		var err error
		if m[i], err = s.layout.decode(level); err != nil {
			return nil, err
		}
	}
	return m.fold(), nil
}

// encode writes a line.
func (s Subscriptions) encode(m Mailbox) (string, error) {
	levels := make([]string, len(m))
	for i, level := range m {
		var err error
		// No octet of it needs a TAB escape.
		if levels[i], err = s.layout.encode(level, i == 0); err != nil {
			return "", err
		}
	}
	return strings.Join(levels, s.sep()), nil
}

// Set adds or removes a name; false: nothing changed. ErrName: the layout
// cannot hold it.
func (s *Subscriptions) Set(m Mailbox, on bool) (bool, error) {
	if len(m) == 0 || len(m) > maxLevels {
		return false, ErrName
	}
	same := func(line string) bool {
		have, err := s.decode(line)
		return err == nil && have.String() == m.String()
	}
	if !on {
		before := len(s.lines)
		s.lines = slices.DeleteFunc(s.lines, same)
		return len(s.lines) != before, nil
	}
	if slices.ContainsFunc(s.lines, same) {
		return false, nil
	}
	line, err := s.encode(m)
	if err != nil {
		return false, err
	}
	s.lines = append(s.lines, line)
	return true, nil
}

// tabUnescapes undoes Dovecot's escapes: \001 and a digit or letter for what
// would end a level.
var tabUnescapes = strings.NewReplacer("\x010", "\x00", "\x011", "\x01", "\x01t", "\t", "\x01r", "\r", "\x01n", "\n")

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
