package main

import (
	"fmt"
	"time"
)

// largeUser has the large mailbox.
const largeUser = 10

// large measures an INBOX of 100,000 small messages.
func large(b *bench) error {
	n := b.size(100_000)
	user := userName(largeUser)
	if err := b.fill(largeUser, n, true, false); err != nil {
		return err
	}
	if err := b.largeFirst(user, n); err != nil {
		return err
	}
	err := b.measure("select", func(s *side, _ int) (float64, error) {
		var all []float64
		for range 5 {
			took, err := s.selectTime(user, "SELECT INBOX", func(r reply) bool { return r.exists == n })
			if err != nil {
				return 0, err
			}
			all = append(all, took)
		}
		return median(all), nil
	})
	if err != nil {
		return err
	}
	if err := b.measure("select-restart", func(s *side, _ int) (float64, error) {
		if err := s.restart(); err != nil {
			return 0, err
		}
		return s.selectTime(user, "SELECT INBOX", func(r reply) bool { return r.exists == n })
	}); err != nil {
		return err
	}
	if err := b.largeQuestions(user, n); err != nil {
		return err
	}
	return b.resync(user, n)
}

// largeFirst measures what is slower the first time.
func (b *bench) largeFirst(user string, n int) error {
	all := func(r reply) bool { return r.exists == n }
	if b.wants("select-new") {
		err := b.inTurns(func(s *side, _ int) error {
			if err := s.forget(user); err != nil {
				return err
			}
			took, err := s.selectTime(user, "SELECT INBOX", all)
			b.add("select-new", s.index, took)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !b.wants("sort-new", "sort") {
		return nil
	}
	return b.inTurns(func(s *side, _ int) error {
		if err := s.forget(user); err != nil {
			return err
		}
		c, err := s.open(user, "INBOX", n)
		if err != nil {
			return err
		}
		defer c.close()
		sorted := func(r reply) bool { return r.numbers == n }
		took, err := c.timed("SORT (DATE) UTF-8 ALL", sorted)
		if err != nil {
			return err
		}
		b.add("sort-new", s.index, took)
		var again []float64
		for range 3 {
			if took, err = c.timed("SORT (DATE) UTF-8 ALL", sorted); err != nil {
				return err
			}
			again = append(again, took)
		}
		b.add("sort", s.index, median(again))
		return nil
	})
}

// selectTime logs in and gives how long a SELECT takes, in ms.
func (s *side) selectTime(user, command string, right func(r reply) bool) (float64, error) {
	c, err := s.login(user, false, busy)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return c.timed(command, right)
}

// largeQuestions asks what a selected mailbox answers from its index.
func (b *bench) largeQuestions(user string, n int) error {
	if !b.wants("flags", "modseq", "search-unseen", "search-since") {
		return nil
	}
	clients := make([]*client, len(b.sides))
	for _, s := range b.sides {
		c, err := s.open(user, "INBOX", n)
		if err != nil {
			return err
		}
		defer c.close()
		clients[s.index] = c
	}
	// Half of the messages came since then.
	since := began.Add(time.Duration(n/2) * 300 * time.Second).Format("2-Jan-2006")
	whole := func(r reply) bool { return r.fetch == n }
	some := func(r reply) bool { return r.numbers > n/10 && r.numbers < n*9/10 }
	for _, q := range []struct {
		id, command string
		right       func(r reply) bool
	}{
		{"flags", "UID FETCH 1:* (FLAGS)", whole},
		{"modseq", "UID FETCH 1:* (FLAGS MODSEQ)", whole},
		{"search-unseen", "SEARCH UNSEEN", some},
		{"search-since", "SEARCH SINCE " + since, some},
	} {
		err := b.measure(q.id, func(s *side, _ int) (float64, error) {
			var all []float64
			for range 3 {
				took, err := clients[s.index].timed(q.command, q.right)
				if err != nil {
					return 0, err
				}
				all = append(all, took)
			}
			return median(all), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// resync measures SELECT of a client that was there before.
func (b *bench) resync(user string, n int) error {
	if !b.wants("qresync", "qresync100") {
		return nil
	}
	const changes = 100
	return b.inTurns(func(s *side, round int) error {
		// What it knows.
		c, err := s.open(user, "INBOX", n)
		if err != nil {
			return err
		}
		known := fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", c.uidValidity, c.modSeq)
		took, err := s.resyncTime(user, known, 0, n)
		if err != nil {
			return err
		}
		b.add("qresync", s.index, took)
		sign := "+-"[round%2 : round%2+1]
		for i := range changes {
			if _, err := c.do(fmt.Sprintf("UID STORE %d %sFLAGS (changed)", 1+i*(n/changes), sign)); err != nil {
				return err
			}
		}
		c.close()
		took, err = s.resyncTime(user, known, changes, n)
		b.add("qresync100", s.index, took)
		return err
	})
}

func (s *side) resyncTime(user, command string, changes, n int) (float64, error) {
	c, err := s.login(user, false, busy)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if _, err := c.do("ENABLE QRESYNC"); err != nil {
		return 0, err
	}
	return c.timed(command, func(r reply) bool { return r.exists == n && r.fetch == changes })
}
