package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// mbsyncConf syncs everything both ways with whoever listens on the port.
const mbsyncConf = `
IMAPAccount far
Host 127.0.0.1
Port %[2]s
User %[3]s
Pass %[4]s
SSLType None
AuthMechs LOGIN

IMAPStore far
Account far
PathDelimiter .

MaildirStore near
Path %[1]s/near/
Inbox %[1]s/near/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
Expunge Both
Sync All
CopyArrivalDate yes
SyncState *
`

// The last line of its progress: messages added, changed and trashed.
var mbsyncTotals = regexp.MustCompile(`F: \+(\d+)/(\d+) \*(\d+)/(\d+) #(\d+)/(\d+)\s+N: \+(\d+)/(\d+) \*(\d+)/(\d+) #(\d+)/(\d+)`)

// mbsync syncs with the server at addr. moved is what it transferred, in its
// words; "" is nothing. It is also told by the files of the near side, which
// are compared before and after.
func (t *test) mbsync(addr string) (moved string, err error) {
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.dir, "mbsyncrc")
	if err := os.WriteFile(conf, fmt.Appendf(nil, mbsyncConf, t.dir, port, user, password), 0o600); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(t.dir, "near"), 0o700); err != nil {
		return "", err
	}
	before, err := t.nearFiles()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("mbsync", "-V", "-c", conf, "-a")
	cmd.Env = append(os.Environ(), "HOME="+t.dir)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mbsync: %w: %s", err, text)
	}
	if strings.Contains(string(text), "UIDVALIDITY of") {
		return "", fmt.Errorf("mbsync complains: %s", text)
	}
	after, err := t.nearFiles()
	if err != nil {
		return "", err
	}
	if all := mbsyncTotals.FindAllStringSubmatch(string(text), -1); len(all) > 0 {
		last := all[len(all)-1]
		for _, n := range last[1:] {
			if n != "0" {
				moved = last[0]
			}
		}
	}
	if moved == "" && before != after {
		moved = "the files of the near side changed"
	}
	return moved, nil
}

// nearFiles is a digest of names and contents of the messages on the near side.
func (t *test) nearFiles() (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(filepath.Join(t.dir, "near"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n", path, len(data))
		sum.Write(data)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}
