package mailbox

// CachedPreview is Preview if the cache has it; else it is made in the
// background (RFC 8970 §4.1).
func (c *Content) CachedPreview() (text string, ok bool) {
	if !c.done && c.row >= 0 {
		c.done = c.cached()
	}
	switch {
	case c.done:
		return string(c.rec.preview), true
	case c.row >= 0:
		c.mb.fill.check(c.row)
	}
	return "", false
}
