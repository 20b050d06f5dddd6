package disktest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// A Survival says what a crash may leave of effects that were not synced.
type Survival int

// The ways to crash.
const (
	// Random keeps any subset: each change of entries, each 512 octets of each
	// write, any of the sizes that a file had.
	Random Survival = iota
	// Ordered keeps a prefix of the changes of entries, and of each file a
	// prefix of its writes, the last one torn: as ext4 with data=ordered.
	Ordered
	// Nothing keeps only what was synced.
	Nothing
	// Everything keeps all: the process died, not the machine.
	Everything
)

// Crash is a loss of power: of what was not synced remains what how says,
// chosen by rng. All open directories and files are dead (fs.ErrClosed), locks
// are free, and what remained is durable.
func (m *Mem) Crash(rng *rand.Rand, how Survival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	m.failSync = 0
	prefix := m.seq
	if how == Ordered && len(m.pending) > 0 {
		prefix = m.pending[0].seq - 1 + rng.Uint64N(m.seq-m.pending[0].seq+2)
	}
	m.settle(func(c *change) bool {
		switch how {
		case Random:
			return rng.IntN(2) == 0
		case Ordered:
			return c.seq <= prefix
		}
		return how == Everything
	})
	m.pending = nil
	m.used = 0
	seen := make(map[*inode]bool)
	m.restore(m.root, rng, how, seen)
}

// restore makes n and what is below it what the disk has.
func (m *Mem) restore(n *inode, rng *rand.Rand, how Survival, seen map[*inode]bool) {
	seen[n] = true
	n.locked = nil
	if how == Nothing || how != Everything && rng.IntN(2) == 0 {
		n.mtime = n.durableTime
	}
	n.durableTime = n.mtime
	if !n.mode.IsDir() {
		m.restoreFile(n, rng, how)
		return
	}
	n.nlink, n.dead = 2, false
	clear(n.entries)
	for _, name := range slices.Sorted(maps.Keys(n.durable)) { // the crash shall depend on rng only
		sub := n.durable[name]
		if sub == nil {
			delete(n.durable, name)
			continue
		}
		if !seen[sub] {
			sub.nlink = 0
			m.restore(sub, rng, how, seen)
		}
		n.entries[name] = sub
		if sub.mode.IsDir() {
			n.nlink++
		} else {
			sub.nlink++
		}
	}
}

func (m *Mem) restoreFile(n *inode, rng *rand.Rand, how Survival) {
	switch how {
	case Nothing:
		n.writes = nil
	case Ordered:
		n.writes = n.writes[:rng.IntN(len(n.writes)+1)]
		if last := len(n.writes) - 1; last >= 0 && !n.writes[last].truncate {
			e := &n.writes[last]
			e.data = e.data[:rng.IntN(len(e.data)+1)]
		}
	case Random:
		n.writes = scatter(n.synced, n.writes, rng)
	}
	n.synced = replay(n.synced, n.writes)
	n.writes = nil
	n.data = slices.Clone(n.synced)
	m.used += int64(len(n.data))
}

// sector is what a disk writes as a whole.
const sector = 512

// scatter keeps any sectors of any writes, and one of the sizes that the file
// had meanwhile.
func scatter(synced []byte, writes []effect, rng *rand.Rand) []effect {
	sizes := []int64{int64(len(synced))}
	var kept []effect
	for _, e := range writes {
		last := sizes[len(sizes)-1]
		if e.truncate {
			sizes = append(sizes, e.off)
			if e.off < last && rng.IntN(2) == 0 {
				kept = append(kept, e)
			}
			continue
		}
		sizes = append(sizes, max(last, e.off+int64(len(e.data))))
		for len(e.data) > 0 {
			n := min(int(sector-e.off%sector), len(e.data))
			if rng.IntN(2) == 0 {
				kept = append(kept, effect{off: e.off, data: e.data[:n]})
			}
			e.off, e.data = e.off+int64(n), e.data[n:]
		}
	}
	return append(kept, effect{off: sizes[rng.IntN(len(sizes))], truncate: true})
}
