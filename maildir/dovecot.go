package maildir

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"roost/disk"
)

// Dovecot's list of UIDs in the directory of a mailbox (or in its control
// directory), and the log that it writes to whenever it changes something.
const (
	UidlistFile     = "dovecot-uidlist"
	DovecotIndexLog = "dovecot.index.log"

	uidlistTmp = UidlistFile + ".tmp"
)

// ParseUidlist reads a dovecot-uidlist of version 3 or 1:
//
//	v3 = "3" SP *(key value SP) LF *( uid SP *(key value SP) ":" name LF )
//	v1 = "1" SP uidvalidity SP uidnext LF *( uid SP name LF )
//
// Keys of the header: V UIDVALIDITY, N UIDNEXT, G GUID of the mailbox. Lines
// are appended without a change of the header, so UIDNEXT is the larger of N
// and the last UID plus one. A last line without LF was not finished and is
// passed over. *FormatError: not such a file; what was read before the error
// is given with it.
func ParseUidlist(r io.Reader) (*UIDList, error) {
	lr := newLineReader(r, UidlistFile)
	line, err := lr.next()
	if errors.Is(err, io.EOF) {
		return nil, lr.bad("no header")
	}
	if err != nil {
		return nil, err
	}
	version, rest, ok := scanUint(line)
	if !ok || len(rest) == 0 || rest[0] != ' ' || version != 1 && version != 3 {
		return nil, lr.bad("neither version 1 nor 3")
	}
	l := &UIDList{}
	if version == 3 {
		err = l.header3(lr, skipSpaces(rest))
	} else {
		err = l.header1(lr, skipSpaces(rest))
	}
	if err != nil {
		return l, err
	}
	if l.UIDValidity == 0 || l.UIDNext == 0 {
		return l, lr.bad("UIDVALIDITY or UIDNEXT is missing or 0")
	}
	for {
		line, err := lr.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return l, err
		}
		if err := l.record(lr, line, version); err != nil {
			return l, err
		}
	}
	if k := len(l.Entries); k > 0 {
		l.UIDNext = max(l.UIDNext, l.Entries[k-1].UID+1)
	}
	return l, nil
}

func (l *UIDList) header1(lr *lineReader, b []byte) error {
	v, rest, ok := scanUint(b)
	if ok && len(rest) > 0 && rest[0] == ' ' {
		var next uint32
		if next, rest, ok = scanUint(skipSpaces(rest)); ok && len(skipSpaces(rest)) == 0 {
			l.UIDValidity, l.UIDNext = v, next
			return nil
		}
	}
	return lr.bad("header is not UIDVALIDITY and UIDNEXT")
}

func (l *UIDList) header3(lr *lineReader, b []byte) error {
	for len(b) > 0 {
		field := b
		for i, c := range b {
			if c == ' ' {
				field = b[:i]
				break
			}
		}
		b = skipSpaces(b[len(field):])
		key, value := field[0], field[1:]
		switch key {
		case 'V', 'N':
			n, rest, ok := scanUint(value)
			if !ok || len(rest) > 0 {
				return lr.bad("field " + strconv.QuoteRune(rune(key)) + " of the header is not a number")
			}
			if key == 'V' {
				l.UIDValidity = n
			} else {
				l.UIDNext = n
			}
		case 'G':
			if id, err := hex.DecodeString(string(value)); err != nil || len(id) != 16 {
				return lr.bad("field 'G' of the header is not a GUID")
			}
			l.GUID = string(value)
		default:
			l.Header = joinField(l.Header, field)
		}
	}
	return nil
}

func joinField(fields string, field []byte) string {
	if fields == "" {
		return string(field)
	}
	return fields + " " + string(field)
}

func (l *UIDList) record(lr *lineReader, line []byte, version uint32) error {
	uid, rest, ok := scanUint(line)
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return lr.bad("no UID")
	}
	rest = skipSpaces(rest)
	e := UIDEntry{UID: uid}
	if version == 3 {
		for len(rest) > 0 && rest[0] != ':' {
			field := rest
			for i, c := range rest {
				if c == ' ' {
					field = rest[:i]
					break
				}
			}
			rest = skipSpaces(rest[len(field):])
			if field[0] >= 'A' && field[0] <= 'Z' { // Dovecot drops others
				e.Fields = joinField(e.Fields, field)
			}
		}
		if len(rest) > 0 {
			rest = rest[1:]
		}
	} else if uid >= l.UIDNext {
		return lr.bad(fmt.Sprintf("UID %d is not below UIDNEXT %d", uid, l.UIDNext))
	}
	if e.Base, ok = foreignBase(rest); !ok {
		return lr.bad("no file name")
	}
	return l.add(lr, e)
}

