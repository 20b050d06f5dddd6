package oracle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// indexLost is F11: the files of the index are removed, replaced and cut while
// the server works. Sessions go on or end with BYE; no message is lost and no
// UID names another one, now or after a restart.
func indexLost(r *Run) (string, error) {
	ways := []struct {
		name string
		do   func(maildir string) error
	}{
		{"journal removed", func(m string) error { return os.Remove(filepath.Join(m, "roost.index")) }},
		{"journal moved away", func(m string) error {
			return os.Rename(filepath.Join(m, "roost.index"), filepath.Join(m, "roost.index.away"))
		}},
		{"cache removed", func(m string) error { return os.Remove(filepath.Join(m, "roost.cache")) }},
		{"cache cut", func(m string) error { return os.Truncate(filepath.Join(m, "roost.cache"), 0) }},
		{"account removed", func(m string) error { return os.Remove(filepath.Join(m, "roost.account")) }},
		{"journal replaced by an old copy", replaceOld},
		{"everything of ours removed", func(m string) error {
			for _, name := range []string{"roost.index", "roost.cache", "roost.account", "dovecot-uidlist", "dovecot-keywords"} {
				os.Remove(filepath.Join(m, name))
			}
			return nil
		}},
	}
	for k, way := range ways {
		s, l, err := r.server(fmt.Sprintf("lost%d", k))
		if err != nil {
			return "", err
		}
		if err = r.loseIndex(s, l, way.do); err == nil {
			err = s.ended()
		}
		s.Stop(sigkill)
		l.Close()
		if err != nil {
			return "", fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return fmt.Sprintf("%d ways", len(ways)), nil
}

// replaceOld puts a copy of the journal in its place, as a backup would be.
func replaceOld(m string) error {
	b, err := os.ReadFile(filepath.Join(m, "roost.index"))
	if err != nil {
		return err
	}
	tmp := filepath.Join(m, "roost.index.restored")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(m, "roost.index"))
}

func (r *Run) loseIndex(s *Server, l *Ledger, do func(string) error) error {
	if err := s.Start(); err != nil {
		return err
	}
	if err := fill(s, l, "INBOX", 100); err != nil {
		return err
	}
	if err := l.Verify(s, 0, "INBOX"); err != nil {
		return err
	}
	load := &Load{Server: s, Ledger: l, Boxes: []string{"INBOX"}, Workers: 3, Most: 400}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx, r.Seed) }()
	rest(400 * time.Millisecond)
	if err := do(s.Maildir); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := <-done; err != nil {
		return fmt.Errorf("%w\n%s", err, last(s.Log(), 2000))
	}
	for range 3 {
		if err := l.Verify(s, 8*time.Second, "INBOX"); err != nil {
			return fmt.Errorf("%w\n%s", err, last(s.Log(), 2000))
		}
		if err := outcome(s, l); err != nil {
			return err
		}
		s.Stop(sigkill)
		if err := s.Start(); err != nil {
			return err
		}
	}
	return nil
}
