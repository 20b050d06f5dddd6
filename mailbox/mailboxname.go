package mailbox

// Name is the name that clients know mb by, now: RENAME changes it.
func (mb *Mailbox) Name() string {
	if s, ok := mb.o.Slot.(*slot); ok {
		return s.a.nameOf(s.path())
	}
	return ""
}
