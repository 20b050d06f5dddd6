package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
	"roost/maildir"
)

// This file reads what another IMAP server knew of a mailbox (design §8, rules
// A1 to A4); adoptload.go is how that gets into the index when the mailbox is
// loaded, adoptleave.go how that server's files are kept so that it could go on
// with them.

// A foreignKind is the server whose files a mailbox has.
type foreignKind byte

// The servers.
const (
	foreignNone    foreignKind = 0
	foreignDovecot foreignKind = 'd'
	foreignCourier foreignKind = 'c'
)

func (k foreignKind) String() string {
	switch k {
	case foreignDovecot:
		return "Dovecot"
	case foreignCourier:
		return "Courier"
	}
	return "no other server"
}

// file is where that server has its UIDs.
func (k foreignKind) file() string {
	if k == foreignCourier {
		return maildir.CourierUIDFile
	}
	return maildir.UidlistFile
}

// An adoption is what another server's files say of a mailbox.
type adoption struct {
	Kind        foreignKind
	UIDValidity uint32
	UIDNext     imap.UID
	UIDs        map[string]imap.UID // by base
	// Words are keywords that are not in the names of files, by base.
	Words map[string][]string
	// Carry is what we knew of messages that get another UID, by base.
	Carry map[string]index.Add

	byUID map[imap.UID]string
}

// foreignFiles are the files as they are now.
type foreignFiles struct {
	dovecot, courier *maildir.UIDList // nil: no file
	errs             map[foreignKind]error
	stamps           foreignStamps
}

// foreignWait is how long the load of a mailbox waits for another program that
// holds the lock of dovecot-uidlist.
const foreignWait = 5 * time.Second

// foreignTries is how often files that change while they are read are read.
const foreignTries = 3

