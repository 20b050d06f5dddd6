package message

import "bytes"

// AddressKind says what an Address stands for.
type AddressKind uint8

const (
	AddressMailbox    AddressKind = iota
	AddressGroupStart             // Mailbox holds the name of the group
	AddressGroupEnd               // all fields are empty
)

// Hosts and mailboxes that are missing are named so on the wire, because NIL
// there would mean a group (RFC 9051 §7.5.2).
const (
	missingMailbox = "MISSING_MAILBOX"
	missingDomain  = "MISSING_DOMAIN"
)

// An Address is one element of an address list (RFC 5322 §3.4): unfolded,
// unquoted, encoded words still encoded. Mailbox and Host are empty if missing.
type Address struct {
	Kind    AddressKind
	Name    string // display name, or the comment that stands for it
	Route   string // obsolete source route, "@a,@b"
	Mailbox string
	Host    string
}

// ParseAddresses reads up to limit addresses (at most MaxAddresses) of the raw
// value of an address field. It takes any input, in linear time.
func ParseAddresses(raw []byte, limit int) []Address {
	var list []Address
	p := addressParser{left: min(limit, MaxAddresses)}
	p.parse(raw, func(a rawAddress) {
		list = append(list, Address{a.kind, string(a.name), string(a.route), string(a.mailbox), string(a.host)})
	})
	return list
}

// rawAddress is an Address whose fields are valid until the next one.
type rawAddress struct {
	kind                       AddressKind
	name, route, mailbox, host []byte
}

// addressParser holds the scratch of one list element.
type addressParser struct {
	left int // addresses that may still be read

	phrase  []byte
	last    int  // start of the last word of phrase
	quoted  bool // that word has a quoted string
	comment []byte
	local   []byte
	domain  []byte
	route   []byte
	angle   bool // an angle-addr was read
	at      bool // an @ was read outside of one
}

// size is what p holds in memory.
func (p *addressParser) size() int {
	return cap(p.phrase) + cap(p.local) + cap(p.domain) + cap(p.route)
}

func (p *addressParser) reset() {
	p.phrase, p.local, p.domain, p.route = p.phrase[:0], p.local[:0], p.domain[:0], p.route[:0]
	p.last, p.quoted, p.comment, p.angle, p.at = 0, false, nil, false, false
}

// parse emits the addresses of raw:
//
//	address-list = address *("," address)
//	address      = mailbox / group
//
// A group that is not closed ends with raw.
func (p *addressParser) parse(raw []byte, emit func(rawAddress)) {
	inGroup := false
	for i := 0; i < len(raw) && p.left > 0; {
		p.reset()
		var delim byte
		i, delim = p.element(raw, i, inGroup)
		switch {
		case delim == ':':
			p.left--
			inGroup = true
			emit(rawAddress{kind: AddressGroupStart, mailbox: p.phrase})
			continue
		case p.angle || p.at || len(p.phrase) > 0:
			p.left--
			p.finish(emit)
		}
		if delim == ';' && inGroup {
			inGroup = false
			emit(rawAddress{kind: AddressGroupEnd})
		}
	}
	if inGroup {
		emit(rawAddress{kind: AddressGroupEnd})
	}
}

// element reads up to the next delimiter: a comma, a semicolon (which some
// programs use for a comma), the colon of a group, or 0 for the end.
func (p *addressParser) element(raw []byte, i int, inGroup bool) (next int, delim byte) {
	space := false
	for i < len(raw) {
		switch c := raw[i]; {
		case isLWSP(c):
			space = true
			i++
		case c == '(':
			i = p.skipComment(raw, i)
			space = true
		case c == ',' || c == ';':
			return i + 1, c
		case c == ':' && !inGroup && !p.at && !p.angle:
			return i + 1, c
		case c == '<' && !p.angle:
			i = p.angleAddr(raw, i+1)
			p.angle = true
		case c == '@' && !p.angle:
			i = p.atDomain(raw, i+1)
			space = true
		case c == '"':
			n := len(p.phrase)
			p.word(space, c)
			p.quoted = true
			p.phrase, i = appendQuoted(p.phrase, raw, i)
			if p.angle { // behind the address
				p.phrase = p.phrase[:n]
			}
			space = false
		default:
			j := i + 1
			for j < len(raw) && !isLWSP(raw[j]) && !isAddressSpecial(raw[j]) {
				j++
			}
			if !p.angle {
				p.word(space, c)
				p.phrase = append(p.phrase, raw[i:j]...)
			}
			space = false
			i = j
		}
	}
	return i, 0
}

func isAddressSpecial(c byte) bool {
	switch c {
	case '(', ',', ';', ':', '<', '@', '"':
		return true
	}
	return false
}

// word prepares phrase for a word that begins with c. Words beside a dot belong
// together if this turns out to be a local part (obs-local-part).
func (p *addressParser) word(space bool, c byte) {
	if !space || len(p.phrase) == 0 {
		return
	}
	dot := c == '.' || p.phrase[len(p.phrase)-1] == '.'
	p.phrase = append(p.phrase, ' ')
	if !dot && !p.at {
		p.last, p.quoted = len(p.phrase), false
	}
}

func (p *addressParser) skipComment(raw []byte, i int) int {
	end := skipComment(raw, i)
	p.comment = raw[i+1 : end]
	if n := len(p.comment); n > 0 && p.comment[n-1] == ')' {
		p.comment = p.comment[:n-1]
	}
	return end
}

