package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// memory measures what a connection in IDLE costs. Dovecot has a process for
// each, and so a part of them tells enough.
func memory(b *bench) error {
	users := b.size(idleMost)
	n := connections(5 * users)
	if err := b.idleMail(users); err != nil {
		return err
	}
	b.note("Memory: proportional set size of all processes, roost with %d connections of %d users, Dovecot with %d.", n, min(n, users), n/10)
	for _, m := range []struct {
		id     string
		secure bool
	}{{"memory", false}, {"memory-tls", true}} {
		if !b.wants(m.id) {
			continue
		}
		for _, s := range b.sides {
			count := n
			if s.index == dovecotSide {
				count = n / 10
			}
			per, err := s.perConnection(count, users, b.times(12), m.secure)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			b.add(m.id, s.index, per)
		}
	}
	return nil
}

// perConnection is in KiB, the least within some seconds.
func (s *side) perConnection(n, users, seconds int, secure bool) (float64, error) {
	if err := s.forMany(); err != nil {
		return 0, err
	}
	time.Sleep(time.Second)
	before, err := s.pss()
	if err != nil {
		return 0, err
	}
	all, err := s.watchAll(n, users, secure)
	defer func() {
		for _, w := range all {
			w.c.close()
		}
	}()
	if err != nil {
		return 0, err
	}
	// What the logins needed is given back after a while.
	least := 0
	for i := range seconds {
		time.Sleep(time.Second)
		now, err := s.pss()
		if err != nil {
			return 0, err
		}
		if i == 0 || now < least {
			least = now
		}
	}
	return float64(least-before) / float64(n), nil
}

// pss is the proportional set size of the server with its children, in KiB.
func (s *side) pss() (int, error) {
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		// pid (name) state parent
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) < 2 {
			continue
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		children[parent] = append(children[parent], pid)
	}
	sum := 0
	queue := []int{s.pid()}
	for len(queue) > 0 {
		pid := queue[0]
		queue = append(queue[1:], children[pid]...)
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			if os.IsNotExist(err) {
				continue
			}
			return 0, err
		}
		_, rest, found := bytes.Cut(text, []byte("\nPss:"))
		if fields := bytes.Fields(rest); found && len(fields) > 0 {
			kib, _ := strconv.Atoi(string(fields[0]))
			sum += kib
		}
	}
	return sum, nil
}