// WriteUidlist writes version 3, octet for octet as Dovecot does.
func WriteUidlist(w io.Writer, l *UIDList) error {
	bw := bufio.NewWriterSize(w, 64<<10)
	b := fmt.Appendf(nil, "3 V%d N%d", l.UIDValidity, l.UIDNext)
	if l.GUID != "" {
		b = append(append(b, " G"...), l.GUID...)
	}
	if l.Header != "" {
		b = append(append(b, ' '), l.Header...)
	}
	b = append(b, '\n')
	for i := range l.Entries {
		b = l.Entries[i].append(b)
		if _, err := bw.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	if _, err := bw.Write(b); err != nil {
		return err
	}
	return bw.Flush()
}

// append writes a line of version 3.
func (e *UIDEntry) append(b []byte) []byte {
	b = strconv.AppendUint(b, uint64(e.UID), 10)
	if e.Fields != "" {
		b = append(append(b, ' '), e.Fields...)
	}
	return append(append(append(b, " :"...), e.Base...), '\n')
}

// AppendUidlist adds entries, which are above all others, to the list of a
// mailbox directory, whose version is 3; the caller holds the lock. It is
// durable on return. ErrTorn: the last line is not finished, so that nothing
// can be added.
func AppendUidlist(dir disk.Dir, entries []UIDEntry) (FileStamp, error) {
	stamp, err := appendUidlist(dir, entries)
	if err != nil {
		return stamp, fmt.Errorf("maildir: append to %s: %w", UidlistFile, err)
	}
	return stamp, nil
}

func appendUidlist(dir disk.Dir, entries []UIDEntry) (FileStamp, error) {
	f, err := dir.OpenFile(UidlistFile, os.O_RDWR, 0)
	if err != nil {
		return FileStamp{}, err
	}
	defer f.Close()
	in, err := f.Stat()
	if err != nil {
		return FileStamp{}, err
	}
	var last [1]byte
	if in.Size == 0 {
		return FileStamp{}, ErrTorn
	}
	if _, err := f.ReadAt(last[:], in.Size-1); err != nil && !errors.Is(err, io.EOF) {
		return FileStamp{}, err
	}
	if last[0] != '\n' {
		return FileStamp{}, ErrTorn
	}
	var b []byte
	for i := range entries {
		b = entries[i].append(b)
	}
	if _, err := f.WriteAt(b, in.Size); err != nil {
		return FileStamp{}, err
	}
	if err := f.Sync(); err != nil {
		return FileStamp{}, err
	}
	return StampFile(dir, UidlistFile)
}

// ReadUidlist reads the list of a mailbox directory; nil without an error if
// there is none. With a *FormatError
// the stamp is given, and what was read before it.
func ReadUidlist(dir disk.Dir) (*UIDList, FileStamp, error) {
	return readForeign(dir, UidlistFile, ParseUidlist)
}

// ReplaceUidlist makes l the list of a mailbox directory, as Dovecot does it:
// the caller holds the lock of LockUidlist. It is durable on return.
func ReplaceUidlist(dir disk.Dir, l *UIDList, perm fs.FileMode) (FileStamp, error) {
	return replaceFile(dir, uidlistTmp, UidlistFile, perm, func(w io.Writer) error { return WriteUidlist(w, l) })
}

// replaceFile writes a new version of a file through tmp, durably.
func replaceFile(dir disk.Dir, tmp, name string, perm fs.FileMode, write func(io.Writer) error) (FileStamp, error) {
	stamp, err := replaceFileOf(dir, tmp, name, perm, write)
	if err != nil {
		return stamp, fmt.Errorf("maildir: replace %s: %w", name, err)
	}
	return stamp, nil
}

func replaceFileOf(dir disk.Dir, tmp, name string, perm fs.FileMode, write func(io.Writer) error) (FileStamp, error) {
	if err := dir.Unlink(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return FileStamp{}, err
	}
	f, err := dir.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return FileStamp{}, err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = dir.Rename(tmp, dir, name)
	}
	if err != nil {
		return FileStamp{}, errors.Join(err, dir.Unlink(tmp))
	}
	if err := dir.Sync(); err != nil {
		return FileStamp{}, err
	}
	return StampFile(dir, name)
}

