package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const realUser = 11

// realMail measures an INBOX of 10,000 messages as people get them.
func realMail(b *bench) error {
	n := b.size(10_000)
	user := userName(realUser)
	if err := b.fill(realUser, n, false, false); err != nil {
		return err
	}
	fetched := func(r reply) bool { return r.fetch == n }
	for _, q := range []struct {
		first, again, command string
		right                 func(r reply) bool
	}{
		{"envelope-new", "envelope", "FETCH 1:* (INTERNALDATE ENVELOPE BODYSTRUCTURE)", fetched},
		{"header-new", "header", "UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])", fetched},
		{"thread-new", "thread", "THREAD REFERENCES UTF-8 ALL", func(r reply) bool { return r.threads > 0 }},
	} {
		if !b.wants(q.first, q.again) {
			continue
		}
		err := b.inTurns(func(s *side, _ int) error {
			if err := s.forget(user); err != nil {
				return err
			}
			c, err := s.open(user, "INBOX", n)
			if err != nil {
				return err
			}
			took, err := c.timed(q.command, q.right)
			c.close()
			if err != nil {
				return err
			}
			b.add(q.first, s.index, took)
			if c, err = s.open(user, "INBOX", n); err != nil {
				return err
			}
			defer c.close()
			var again []float64
			for range 3 {
				if took, err = c.timed(q.command, q.right); err != nil {
					return err
				}
				again = append(again, took)
			}
			b.add(q.again, s.index, median(again))
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := b.bodies(user, n); err != nil {
		return err
	}
	return b.searchText(user, n)
}

func (b *bench) bodies(user string, n int) error {
	for _, m := range []struct {
		id     string
		secure bool
	}{{"body", false}, {"body-tls", true}} {
		err := b.measure(m.id, func(s *side, _ int) (float64, error) {
			c, err := s.openAs(user, "INBOX", n, m.secure)
			if err != nil {
				return 0, err
			}
			defer c.close()
			began := time.Now()
			r, err := c.do("UID FETCH 1:* (BODY.PEEK[])")
			took := time.Since(began)
			if err == nil && (r.fetch != n || r.octets < int64(n)*1000) {
				err = fmt.Errorf("%d messages with %d octets", r.fetch, r.octets)
			}
			return float64(r.octets) / 1e6 / took.Seconds(), err
		})
		if err != nil {
			return err
		}
	}
	return b.measure("body-one", func(s *side, round int) (float64, error) {
		c, err := s.open(user, "INBOX", n)
		if err != nil {
			return 0, err
		}
		defer c.close()
		rng := rand.New(rand.NewPCG(uint64(round), 1)) // the same for both
		times := b.times(3000)
		began := time.Now()
		for range times {
			r, err := c.do(fmt.Sprintf("UID FETCH %d (BODY.PEEK[])", 1+rng.IntN(n)))
			if err == nil && r.fetch != 1 {
				err = fmt.Errorf("%d messages instead of one", r.fetch)
			}
			if err != nil {
				return 0, err
			}
		}
		return float64(times) / time.Since(began).Seconds(), nil
	})
}

// searchText looks for a word that is nowhere, so that all must be read, once
// both have found the same for one that is somewhere.
func (b *bench) searchText(user string, n int) error {
	if !b.wants("search-text") {
		return nil
	}
	found := make([]int, len(b.sides))
	clients := make([]*client, len(b.sides))
	for _, s := range b.sides {
		c, err := s.open(user, "INBOX", n)
		if err != nil {
			return err
		}
		defer c.close()
		r, err := c.do("SEARCH TEXT deadline")
		if err != nil {
			return err
		}
		clients[s.index], found[s.index] = c, r.numbers
	}
	if found[0] != found[1] || found[0] == 0 {
		return fmt.Errorf("SEARCH TEXT finds %d messages with roost, %d with Dovecot", found[0], found[1])
	}
	return b.measure("search-text", func(s *side, _ int) (float64, error) {
		return clients[s.index].timed("SEARCH TEXT xylophone", func(r reply) bool { return r.numbers == 0 })
	})
}
