package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/emersion/go-imap/v2"

	"roost/index"
	"roost/maildir"
)

// foreignOptions are what a mailbox needs to go on where another IMAP server
// ended, and to let that one go on after roost.
type foreignOptions struct {
	// Default is the server whose files a mailbox gets that never had any.
	Default func() foreignKind
	// AppendFrom is the size in octets from which on a list is added to rather
	// than written anew; 0: 1 MiB.
	AppendFrom int64
}

// foreignState is what is known of the other server's files. Only the atomic
// ones are shared; the rest belongs to load and to who has the token at the end.
type foreignState struct {
	recorded []byte // stamps as the account has them; nil: never adopted
	known    bool   // the account knew the mailbox
	stamps   foreignStamps
	jump     bool        // another server ran meanwhile
	gap      bool        // and it is not known which UIDs it gave
	rebased  atomic.Bool // a message has another base than the list says
	dovecot  atomic.Bool // Dovecot is to find all it needs
	taken    Adoption
}

// An Adoption is what a mailbox took over from another server when it was
// loaded.
type Adoption struct {
	From     string // "Dovecot", "Courier"; "": nothing
	Messages int    // that kept their UIDs
	Fresh    int    // that had none and got new ones
	Retired  int    // whose UID was another message's meanwhile: they got new ones
	Problem  error  // why nothing could be taken over
}

// Adoption tells what the mailbox took over when it was loaded.
func (mb *Mailbox) Adoption() Adoption { return mb.foreign.taken }

// adoptNew is for a mailbox that is indexed for the first time: what it takes
// over; nil: nothing. seen is the highest UIDVALIDITY in the files. An error is
// one of the disk, or that another program has the files: the mailbox is not
// loaded then, it would get another UIDVALIDITY.
func (mb *Mailbox) adoptNew(ctx context.Context) (a *adoption, seen uint32, err error) {
	if mb.o.Foreign == nil {
		return nil, 0, nil
	}
	f, err := readForeign(ctx, &mb.o, mb.dir.Root())
	if err != nil {
		return nil, 0, fmt.Errorf("mailbox: adopt: %w", err)
	}
	kind := f.choose()
	if kind == foreignNone {
		return nil, 0, nil
	}
	if err := f.usable(kind); err != nil {
		mb.foreign.taken.Problem = err
		mb.log.Warn("cannot take over the UIDs of another server: the mailbox gets a new UIDVALIDITY and clients load it again",
			"from", kind.String(), "err", err)
		return nil, f.seen(), nil
	}
	a, err = f.adoption(kind, mb.dir.Root())
	if err != nil {
		return nil, 0, fmt.Errorf("mailbox: adopt: %w", err)
	}
	mb.foreign.stamps = f.stamps
	mb.foreign.stamps.kind = kind
	mb.foreign.stamps.uidValidity, mb.foreign.stamps.uidNext = a.UIDValidity, a.UIDNext
	return a, f.seen(), nil
}

// pendingStamps is what the account knows until everything was taken over.
func (a *adoption) pendingStamps() []byte {
	if a == nil {
		return nil
	}
	s := foreignStamps{kind: a.Kind, pending: true}
	return s.encode()
}

// meetForeign compares the other server's files with what they were. If it ran
// meanwhile, the UIDs that it gave count too (design §8):
//
//   - a message that we do not know takes its UID, if that is not below our
//     UIDNEXT;
//   - a UID that both gave to different messages is retired, and a message that
//     both know by different UIDs leaves ours: these get others, as if they had
//     been expunged and come again;
//   - UIDNEXT is the larger of both;
//   - if its UIDVALIDITY is larger, ours becomes a fresh one.
//
// It is part of load: what it finds is published by the scan that follows.
func (mb *Mailbox) meetForeign(ctx context.Context, rec index.Recovery, adopted *adoption) error {
	defer func() { mb.foreign.dovecot.Store(mb.foreign.stamps.kind == foreignDovecot) }()
	fs := &mb.foreign
	if mb.o.Foreign == nil {
		return nil
	}
	if adopted != nil {
		mb.files.adopted = adopted
		mb.giveCourierLetters(ctx, adopted)
		return nil
	}
	if rec.NewUIDValidity {
		return nil // and nothing could be taken over
	}
	was := decodeForeign(fs.recorded)
	now, err := stampForeign(mb.dir.Root())
	if err != nil {
		return fmt.Errorf("mailbox: adopt: %w", diskErr(err))
	}
	switch none := now.dovecot.Ino == 0 && now.courier.Ino == 0; {
	case fs.recorded != nil && was.same(&now):
		fs.stamps = was
		return nil
	case none && fs.recorded != nil:
		fs.stamps = foreignStamps{kind: was.kind} // its file is gone: a new one at the end
		fs.jump = now.log != was.log
		return nil
	case none:
		return nil
	}
	f, err := readForeign(ctx, &mb.o, mb.dir.Root())
	if err != nil {
		return fmt.Errorf("mailbox: adopt: %w", err)
	}
	kind := f.choose()
	if fs.recorded != nil && was.list(kind) == f.stamps.list(kind) {
		kind = was.kind // only another of its files changed
	}
	if kind == foreignNone {
		return nil // removed while we looked
	}
	return mb.reconcileForeign(ctx, f, kind)
}

