package message

import "bytes"

// A FieldSet is the field names of HEADER.FIELDS or HEADER.FIELDS.NOT made
// ready for many messages (RFC 9051 §6.4.5.1). It is immutable and may be used
// by several goroutines.
type FieldSet struct {
	names map[string]bool // lower case
	not   bool
}

// NewFieldSet selects the fields with these names, in any case, or with not all
// others.
func NewFieldSet(fields []string, not bool) *FieldSet {
	s := &FieldSet{make(map[string]bool, len(fields)), not}
	for _, name := range fields {
		s.names[lowerString(name)] = true
	}
	return s
}

// Append appends the selected fields of a stored header block to dst, with its
// blank line, as they are served. It gives the octets of FilterHeader.
func (s *FieldSet) Append(dst, header []byte) []byte {
	start := len(dst)
	f := fieldFilter{names: s.names, not: s.not}
	f.feed(header, true, func(line []byte) error { // never fails, nor does feed then
		n := len(line)
		if line[n-1] == '\n' && (n < 2 || line[n-2] != '\r') {
			dst = append(append(dst, line[:n-1]...), '\r', '\n')
		} else {
			dst = append(dst, line...)
		}
		return nil
	})
	for out := dst[start:]; ; {
		i := bytes.IndexByte(out, 0)
		if i < 0 {
			return dst
		}
		out[i] = 0x80
		out = out[i+1:]
	}
}
