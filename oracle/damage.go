package oracle

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// damageFiles is F9 and F10: many users, each with an index or a roost.account
// that is cut, flipped, mixed up or removed while the server does not run. It
// starts, every message is there with its flags, and no UID names another one.
// A session in process tries many more of them (session/damage_test.go).
func damageFiles(r *Run) (string, error) {
	users := 60
	if r.Full {
		users = 1000
	}
	rng := rand.New(rand.NewPCG(r.Seed, 9))
	done := 0
	for round := 0; r.more(round, 2); round++ {
		if err := r.damageOnce(rng, fmt.Sprintf("damage%d", round), users, round%2 == 0); err != nil {
			return "", err
		}
		done += users
	}
	return fmt.Sprintf("%d files", done), nil
}

func (r *Run) damageOnce(rng *rand.Rand, name string, users int, gently bool) error {
	dir, err := r.home(name)
	if err != nil {
		return err
	}
	s, err := NewServer(r.Binary, dir, "")
	if err != nil {
		return err
	}
	defer s.Stop(sigkill)
	var ledgers []*Ledger
	text := "u:{PLAIN}p\n"
	for k := range users {
		l, err := NewLedger("")
		if err != nil {
			return err
		}
		l.User, l.Renumbered = fmt.Sprintf("d%d", k), true
		l.Maildir = filepath.Join(filepath.Dir(filepath.Dir(s.Maildir)), l.User, "Maildir")
		if err := os.MkdirAll(filepath.Dir(l.Maildir), 0o700); err != nil {
			return err
		}
		text += l.User + ":{PLAIN}p\n"
		ledgers = append(ledgers, l)
	}
	if err := os.WriteFile(filepath.Join(s.Home, "users"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	for _, l := range ledgers {
		if err := livedIn(s, l); err != nil {
			return fmt.Errorf("before any damage: %w", err)
		}
	}
	if gently {
		if code := exited(s.Stop(sigterm)); code != 0 {
			return fmt.Errorf("exit code %d after SIGTERM", code)
		}
	} else {
		rest(time.Second) // files of expunged messages are removed
		s.Stop(sigkill)
	}
	hurt := make([]string, users)
	for k, l := range ledgers {
		if hurt[k], err = damageOne(rng, l.Maildir, k); err != nil {
			return err
		}
	}
	for range 2 {
		if err := s.Start(); err != nil {
			return err
		}
		for k, l := range ledgers {
			if err := l.Verify(s, 8*time.Second, "INBOX", "A"); err != nil {
				return fmt.Errorf("%s: %s: %w\n%s", l.User, hurt[k], err, last(s.Log(), 3000))
			}
			if err := outcome(s, l); err != nil {
				return fmt.Errorf("%s: %s: %w", l.User, hurt[k], err)
			}
		}
		if code := exited(s.Stop(sigterm)); code != 0 {
			return fmt.Errorf("exit code %d after SIGTERM", code)
		}
	}
	if strings.Contains(s.Log(), "panic") {
		return errors.New("a panic:\n" + last(s.Log(), 3000))
	}
	return nil
}

// livedIn gives a user messages, flags, a mailbox, and takes some away.
func livedIn(s *Server, l *Ledger) error {
	c, err := Login(s.Addr, l.User, "p")
	if err != nil {
		return err
	}
	defer c.Close()
	var raws [][]byte
	var sums []Sum
	for k := range 9 {
		raw := message(l.User, 0, k, len(l.Maildir))
		raws, sums = append(raws, raw), append(sums, Served(raw))
	}
	b := l.Adding("INBOX", true, sums...)
	uids, err := c.Append("INBOX", false, "", raws...)
	if err != nil {
		return err
	}
	l.Done(b, uids)
	for _, cmd := range []string{"CREATE A", "SELECT INBOX"} {
		if _, err := c.Do("%s", cmd); err != nil {
			return err
		}
	}
	for k, flag := range []string{`\Flagged`, `\Seen`, `\Answered`} {
		done := l.Storing("INBOX", flag, true, sums[k:k+4]...)
		if _, err := c.Do("UID STORE %s +FLAGS (%s)", set(uids[k:k+4]), flag); err != nil {
			return err
		}
		done()
	}
	b = l.Adding("A", true, sums[:5]...)
	lines, err := c.Do("UID COPY %s A", set(uids[:5]))
	if err != nil {
		return err
	}
	l.doneCopy(b, uids[:5], lines)
	b = l.Removing("INBOX", sums[7:]...)
	for _, cmd := range []string{"UID STORE %s +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE %s"} {
		if _, err := c.Do(cmd, set(uids[7:])); err != nil {
			return err
		}
	}
	l.Done(b, nil)
	return l.Verify(s, 0, "INBOX", "A")
}

// damageOne does damage number k, and says what it did.
func damageOne(rng *rand.Rand, maildir string, k int) (string, error) {
	name := []string{"roost.index", "roost.account", ".A/roost.index"}[k%3]
	path := filepath.Join(maildir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	used := len(b)
	for used > 1 && b[used-1] == 0 {
		used--
	}
	at := rng.IntN(used)
	if rng.IntN(4) > 0 { // where the records are
		at = 4096 + rng.IntN(max(1, used-4096))
	}
	what := ""
	switch k / 3 % 6 {
	case 0:
		what = fmt.Sprintf("cut at %d of %d", at, used)
		err = os.Truncate(path, int64(at))
	case 1:
		bit := byte(1) << rng.IntN(8)
		b[at] ^= bit
		what = fmt.Sprintf("octet %d of %d flipped by %d", at, used, bit)
		err = overwrite(path, b)
	case 2:
		what = "removed"
		err = os.Remove(path)
	case 3:
		const page = 4096
		from, to := at/page*page, rng.IntN(used)/page*page
		b = append(b, make([]byte, max(0, max(from, to)+page-len(b)))...)
		swapped := append([]byte(nil), b[from:from+page]...)
		copy(b[from:from+page], b[to:to+page])
		copy(b[to:], swapped)
		what = fmt.Sprintf("pages at %d and %d exchanged", from, to)
		err = overwrite(path, b)
	case 4:
		end := min(at+1+rng.IntN(300), len(b))
		for i := at; i < end; i++ {
			b[i] = byte(rng.Uint32())
		}
		what = fmt.Sprintf("octets %d to %d are noise", at, end)
		err = overwrite(path, b)
	case 5:
		what = "emptied"
		err = os.Truncate(path, 0)
	}
	return name + " " + what, err
}

// overwrite writes into the file that is there.
func overwrite(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}
