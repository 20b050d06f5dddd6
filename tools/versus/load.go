package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The users of the mixed load: one mailbox each, and one for all.
const (
	loadUser    = 30
	loadUsers   = 100
	loadOneUser = 130
	loadClients = 20
)

// load measures many small commands.
func load(b *bench) error {
	err := b.measure("noop", func(s *side, _ int) (float64, error) {
		c, err := s.open(userName(0), "INBOX", b.size(100))
		if err != nil {
			return 0, err
		}
		defer c.close()
		n := b.times(5000)
		began := time.Now()
		for range n {
			if _, err := c.do("NOOP"); err != nil {
				return 0, err
			}
		}
		return float64(n) / time.Since(began).Seconds(), nil
	})
	if err != nil {
		return err
	}
	if b.wants("mixed") {
		for i := range loadUsers {
			if err := b.fill(loadUser+i, mixedMessages, false, false); err != nil {
				return err
			}
		}
		// Each client has five users, and a connection for each.
		const each = loadUsers / loadClients
		if err := b.mixed("mixed", each, func(w, i int) int { return loadUser + each*w + i }); err != nil {
			return err
		}
	}
	if b.wants("mixed-one") {
		if err := b.fill(loadOneUser, 5*mixedMessages, false, false); err != nil {
			return err
		}
		return b.mixed("mixed-one", 1, func(int, int) int { return loadOneUser })
	}
	return nil
}

// mixedMessages is how many messages the mailboxes have that all find there.
const mixedMessages = 100

func (b *bench) mixed(id string, connections int, user func(worker, i int) int) error {
	appended := message(4 << 10)
	return b.measure(id, func(s *side, round int) (float64, error) {
		clients := make([][]*client, loadClients)
		for w := range clients {
			for i := range connections {
				c, err := s.open(userName(user(w, i)), "INBOX", -1)
				if err != nil {
					return 0, err
				}
				defer c.close()
				clients[w] = append(clients[w], c)
			}
		}
		n := b.times(200)
		began := time.Now()
		err := together(loadClients, func(w int) error {
			rng := rand.New(rand.NewPCG(uint64(w), uint64(round+1))) // the same for both
			for range n {
				command, lines := mixedCommand(rng, appended)
				r, err := clients[w][rng.IntN(connections)].do(command)
				if err == nil && r.fetch+r.numbers < lines {
					err = fmt.Errorf("%q gives %+v", command, r)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		return float64(n*loadClients) / time.Since(began).Seconds(), err
	})
}

// mixedCommand is what a client might ask next, and how much it must be told.
func mixedCommand(rng *rand.Rand, appended string) (command string, lines int) {
	uid := 1 + rng.IntN(mixedMessages-20)
	switch k := rng.IntN(100); {
	case k < 25:
		return fmt.Sprintf("UID FETCH %d:%d (FLAGS)", uid, uid+19), 20
	case k < 45:
		return fmt.Sprintf("UID FETCH %d (BODY.PEEK[])", uid), 1
	case k < 60:
		return fmt.Sprintf("UID FETCH %d:%d (ENVELOPE BODYSTRUCTURE)", uid, uid+9), 10
	case k < 75:
		sign := [2]string{"+", "-"}[rng.IntN(2)]
		flag := [3]string{`\Seen`, `\Flagged`, "$Label1"}[rng.IntN(3)]
		return fmt.Sprintf("UID STORE %d %sFLAGS (%s)", uid, sign, flag), 0
	case k < 85:
		return "UID SEARCH SUBJECT roof SEEN", 0
	case k < 95:
		return "NOOP", 0
	}
	return fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(appended), appended), 0
}
