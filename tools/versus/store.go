package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const storeUser = 12

// store measures changes of flags in an INBOX of 10,000 messages without any.
func store(b *bench) error {
	n := b.size(10_000)
	if err := b.fill(storeUser, n, true, true); err != nil {
		return err
	}
	clients := make([]*client, len(b.sides))
	for _, s := range b.sides {
		c, err := s.open(userName(storeUser), "INBOX", n)
		if err != nil {
			return err
		}
		defer c.close()
		clients[s.index] = c
	}
	if err := b.storeAll(clients, n); err != nil {
		return err
	}
	next := [2]int{}
	// flag changes a message that the last commands did not, so that each is work.
	flag := func(s *side) string {
		i := next[s.index]
		next[s.index]++
		sign := "+-"[i/n%2 : i/n%2+1]
		return fmt.Sprintf("STORE %d %sFLAGS (\\Answered)", 1+i%n, sign)
	}
	syscall.Sync()
	err := b.measure("store-one", func(s *side, _ int) (float64, error) {
		times := b.times(500)
		began := time.Now()
		for range times {
			if _, err := clients[s.index].timed(flag(s), func(r reply) bool { return r.fetch > 0 }); err != nil {
				return 0, err
			}
		}
		return float64(times) / time.Since(began).Seconds(), nil
	})
	if err != nil {
		return err
	}
	return b.measure("store-pipe", func(s *side, _ int) (float64, error) {
		const times = 1000
		c := clients[s.index]
		for range times {
			c.send(flag(s))
		}
		began := time.Now()
		if err := c.flush(); err != nil {
			return 0, err
		}
		told := 0
		for range times {
			r, err := c.wait()
			if err != nil {
				return 0, err
			}
			told += r.fetch
		}
		if told < times {
			return 0, fmt.Errorf("%d FETCH lines for %d STORE", told, times)
		}
		return times / time.Since(began).Seconds(), nil
	})
}

// storeAll changes all messages, and the names of as many files by the bare call.
func (b *bench) storeAll(clients []*client, n int) error {
	if !b.wants("store") {
		return nil
	}
	bare, err := newRenames(filepath.Join(b.home, "bare"), n)
	if err != nil {
		return err
	}
	defer bare.close()
	syscall.Sync()
	for round := range b.rounds + 1 { // the first does not count
		sign := "+-"[round%2 : round%2+1]
		for _, s := range b.sides {
			told := 0
			took, err := clients[s.index].timed("STORE 1:* "+sign+"FLAGS (\\Flagged)", func(r reply) bool {
				told = r.fetch
				return told >= n
			})
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if told > n {
				b.note("STORE 1:*, round %d: %s tells of %d flags for %d messages.", round, s.name, told, n)
			}
			if round > 0 {
				b.add("store", s.index, took)
			}
		}
		took, err := bare.all()
		if err != nil {
			return err
		}
		if round > 0 {
			b.add("store", bareSide, took)
		}
	}
	return nil
}

// A renames does what STORE needs of the system: one rename a file.
type renames struct {
	dir     *os.File
	plain   []string
	flagged []string
}

func newRenames(dir string, n int) (*renames, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	r := &renames{}
	for i := range n {
		r.plain = append(r.plain, fileName(i, ""))
		r.flagged = append(r.flagged, fileName(i, "F"))
		if err := os.WriteFile(filepath.Join(dir, r.plain[i]), make([]byte, 800), 0o600); err != nil {
			return nil, err
		}
	}
	var err error
	r.dir, err = os.Open(dir)
	return r, err
}

func (r *renames) close() { r.dir.Close() }

// all renames all files, in ms, and next time back.
func (r *renames) all() (float64, error) {
	fd := int(r.dir.Fd())
	began := time.Now()
	for i := range r.plain {
		if err := syscall.Renameat(fd, r.plain[i], fd, r.flagged[i]); err != nil {
			return 0, err
		}
	}
	took := ms(time.Since(began))
	r.plain, r.flagged = r.flagged, r.plain
	return took, nil
}
