package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// How many users wait, how often something happens to one of them, and how long
// they wait for it.
const (
	idleMost    = 1000
	idleEvery   = time.Second / 80
	idleTimeout = 20 * time.Second
)

// A watcher is a connection in IDLE.
type watcher struct {
	user   int
	c      *client
	events chan event
}

type event struct {
	kind string // EXISTS, FETCH or EXPUNGE
	at   time.Time
}

// watch starts IDLE for a user who has INBOX open.
func (s *side) watch(user int, secure bool) (*watcher, error) {
	c, err := s.login(userName(user), secure, idle)
	if err != nil {
		return nil, err
	}
	if _, err = c.do("SELECT INBOX"); err == nil {
		c.send("IDLE")
		err = c.flush()
	}
	for err == nil {
		var line []byte
		if line, err = c.line(new(reply)); len(line) > 0 && line[0] == '+' {
			break
		}
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", userName(user), err)
	}
	c.conn.SetDeadline(time.Time{})
	return &watcher{user: user, c: c}, nil
}

// listen takes events until the connection is closed.
func (w *watcher) listen() {
	for {
		var r reply
		if _, err := w.c.line(&r); err != nil {
			return
		}
		e := event{at: time.Now()}
		switch {
		case r.exists > 0:
			e.kind = "EXISTS"
		case r.fetch > 0:
			e.kind = "FETCH"
		case r.expunge > 0:
			e.kind = "EXPUNGE"
		default:
			continue
		}
		select {
		case w.events <- e:
		default: // nobody waits
		}
	}
}

// expect waits for an event of a kind.
func (w *watcher) expect(kind string) (time.Time, error) {
	limit := time.NewTimer(idleTimeout)
	defer limit.Stop()
	for {
		select {
		case e := <-w.events:
			if e.kind == kind {
				return e.at, nil
			}
		case <-limit.C:
			return time.Time{}, fmt.Errorf("no %s for %s within %v", kind, userName(w.user), idleTimeout)
		}
	}
}

// idleMail makes the users who wait, unless they are there.
func (b *bench) idleMail(n int) error {
	if _, err := os.Stat(b.sides[0].maildir(userName(idleUsers))); err == nil {
		return nil
	}
	for i := range n {
		if err := b.fill(idleUsers+i, 10, true, false); err != nil {
			return err
		}
	}
	return nil
}

// connections is how many we and a server can have open, at most n.
func connections(n int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return min(n, 200)
	}
	// Some for each live mailbox, and for everything else.
	return min(n, int(limit.Cur)/4)
}

// idling measures how soon waiting users hear of what others do to their files.
func idling(b *bench) error {
	n := connections(b.size(idleMost))
	b.note("In IDLE: %d users with a connection each, at each server.", n)
	if err := b.idleMail(b.size(idleMost)); err != nil {
		return err
	}
	watchers := make([][]*watcher, len(b.sides))
	for _, s := range b.sides {
		if err := s.forMany(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		all, err := s.watchAll(n, n, false)
		defer func() {
			for _, w := range all {
				w.c.close()
			}
		}()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for _, w := range all {
			w.events = make(chan event, 8)
			go w.listen() // ends when the connection is closed
		}
		watchers[s.index] = all
	}
	time.Sleep(3 * time.Second) // what was just written counts as uncertain for a second
	order := rand.New(rand.NewPCG(1, 2)).Perm(n)
	samples := min(b.times(200), n)
	for _, what := range []struct {
		p50, p99, kind string
		prepare        func(s *side, user int) (func() error, error)
	}{
		{"deliver50", "deliver99", "EXISTS", (*side).delivery},
		{"", "flag99", "FETCH", (*side).flagChange},
		{"", "unlink99", "EXPUNGE", (*side).removal},
	} {
		if !b.wants(what.p50, what.p99) {
			continue
		}
		err := b.inTurns(func(s *side, round int) error {
			var chosen []*watcher
			for i := range samples {
				chosen = append(chosen, watchers[s.index][order[(round*samples+i)%n]])
			}
			took, err := s.pace(chosen, what.kind, what.prepare)
			if err != nil {
				return err
			}
			if what.p50 != "" {
				b.add(what.p50, s.index, percentile(took, 50))
			}
			b.add(what.p99, s.index, percentile(took, 99))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// watchAll opens n connections of so many users.
func (s *side) watchAll(n, users int, secure bool) ([]*watcher, error) {
	const workers = 8
	parts := make([][]*watcher, workers)
	err := together(workers, func(k int) error {
		for i := k; i < n; i += workers {
			w, err := s.watch(idleUsers+i%users, secure)
			if err != nil {
				return err
			}
			parts[k] = append(parts[k], w)
		}
		return nil
	})
	var all []*watcher
	for i := range (n + workers - 1) / workers { // in the order of users
		for _, part := range parts {
			if i < len(part) {
				all = append(all, part[i])
			}
		}
	}
	return all, err
}

// pace does something to each watcher's mailbox, one after another at a steady
// rate whatever the server does, and gives how many ms passed until each heard
// of it.
func (s *side) pace(chosen []*watcher, kind string, prepare func(s *side, user int) (func() error, error)) ([]float64, error) {
	type outcome struct {
		took float64
		err  error
	}
	results := make(chan outcome, len(chosen))
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	for _, w := range chosen {
		act, err := prepare(s, w.user)
		if err != nil {
			return nil, err
		}
		<-tick.C
		for len(w.events) > 0 {
			<-w.events
		}
		began := time.Now()
		if err := act(); err != nil {
			return nil, err
		}
		go func() { // expect has a timeout
			at, err := w.expect(kind)
			results <- outcome{ms(at.Sub(began)), err}
		}()
	}
	var took []float64
	var errs []error
	for range chosen {
		r := <-results
		took = append(took, r.took)
		errs = append(errs, r.err)
	}
	return took, errors.Join(errs...)
}

// delivery prepares a file and gives what moves it into new.
func (s *side) delivery(user int) (func() error, error) {
	dir := s.maildir(userName(user))
	name := fmt.Sprintf("%d.M%dP%d.mail.example.org", time.Now().Unix(), time.Now().Nanosecond(), user)
	tmp := filepath.Join(dir, "tmp", name)
	if err := s.place(tmp, user, []byte(message(2<<10)), time.Now()); err != nil {
		return nil, err
	}
	return func() error { return os.Rename(tmp, filepath.Join(dir, "new", name)) }, nil
}

// first is the path of the first message.
func (s *side) first(user int) (string, error) {
	dir := filepath.Join(s.maildir(userName(user)), "cur")
	list, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", fmt.Errorf("%s is empty", dir)
	}
	return filepath.Join(dir, list[0].Name()), nil
}

// flagChange gives what turns \Draft of the first message on or off.
func (s *side) flagChange(user int) (func() error, error) {
	path, err := s.first(user)
	if err != nil {
		return nil, err
	}
	base, letters, _ := strings.Cut(path, ":2,")
	if rest, was := strings.CutPrefix(letters, "D"); was {
		letters = rest
	} else {
		letters = "D" + letters
	}
	return func() error { return os.Rename(path, base+":2,"+letters) }, nil
}

// removal gives what removes the first message.
func (s *side) removal(user int) (func() error, error) {
	path, err := s.first(user)
	return func() error { return os.Remove(path) }, err
}
