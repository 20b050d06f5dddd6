package session

import (
	"errors"

	"roost/message"
)

// binary writes BINARY[...] and BINARY.SIZE[...] (RFC 9051 §6.4.5, RFC 3516
// §4.2, §4.3): a part without its transfer encoding.
func (l *fetchLine) binary(it *fetchItem) error {
	c := l.open()
	root, err := c.Part()
	if err != nil {
		return err
	}
	r, _, err := c.Reader()
	if err != nil {
		return err
	}
	path := it.section.Path
	if part, ok := root.Find(path); ok && len(path) > 0 && !part.IsLeaf() && l.s.enabled.rev2 {
		// RFC 9051 §6.4.5; for IMAP4rev1, where nothing is said, these are the
		// octets as they are.
		return no("CANNOT", "BINARY is for parts without parts inside")
	}
	b, ok, err := root.Binary(r, path)
	if errors.Is(err, message.ErrUnknownCTE) {
		return no("UNKNOWN-CTE", "unknown content transfer encoding")
	}
	if err != nil {
		return err
	}
	if it.kind == fetchBinarySize {
		l.begin(it.label)
		l.s.w.SP()
		l.s.w.Number(uint64(b.Size())) // 0 for a part that does not exist: NIL is not in the grammar
		return nil
	}
	if !ok {
		l.nothing(it)
		return nil
	}
	nul, err := b.HasNUL()
	if err != nil {
		return err
	}
	return l.octets(it, &b, nul)
}
