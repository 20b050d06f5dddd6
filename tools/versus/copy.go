package main

import (
	"fmt"
	"syscall"
)

const copyUser = 13

// copies measures COPY, MOVE and EXPUNGE, each in all rounds before the next:
// deletions spoil what is written after them.
func copies(b *bench) error {
	n := b.size(10_000)
	user := userName(copyUser)
	if err := b.fill(copyUser, n, true, true); err != nil {
		return err
	}
	all := func(r reply) bool { return true }
	steps := []struct {
		id, from, to string
		command      string
		right        func(r reply) bool
	}{
		{"copy", "INBOX", "copied", "COPY 1:* copied%d", all},
		{"move", "copied", "moved", "MOVE 1:* moved%d", func(r reply) bool { return r.expunge == n }},
		{"expunge", "moved", "", "EXPUNGE", func(r reply) bool { return r.expunge == n }},
	}
	for _, step := range steps {
		syscall.Sync()
		err := b.inTurns(func(s *side, round int) error {
			from, command := step.from, step.command
			if from != "INBOX" {
				from = fmt.Sprint(from, round)
			}
			c, err := s.open(user, from, n)
			if err != nil {
				return err
			}
			defer c.close()
			if step.to == "" {
				if _, err := c.timed(`STORE 1:* +FLAGS (\Deleted)`, func(r reply) bool { return r.fetch >= n }); err != nil {
					return err
				}
			} else {
				command = fmt.Sprintf(command, round)
				if _, err := c.do(fmt.Sprint("CREATE ", step.to, round)); err != nil {
					return err
				}
			}
			took, err := c.timed(command, step.right)
			if err != nil {
				return err
			}
			b.add(step.id, s.index, took)
			to := from
			want := 0
			if step.to != "" {
				to, want = fmt.Sprint(step.to, round), n
			}
			r, err := c.do("SELECT " + to)
			if err == nil && r.exists != want {
				err = fmt.Errorf("%d messages in %s, want %d", r.exists, to, want)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