// uidValidityFile is Dovecot's counter in the root of an account: the last
// UIDVALIDITY that it gave, as 8 hex digits in the file and in the name of an
// empty file beside it.
const uidValidityFile = "dovecot-uidvalidity"

// ReadUIDValidity gives the last UIDVALIDITY that Dovecot gave in the account,
// the larger of both copies; 0 if it never did.
func ReadUIDValidity(root disk.Dir) (uint32, error) {
	data, _, err := readSmall(root, uidValidityFile, 64)
	if err != nil && !errors.Is(err, ErrTooLarge) {
		return 0, fmt.Errorf("maildir: read %s: %w", uidValidityFile, err)
	}
	last := hexUint32(strings.TrimSuffix(string(data), "\n"))
	names, err := uidValidityNames(root)
	for _, name := range names {
		last = max(last, hexUint32(strings.TrimPrefix(name, uidValidityFile+".")))
	}
	return last, err
}

// uidValidityNames are the names of the second copy: one, but for a crash.
func uidValidityNames(root disk.Dir) (names []string, err error) {
	err = root.ReadDir(func(e disk.Entry) bool {
		if value, ok := strings.CutPrefix(string(e.Name), uidValidityFile+"."); ok && hexUint32(value) != 0 {
			names = append(names, string(e.Name))
		}
		return len(names) < 64
	})
	if err != nil {
		err = fmt.Errorf("maildir: read %s: %w", uidValidityFile, err)
	}
	return names, err
}

// hexUint32 reads 8 hex digits; anything else is 0.
func hexUint32(s string) uint32 {
	if len(s) != 8 {
		return 0
	}
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return 0
	}
	return uint32(v)
}

// RaiseUIDValidity lifts Dovecot's counter to at least last, so that no
// mailbox it makes later has a UIDVALIDITY that was in use.
func RaiseUIDValidity(root disk.Dir, last uint32, perm fs.FileMode) error {
	have, err := ReadUIDValidity(root)
	if err != nil || have >= last {
		return err
	}
	names, err := uidValidityNames(root)
	if err != nil {
		return err
	}
	value := fmt.Sprintf("%08x", last)
	name := uidValidityFile + "." + value
	if len(names) > 0 {
		if err := root.Rename(names[0], root, name); err != nil {
			return fmt.Errorf("maildir: write %s: %w", uidValidityFile, err)
		}
		for _, old := range names[1:] {
			if err := root.Unlink(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("maildir: write %s: %w", uidValidityFile, err)
			}
		}
	} else {
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE, perm)
		if err != nil {
			return fmt.Errorf("maildir: write %s: %w", uidValidityFile, err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("maildir: write %s: %w", uidValidityFile, err)
		}
	}
	_, err = replaceFile(root, uidValidityFile+".tmp", uidValidityFile, perm, func(w io.Writer) error {
		_, err := io.WriteString(w, value)
		return err
	})
	return err
}

// UidlistBusy tells whether another program holds the lock of the uidlist now:
// one that was not touched for two minutes is nobody's. It writes nothing.
func UidlistBusy(fsys disk.FS, dir disk.Dir) (bool, error) {
	in, err := dir.Lstat(UidlistLock)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("maildir: look for %s: %w", UidlistLock, err)
	}
	if fsys.Now().Sub(in.Mtime) >= uidlistStale {
		return false, nil
	}
	ours, err := leftOver(dir)
	return !ours, err
}

// AwaitUidlist waits until no other program holds the lock of the uidlist;
// ErrLocked: ctx ended before. It writes nothing.
func AwaitUidlist(ctx context.Context, fsys disk.FS, dir disk.Dir) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		busy, err := UidlistBusy(fsys, dir)
		if err != nil || !busy {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", ErrLocked, UidlistLock, ctx.Err())
		}
	}
}
