package message

// NString is a string that may be absent (NIL on the wire).
type NString struct {
	Value   string
	Present bool
}

// Param is one parameter of a Content-Type or Content-Disposition field, as
// written; but one that came in pieces is joined, and if it has a character set
// its value is in UTF-8 and its name ends in "*" (RFC 9051 §7.5.2).
type Param struct {
	Name, Value string
}

// Part is one part of a message; the root is the message itself. A Part is
// immutable after Parse and may be shared.
//
// The header block of the part is stored in [Header, Body) with its blank line,
// its body in [Body, End).
type Part struct {
	Header, Body, End int64 // stored offsets

	HeaderSize int64 // served octets of the header block
	BodySize   int64 // served octets of the body, still encoded
	Lines      int64 // line ends in the body

	Type, Subtype string // as written, never empty
	Params        []Param
	ID            NString
	Description   NString
	Encoding      string // upper case, "7BIT" if none was given
	MD5           NString
	Disposition   string // "" = absent
	DispParams    []Param
	Language      []string
	Location      NString

	// Children are the parts of a multipart, at least one. A multipart without
	// any part has one empty text/plain child, as RFC 9051 §9 cannot say less.
	Children []*Part
	// Message is the message inside a message/rfc822 or message/global part.
	Message *Part

	envelope []byte // wire form; set in the root and in each Message
}

// Size is the served size of header and body; of the root it is RFC822.SIZE.
func (p *Part) Size() int64 { return p.HeaderSize + p.BodySize }

// IsMultipart reports whether p has Children.
func (p *Part) IsMultipart() bool { return len(p.Children) > 0 }

// IsMessage reports whether p contains a message.
func (p *Part) IsMessage() bool { return p.Message != nil }

// IsLeaf reports whether p is neither a multipart nor a message: whether BINARY
// may be asked of it (RFC 9051 §6.4.5).
func (p *Part) IsLeaf() bool { return !p.IsMultipart() && !p.IsMessage() }

// IsText reports whether p is of type text/*.
func (p *Part) IsText() bool { return equalFold(p.Type, "text") }

// Param returns the value of the first parameter called name (lower case).
func (p *Part) Param(name string) (string, bool) { return findParam(p.Params, name) }

// Filename returns the name that the part is to be saved under, or "".
func (p *Part) Filename() string {
	for _, ps := range [...][]Param{p.DispParams, p.Params} {
		for _, name := range [...]string{"filename*", "filename", "name*", "name"} {
			v, ok := findParam(ps, name)
			if !ok {
				continue
			}
			if name[len(name)-1] == '*' {
				if charset, rest := cutCharset([]byte(v)); charset != "" {
					if u, ok := toUTF8(charset, unpercent(rest)); ok {
						return string(u)
					}
				}
				return v
			}
			return DecodeText([]byte(v))
		}
	}
	return ""
}

// Walk calls f for p and everything below it in the order of the file, until f
// returns false.
func (p *Part) Walk(f func(*Part) bool) bool {
	if !f(p) {
		return false
	}
	if p.Message != nil {
		return p.Message.Walk(f)
	}
	for _, c := range p.Children {
		if !c.Walk(f) {
			return false
		}
	}
	return true
}

func findParam(ps []Param, name string) (string, bool) {
	for i := range ps {
		if equalFold(ps[i].Name, name) {
			return ps[i].Value, true
		}
	}
	return "", false
}

// equalFold compares ASCII without case; lower is lower case. Unlike
// strings.EqualFold it does not take a long s for an s.
func equalFold[S string | []byte](s S, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if lowerASCII(s[i]) != lower[i] {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
