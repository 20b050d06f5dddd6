package maildir

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"roost/disk"
)

// Courier's files in the directory of a mailbox.
const (
	CourierUIDFile     = "courierimapuiddb"
	CourierKeywordsDir = "courierimapkeywords"
	courierWords       = ":list"
	courierSubscribed  = "courierimapsubscribed" // in the root
)

// Bounds: keywords of a mailbox and files of pending changes.
const (
	courierWordsMax = 4096
	courierFilesMax = 1 << 17
	courierListMax  = 256 << 20
	courierFileMax  = 64 << 10
)

// ParseCourierUIDs reads a courierimapuiddb:
//
//	"1" SP uidvalidity SP uidnext LF *( uid SP base LF )
//
// A last line without LF was not finished and is passed over. *FormatError: not
// such a file; what was read before the error is given with it.
func ParseCourierUIDs(r io.Reader) (*UIDList, error) {
	lr := newLineReader(r, CourierUIDFile)
	line, err := lr.next()
	if errors.Is(err, io.EOF) {
		return nil, lr.bad("no header")
	}
	if err != nil {
		return nil, err
	}
	l := &UIDList{}
	rest, ok := bytes.CutPrefix(line, []byte("1 "))
	if !ok {
		return l, lr.bad("not version 1")
	}
	if err := l.header1(lr, skipSpaces(rest)); err != nil {
		return l, err
	}
	if l.UIDValidity == 0 || l.UIDNext == 0 {
		return l, lr.bad("UIDVALIDITY or UIDNEXT is 0")
	}
	for {
		line, err := lr.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return l, err
		}
		uid, rest, ok := scanUint(line)
		if !ok || len(rest) == 0 || rest[0] != ' ' {
			return l, lr.bad("no UID")
		}
		e := UIDEntry{UID: uid}
		if e.Base, ok = foreignBase(rest[1:]); !ok {
			return l, lr.bad("no file name")
		}
		if err := l.add(lr, e); err != nil {
			return l, err
		}
	}
	if k := len(l.Entries); k > 0 {
		l.UIDNext = max(l.UIDNext, l.Entries[k-1].UID+1)
	}
	return l, nil
}

// WriteCourierUIDs writes the file.
func WriteCourierUIDs(w io.Writer, l *UIDList) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "1 %d %d\n", l.UIDValidity, l.UIDNext)
	for i := range l.Entries {
		fmt.Fprintf(&b, "%d %s\n", l.Entries[i].UID, l.Entries[i].Base)
		if b.Len() > 64<<10 {
			if _, err := b.WriteTo(w); err != nil {
				return err
			}
		}
	}
	_, err := b.WriteTo(w)
	return err
}

// ReadCourierUIDs reads the file of a mailbox directory; nil without an error
// if there is none. With a
// *FormatError the stamp is given, and what was read before it.
func ReadCourierUIDs(dir disk.Dir) (*UIDList, FileStamp, error) {
	return readForeign(dir, CourierUIDFile, ParseCourierUIDs)
}

// ReplaceCourierUIDs makes l the file of a mailbox directory, durably. Courier
// has no lock for it.
func ReplaceCourierUIDs(dir disk.Dir, l *UIDList, perm fs.FileMode) (FileStamp, error) {
	return replaceFile(dir, "roost."+CourierUIDFile+".tmp", CourierUIDFile, perm, func(w io.Writer) error { return WriteCourierUIDs(w, l) })
}

// CourierKeywords are the keywords of messages, by base.
type CourierKeywords map[string][]string

// ParseList reads the file :list of courierimapkeywords into k:
//
//	*( keyword LF ) LF *( base ":" index *( SP index ) LF )
//
// Lines that make no sense are passed over, as Courier does.
func (k CourierKeywords) ParseList(data []byte) {
	var words []string
	head, rest, _ := bytes.Cut(data, []byte("\n\n"))
	if after, ok := bytes.CutPrefix(data, []byte("\n")); ok { // no keywords
		head, rest = nil, after
	}
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		if len(words) < courierWordsMax && len(line) > 0 {
			words = append(words, string(line))
		}
	}
	end := bytes.LastIndexByte(rest, '\n') // the last line must be finished
	for line := range bytes.SplitSeq(rest[:end+1], []byte("\n")) {
		i := bytes.LastIndexByte(line, ':')
		if i <= 0 || len(k) >= uidEntryMax {
			continue
		}
		base, ok := foreignBase(line[:i])
		if !ok {
			continue
		}
		var set []string
		for field := range bytes.FieldsSeq(line[i+1:]) {
			if n, err := strconv.Atoi(string(field)); err == nil && n >= 0 && n < len(words) {
				set = appendWord(set, words[n])
			}
		}
		k.set(base, set)
	}
}

