package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"roost/disk"
)

// This file is the file maildirsize of Maildir++, in which MTAs keep what a
// quota counts. It is there if one of them made it (rule Q1): its first line
// says the quota, each further one what was added or taken away.

const (
	maildirsizeName = "maildirsize"
	// maildirsizeMax is the size from which on the file is to be made anew.
	maildirsizeMax = 5120
)

// AppendSize notes in maildirsize of root that octets and messages were added,
// or taken away, in one write. full says that the file is to be made anew with
// RewriteSize. A file that is missing stays so, without an error.
func AppendSize(root disk.Dir, octets, messages int64) (full bool, err error) {
	f, err := root.OpenFile(maildirsizeName, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("maildir: open %s: %w", maildirsizeName, err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%d %d\n", octets, messages); err != nil {
		return false, fmt.Errorf("maildir: write %s: %w", maildirsizeName, err)
	}
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("maildir: stat %s: %w", maildirsizeName, err)
	}
	return info.Size >= maildirsizeMax, nil
}

// RewriteSize makes maildirsize anew with count, which gives the octets and
// messages of the whole tree, under the quota that the old file says. If that
// differs from what it gives afterwards, the file is left as it is: somebody
// was at work, and has added a line to it.
func RewriteSize(root disk.Dir, name string, count func() (octets, messages int64, err error)) error {
	quota, err := sizeQuota(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("maildir: read %s: %w", maildirsizeName, err)
	}
	octets, messages, err := count()
	if err != nil {
		return err
	}
	tmp, err := root.OpenDir("tmp")
	if err != nil {
		return fmt.Errorf("maildir: rewrite %s: %w", maildirsizeName, err)
	}
	defer tmp.Close()
	f, err := tmp.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("maildir: rewrite %s: %w", maildirsizeName, err)
	}
	_, err = fmt.Fprintf(f, "%s\n%d %d\n", quota, octets, messages)
	err = errors.Join(err, f.Close())
	same := false
	if err == nil {
		var o, m int64
		o, m, err = count()
		same = o == octets && m == messages
	}
	if err == nil && same {
		err = tmp.Rename(name, root, maildirsizeName)
	}
	if err != nil || !same {
		err = errors.Join(err, tmp.Unlink(name))
	}
	if err != nil {
		return fmt.Errorf("maildir: rewrite %s: %w", maildirsizeName, err)
	}
	return nil
}

// sizeQuota is the first line of maildirsize.
func sizeQuota(root disk.Dir) (string, error) {
	f, err := root.Open(maildirsizeName)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b [256]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line, _, _ := bytes.Cut(b[:n], []byte("\n"))
	return strings.TrimSpace(string(line)), nil
}

// Usage counts the messages in one directory of a Maildir, new or cur, and the
// octets of their files: as the field ,S= has them, else by a look at the file.
func Usage(dir disk.Dir) (octets, messages int64, err error) {
	var unknown []string
	err = dir.ReadDir(func(e disk.Entry) bool {
		if len(e.Name) == 0 || e.Name[0] == '.' || e.Type.IsDir() {
			return true
		}
		if size, _ := Sizes(e.Name[:endOfBase(e.Name)]); size >= 0 && e.Type.IsRegular() {
			octets += size
			messages++
		} else {
			unknown = append(unknown, string(e.Name))
		}
		return true
	})
	if err != nil {
		return 0, 0, fmt.Errorf("maildir: count messages: %w", err)
	}
	for _, name := range unknown {
		if in, err := dir.Lstat(name); err == nil && in.Mode.IsRegular() {
			octets += in.Size
			messages++
		}
	}
	return octets, messages, nil
}

// endOfBase is where the flags of a file name begin, whatever separates them.
func endOfBase(name []byte) int {
	if i := bytes.LastIndex(name, []byte("2,")); i > 0 {
		return i - 1
	}
	return len(name)
}