// readForeign reads the lists of both servers while nobody writes them: the
// lock of dovecot-uidlist is free, and they are the same afterwards. A list
// that is malformed is in errs. Errors: ErrUnavailable (another server is at
// work), those of the disk.
func readForeign(ctx context.Context, o *mailboxOptions, root disk.Dir) (*foreignFiles, error) {
	ctx, cancel := context.WithTimeout(ctx, foreignWait)
	defer cancel()
	for range foreignTries {
		if err := maildir.AwaitUidlist(ctx, o.FS, root); err != nil {
			if errors.Is(err, maildir.ErrLocked) {
				err = fmt.Errorf("%w: %w; is Dovecot running?", ErrUnavailable, err)
			}
			return nil, err
		}
		f := &foreignFiles{errs: map[foreignKind]error{}}
		if err := f.read(root); err != nil {
			return nil, err
		}
		after, err := stampForeign(root)
		if err != nil {
			return nil, err
		}
		busy, err := maildir.UidlistBusy(o.FS, root)
		if err != nil {
			return nil, err
		}
		if !busy && after.list(foreignDovecot) == f.stamps.list(foreignDovecot) && after.list(foreignCourier) == f.stamps.list(foreignCourier) {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%w: the files of another server change all the time; is it running?", ErrUnavailable)
}

func (f *foreignFiles) read(root disk.Dir) (err error) {
	if f.stamps, err = stampForeign(root); err != nil {
		return err
	}
	if f.dovecot, f.stamps.dovecot, err = maildir.ReadUidlist(root); err != nil {
		if err = f.note(foreignDovecot, err); err != nil {
			return err
		}
	}
	if f.courier, f.stamps.courier, err = maildir.ReadCourierUIDs(root); err != nil {
		return f.note(foreignCourier, err)
	}
	return nil
}

// note keeps the error of a malformed file; others are given back.
func (f *foreignFiles) note(k foreignKind, err error) error {
	var bad *maildir.FormatError
	if !errors.As(err, &bad) && !errors.Is(err, maildir.ErrTooLarge) {
		return err
	}
	f.errs[k] = err
	return nil
}

// choose is the server that was there last: the one whose file is younger, and
// Dovecot of two of the same age.
func (f *foreignFiles) choose() foreignKind {
	d, c := f.stamps.dovecot, f.stamps.courier
	switch {
	case c.Ino != 0 && (d.Ino == 0 || c.Mtime > d.Mtime):
		return foreignCourier
	case d.Ino != 0:
		return foreignDovecot
	}
	return foreignNone
}

func (f *foreignFiles) list(k foreignKind) *maildir.UIDList {
	if k == foreignCourier {
		return f.courier
	}
	return f.dovecot
}

// seen is the highest UIDVALIDITY that the files have, good or not.
func (f *foreignFiles) seen() (v uint32) {
	for _, l := range []*maildir.UIDList{f.dovecot, f.courier} {
		if l != nil {
			v = max(v, l.UIDValidity)
		}
	}
	return v
}

// lastAdoptedUID is where a list is too near to the end of all UIDs to go on
// with it.
const lastAdoptedUID = 1 << 31

// usable is nil if the list of k can be taken over.
func (f *foreignFiles) usable(k foreignKind) error {
	if err := f.errs[k]; err != nil {
		return err
	}
	if l := f.list(k); l.UIDNext > lastAdoptedUID {
		return fmt.Errorf("mailbox: %s: UIDs are used up to %d", k.file(), l.UIDNext-1)
	}
	return nil
}

// adoption is the list of k, and Courier's keywords if that is k.
func (f *foreignFiles) adoption(k foreignKind, root disk.Dir) (*adoption, error) {
	l := f.list(k)
	a := &adoption{
		Kind: k, UIDValidity: l.UIDValidity, UIDNext: imap.UID(l.UIDNext),
		UIDs:  make(map[string]imap.UID, len(l.Entries)),
		byUID: make(map[imap.UID]string, len(l.Entries)),
		Carry: map[string]index.Add{},
	}
	for i := range l.Entries {
		e := &l.Entries[i]
		a.UIDs[e.Base] = imap.UID(e.UID) // the later of two
		a.byUID[imap.UID(e.UID)] = e.Base
	}
	if k == foreignCourier {
		words, err := maildir.ReadCourierKeywords(root)
		if err != nil {
			return nil, err
		}
		a.Words = words
	}
	return a, nil
}

// foreignStamps are what the files looked like when they and the index agreed.
// roost.account has them.
type foreignStamps struct {
	kind    foreignKind
	pending bool // taking over began and did not end
	dovecot maildir.FileStamp
	courier maildir.FileStamp
	log     maildir.FileStamp // of dovecot.index.log: Dovecot writes it for flags too
	// What the file of kind says of our messages.
	uidValidity uint32
	uidNext     imap.UID
}

// stampForeign looks at the files.
func stampForeign(root disk.Dir) (s foreignStamps, err error) {
	for _, f := range []struct {
		name string
		to   *maildir.FileStamp
	}{
		{maildir.UidlistFile, &s.dovecot}, {maildir.CourierUIDFile, &s.courier}, {maildir.DovecotIndexLog, &s.log},
	} {
		if *f.to, err = maildir.StampFile(root, f.name); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *foreignStamps) list(k foreignKind) maildir.FileStamp {
	if k == foreignCourier {
		return s.courier
	}
	return s.dovecot
}

// same reports that no other server wrote since: mode and owner may have
// changed, which the time of the inode would show.
func (s *foreignStamps) same(o *foreignStamps) bool {
	equal := func(a, b maildir.FileStamp) bool {
		return a.Ino == b.Ino && a.Mtime == b.Mtime && a.Size == b.Size
	}
	return !s.pending && !o.pending && equal(s.dovecot, o.dovecot) && equal(s.courier, o.courier) && equal(s.log, o.log)
}

// foreignVersion is the first octet of encoded stamps.
const foreignVersion = 1

func (s *foreignStamps) encode() []byte {
	b := []byte{foreignVersion, byte(s.kind), 0}
	if s.pending {
		b[2] = 1
	}
	for _, f := range []maildir.FileStamp{s.dovecot, s.courier, s.log} {
		b = binary.AppendUvarint(b, f.Ino)
		b = binary.AppendVarint(b, f.Mtime)
		b = binary.AppendVarint(b, f.Size)
	}
	b = binary.AppendUvarint(b, uint64(s.uidValidity))
	return binary.AppendUvarint(b, uint64(s.uidNext))
}

// adoptionPending reports that taking over began and did not end.
func adoptionPending(b []byte) bool { return len(b) > 2 && b[0] == foreignVersion && b[2] != 0 }

// decodeForeign reads what encode wrote. What it cannot read is like stamps of
// other files: those are read again.
func decodeForeign(b []byte) (s foreignStamps) {
	bad := foreignStamps{kind: foreignDovecot, pending: true}
	if len(b) < 3 || b[0] != foreignVersion {
		return bad
	}
	s.kind, s.pending = foreignKind(b[1]), b[2] != 0
	if s.kind != foreignDovecot && s.kind != foreignCourier {
		return bad
	}
	b = b[3:]
	ok := true
	unsigned := func() uint64 {
		v, n := binary.Uvarint(b)
		if ok = ok && n > 0; !ok {
			return 0
		}
		b = b[n:]
		return v
	}
	signed := func() int64 {
		v, n := binary.Varint(b)
		if ok = ok && n > 0; !ok {
			return 0
		}
		b = b[n:]
		return v
	}
	for _, f := range []*maildir.FileStamp{&s.dovecot, &s.courier, &s.log} {
		f.Ino, f.Mtime, f.Size = unsigned(), signed(), signed()
	}
	s.uidValidity, s.uidNext = uint32(unsigned()), imap.UID(unsigned())
	if !ok {
		return bad
	}
	return s
}