// atDomain reads the domain behind the @ of an addr-spec without angle
// brackets; phrase keeps all of it, in case it is the name before an angle-addr.
func (p *addressParser) atDomain(raw []byte, i int) int {
	if p.at { // a@b@c: everything before the last @ is the mailbox
		p.local = append(append(p.local, '@'), p.domain...)
		p.domain = p.domain[:0]
	} else {
		p.at = true
		for _, c := range p.phrase[p.last:] {
			if c != ' ' || p.quoted {
				p.local = append(p.local, c)
			}
		}
	}
	p.phrase = append(p.phrase, '@')
	i = p.readDomain(raw, i)
	p.phrase = append(p.phrase, p.domain...)
	return i
}

// readDomain appends a domain to p.domain, without white space and comments.
func (p *addressParser) readDomain(raw []byte, i int) int {
	gap := false
	for i < len(raw) {
		c := raw[i]
		switch {
		case isLWSP(c):
			gap = true
			i++
			continue
		case c == '(':
			gap = true
			i = p.skipComment(raw, i)
			continue
		case c == ',' || c == ';' || c == '<' || c == '>' || c == '"' || c == '@':
			return i
		}
		if n := len(p.domain); gap && n > 0 && c != '.' && p.domain[n-1] != '.' {
			return i // the next word is none of the domain
		}
		gap = false
		if c != '[' {
			p.domain = append(p.domain, c)
			i++
			continue
		}
		for i < len(raw) && raw[i] != ']' && raw[i] != ',' && raw[i] != '>' { // domain-literal
			if !isLWSP(raw[i]) {
				p.domain = append(p.domain, raw[i])
			}
			i++
		}
	}
	return i
}

// angleAddr reads what is between angle brackets, from behind the first:
//
//	angle-addr = "<" [obs-route] addr-spec ">"
//
// One that is not closed ends at the next comma or semicolon.
func (p *addressParser) angleAddr(raw []byte, i int) int {
	i = skipCFWS(raw, i)
	if i < len(raw) && raw[i] == '@' {
		// the search ends at the next "<" too, to stay linear
		if j := bytes.IndexAny(raw[i:], ":><"); j > 0 && raw[i+j] == ':' {
			for _, c := range raw[i : i+j] {
				if !isLWSP(c) {
					p.route = append(p.route, c)
				}
			}
			i += j + 1
		}
	}
	space, at := false, false
	p.local, p.domain = p.local[:0], p.domain[:0]
	for i < len(raw) {
		switch c := raw[i]; {
		case c == '>':
			return i + 1
		case c == ',' || c == ';':
			return i
		case isLWSP(c):
			space = true
			i++
		case c == '(':
			i = skipComment(raw, i)
		case c == '<':
			i++
		case c == '@':
			if at {
				p.local = append(append(p.local, '@'), p.domain...)
				p.domain = p.domain[:0]
			}
			at = true
			i = p.readDomain(raw, i+1)
		case at: // behind the domain
			i++
		case c == '"':
			p.local, i = appendQuoted(p.local, raw, i)
		default:
			if n := len(p.local); space && n > 0 && c != '.' && p.local[n-1] != '.' {
				p.local = append(p.local, ' ')
			}
			space = false
			p.local = append(p.local, c)
			i++
		}
	}
	return i
}

func (p *addressParser) finish(emit func(rawAddress)) {
	a := rawAddress{route: p.route, mailbox: p.local, host: p.domain}
	switch {
	case p.angle:
		a.name = p.phrase
	case p.at:
		a.name = p.phrase[:p.last]
	default:
		a.mailbox = p.phrase
	}
	a.name = trim(a.name)
	if len(a.name) == 0 && len(p.comment) > 0 {
		a.name = commentText(p.comment)
	}
	emit(a)
}

// commentText unfolds a comment and takes its backslashes out.
func commentText(c []byte) []byte {
	c = unfold(nil, c)
	if bytes.IndexByte(c, '\\') < 0 {
		return c
	}
	out := c[:0]
	for i := 0; i < len(c); i++ {
		if c[i] == '\\' && i+1 < len(c) {
			i++
		}
		out = append(out, c[i])
	}
	return out
}

// appendWire appends the addresses of raw:
//
//	address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"
func (p *addressParser) appendWire(dst, raw []byte) []byte {
	p.parse(raw, func(a rawAddress) {
		dst = append(dst, '(')
		dst = appendOrNIL(dst, a.name, "NIL")
		dst = append(dst, ' ')
		dst = appendOrNIL(dst, a.route, "NIL")
		dst = append(dst, ' ')
		switch a.kind {
		case AddressMailbox:
			dst = appendOrNIL(dst, a.mailbox, `"`+missingMailbox+`"`)
			dst = append(dst, ' ')
			dst = appendOrNIL(dst, a.host, `"`+missingDomain+`"`)
		case AddressGroupStart:
			dst = appendString(dst, a.mailbox)
			dst = append(dst, " NIL"...)
		case AddressGroupEnd:
			dst = append(dst, "NIL NIL"...)
		}
		dst = append(dst, ')')
	})
	return dst
}

func appendOrNIL(dst, s []byte, absent string) []byte {
	if len(s) == 0 {
		return append(dst, absent...)
	}
	return appendString(dst, s)
}
