package main

import (
	"fmt"
	"syscall"
	"time"
)

// The users that messages are appended to: one each, and one for all.
const (
	appendUser    = 20
	appendOneUser = 28
)

// appends measures APPEND; nothing is deleted before the end of the run.
func appends(b *bench) error {
	for i := range 9 {
		if err := b.fill(appendUser+i, 0, true, false); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		id      string
		size    int
		workers int
		one     bool
		each    int
	}{
		{"append", 4 << 10, 1, false, 400},
		{"append8", 4 << 10, 8, false, 100},
		{"append8one", 4 << 10, 8, true, 100},
		{"append-1m", 1 << 20, 1, false, 40},
		{"append8-1m", 1 << 20, 8, false, 10},
	} {
		if !b.wants(m.id) {
			continue
		}
		syscall.Sync()
		raw := message(m.size)
		command := fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw)
		err := b.measure(m.id, func(s *side, _ int) (float64, error) {
			clients := make([]*client, m.workers)
			user := func(w int) string {
				if m.one {
					return userName(appendOneUser)
				}
				return userName(appendUser + w)
			}
			for w := range clients {
				c, err := s.open(user(w), "INBOX", -1)
				if err != nil {
					return 0, err
				}
				defer c.close()
				clients[w] = c
			}
			n := b.times(m.each)
			began := time.Now()
			err := together(m.workers, func(w int) error {
				for range n {
					if _, err := clients[w].do(command); err != nil {
						return err
					}
				}
				return nil
			})
			return float64(m.workers*n) / time.Since(began).Seconds(), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
