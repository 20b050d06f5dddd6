package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const tortured = 20000

// torture is F17: eight programs rename 20,000 files at full speed, flags and
// new/ to cur/ and back, while clients select and ask. Nothing may be expunged
// and no message get another UID.
func torture(r *Run) (string, error) {
	s, l, err := r.server("torture")
	if err != nil {
		return "", err
	}
	defer l.Close()
	for _, place := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.Maildir, place), 0o700); err != nil {
			return "", err
		}
	}
	for k := range tortured {
		name := filepath.Join(s.Maildir, "cur", fmt.Sprintf("%d.M%d.torture:2,", 1700000000+k, k))
		if err := os.WriteFile(name, fmt.Appendf(nil, "Subject: %d\n\n%d\n", k, k), 0o600); err != nil {
			return "", err
		}
	}
	if err := s.Start(); err != nil {
		return "", err
	}
	defer s.Stop(sigkill)
	c, err := s.Login()
	if err != nil {
		return "", err
	}
	defer c.Close()
	lines, err := c.Do("SELECT INBOX")
	if err != nil {
		return "", err
	}
	next := code(lines, "UIDNEXT")
	limit := 30 * time.Second
	if !r.Until.IsZero() {
		limit = time.Until(r.Until)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var renames atomic.Int64
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() { renames.Add(renamer(ctx, s.Maildir, k, r.Seed)) })
	}
	asked := 0
	var bad error
	for ctx.Err() == nil && bad == nil {
		lines, err := c.Do("NOOP")
		if err == nil && asked%10 == 0 {
			lines, err = c.Do("SELECT INBOX")
			if n := code(lines, "UIDNEXT"); err == nil && n != next {
				bad = fmt.Errorf("UIDNEXT was %d, is %d", next, n)
			}
		}
		if err != nil {
			bad = err
		}
		for _, x := range lines {
			if strings.HasSuffix(x.text, " EXPUNGE") || strings.HasSuffix(x.text, " EXISTS") && !strings.HasPrefix(x.text, fmt.Sprintf("* %d ", tortured)) {
				bad = errors.Join(bad, errors.New(x.text))
			}
		}
		asked++
		rest(20 * time.Millisecond)
	}
	cancel()
	wg.Wait()
	sum := fmt.Sprintf("%d renames, %d commands", renames.Load(), asked)
	if bad != nil {
		return sum, fmt.Errorf("%w\n%s", bad, last(s.Log(), 2000))
	}
	lines, err = c.Do("STATUS INBOX (MESSAGES UIDNEXT)")
	if err != nil {
		return sum, err
	}
	if want := fmt.Sprintf("MESSAGES %d UIDNEXT %d", tortured, next); !strings.Contains(lines[0].text, want) {
		return sum, fmt.Errorf("in the end %s, want %s", lines[0].text, want)
	}
	return sum, s.ended()
}

// renamer renames its eighth of the files until ctx ends; n is how many it did.
func renamer(ctx context.Context, maildir string, k int, seed uint64) (n int64) {
	rng := rand.New(rand.NewPCG(seed, uint64(k)))
	at := map[int]string{}
	for i := k; i < tortured; i += 8 {
		at[i] = fmt.Sprintf("cur/%d.M%d.torture:2,", 1700000000+i, i)
	}
	for ctx.Err() == nil {
		i := rng.IntN(tortured/8)*8 + k
		dir, name, _ := strings.Cut(at[i], "/")
		name = toggled(name, "FSR"[rng.IntN(3)])
		if rng.IntN(4) == 0 {
			dir = []string{"new", "cur"}[rng.IntN(2)]
		}
		to := dir + "/" + name
		if os.Rename(filepath.Join(maildir, at[i]), filepath.Join(maildir, to)) == nil {
			at[i] = to
			n++
			continue
		}
		// The server has renamed it: look where it is.
		base, _, _ := strings.Cut(name, ":")
		for _, place := range []string{"cur", "new"} {
			found, _ := filepath.Glob(filepath.Join(maildir, place, base+"*"))
			if len(found) > 0 {
				at[i] = place + "/" + filepath.Base(found[0])
			}
		}
	}
	return n
}
