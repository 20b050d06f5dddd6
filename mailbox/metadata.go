package mailbox

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"roost/index"
)

// This file is METADATA (RFC 5464): annotations of mailboxes and of the
// account. They are in roost.account under the id of the mailbox, so that they
// follow it on RENAME and go with it on DELETE.

// A MetadataEntry is one annotation. ASCII case does not count in names
// (RFC 5464 §3.2); each keeps the spelling that it was set with.
type MetadataEntry struct {
	Name  string // such as /private/comment
	Value []byte // nil: NIL, there is none
}

// MetadataLimits bound the annotations of an account; sizes are octets of names
// and values together, but for Value. 0: the default in the comment.
type MetadataLimits struct {
	Value   int64 // of one value; 64 KiB
	Entries int   // of one mailbox, and of the account itself; 1,000
	Mailbox int64 // of one mailbox, and of the account itself; 1 MiB
	Account int64 // everything; 16 MiB
}

// WithDefaults gives l with the defaults filled in.
func (l MetadataLimits) WithDefaults() MetadataLimits {
	return MetadataLimits{
		Value: cmp.Or(l.Value, 64<<10), Entries: cmp.Or(l.Entries, 1000),
		Mailbox: cmp.Or(l.Mailbox, 1<<20), Account: cmp.Or(l.Account, 16<<20),
	}
}

// MetadataLimits are those of the account.
func (a *Account) MetadataLimits() MetadataLimits { return a.st.o.Metadata.WithDefaults() }

// Depths of Account.Metadata.
const (
	DepthEntry    = 0 // the entry alone
	DepthChildren = 1
	DepthInfinity = -1
)

// maxEntryName bounds the name of an entry, in octets.
const maxEntryName = 1024

// ValidEntry reports whether name can be the name of an entry (RFC 5464 §3.2).
// /private and /shared themselves have no value; with a depth they can be asked
// for.
func ValidEntry(name string) bool {
	if len(name) > maxEntryName || strings.HasSuffix(name, "/") || strings.Contains(name, "//") {
		return false
	}
	for _, c := range []byte(name) {
		if c < 0x20 || c >= 0x7f || c == '*' || c == '%' {
			return false
		}
	}
	scope, _, _ := strings.Cut(strings.TrimPrefix(lower(name), "/"), "/")
	return strings.HasPrefix(name, "/") && (scope == "private" || scope == "shared")
}

// settable reports whether an entry of that name can be made: two levels at
// least, four below vendor.
func settable(name string) bool {
	levels := strings.Split(lower(name), "/")[1:]
	return ValidEntry(name) && len(levels) >= 2 && (levels[1] != "vendor" || len(levels) >= 4)
}

// lower folds ASCII.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Metadata gives annotations of the mailbox name, of the account if that is
// empty: of each wanted entry and, with a depth, of those below it. An entry
// that was asked for and has no value is in the answer only with DepthEntry.
// The values must not be changed. Errors: those of Account.Mailbox.
func (a *Account) Metadata(ctx context.Context, name string, want []string, depth int) ([]MetadataEntry, error) {
	id, err := a.metadataID(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("mailbox: metadata: %w", err)
	}
	return a.metadataOf(id, want, depth), nil
}

// ListMetadata is Metadata of a name that List gave, for LIST (RFC 9590): it
// never loads a mailbox.
func (a *Account) ListMetadata(name string, want []string) ([]MetadataEntry, error) {
	path, err := a.find(name)
	if err != nil {
		return nil, fmt.Errorf("mailbox: metadata: %w", err)
	}
	id := noMailbox
	a.file.view(func(st *accountState) {
		if r := st.byDir[path]; r != nil {
			id = r.ID
		}
	})
	return a.metadataOf(id, want, DepthEntry), nil
}

// MetadataValue is the value of one entry; nil if there is none. FILTERS
// (RFC 5466) finds its filters with it.
func (a *Account) MetadataValue(ctx context.Context, name, entry string) ([]byte, error) {
	got, err := a.Metadata(ctx, name, []string{entry}, DepthEntry)
	if err != nil {
		return nil, err
	}
	return got[0].Value, nil
}

func (a *Account) metadataOf(id index.MailboxID, want []string, depth int) (out []MetadataEntry) {
	a.file.view(func(st *accountState) {
		notes := st.metadata.of[id]
		for _, name := range want {
			out = notes.find(out, name, depth)
		}
	})
	return out
}

// noMailbox is the id of no mailbox: what is not known has no annotations.
var noMailbox = index.MailboxID{0xff}

// metadataID gives the id of a mailbox, which is loaded if roost.account does
// not know it; the zero id is that of the account.
func (a *Account) metadataID(ctx context.Context, name string) (id index.MailboxID, err error) {
	if name == "" {
		return id, nil
	}
	path, err := a.find(name)
	if err != nil {
		return id, err
	}
	a.file.view(func(st *accountState) {
		if r := st.byDir[path]; r != nil {
			id = r.ID
		}
	})
	if !id.IsZero() {
		return id, nil
	}
	mb, err := a.Mailbox(ctx, name)
	if err != nil {
		return id, err
	}
	defer mb.Release()
	return mb.index().ID(), nil
}

// SetMetadata sets annotations of the mailbox name, of the account if that is
// empty; those with a nil Value are removed. All are set, or none; durable on
// return. Errors: ErrMetadataName, ErrMetadataSize, ErrMetadataCount, and those
// of Account.Mailbox.
func (a *Account) SetMetadata(ctx context.Context, name string, entries []MetadataEntry) error {
	if err := a.checkMetadata(entries); err != nil {
		return err
	}
	id, err := a.metadataID(ctx, name)
	if err != nil {
		return fmt.Errorf("mailbox: set metadata: %w", err)
	}
	return a.setMetadata(id, entries)
}