// reconcileForeign is meetForeign once the files are read.
func (mb *Mailbox) reconcileForeign(ctx context.Context, f *foreignFiles, kind foreignKind) error {
	fs := &mb.foreign
	ours := mb.ix.UIDValidity()
	l := f.list(kind)
	switch err := f.usable(kind); {
	case err != nil && fs.recorded == nil:
		fs.taken.Problem = err
		mb.log.Warn("the UID list of another server is of no use and stays unread", "from", kind.String(), "err", err)
		return nil
	case err != nil:
		// What it gave out meanwhile is not known: leave a gap.
		fs.taken.Problem = err
		mb.log.Warn("the UID list of another server is of no use; its messages get new UIDs", "from", kind.String(), "err", err)
		fs.jump, fs.gap = true, true
		if l != nil && l.UIDValidity > ours {
			return mb.renewAbove(l.UIDValidity)
		}
		fs.stamps = f.stamps
		fs.stamps.kind = kind
		return nil
	case l.UIDValidity > ours && fs.recorded != nil:
		fs.stamps = f.stamps
		fs.stamps.kind = kind
		mb.log.Warn("another server gave the mailbox a larger UIDVALIDITY meanwhile", "from", kind.String(), "theirs", l.UIDValidity, "ours", ours)
		return mb.renewAbove(l.UIDValidity)
	case l.UIDValidity != ours:
		if fs.recorded != nil { // it was rebuilt, or restored: ours goes on
			fs.stamps = f.stamps
			fs.stamps.kind, fs.jump = kind, true
		}
		mb.log.Warn("the UID list of another server has another UIDVALIDITY and is not used", "from", kind.String(), "theirs", l.UIDValidity, "ours", ours)
		return nil
	}
	a, err := f.adoption(kind, mb.dir.Root())
	if err != nil {
		return fmt.Errorf("mailbox: adopt: %w", err)
	}
	fs.stamps = f.stamps
	fs.stamps.kind, fs.stamps.uidValidity, fs.stamps.uidNext = kind, l.UIDValidity, imap.UID(l.UIDNext)
	fs.jump = true
	if err := mb.retire(a); err != nil {
		return err
	}
	mb.giveCourierLetters(ctx, a)
	mb.files.adopted = a
	return nil
}

// renewAbove gives the mailbox a fresh UIDVALIDITY above seen.
func (mb *Mailbox) renewAbove(seen uint32) error {
	v, err := mb.o.Slot.newUIDValidity(max(seen, mb.ix.UIDValidity()))
	if err != nil {
		return err
	}
	if _, err := mb.ix.Renew(v, index.MailboxID{}); err != nil {
		return err
	}
	mb.foreign.jump = true
	mb.log.Warn("mailbox gets a new UIDVALIDITY", "uidvalidity", v)
	return nil
}

// retire takes the messages out of the index whose UIDs are not theirs alone
// any more. Their files are found again by the scan; what we know of them
// beyond the names goes with them.
func (mb *Mailbox) retire(a *adoption) error {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	ix := mb.ix
	var b index.Batch
	mb.live.each(0, index.Row(mb.live.rows), func(row index.Row) bool {
		uid, base := ix.UID(row), ix.Base(row)
		theirs, listed := a.UIDs[base]
		other, given := a.byUID[uid]
		// mbsync and offlineimap change what is behind the first comma.
		sameKey := string(maildir.Key([]byte(other))) == string(maildir.Key([]byte(base)))
		if listed && theirs != uid || given && other != base && !sameKey {
			b.Expunges = append(b.Expunges, index.Expunge{Row: row})
			a.Carry[base] = index.Add{
				Name: ix.Name(row), Flags: ix.Flags(row), Keywords: ix.Keywords(row),
				Date: ix.Date(row), Size: ix.Size(row), SaveDate: ix.SaveDate(row),
			}
		}
		return true
	})
	if len(b.Expunges) == 0 {
		return nil
	}
	mb.foreign.taken.Retired = len(b.Expunges)
	mb.log.Warn("another server gave UIDs of ours to other messages meanwhile; these get new ones", "messages", len(b.Expunges))
	return mb.expungeLocked(&b, nil)
}