// parseChange reads a file of changes: all keywords of one message, one a line.
func (k CourierKeywords) parseChange(base string, data []byte) {
	var set []string
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		set = appendWord(set, string(line))
	}
	k.set(base, set)
}

func (k CourierKeywords) set(base string, words []string) {
	if len(words) == 0 {
		delete(k, base)
		return
	}
	k[base] = words
}

// appendWord adds a keyword once.
func appendWord(set []string, word string) []string {
	if !validKeyword(word) || len(set) >= courierWordsMax ||
		slices.ContainsFunc(set, func(have string) bool { return equalFold(have, word) }) {
		return set
	}
	return append(set, word)
}

// ReadCourierKeywords reads courierimapkeywords/ of a mailbox directory: :list
// first, then changes that Courier has not merged yet, those that are numbered
// (".N.base") in their order, then those that are not ("base"); the last one
// counts (rule A4). None is no error.
func ReadCourierKeywords(dir disk.Dir) (CourierKeywords, error) {
	k := CourierKeywords{}
	sub, err := dir.OpenDir(CourierKeywordsDir)
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("maildir: read %s: %w", CourierKeywordsDir, err)
	}
	defer sub.Close()
	data, _, err := readSmall(sub, courierWords, courierListMax)
	if err != nil {
		return nil, fmt.Errorf("maildir: read %s: %w", CourierKeywordsDir, err)
	}
	k.ParseList(data)
	var changes []courierChange
	err = sub.ReadDir(func(e disk.Entry) bool {
		if c, ok := courierChangeOf(string(e.Name)); ok {
			changes = append(changes, c)
		}
		return len(changes) < courierFilesMax
	})
	if err != nil {
		return nil, fmt.Errorf("maildir: read %s: %w", CourierKeywordsDir, err)
	}
	slices.SortFunc(changes, func(a, b courierChange) int {
		return cmp.Or(cmp.Compare(a.age, b.age), strings.Compare(a.name, b.name))
	})
	for _, c := range changes {
		data, _, err := readSmall(sub, c.name, courierFileMax)
		if errors.Is(err, disk.ErrNotRegular) || errors.Is(err, ErrTooLarge) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("maildir: read %s: %w", CourierKeywordsDir, err)
		}
		if data != nil {
			k.parseChange(c.base, data)
		}
	}
	return k, nil
}

// A courierChange is a file of changes.
type courierChange struct {
	name, base string
	age        uint64 // files without a number are the youngest
}

// courierChangeOf reads the name of a file: "base", or ".N.base"; ".tmp.…" is
// still being written.
func courierChangeOf(name string) (courierChange, bool) {
	if name == courierWords || strings.HasPrefix(name, ".tmp") || strings.ContainsRune(name, ':') {
		return courierChange{}, false
	}
	if !strings.HasPrefix(name, ".") {
		return courierChange{name: name, base: name, age: 1<<64 - 1}, true
	}
	number, base, ok := strings.Cut(name[1:], ".")
	age, err := strconv.ParseUint(number, 10, 63)
	return courierChange{name: name, base: base, age: age}, ok && err == nil && base != ""
}

// ReadCourierSubscriptions gives the names in courierimapsubscribed: one a
// line, levels as on disk below INBOX, separated by dots. None is no error.
// Lines that are no mailbox of the user (shared ones) are passed over.
func (t *Tree) ReadCourierSubscriptions() ([]Mailbox, error) {
	data, _, err := readSmall(t.root, courierSubscribed, subscriptionsLimit)
	if err != nil {
		return nil, fmt.Errorf("maildir: read %s: %w", courierSubscribed, err)
	}
	return parseCourierSubscriptions(data, t.layout), nil
}

func parseCourierSubscriptions(data []byte, layout Layout) []Mailbox {
	var names []Mailbox
	seen := map[string]bool{}
	flat := Layout{Escape: layout.Escape}
	for line := range strings.SplitSeq(string(data), "\n") {
		line = strings.TrimSuffix(line, "\r")
		m := Mailbox{Inbox}
		if !strings.EqualFold(line, Inbox) {
			if len(line) <= len(Inbox) || !strings.EqualFold(line[:len(Inbox)+1], Inbox+".") {
				continue
			}
			var err error
			if m, err = flat.Mailbox([]string{line[len(Inbox):]}); err != nil {
				continue
			}
		}
		if key := m.String(); !seen[key] {
			seen[key] = true
			names = append(names, m)
		}
	}
	return names
}