// checkMetadata refuses names and sizes.
func (a *Account) checkMetadata(entries []MetadataEntry) error {
	limits := a.MetadataLimits()
	for _, e := range entries {
		if !settable(e.Name) {
			return fmt.Errorf("mailbox: set metadata %q: %w", e.Name, ErrMetadataName)
		}
		if int64(len(e.Value)) > limits.Value {
			return fmt.Errorf("mailbox: set metadata %q: %w", e.Name, ErrMetadataSize)
		}
	}
	return nil
}

// setMetadata sets annotations whose names and values are good.
func (a *Account) setMetadata(id index.MailboxID, entries []MetadataEntry) error {
	limits := a.MetadataLimits()
	err := a.file.update(func(st *accountState) ([]byte, error) {
		if !id.IsZero() && st.byID[id] == nil {
			return nil, ErrNotExist // deleted meanwhile
		}
		if !st.metadata.fits(id, entries, limits) {
			return nil, ErrMetadataCount
		}
		var payload []byte
		for _, e := range entries {
			payload = append(payload, encodeMetadata(id, e)...)
		}
		return payload, nil
	})
	if err != nil {
		return fmt.Errorf("mailbox: set metadata: %w", err)
	}
	a.noteMetadata(id, entries)
	return nil
}

// copyMetadata gives the mailbox to the annotations of from: what RENAME of
// INBOX does (RFC 5464 §4.1).
func (a *Account) copyMetadata(from, to index.MailboxID) error {
	return a.file.update(func(st *accountState) (payload []byte, _ error) {
		for _, e := range st.metadata.of[from].sorted() {
			payload = append(payload, encodeMetadata(to, e)...)
		}
		return payload, nil
	})
}

// metadata are all annotations of an account.
type metadata struct {
	of   map[index.MailboxID]*annotations // the zero id: of the account itself
	size int64
}

// annotations are those of one mailbox, by name in small letters. nil: none.
type annotations struct {
	by   map[string]MetadataEntry
	size int64
}

func (e *MetadataEntry) size() int64 { return int64(len(e.Name) + len(e.Value)) }

// set sets or removes one.
func (m *metadata) set(id index.MailboxID, e MetadataEntry) {
	notes := m.of[id]
	if notes == nil {
		if e.Value == nil {
			return
		}
		notes = &annotations{by: map[string]MetadataEntry{}}
		m.of[id] = notes
	}
	key := lower(e.Name)
	if old, ok := notes.by[key]; ok {
		notes.size -= old.size()
		m.size -= old.size()
		delete(notes.by, key)
	}
	if e.Value != nil {
		notes.by[key] = e
		notes.size += e.size()
		m.size += e.size()
	}
	if len(notes.by) == 0 {
		delete(m.of, id)
	}
}

// drop removes those of a mailbox.
func (m *metadata) drop(id index.MailboxID) {
	if notes := m.of[id]; notes != nil {
		m.size -= notes.size
		delete(m.of, id)
	}
}

// fits reports whether the limits hold once entries are set; what only removes
// always does.
func (m *metadata) fits(id index.MailboxID, entries []MetadataEntry, l MetadataLimits) bool {
	last := map[string]MetadataEntry{} // one that comes twice counts as it is in the end
	for _, e := range entries {
		last[lower(e.Name)] = e
	}
	notes := m.of[id]
	if notes == nil {
		notes = &annotations{}
	}
	n, size := len(notes.by), notes.size
	for key, e := range last {
		if old, ok := notes.by[key]; ok {
			n--
			size -= old.size()
		}
		if e.Value != nil {
			n++
			size += e.size()
		}
	}
	grown := size - notes.size
	return n <= max(l.Entries, len(notes.by)) && (grown <= 0 || size <= l.Mailbox && m.size+grown <= l.Account)
}

// each gives all in an order that is always the same.
func (m *metadata) each(f func(index.MailboxID, MetadataEntry)) {
	ids := slices.SortedFunc(maps.Keys(m.of), func(a, b index.MailboxID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		for _, e := range m.of[id].sorted() {
			f(id, e)
		}
	}
}

func (n *annotations) sorted() (out []MetadataEntry) {
	if n == nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(n.by)) {
		out = append(out, n.by[key])
	}
	return out
}

// find adds the entry name and those below it down to depth.
func (n *annotations) find(out []MetadataEntry, name string, depth int) []MetadataEntry {
	key := lower(name)
	if depth == DepthEntry {
		e := MetadataEntry{Name: name}
		if n != nil {
			e.Value = n.by[key].Value
		}
		return append(out, e)
	}
	for _, e := range n.sorted() {
		below, ok := strings.CutPrefix(lower(e.Name), key)
		if ok && (below == "" || below[0] == '/' && (depth == DepthInfinity || strings.Count(below, "/") <= depth)) {
			out = append(out, e)
		}
	}
	return out
}

func encodeMetadata(id index.MailboxID, e MetadataEntry) []byte {
	rb := newRecord(recMetadata)
	if !id.IsZero() {
		rb.bytes(tagID, id[:])
	}
	rb.bytes(tagEntry, []byte(e.Name))
	if e.Value != nil {
		rb.bytes(tagValue, e.Value)
	}
	return rb.done()
}
