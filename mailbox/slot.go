package mailbox

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
)

// A slot is the place of one live mailbox in its account: what roost.account
// knows of it. The Mailbox holds it from its birth to its end.
type slot struct {
	a *Account

	mu   sync.Mutex // guards below; taken after Account.mu
	dir  string     // the path of the mailbox's directory as the layout names it; RENAME changes it
	next string     // where a RENAME is about to move it; "": none runs
}

// known is what the account knows of the mailbox in this directory, for
// index.Open; the zero Known if nothing.
func (s *slot) known() (known index.Known) {
	dir := s.path()
	s.a.file.view(func(st *accountState) {
		r := st.byDir[dir]
		switch {
		case r == nil:
		case adoptionPending(r.Adopted):
			known.ID = r.ID // nobody was told anything: it is taken over anew
		default:
			known = r.known()
		}
	})
	return known
}

// A claim is the answer of roost.account to what an index says of itself.
type claim struct {
	// Known tells that the account has a record of this mailbox id; the
	// following three are from there.
	Known   bool
	UIDNext imap.UID // ceiling
	ModSeq  ModSeq   // ceiling
	Adopted []byte   // stamps of another server's files; nil: never adopted
	// NewUIDValidity tells that the mailbox must take a fresh UIDVALIDITY: the
	// one it has was used, or a greater one, by another mailbox of this name
	// (RFC 9051 §6.3.4, §6.3.6), or it is a copy.
	NewUIDValidity bool
	// NewID tells that it must take a new mailbox id too: the directory is a
	// copy of another one that still exists.
	NewID bool
}

// claim is called once an index was opened: id and uidValidity are what it
// says. It writes nothing; register follows.
func (s *slot) claim(id index.MailboxID, uidValidity uint32) (claim, error) {
	dir := s.path()
	var own, here *mailboxRecord
	var used uint32
	s.a.file.view(func(st *accountState) {
		own, here = st.byID[id], st.byDir[dir]
		used = max(st.floor, st.tombs[dir])
	})
	var c claim
	if own != nil {
		c.Known, c.Adopted = true, own.Adopted
		c.UIDNext, c.ModSeq = imap.UID(own.UIDNext), ModSeq(own.ModSeq)
		if own.Dir == dir {
			c.NewUIDValidity = own.Renew
			return c, nil
		}
		// The same id in two directories: moved from outside, or copied.
		there, err := s.a.pathExists(own.Dir)
		if err != nil {
			return claim{}, err
		}
		if there {
			return claim{NewUIDValidity: true, NewID: true}, nil
		}
	}
	if here != nil {
		used = max(used, here.UIDValidity)
	}
	c.NewUIDValidity = uidValidity <= used
	return c, nil
}

// newUIDValidity gives a UIDVALIDITY greater than every one that the account
// ever gave out or saw, and than seen; sync makes it durable.
func (s *slot) newUIDValidity(seen uint32) (uint32, error) {
	return s.a.newUIDValidity(seen)
}

// register makes the mailbox known, or changes what is known of it. adopted
// nil leaves that as it is. A mailbox that is known and the same keeps its
// ceilings: raise lifts them before they are passed. sync makes it durable.
func (s *slot) register(known index.Known, adopted []byte) error {
	return s.a.file.append(func(st *accountState) ([]byte, error) {
		dir := s.path()
		r := mailboxRecord{
			ID: known.ID, Dir: dir, UIDValidity: known.UIDValidity,
			UIDNext: uint32(known.UIDNext), ModSeq: uint64(known.ModSeq),
		}
		old := st.byID[r.ID]
		if old != nil && old.Dir == dir && old.UIDValidity == r.UIDValidity && !old.Renew && adopted == nil {
			return nil, nil
		}
		if old == nil {
			old = st.byDir[dir] // its special uses stay with the name
		}
		if old != nil {
			r.Uses, r.extra = old.Uses, old.extra
		}
		if old != nil && old.ID == r.ID {
			r.Adopted = old.Adopted
			if old.UIDValidity == r.UIDValidity {
				r.UIDNext, r.ModSeq = max(r.UIDNext, old.UIDNext), max(r.ModSeq, old.ModSeq)
			}
		}
		if adopted != nil {
			r.Adopted = adopted
		}
		if old != nil && old.equal(&r) {
			return nil, nil
		}
		return encodeMailbox(&r), nil
	})
}

// sync makes what register and newUIDValidity wrote durable.
func (s *slot) sync() error {
	return s.a.file.settle()
}

// raise lifts the ceilings to uidNext and modSeq, which the caller chose a step
// above what is in use. It is durable on return.
func (s *slot) raise(id index.MailboxID, uidNext imap.UID, modSeq ModSeq) error {
	err := s.a.file.write(func(st *accountState) ([]byte, error) {
		old := st.byID[id]
		if old == nil {
			return nil, fmt.Errorf("mailbox: raise ceilings of an unknown mailbox: %w", ErrGone)
		}
		r := *old
		r.UIDNext, r.ModSeq = max(r.UIDNext, uint32(uidNext)), max(r.ModSeq, uint64(modSeq))
		if old.equal(&r) {
			return nil, nil
		}
		return encodeMailbox(&r), nil
	}, true, false)
	if err != nil {
		return err
	}
	return s.a.file.settle() // also a record of register's
}

// inPlace reports whether the path of the mailbox still names the directory
// that dir is (R16).
func (s *slot) inPlace(dir disk.Dir) (bool, error) {
	own, err := dir.Stat()
	if err != nil {
		return false, err
	}
	for {
		s.mu.Lock()
		dir, next := s.dir, s.next
		s.mu.Unlock()
		for _, path := range []string{dir, next} {
			there, err := s.a.lstatPath(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
				return false, err
			}
			if err == nil && own.Identity == there.Identity {
				return true, nil
			}
			if next == "" {
				break
			}
		}
		s.mu.Lock()
		same := s.dir == dir && s.next == next
		s.mu.Unlock()
		if same {
			return false, nil
		}
		// A RENAME went on meanwhile: look where it is now.
	}
}

// name is for logs: the mailbox as its user knows it.
func (s *slot) name() string { return s.a.user + ":" + s.a.nameOf(s.path()) }

func (s *slot) path() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir
}

func (s *slot) move(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dir, s.next = dir, ""
}

// announce says that a RENAME is about to move the mailbox; "" that it did not.
func (s *slot) announce(next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = next
}
