package oracle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settle lets mbsync finish, and compares all sides.
func (h *household) settle() error {
	ctx := context.Background()
	var sides [4]map[Sum]string
	var differ string
	for range 12 {
		for _, channel := range []string{"files", "imap", "files"} {
			if _, err := h.run(ctx, "mbsync", "-c", filepath.Join(h.dir, "mbsyncrc"), channel); err != nil && !raced(err) {
				return err
			}
		}
		if _, err := h.run(ctx, "notmuch", "new", "--quiet"); err != nil && !raced(err) {
			return err
		}
		rest(500 * time.Millisecond)
		imap, err := h.served()
		if err != nil {
			return err
		}
		sides = [4]map[Sum]string{imap, sumsIn(h.s.Maildir), sumsIn(filepath.Join(h.dir, "near", "INBOX")), sumsIn(filepath.Join(h.dir, "copy", "INBOX"))}
		differ = ""
		lost := map[Sum]string{} // mbsync gives up for good a file that is renamed while it copies it
		for sum, letters := range sides[0] {
			if _, ok := sides[3][sum]; !ok {
				lost[sum] = letters
			}
		}
		if len(lost) <= mbsyncGaveUp(filepath.Join(h.dir, "files.stateINBOX")) {
			maps.Copy(sides[3], lost)
		}
		for k, name := range []string{"our Maildir", "the copy by IMAP", "the copy by files"} {
			if d := difference(sides[0], sides[k+1]); d != "" {
				differ += fmt.Sprintf("%s: %s; ", name, d)
			}
		}
		if differ == "" {
			break
		}
	}
	if differ != "" {
		return errors.New("in the end " + differ)
	}
	if err := h.tags(sides[0]); err != nil {
		return err
	}
	return h.l.Verify(h.s, 5*time.Second, "INBOX")
}

// mbsyncGaveUp counts the messages of which the state of mbsync says that it
// will not copy them.
func mbsyncGaveUp(path string) (n int) {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[1] == "0" {
			n++
		}
	}
	return n
}

// tags compares what notmuch knows.
func (h *household) tags(imap map[Sum]string) error {
	for tag, letter := range map[string]string{"flagged": "F", "replied": "R"} {
		out, err := h.run(context.Background(), "notmuch", "count", "tag:"+tag)
		if err != nil {
			return err
		}
		want := 0
		for _, letters := range imap {
			want += strings.Count(letters, letter)
		}
		if got, _ := strconv.Atoi(strings.TrimSpace(out)); got != want {
			return fmt.Errorf("notmuch has %d messages with tag %s, IMAP %d", got, tag, want)
		}
	}
	return nil
}

// served gives the messages by IMAP, with the letters of their flags.
func (h *household) served() (map[Sum]string, error) {
	c, err := h.s.Login()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Do("SELECT INBOX"); err != nil {
		return nil, err
	}
	lines, err := c.Do("UID FETCH 1:* (UID FLAGS BODY.PEEK[])")
	if err != nil {
		return nil, err
	}
	out := map[Sum]string{}
	for _, r := range lines {
		if len(r.literals) != 1 {
			continue
		}
		letters := ""
		for _, x := range [][2]string{{`\draft`, "D"}, {`\flagged`, "F"}, {`\answered`, "R"}, {`\seen`, "S"}, {`\deleted`, "T"}} {
			if slices.Contains(strings.Fields(flagsOf(r.text)), x[0]) {
				letters += x[1]
			}
		}
		out[Served(r.literals[0])] = letters
	}
	return out, nil
}

// mbsyncMark is the line that mbsync adds to the copies it makes.
var mbsyncMark = regexp.MustCompile(`(?m)^X-TUID: .*\n`)

// sumsIn gives the messages of a Maildir, with the letters of their flags.
func sumsIn(maildir string) map[Sum]string {
	out := map[Sum]string{}
	for _, place := range []string{"new", "cur"} {
		list, _ := os.ReadDir(filepath.Join(maildir, place))
		for _, e := range list {
			raw, err := os.ReadFile(filepath.Join(maildir, place, e.Name()))
			if err != nil {
				continue
			}
			_, info, _ := strings.Cut(e.Name(), ":2,")
			raw = mbsyncMark.ReplaceAll(raw, nil)
			out[Served(raw)] = strings.Map(func(c rune) rune {
				if strings.ContainsRune("DFRST", c) {
					return c
				}
				return -1
			}, info)
		}
	}
	return out
}

// difference tells how b differs from a; "" if it does not.
func difference(a, b map[Sum]string) string {
	if maps.Equal(a, b) {
		return ""
	}
	missing, flags := 0, ""
	for sum, letters := range a {
		got, ok := b[sum]
		switch {
		case !ok:
			missing++
		case got != letters && len(flags) < 200:
			flags += fmt.Sprintf(" %x is (%s), want (%s)", sum[:4], got, letters)
		}
	}
	return fmt.Sprintf("%d messages, want %d, %d are missing,%s", len(b), len(a), missing, flags)
}
