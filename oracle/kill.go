package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// killUnderLoad is F1 to F3: everything at once, SIGKILL after 5 to 500 ms.
func killUnderLoad(r *Run) (string, error) {
	return r.rounds("kill", 40, func(rng *rand.Rand) time.Duration {
		return time.Duration(5+rng.IntN(495)) * time.Millisecond
	}, false)
}

// restarts is F19: the server is told to end every two seconds.
func restarts(r *Run) (string, error) {
	return r.rounds("restart", 6, func(*rand.Rand) time.Duration { return 2 * time.Second }, true)
}

// rounds starts the server, lets clients and other programs work, ends it, and
// looks, again and again.
func (r *Run) rounds(name string, n int, how func(*rand.Rand) time.Duration, gently bool) (string, error) {
	s, l, err := r.server(name)
	if err != nil {
		return "", err
	}
	defer l.Close()
	defer s.Stop(sigkill)
	if err := s.Start(); err != nil {
		return "", err
	}
	boxes := []string{"INBOX", "A", "B"}
	if err := create(s, "A", "B"); err != nil {
		return "", err
	}
	load := &Load{Server: s, Ledger: l, Boxes: boxes, Workers: 4, Large: 5 << 20, Most: 600}
	others := &Outside{Maildir: s.Maildir, Ledger: l, Pause: 15 * time.Millisecond}
	rng := rand.New(rand.NewPCG(r.Seed, 1))
	var answers error
	for round := 0; r.more(round, n); round++ {
		if err := l.Verify(s, 5*time.Second, boxes...); err != nil {
			return "", fmt.Errorf("round %d: %w\n%s", round, err, last(s.Log(), 3000))
		}
		if len(l.Violations()) > 0 {
			break
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 2)
		go func() { done <- load.Run(ctx, r.Seed+uint64(round)) }()
		go func() { others.Run(ctx, r.Seed+uint64(round)); done <- nil }()
		rest(how(rng))
		if gently {
			if err := s.Stop(sigterm); exited(err) != 0 {
				answers = errors.Join(answers, fmt.Errorf("SIGTERM: %w\n%s", err, last(s.Log(), 6000)))
			}
		} else {
			s.Stop(sigkill)
		}
		cancel()
		answers = errors.Join(answers, <-done, <-done)
		if err := s.Fsck(true); err != nil {
			return "", fmt.Errorf("round %d: %w", round, err)
		}
		if err := s.Start(); err != nil {
			return "", err
		}
	}
	if err := l.Verify(s, 5*time.Second, boxes...); err != nil {
		return "", err
	}
	sum := fmt.Sprintf("%d rounds, %d added, %d delivered, %d removed, %d stored", l.Rounds-1, l.Acked-l.Delivered, l.Delivered, l.Removed, l.Stored)
	if l.Acked == 0 || l.Delivered == 0 {
		return sum, errors.New("the load never got anything done")
	}
	return sum, errors.Join(outcome(s, l), answers, s.ended())
}

// killInCopy is F4: one command on a set, killed at a random moment of it.
func killInCopy(r *Run) (string, error) {
	s, l, err := r.server("copy")
	if err != nil {
		return "", err
	}
	defer l.Close()
	defer s.Stop(sigkill)
	if err := s.Start(); err != nil {
		return "", err
	}
	if err := create(s, "A", "B"); err != nil {
		return "", err
	}
	if err := fill(s, l, "A", 5000); err != nil {
		return "", err
	}
	rng := rand.New(rand.NewPCG(r.Seed, 2))
	if err := l.Verify(s, 0, "A", "B"); err != nil {
		return "", err
	}
	rounds := 0
	for round := 0; r.more(round, 9); round++ {
		size := []int{1, 100, 5000}[round%3]
		move := round%2 == 1
		if err := r.killOneCopy(s, l, rng, size, move); err != nil {
			return "", err
		}
		if len(l.Violations()) > 0 {
			break
		}
		rounds++
	}
	return fmt.Sprintf("%d rounds", rounds), errors.Join(outcome(s, l), s.ended())
}

// killOneCopy copies up to size messages from the fuller mailbox to the other.
func (r *Run) killOneCopy(s *Server, l *Ledger, rng *rand.Rand, size int, move bool) error {
	from, to := "A", "B"
	if l.Count("B") > l.Count("A") {
		from, to = to, from
	}
	var list []Owned
	for _, o := range l.Own(0, 1) {
		if o.Box == from && len(list) < size && !l.Has(to, o.Sum) {
			list = append(list, o)
		}
	}
	if len(list) == 0 { // all are in both: start again from one
		return emptyBox(s, l, to)
	}
	sums, uids := sumsOf(list)
	c, err := s.Login()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Do("SELECT %s", from); err != nil {
		return err
	}
	b, verb := (*batch)(nil), "COPY"
	if move {
		verb, b = "MOVE", l.Moving(from, to, sums...)
	} else {
		b = l.Adding(to, true, sums...)
	}
	answered := make(chan []line, 1)
	go func() {
		lines, err := c.Do("UID %s %s %s", verb, ranges(uids), to)
		if err != nil {
			lines = nil
		}
		answered <- lines
	}()
	rest(time.Duration(rng.IntN(2+size/12)) * time.Millisecond)
	s.Stop(sigkill)
	if lines := <-answered; lines != nil {
		l.doneCopy(b, uids, lines)
	}
	if err := s.Start(); err != nil {
		return err
	}
	return l.Verify(s, 0, "A", "B")
}

// doneCopy takes up what an answer says.
func (l *Ledger) doneCopy(b *batch, uids []uint32, lines []line) {
	from, to := copied(lines)
	at := map[uint32]uint32{}
	for i, uid := range from {
		at[uid] = to[i]
	}
	placed := make([]uint32, len(uids))
	for i, uid := range uids {
		placed[i] = at[uid]
	}
	l.Done(b, placed)
}

// emptyBox expunges everything in a mailbox.
func emptyBox(s *Server, l *Ledger, name string) error {
	var list []Owned
	for _, o := range l.Own(0, 1) {
		if o.Box == name {
			list = append(list, o)
		}
	}
	sums, _ := sumsOf(list)
	b := l.Removing(name, sums...)
	c, err := s.Login()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, cmd := range []string{"SELECT " + name, `UID STORE 1:* +FLAGS.SILENT (\Deleted)`, "CLOSE"} {
		if _, err := c.Do("%s", cmd); err != nil {
			return err
		}
	}
	l.Done(b, nil)
	return nil
}

// fill appends n messages, many to a command.
func fill(s *Server, l *Ledger, name string, n int) error {
	c, err := s.Login()
	if err != nil {
		return err
	}
	defer c.Close()
	const atOnce = 250
	for k := 0; k < n; k += atOnce {
		var raws [][]byte
		var sums []Sum
		for i := k; i < min(k+atOnce, n); i++ {
			raw := message("fill", 0, len(name), i)
			raws, sums = append(raws, raw), append(sums, Served(raw))
		}
		b := l.Adding(name, true, sums...)
		uids, err := c.Append(name, false, "", raws...)
		if err != nil {
			return err
		}
		l.Done(b, uids)
	}
	return nil
}

// ranges writes UIDs as a short set.
func ranges(uids []uint32) string {
	sorted := append([]uint32(nil), uids...)
	sortUIDs(sorted)
	out := ""
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		if out != "" {
			out += ","
		}
		out += fmt.Sprintf("%d:%d", sorted[i], sorted[j])
		i = j + 1
	}
	return out
}
