package mailbox

// Clone copies the tree; what the keys hold is shared.
func (c *Criteria) Clone() *Criteria {
	out := *c
	if len(c.Of) > 0 {
		out.Of = make([]*Criteria, len(c.Of))
		for i, kid := range c.Of {
			out.Of[i] = kid.Clone()
		}
	}
	return &out
}