// giveCourierLetters writes Courier's keywords into dovecot-keywords before
// the names are made that have their letters.
func (mb *Mailbox) giveCourierLetters(ctx context.Context, a *adoption) {
	var names []string
	seen := map[string]bool{}
	for _, words := range a.Words {
		for _, w := range words {
			if !seen[w] {
				seen[w] = true
				names = append(names, w)
			}
		}
	}
	slices.Sort(names)
	mb.giveLetters(ctx, names)
}

// adoptUIDs orders arrivals by the UIDs that another server gave them, as far
// as these are not below next; the others follow, in their order, with UIDs
// that it did not give. kept is how many it gave.
func adoptUIDs(f *found, a *adoption, next imap.UID) (kept int) {
	var old, fresh []arrival
	for _, x := range f.arrivals {
		if uid := a.UIDs[x.add.Base]; uid >= next {
			x.add.UID = uid
			old = append(old, x)
		} else {
			fresh = append(fresh, x)
		}
	}
	slices.SortFunc(old, func(x, y arrival) int { return cmp.Compare(x.add.UID, y.add.UID) })
	for i := range fresh {
		fresh[i].add.UID = max(a.UIDNext, next) + imap.UID(i)
	}
	f.arrivals = append(old, fresh...)
	return len(old)
}

// adoptArrivals gives arrivals their UIDs while a mailbox is taken over.
func (mb *Mailbox) adoptArrivals(f *found) {
	a := mb.files.adopted
	if a == nil {
		return
	}
	kept := adoptUIDs(f, a, mb.index().UIDNext())
	mb.foreign.taken.Messages += kept
	mb.foreign.taken.Fresh += len(f.arrivals) - kept
}

// adopts reports that another server gave this base a UID that it keeps.
func (mb *Mailbox) adopts(base string) bool {
	a := mb.files.adopted
	return a != nil && a.UIDs[base] >= mb.index().UIDNext()
}

// dress adds to an arrival what its name does not say. mb.mu must be held.
func (a *adoption) dress(mb *Mailbox, add *index.Add) {
	words := slices.Clone(mb.ix.KeywordNames(add.Keywords))
	known := len(words)
	if had, ok := a.Carry[add.Base]; ok {
		words = append(words, mb.ix.KeywordNames(had.Keywords)...)
		is, was := add.Name.Letters, had.Name.Letters
		add.Flags = (had.Flags | flagsOf(is&^was)) &^ flagsOf(was&^is)
		add.Date, add.Size, add.SaveDate = had.Date, had.Size, had.SaveDate
	}
	words = append(words, a.Words[add.Base]...)
	for i := known; i < len(words); i++ {
		set, err := mb.setOf(append(slices.Clone(mb.ix.KeywordNames(add.Keywords)), words[i]))
		if err != nil {
			mb.log.Warn("a keyword is not taken over", "keyword", words[i], "err", err)
			continue
		}
		add.Keywords = set
	}
}

// adoptionDone ends the load: all that was taken over is durable before the
// account says that it was. The caller has the token.
func (mb *Mailbox) adoptionDone() error {
	fs := &mb.foreign
	a := mb.files.adopted
	mb.files.adopted = nil
	if a == nil && !fs.jump {
		return nil
	}
	ix := mb.ix
	if fs.jump {
		// Its clients know mod-sequences of its own, and what changed meanwhile
		// must be above them.
		jump := ix.JumpModSeqs
		if fs.gap {
			jump = ix.Jump
		}
		if _, err := jump("another server served the mailbox meanwhile"); err != nil {
			return fmt.Errorf("mailbox: adopt: %w", diskErr(err))
		}
	}
	if a != nil {
		if a.UIDNext > ix.UIDNext() {
			mb.mu.Lock()
			_, err := mb.applyLocked(&index.Batch{UIDNext: a.UIDNext})
			mb.mu.Unlock()
			if err != nil {
				return err
			}
		}
		fs.taken.From = a.Kind.String()
		mb.log.Info("took over from another server", "from", fs.taken.From, "uidvalidity", ix.UIDValidity(),
			"uidnext", uint32(ix.UIDNext()), "messages", fs.taken.Messages, "new", fs.taken.Fresh, "retired", fs.taken.Retired)
	}
	if err := mb.waitDurable(ix, position(ix.Pos())); err != nil {
		return err
	}
	return mb.recordForeign()
}

// recordForeign makes the account know the stamps.
func (mb *Mailbox) recordForeign() error {
	ix, fs := mb.index(), &mb.foreign
	fs.recorded = fs.stamps.encode()
	err := mb.o.Slot.register(index.Known{
		UIDValidity: ix.UIDValidity(), ID: ix.ID(),
		UIDNext: ix.UIDNext() + index.CeilingUIDs, ModSeq: ix.HighestModSeq() + index.CeilingModSeqs,
	}, fs.recorded)
	if err == nil {
		err = mb.o.Slot.sync()
	}
	if err != nil {
		return fmt.Errorf("mailbox: record the other server's files: %w", err)
	}
	return nil
}
