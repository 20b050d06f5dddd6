package message

import (
	"bytes"
	"sort"
)

// parseMediaType reads type "/" subtype (RFC 2045 §5.1). t is nil if there is
// no type, sub is nil if there is no subtype; rest are the parameters.
func parseMediaType(raw []byte) (t, sub, rest []byte) {
	i := skipCFWS(raw, 0)
	j := i
	for j < len(raw) && isToken(raw[j]) {
		j++
	}
	if j == i {
		return nil, nil, nil
	}
	t = raw[i:j]
	i = skipCFWS(raw, j)
	if i == len(raw) || raw[i] != '/' {
		return t, nil, raw[i:]
	}
	i = skipCFWS(raw, i+1)
	for j = i; j < len(raw) && (isToken(raw[j]) || raw[j] == '/'); {
		j++
	}
	if j == i {
		return t, nil, raw[i:]
	}
	return t, raw[i:j], raw[j:]
}

// encoding reads a Content-Transfer-Encoding: upper case, without comments.
func (p *parser) encoding(raw []byte) []byte {
	i := skipCFWS(raw, 0)
	j := i
	for j < len(raw) && isToken(raw[j]) {
		j++
	}
	if i == j {
		return []byte("7BIT")
	}
	p.scratch = append(p.scratch[:0], raw[i:j]...)
	for k, c := range p.scratch {
		if 'a' <= c && c <= 'z' {
			p.scratch[k] = c - 'a' + 'A'
		}
	}
	return p.scratch
}

func (p *parser) disposition(raw []byte) (string, []Param) {
	i := skipCFWS(raw, 0)
	j := i
	for j < len(raw) && isToken(raw[j]) {
		j++
	}
	if i == j {
		return "", nil
	}
	return p.keep(raw[i:j]), p.params(raw[j:])
}

// languages reads the tags of a Content-Language field (RFC 3282 §2).
func (p *parser) languages(raw []byte) []string {
	var tags []string
	for i := skipCFWS(raw, 0); i < len(raw) && len(tags) < maxParams; i = skipCFWS(raw, i) {
		j := i
		for j < len(raw) && isToken(raw[j]) {
			j++
		}
		if j == i {
			i++
			continue
		}
		if s := p.keep(raw[i:j]); s != "" {
			tags = append(tags, s)
		}
		i = j
	}
	return tags
}

// A rawParam is a parameter before RFC 2231 pieces are joined.
type rawParam struct {
	name    string // without section
	value   []byte
	section int // -1: not a piece
	ext     bool
}

// params reads up to maxParams parameters, and joins those that RFC 2231 §3
// cut in pieces. A name*=charset'language'value in one piece is left to the
// client, which every client with RFC 2231 understands, as of other servers.
func (p *parser) params(b []byte) []Param {
	if len(trim(b)) == 0 {
		return nil
	}
	p.scratch = p.scratch[:0]
	raw := p.raw[:0]
	defer func() { p.raw = raw[:0] }()
	pieces := false
	for i := 0; i < len(b) && len(raw) < maxParams; {
		var rp rawParam
		var ok bool
		if rp, i, ok = p.param(b, i); ok {
			raw = append(raw, rp)
			pieces = pieces || rp.section >= 0
		}
	}
	list := make([]Param, 0, len(raw))
	if !pieces {
		for _, r := range raw {
			list = append(list, Param{r.name, p.keep(r.value)})
		}
		return list
	}
	for i, r := range raw {
		switch {
		case r.section < 0:
			list = append(list, Param{r.name, p.keep(r.value)})
		case firstPiece(raw, i):
			if joined := collect(raw, r.name); len(joined) > 0 {
				list = append(list, p.decoded(r.name, joined))
			}
		}
	}
	return list
}

func firstPiece(raw []rawParam, i int) bool {
	for _, r := range raw[:i] {
		if r.section >= 0 && sameName(r.name, raw[i].name) {
			return false
		}
	}
	return true
}

func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}

