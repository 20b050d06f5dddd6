package mailbox

import (
	"errors"
	"fmt"

	"roost/index"
)

// Check reports what is wrong with the mailbox in memory; it is for tests and
// fsck. While nobody works on the mailbox:
//
//   - the index holds (index.Check);
//   - a row is live in the bits if and only if the index has its message;
//   - UIDs ascend by row and are below UIDNEXT; no mod-sequence of a message is
//     above HIGHESTMODSEQ;
//   - every live base is found in the table of bases, and no two are the same;
//   - the change log is in the order of mod-sequences;
//   - a message is in work.inNew if and only if its name is in new/;
//   - nothing is reserved or being renamed;
//   - the message numbers of every View are messages or expunges that it knows
//     it still owes, and what it told is not above what the index has.
func (mb *Mailbox) Check() error {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	errs := []error{mb.ix.Check(), mb.checkRowsLocked(), mb.checkWorkLocked()}
	for v := range mb.views {
		errs = append(errs, mb.checkViewLocked(v))
	}
	return errors.Join(errs...)
}

func (mb *Mailbox) checkRowsLocked() error {
	ix := mb.ix
	if mb.live.rows != ix.Len() || mb.live.Len() != ix.Live() {
		return fmt.Errorf("mailbox: %d messages in %d rows, the index has %d in %d", mb.live.Len(), mb.live.rows, ix.Live(), ix.Len())
	}
	bases := mb.basesLocked()
	for row := range index.Row(ix.Len()) {
		if mb.live.Has(row) == ix.Gone(row) {
			return fmt.Errorf("mailbox: row %d: live is %v, gone is %v", row, mb.live.Has(row), ix.Gone(row))
		}
		if row > 0 && ix.UID(row) <= ix.UID(row-1) || ix.UID(row) >= ix.UIDNext() {
			return fmt.Errorf("mailbox: row %d has UID %d", row, ix.UID(row))
		}
		if ix.Gone(row) {
			continue
		}
		if ix.ModSeq(row) > ix.HighestModSeq() {
			return fmt.Errorf("mailbox: row %d has mod-sequence %d above %d", row, ix.ModSeq(row), ix.HighestModSeq())
		}
		if found := bases.find(ix, []byte(ix.Base(row))); found != row {
			return fmt.Errorf("mailbox: base %q of row %d is found at row %d", ix.Base(row), row, found)
		}
		if _, in := mb.work.inNew[row]; in != (ix.Name(row).Where&index.InNew != 0) {
			return fmt.Errorf("mailbox: row %d: in new is %v", row, in)
		}
	}
	return nil
}

func (mb *Mailbox) checkWorkLocked() error {
	if len(mb.work.reserved)+len(mb.work.moving) > 0 {
		return fmt.Errorf("mailbox: %d bases reserved, %d files being renamed", len(mb.work.reserved), len(mb.work.moving))
	}
	l := &mb.changes
	for n := l.first() + 1; n < l.next; n++ {
		if l.ring[n%changeLogSize].modSeq < l.ring[(n-1)%changeLogSize].modSeq {
			return fmt.Errorf("mailbox: change %d is out of order", n)
		}
	}
	return nil
}

func (mb *Mailbox) checkViewLocked(v *View) error {
	if v.ix != mb.ix {
		return nil
	}
	if v.bits.rows > mb.live.rows {
		return fmt.Errorf("mailbox: a view of %d rows in %d", v.bits.rows, mb.live.rows)
	}
	var err error
	owes := false
	v.bits.missing(mb.live, func(row index.Row) {
		owes = true
		if !mb.ix.Gone(row) {
			err = fmt.Errorf("mailbox: a view has row %d, which is no message and not gone", row)
		}
	})
	if owes && v.owed == 0 && v.version == mb.version.Load() {
		err = errors.Join(err, errors.New("mailbox: a view owes an expunge and does not know it"))
	}
	if v.modSeq > mb.ix.HighestModSeq() || v.uidNext > mb.ix.UIDNext() {
		err = errors.Join(err, fmt.Errorf("mailbox: a view told HIGHESTMODSEQ %d, UIDNEXT %d", v.modSeq, v.uidNext))
	}
	return err
}
