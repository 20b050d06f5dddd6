package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"roost/index"
	"roost/maildir"
)

// This file is the access control lists of an account (RFC 4314). They are in
// roost.account under the id of the mailbox, so that they follow it on RENAME
// and go with it on DELETE. What has no list belongs to the owner alone.

// The bounds of the lists.
const (
	maxACLEntries  = 1000  // of one mailbox
	maxACLsEntries = 50000 // of an account
	maxIdentifier  = 1025  // octets: a user name and a dash
)

// An ACLEntry is what one identifier may do.
type ACLEntry struct {
	Identifier string
	Rights     Rights
}

// RightsMode is how SETACL combines rights (RFC 4314 §3.1).
type RightsMode uint8

// The modes.
const (
	RightsReplace RightsMode = iota
	RightsAdd
	RightsRemove
)

func (m RightsMode) apply(old, r Rights) Rights {
	switch m {
	case RightsAdd:
		return old | r
	case RightsRemove:
		return old &^ r
	}
	return r
}

// acls are all lists of an account.
type acls struct {
	of      map[index.MailboxID]acl
	n       int    // entries
	changes uint64 // not in the file
}

// set sets the rights of an identifier; letters that are not known, of a newer
// version, are not granted.
func (s *acls) set(id index.MailboxID, identifier, letters string) {
	var r Rights
	for _, c := range letters {
		one, _ := ParseRights(string(c))
		r |= one
	}
	s.changes++
	list := s.of[id]
	if _, ok := list[identifier]; ok {
		s.n--
		delete(list, identifier)
	}
	if r != 0 {
		if list == nil {
			list = acl{}
			s.of[id] = list
		}
		list[identifier] = r
		s.n++
	}
	if len(list) == 0 {
		delete(s.of, id)
	}
}

func (s *acls) drop(id index.MailboxID) {
	s.n -= len(s.of[id])
	s.changes++
	delete(s.of, id)
}

// each gives all in an order that is always the same.
func (s *acls) each(f func(index.MailboxID, string, Rights)) {
	for _, id := range slices.SortedFunc(maps.Keys(s.of), func(a, b index.MailboxID) int { return bytes.Compare(a[:], b[:]) }) {
		list := s.of[id]
		for _, identifier := range slices.Sorted(maps.Keys(list)) {
			f(id, identifier, list[identifier])
		}
	}
}

// grants gives what each identifier has on some mailbox.
func (st *accountState) grants() map[string]Rights {
	out := map[string]Rights{}
	for id, list := range st.acls.of {
		if st.byID[id] == nil {
			continue
		}
		for identifier, r := range list {
			out[identifier] |= r
		}
	}
	return out
}

func encodeACL(id index.MailboxID, identifier string, r Rights) []byte {
	rb := newRecord(recACL).bytes(tagID, id[:]).bytes(tagIdentifier, []byte(identifier))
	if r != 0 {
		rb.bytes(tagRights, []byte(r.letters()))
	}
	return rb.done()
}

// rightsAt are the rights of a guest on the mailbox at path, as far as
// roost.account knows it.
func (st *accountState) rightsAt(path, guest string) Rights {
	if r := st.byDir[path]; r != nil {
		return st.acls.of[r.ID].of(guest)
	}
	return 0
}

// rightsOn are the rights of a guest on the mailbox id.
func (a *Account) rightsOn(id index.MailboxID, guest string) (r Rights) {
	a.file.view(func(st *accountState) { r = st.acls.of[id].of(guest) })
	return r
}

// idAt gives the id of the mailbox at path, which is loaded if roost.account
// does not know it.
func (a *Account) idAt(ctx context.Context, path string) (id index.MailboxID, err error) {
	a.file.view(func(st *accountState) {
		if r := st.byDir[path]; r != nil {
			id = r.ID
		}
	})
	if !id.IsZero() {
		return id, nil
	}
	mb, err := a.mailboxAt(ctx, path)
	if err != nil {
		return id, treeErr(err)
	}
	defer mb.Release()
	return mb.index().ID(), nil
}

// aclAt gives the list of the mailbox at path, the owner first.
func (a *Account) aclAt(ctx context.Context, path string) ([]ACLEntry, error) {
	id, err := a.idAt(ctx, path)
	if err != nil {
		return nil, err
	}
	out := []ACLEntry{{a.user, AllRights}}
	a.file.view(func(st *accountState) {
		list := st.acls.of[id]
		for _, identifier := range slices.Sorted(maps.Keys(list)) {
			out = append(out, ACLEntry{identifier, list[identifier]})
		}
	})
	return out, nil
}

// ErrOwnerRights says that somebody wants to take rights from the owner.
var ErrOwnerRights = errors.New("mailbox: the owner has all rights")

