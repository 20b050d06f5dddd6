package maildir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"roost/disk"
)

// A FormatError is a line of another server's file that cannot be what that
// server wrote. The file is of no use then: a UID taken from it could be wrong.
type FormatError struct {
	File string
	Line int // from 1
	What string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("maildir: %s line %d: %s", e.File, e.Line, e.What)
}

// A UIDEntry is what another server knew of one message.
type UIDEntry struct {
	UID  uint32
	Base string
	// Fields are Dovecot's further fields of the line ("S120 W124"): each a
	// letter and a value, separated by one space; "" is none.
	Fields string
}

// A UIDList is what another server knew of the messages of a mailbox. Entries
// of messages that are gone may linger.
type UIDList struct {
	UIDValidity uint32
	UIDNext     uint32     // above every UID of Entries
	Entries     []UIDEntry // ascending by UID
	// GUID is Dovecot's id of the mailbox, 32 hex digits; "" if there is none.
	GUID string
	// Header is what else Dovecot's first line has, as Fields.
	Header string
}

// Bounds of the files: what is beyond is not a mailbox that anyone served.
const (
	uidFileMax  = 1 << 30
	uidEntryMax = 1 << 24
	uidLineMax  = 4096
	maxForeign  = 1<<32 - 1 // no UID can be that or above
)

// ByBase gives the UID of each base; of a base that is there twice the later one.
func (l *UIDList) ByBase() map[string]uint32 {
	uids := make(map[string]uint32, len(l.Entries))
	for i := range l.Entries {
		uids[l.Entries[i].Base] = l.Entries[i].UID
	}
	return uids
}

// A lineReader reads the lines of a file, each within bounds.
type lineReader struct {
	r    *bufio.Reader
	file string
	n    int // of the line read last, from 1
}

func newLineReader(r io.Reader, file string) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, uidLineMax), file: file}
}

// next gives a line without its LF, valid until the next call. At the end, and
// before a line that has no LF (someone was writing it), it is io.EOF.
func (lr *lineReader) next() ([]byte, error) {
	line, err := lr.r.ReadSlice('\n')
	lr.n++
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, lr.bad("line too long")
	case err != nil:
		return nil, fmt.Errorf("maildir: read %s: %w", lr.file, err)
	}
	return line[:len(line)-1], nil
}

func (lr *lineReader) bad(what string) error {
	return &FormatError{File: lr.file, Line: lr.n, What: what}
}

// scanUint reads the digits at the start of b: a number below 2^32.
func scanUint(b []byte) (n uint32, rest []byte, ok bool) {
	var v uint64
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if v = v*10 + uint64(b[i]-'0'); v > maxForeign {
			return 0, b, false
		}
	}
	return uint32(v), b[i:], i > 0
}

// skipSpaces drops the spaces at the start.
func skipSpaces(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

// foreignBase is the base of a file name that another server wrote down: older
// ones wrote the flags too. ok is false for what is no name.
func foreignBase(name []byte) (base string, ok bool) {
	for i, c := range name {
		if c == ':' {
			name = name[:i]
			break
		}
	}
	for _, c := range name {
		if c == '/' || c == 0 || c == '\r' {
			return "", false
		}
	}
	return string(name), len(name) > 0 && len(name) <= NameMax
}

// add appends an entry, which must be above those before.
func (l *UIDList) add(lr *lineReader, e UIDEntry) error {
	switch k := len(l.Entries); {
	case e.UID == 0 || e.UID == maxForeign:
		return lr.bad("not a UID")
	case k > 0 && e.UID <= l.Entries[k-1].UID:
		return lr.bad(fmt.Sprintf("UID %d after %d", e.UID, l.Entries[k-1].UID))
	case k >= uidEntryMax:
		return fmt.Errorf("maildir: read %s: %w", lr.file, ErrTooLarge)
	}
	l.Entries = append(l.Entries, e)
	return nil
}

// readForeign opens a file in dir and gives it to parse; nil, and the zero
// stamp, if there is none.
func readForeign(dir disk.Dir, name string, parse func(io.Reader) (*UIDList, error)) (*UIDList, FileStamp, error) {
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, FileStamp{}, nil
	}
	if err != nil {
		return nil, FileStamp{}, fmt.Errorf("maildir: read %s: %w", name, err)
	}
	defer f.Close()
	in, err := f.Stat()
	if err != nil {
		return nil, FileStamp{}, fmt.Errorf("maildir: read %s: %w", name, err)
	}
	if in.Size > uidFileMax {
		return nil, fileStamp(in), fmt.Errorf("maildir: read %s: %w", name, ErrTooLarge)
	}
	l, err := parse(io.LimitReader(f, uidFileMax))
	return l, fileStamp(in), err
}