// collect gives the pieces 0, 1, 2, ... of name in that order, whatever their
// order in the field; it stops at the first that is missing.
func collect(raw []rawParam, name string) []rawParam {
	var list []rawParam
	for _, r := range raw {
		if r.section >= 0 && sameName(r.name, name) {
			list = append(list, r)
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].section < list[j].section })
	n := 0
	for _, r := range list {
		if r.section == n {
			list[n] = r
			n++
		} else if r.section > n {
			break
		}
	}
	return list[:n]
}

// decoded joins pieces. If one is extended the value is UTF-8 and the name gets
// a "*" (RFC 9051 §7.5.2); of an unknown charset it has the octets.
func (p *parser) decoded(name string, pieces []rawParam) Param {
	ext := false
	for _, r := range pieces {
		ext = ext || r.ext
	}
	var charset string
	var out []byte
	for k, r := range pieces {
		v := r.value
		if r.ext {
			if k == 0 {
				charset, v = cutCharset(v)
			}
			v = unpercent(v)
		}
		out = append(out, v...)
	}
	if !ext {
		return Param{name, p.keep(out)}
	}
	if u, ok := toUTF8(charset, out); ok {
		out = u
	}
	return Param{name + "*", p.keep(out)}
}

// cutCharset splits charset'language'value (RFC 2231 §4).
func cutCharset(v []byte) (charset string, rest []byte) {
	i := bytes.IndexByte(v, '\'')
	if i < 0 {
		return "", v
	}
	j := bytes.IndexByte(v[i+1:], '\'')
	if j < 0 {
		return "", v
	}
	return string(v[:i]), v[i+j+2:]
}

func unpercent(v []byte) []byte {
	if bytes.IndexByte(v, '%') < 0 {
		return v
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) && unhex[v[i+1]] >= 0 && unhex[v[i+2]] >= 0 {
			out = append(out, byte(unhex[v[i+1]])<<4|byte(unhex[v[i+2]]))
			i += 2
			continue
		}
		out = append(out, v[i])
	}
	return out
}

// param reads one parameter at b[i:]; ok is false if there is none up to the
// next semicolon. It always moves on.
func (p *parser) param(b []byte, i int) (rp rawParam, next int, ok bool) {
	for i = skipCFWS(b, i); i < len(b) && b[i] == ';'; {
		i = skipCFWS(b, i+1)
	}
	j := i
	for j < len(b) && (isToken(b[j]) || b[j] == '/') {
		j++
	}
	name := b[i:j]
	k := skipCFWS(b, j)
	if len(name) == 0 || k == len(b) || b[k] != '=' {
		if k = bytes.IndexByte(b[j:], ';'); k < 0 {
			return rp, len(b), false
		}
		return rp, j + k + 1, false
	}
	rp = rawParam{section: -1}
	rp.value, next = p.paramValue(b, k+1)
	base := name
	if n := len(base); n > 1 && base[n-1] == '*' {
		base, rp.ext = base[:n-1], true
	}
	if s := bytes.LastIndexByte(base, '*'); s > 0 {
		if n, valid := section(base[s+1:]); valid {
			base, rp.section = base[:s], n
		}
	}
	if rp.section < 0 {
		base, rp.ext = name, false // what is in one piece stays as it is
	}
	rp.name = p.keep(base)
	return rp, next, rp.name != ""
}

func section(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 3 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n < maxParams
}

// paramValue reads a quoted string, or all up to the next semicolon: file names
// with spaces and brackets often come without quotes.
// The value is in p.scratch.
func (p *parser) paramValue(b []byte, i int) (value []byte, next int) {
	i = skipCFWS(b, i)
	n := len(p.scratch)
	if i < len(b) && b[i] == '"' {
		p.scratch, next = appendQuoted(p.scratch, b, i)
		return p.scratch[n:len(p.scratch):len(p.scratch)], next
	}
	j, next := i, -1
	for tried := false; j < len(b) && b[j] != ';'; j++ {
		if b[j] == '(' && !tried && j > i && isLWSP(b[j-1]) {
			tried = true
			k := skipCFWS(b, j)
			if k == len(b) || b[k] == ';' { // else it is part of the value
				next = k
				break
			}
		}
	}
	p.scratch = unfold(p.scratch, b[i:j])
	value = p.scratch[n:len(p.scratch):len(p.scratch)]
	return value, max(j, next)
}