// setACLAt changes the rights of identifier on the mailbox at path; durable on
// return, and felt by who has the mailbox selected. ErrOwnerRights: the
// identifier is the owner's, and would lose rights. ErrLimit: too many entries.
func (a *Account) setACLAt(ctx context.Context, path, identifier string, mode RightsMode, r Rights) error {
	if strings.TrimPrefix(identifier, "-") == a.user {
		if identifier != a.user || mode.apply(AllRights, r) != AllRights {
			return ErrOwnerRights
		}
		return nil
	}
	if len(identifier) > maxIdentifier {
		return ErrLimit
	}
	id, err := a.idAt(ctx, path)
	if err != nil {
		return err
	}
	err = a.file.update(func(st *accountState) ([]byte, error) {
		if st.byID[id] == nil {
			return nil, ErrNotExist // deleted meanwhile
		}
		list := st.acls.of[id]
		old, known := list[identifier]
		now := mode.apply(old, r)
		switch {
		case now == old:
			return nil, nil
		case !known && (len(list) >= maxACLEntries || st.acls.n >= maxACLsEntries):
			return nil, ErrLimit
		}
		return encodeACL(id, identifier, now), nil
	})
	if err != nil {
		return err
	}
	a.rightsChanged(id)
	return nil
}

// inheritACL gives the new mailbox to the list of the one that it inherits from
// (RFC 4314 §4, CREATE).
func (a *Account) inheritACL(from, to index.MailboxID) error {
	err := a.file.update(func(st *accountState) (payload []byte, _ error) {
		list := st.acls.of[from]
		if st.acls.n+len(list) > maxACLsEntries {
			return nil, ErrLimit
		}
		for _, identifier := range slices.Sorted(maps.Keys(list)) {
			payload = append(payload, encodeACL(to, identifier, list[identifier])...)
		}
		return payload, nil
	})
	if err != nil {
		return fmt.Errorf("inherit rights: %w", err)
	}
	a.rightsChanged(to)
	return nil
}

// copyACL gives the mailbox to the list of from and no other: what RENAME of INBOX
// does, whose readers go on reading what they could read (RFC 4314 §4).
func (a *Account) copyACL(from, to index.MailboxID) error {
	err := a.file.update(func(st *accountState) (payload []byte, _ error) {
		list := st.acls.of[from]
		for _, identifier := range slices.Sorted(maps.Keys(st.acls.of[to])) {
			if list[identifier] == 0 {
				payload = append(payload, encodeACL(to, identifier, 0)...)
			}
		}
		for _, identifier := range slices.Sorted(maps.Keys(list)) {
			payload = append(payload, encodeACL(to, identifier, list[identifier])...)
		}
		return payload, nil
	})
	if err == nil {
		a.rightsChanged(to)
	}
	return err
}

// heritage gives the mailbox that a new one m inherits its list from, the nearest
// one above it; the zero id: none. For a guest INBOX is above all.
func (a *Account) heritage(m maildir.Mailbox, guest string) (id index.MailboxID) {
	path, ok := a.nearest(m, guest)
	if !ok {
		return id
	}
	a.file.view(func(st *accountState) {
		if r := st.byDir[path]; r != nil && len(st.acls.of[r.ID]) > 0 {
			id = r.ID
		}
	})
	return id
}

// nearest gives the path of the nearest mailbox that exists above m.
func (a *Account) nearest(m maildir.Mailbox, guest string) (path string, ok bool) {
	for n := len(m) - 1; n > 0; n-- {
		if path, err := a.findMailbox(slices.Clone(m[:n])); err == nil {
			return path, true
		}
	}
	return "", guest != ""
}

// rightsChanged lets everybody feel what roost.account says now of the mailbox id.
func (a *Account) rightsChanged(id index.MailboxID) {
	var live []*Mailbox
	a.st.mu.Lock()
	for _, lm := range a.live {
		if lm.mb != nil && lm.closing == nil {
			live = append(live, lm.mb)
		}
	}
	a.st.mu.Unlock()
	for _, mb := range live {
		if mb.index().ID() == id {
			mb.rightsChanged(func(guest string) Rights { return a.rightsOn(id, guest) })
		}
	}
	a.tellGrants()
	a.changed()
}

// rightsChanged gives guests the rights that of says; who may not read any more
// finds the mailbox gone, as if it had been deleted (RFC 4314 §5.1.1).
func (mb *Mailbox) rightsChanged(of func(guest string) Rights) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	for v := range mb.views {
		if v.guest != "" {
			v.setRights(of(v.guest))
		}
	}
	for w := range mb.watches {
		if w.guest != "" && !of(w.guest).Has(needWatch) {
			w.lost = true
		}
	}
	mb.version.Add(1)
	mb.wakeWatchesLocked()
}

// needWatch is what a guest needs to be told of a mailbox (RFC 5465 §5).
const needWatch = RightLookup | RightRead

// setRights must be called with mb.mu held.
func (v *View) setRights(r Rights) {
	v.rights.Store(uint32(r))
	if !r.Has(RightRead) {
		v.dropped.Store(true)
	}
	v.wake()
}
