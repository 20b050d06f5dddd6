package session

import (
	"math"
	"strconv"

	"roost/message"
	"roost/wire"
)

// This file reads what stands in the brackets of BODY[...] and BINARY[...]
// (RFC 9051 §6.4.5.1), and builds the name under which the answer shows it.

var specNames = [...]string{
	message.HeaderSpec: "HEADER", message.HeaderFields: "HEADER.FIELDS", message.HeaderFieldsNot: "HEADER.FIELDS.NOT",
	message.Text: "TEXT", message.MIME: "MIME",
}

// A section names octets of a message, and which of them are wanted.
type section struct {
	message.Section
	partial bool  // <offset.count> was given
	offset  int64 // in served octets, after subsetting
	count   int64
}

// maxFields bounds the names in one HEADER.FIELDS list.
const maxFields = 1000

// scanSection reads a section with its partial.
//
//	section         = "[" [section-spec] "]"
//	section-spec    = section-msgtext / (section-part ["." section-text])
//	section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
//	section-text    = section-msgtext / "MIME"
//	section-part    = nz-number *("." nz-number)
func scanSection(sc *wire.Scanner) section {
	var s section
	sc.Expect('[')
	if sc.Take(']') {
		s.scanPartial(sc)
		return s
	}
	for isDigit(sc.Peek()) {
		s.Path = append(s.Path, scanPartNumber(sc))
		if !sc.Take('.') {
			sc.Expect(']')
			s.scanPartial(sc)
			return s
		}
	}
	switch sc.Name() {
	case "HEADER":
		s.Spec = message.HeaderSpec
	case "HEADER.FIELDS":
		s.Spec = message.HeaderFields
	case "HEADER.FIELDS.NOT":
		s.Spec = message.HeaderFieldsNot
	case "TEXT":
		s.Spec = message.Text
	case "MIME":
		s.Spec = message.MIME
		if len(s.Path) == 0 {
			sc.Fail("MIME needs a part number before it")
		}
	default:
		sc.Fail("unknown section")
	}
	if s.Spec == message.HeaderFields || s.Spec == message.HeaderFieldsNot {
		sc.SP()
		s.scanFields(sc)
	}
	sc.Expect(']')
	s.scanPartial(sc)
	return s
}

// scanPartNumber reads a number that an int can hold everywhere; no message has
// that many parts.
func scanPartNumber(sc *wire.Scanner) int {
	n := sc.NZNumber()
	if n > math.MaxInt32 {
		sc.Fail("part number too large")
		return 0
	}
	return int(n)
}

// scanFields reads the names of header fields.
//
//	header-list = "(" header-fld-name *(SP header-fld-name) ")"
func (s *section) scanFields(sc *wire.Scanner) {
	n := sc.List(func() {
		if len(s.Fields) == maxFields {
			sc.Fail("too many header field names")
			return
		}
		s.Fields = append(s.Fields, sc.AString())
	})
	if n == 0 {
		sc.Fail("empty list of header field names")
	}
}

// scanBinarySection reads the section of BINARY, without partial.
//
//	section-binary = "[" [section-part] "]"
func scanBinarySection(sc *wire.Scanner) section {
	var s section
	sc.Expect('[')
	if sc.Take(']') {
		return s
	}
	for {
		s.Path = append(s.Path, scanPartNumber(sc))
		if !sc.Take('.') {
			break
		}
	}
	sc.Expect(']')
	return s
}

// scanPartial reads a partial if one is there.
//
//	partial = "<" number64 "." nz-number64 ">"
func (s *section) scanPartial(sc *wire.Scanner) {
	if !sc.Take('<') {
		return
	}
	s.partial = true
	s.offset = sc.Number64()
	sc.Expect('.')
	s.count = sc.NZNumber64()
	sc.Expect('>')
}

// label is the name of the answer's item: kind, the section as it was sent,
// and of a partial the offset alone (RFC 9051 §7.5.2).
func (s *section) label(kind string) string {
	b := append([]byte(kind), '[')
	for i, n := range s.Path {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	if s.Spec != message.Whole {
		if len(s.Path) > 0 {
			b = append(b, '.')
		}
		b = append(b, specNames[s.Spec]...)
	}
	if s.Spec == message.HeaderFields || s.Spec == message.HeaderFieldsNot {
		b = append(b, " ("...)
		for i, name := range s.Fields {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendFieldName(b, name)
		}
		b = append(b, ')')
	}
	b = append(b, ']')
	if s.partial {
		b = append(b, '<')
		b = strconv.AppendInt(b, s.offset, 10)
		b = append(b, '>')
	}
	return string(b)
}

// appendFieldName writes name as an astring that any client can read.
func appendFieldName(b []byte, name string) []byte {
	atom, quotable := name != "", true
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ' || c >= 0x7f:
			atom, quotable = false, false
		case c == '"' || c == '\\' || c == ' ' || c == '(' || c == ')' || c == '{' || c == '%' || c == '*' || c == ']':
			atom = false
		}
	}
	switch {
	case atom:
		return append(b, name...)
	case quotable:
		b = append(b, '"')
		for i := range len(name) {
			if name[i] == '"' || name[i] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, name[i])
		}
		return append(b, '"')
	}
	b = append(b, '{')
	b = strconv.AppendInt(b, int64(len(name)), 10)
	b = append(b, "}\r\n"...)
	return append(b, name...)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
