package mailbox

import (
	"errors"
	"syscall"

	"roost/disk"
)

// The end of roost.account is zeroes that are written ahead, as that of a
// journal is. The last accountReserve of them serve only the records without
// which a full disk could not be emptied: ceilings of mailboxes that are
// expunged, mailboxes that are deleted or renamed.
const (
	accountReserve = 16 << 10
	accountGrow    = 16 << 10
)

var accountZeroes [accountReserve + accountGrow]byte

// updateAlways is update for records that may use the reserve.
func (af *accountFile) updateAlways(fn func(*accountState) ([]byte, error)) error {
	return af.write(fn, true, true)
}

// makeRoom sees to the reserve behind size more octets. Without space for it,
// it lets reserved records go into what is left. wmu must be held.
func (af *accountFile) makeRoom(size int64, reserved bool) error {
	if af.end+size+accountReserve <= af.alloc {
		return nil
	}
	err := af.extend(af.end + size + accountReserve + accountGrow)
	if diskFull(err) && reserved && af.end+size > af.alloc {
		err = af.extend(af.end + size)
	}
	switch {
	case err == nil, diskFull(err) && reserved && af.end+size <= af.alloc:
		return nil
	case !diskFull(err):
		af.broken = true
	}
	return err
}

// extend writes zeroes from alloc up to size.
func (af *accountFile) extend(size int64) error {
	for af.alloc < size {
		n, err := af.file.WriteAt(accountZeroes[:min(size-af.alloc, int64(len(accountZeroes)))], af.alloc)
		if err != nil {
			return err // what was written in part is zeroes too
		}
		af.alloc += int64(n)
	}
	return nil
}

// clearTorn makes rest, what the file has behind its last good frame, zeroes.
func (af *accountFile) clearTorn(file disk.File, rest []byte) error {
	torn := rest[:tornSize(rest)]
	clear(torn)
	_, err := file.WriteAt(torn, af.end)
	return err
}

// tornSize is the size of a torn write at the start of rest: up to its last
// octet that is not zero.
func tornSize(rest []byte) int {
	n := len(rest)
	for n > 0 && rest[n-1] == 0 {
		n--
	}
	return n
}

// diskFull reports whether err says that there is no space.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
