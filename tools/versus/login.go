package main

import (
	"errors"
	"fmt"
	"time"
)

// login measures whole short connections.
func login(b *bench) error {
	for i := 1; i < 8; i++ { // user 0 is there already
		if err := b.fill(i, b.size(100), true, false); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		id      string
		secure  bool
		workers int
		each    int
	}{{"login", false, 1, 400}, {"login8", false, 8, 100}, {"tls", true, 1, 200}, {"tls8", true, 8, 50}} {
		err := b.measure(m.id, func(s *side, _ int) (float64, error) {
			n := b.times(m.each)
			began := time.Now()
			err := together(m.workers, func(w int) error {
				for range n {
					if err := s.visit(userName(w), m.secure, b.size(100)); err != nil {
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

func (s *side) visit(user string, secure bool, want int) error {
	c, err := s.login(user, secure, 4096)
	if err != nil {
		return err
	}
	defer c.close()
	r, err := c.do("SELECT INBOX")
	if err == nil && r.exists != want {
		err = fmt.Errorf("%d messages, want %d", r.exists, want)
	}
	if err != nil {
		return err
	}
	_, err = c.do("LOGOUT")
	return err
}

// together runs n of f at once.
func together(n int, f func(worker int) error) error {
	results := make(chan error, n)
	for w := range n {
		go func() { results <- f(w) }() // f has timeouts
	}
	var errs []error
	for range n {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}
