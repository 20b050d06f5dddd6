package disktest

import "slices"

// Clone is a second file system in the state of m, durable or not: a test can
// crash it and look at what is left, while m goes on. Locks are free and
// nothing is open in it.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &cloner{nodes: map[*inode]*inode{}}
	out := &Mem{
		root: c.inode(m.root), lastIno: m.lastIno, seq: m.seq, offset: m.offset,
		capacity: m.capacity, used: m.used, failSync: m.failSync, evict: m.evict,
	}
	for _, old := range m.pending {
		edits := make([]edit, len(old.edits))
		for i, e := range old.edits {
			edits[i] = edit{dir: c.inode(e.dir), name: e.name, node: c.inode(e.node)}
		}
		out.pending = append(out.pending, &change{seq: old.seq, edits: edits})
	}
	return out
}

// A cloner keeps which inode became which.
type cloner struct{ nodes map[*inode]*inode }

func (c *cloner) inode(n *inode) *inode {
	if n == nil {
		return nil
	}
	if done, ok := c.nodes[n]; ok {
		return done
	}
	d := &inode{}
	c.nodes[n] = d
	*d = *n
	d.locked = nil
	d.entries, d.durable = c.names(n.entries), c.names(n.durable)
	d.data, d.synced = slices.Clone(n.data), slices.Clone(n.synced)
	d.writes = slices.Clone(n.writes) // their octets are never changed
	return d
}

func (c *cloner) names(from map[string]*inode) map[string]*inode {
	if from == nil {
		return nil
	}
	to := make(map[string]*inode, len(from))
	for name, n := range from {
		to[name] = c.inode(n)
	}
	return to
}
