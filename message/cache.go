package message

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// Version is the first octet of the binary form. It rises with every change of
// the form, of the dictionary, or of what Parse makes of a message in a way that
// clients could see.
const Version = 1

// The binary form, all numbers as unsigned varints:
//
//	version octet, envelope of the root (length, octets), number of parts, root
//	part: flags octet, header start, stored header and body octets, bare LFs in
//	each, lines, type, subtype, encoding, parameters, what the flags say in
//	their order, then the children (number first) or the message
//	string: index into dictionary, or its size + length, then octets

const (
	flagMultipart = 1 << iota
	flagMessage
	flagID
	flagDescription
	flagMD5
	flagLocation
	flagDisposition
	flagLanguage
)

// dictionary must not change without Version.
var dictionary = [...]string{
	"", "text", "plain", "html", "7BIT", "8BIT", "BASE64", "QUOTED-PRINTABLE", "BINARY",
	"multipart", "mixed", "alternative", "related", "signed", "report",
	"charset", "utf-8", "UTF-8", "us-ascii", "iso-8859-1", "ISO-8859-1", "US-ASCII", "boundary",
	"application", "octet-stream", "pdf", "image", "png", "jpeg", "gif", "message", "rfc822",
	"attachment", "inline", "filename", "name", "format", "flowed", "pgp-signature",
	"delivery-status", "protocol", "micalg", "type", "text/html", "delsp", "yes", "windows-1252",
}

var dictionaryIndex = func() map[string]uint64 {
	m := make(map[string]uint64, len(dictionary))
	for i, s := range dictionary {
		m[s] = uint64(i)
	}
	return m
}()

// AppendBinary appends the tree below the root p in a compact form that
// ParseBinary reads: everything that sections, sizes, ENVELOPE, BODY and
// BODYSTRUCTURE need.
func (p *Part) AppendBinary(dst []byte) []byte {
	dst = append(dst, Version)
	dst = binary.AppendUvarint(dst, uint64(len(p.envelope)))
	dst = append(dst, p.envelope...)
	n := uint64(0)
	p.Walk(func(*Part) bool { n++; return true })
	dst = binary.AppendUvarint(dst, n)
	return p.appendBinary(dst)
}

func (p *Part) appendBinary(dst []byte) []byte {
	flags := byte(0)
	for i, set := range [...]bool{p.IsMultipart(), p.Message != nil, p.ID.Present, p.Description.Present,
		p.MD5.Present, p.Location.Present, p.Disposition != "", len(p.Language) > 0} {
		if set {
			flags |= 1 << i
		}
	}
	dst = append(dst, flags)
	for _, n := range [...]int64{p.Header, p.Body - p.Header, p.End - p.Body,
		p.HeaderSize - (p.Body - p.Header), p.BodySize - (p.End - p.Body), p.Lines} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = appendDictString(dst, p.Type)
	dst = appendDictString(dst, p.Subtype)
	dst = appendDictString(dst, p.Encoding)
	dst = appendDictParams(dst, p.Params)
	for _, s := range [...]NString{p.ID, p.Description, p.MD5, p.Location} {
		if s.Present {
			dst = appendDictString(dst, s.Value)
		}
	}
	if p.Disposition != "" {
		dst = appendDictString(dst, p.Disposition)
		dst = appendDictParams(dst, p.DispParams)
	}
	if len(p.Language) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(p.Language)))
		for _, s := range p.Language {
			dst = appendDictString(dst, s)
		}
	}
	if p.Message != nil {
		dst = binary.AppendUvarint(dst, uint64(len(p.Message.envelope)))
		dst = append(dst, p.Message.envelope...)
		return p.Message.appendBinary(dst)
	}
	if p.IsMultipart() {
		dst = binary.AppendUvarint(dst, uint64(len(p.Children)))
	}
	for _, c := range p.Children {
		dst = c.appendBinary(dst)
	}
	return dst
}

func appendDictString(dst []byte, s string) []byte {
	if i, ok := dictionaryIndex[s]; ok {
		return binary.AppendUvarint(dst, i)
	}
	dst = binary.AppendUvarint(dst, uint64(len(dictionary)+len(s)))
	return append(dst, s...)
}

func appendDictParams(dst []byte, ps []Param) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ps)))
	for _, p := range ps {
		dst = appendDictString(dst, p.Name)
		dst = appendDictString(dst, p.Value)
	}
	return dst
}

// BinaryEnvelope returns ENVELOPE, in wire form, of a binary form without
// reading the rest of it; it is part of b. ok is false if b is none.
func BinaryEnvelope(b []byte) (envelope []byte, ok bool) {
	if len(b) == 0 || b[0] != Version {
		return nil, false
	}
	n, k := binary.Uvarint(b[1:])
	if k <= 0 || n > uint64(len(b)-1-k) {
		return nil, false
	}
	return b[1+k : 1+k+int(n)], n > 0
}

// ParseBinary reads what AppendBinary wrote; b is not kept. Any other input is
// ErrVersion or ErrFormat, in bounded time and memory; a tree that it returns
// has its offsets nested and inside the message.
func ParseBinary(b []byte) (*Part, error) {
	var p BinaryParser
	root, err := p.Parse(b)
	if err != nil {
		return nil, err
	}
	env, _ := BinaryEnvelope(b)
	root.envelope = bytes.Clone(env)
	return root, nil
}

// A BinaryParser is ParseBinary for many messages, one after the other: its
// memory is used again. The zero BinaryParser is ready.
type BinaryParser struct {
	parts    []Part
	pointers []*Part
	params   []Param
}

// maxKeptParts bounds the memory that a BinaryParser keeps.
const maxKeptParts = 64

// Parse is ParseBinary, but for the envelope of the root, which it leaves out.
// The tree is valid until the next call.
func (p *BinaryParser) Parse(b []byte) (*Part, error) {
	if len(b) == 0 || b[0] != Version {
		return nil, ErrVersion
	}
	env, ok := BinaryEnvelope(b)
	if !ok {
		return nil, fmt.Errorf("message: read envelope: %w", ErrFormat)
	}
	rd := binaryReader{s: string(b[1+uvarintLen(uint64(len(env)))+len(env):]), list: p.params[:0]}
	n := rd.count(maxCacheParts, 11)
	if rd.bad || n == 0 {
		return nil, fmt.Errorf("message: read parts: %w", ErrFormat)
	}
	if n > maxKeptParts {
		*p = BinaryParser{}
		rd.parts, rd.pointers = make([]Part, 0, n), make([]*Part, 0, n)
	} else {
		if cap(p.parts) < n {
			p.parts, p.pointers = make([]Part, 0, n), make([]*Part, 0, n)
		}
		// capacities bound what the form may hold
		rd.parts, rd.pointers = p.parts[:0:n], p.pointers[:0:n]
	}
	root := rd.part(MaxDepth+1, 0, math.MaxInt64/4)
	if n <= maxKeptParts && cap(rd.list) <= 8*maxKeptParts {
		p.params = rd.list[:0]
	}
	if rd.bad || rd.i != len(rd.s) || len(rd.parts) != cap(rd.parts) {
		return nil, fmt.Errorf("message: read parts: %w", ErrFormat)
	}
	return root, nil
}

func uvarintLen(n uint64) int {
	l := 1
	for n >= 0x80 {
		n >>= 7
		l++
	}
	return l
}

// binaryReader is sticky: after an error it gives zeros.
type binaryReader struct {
	s        string
	i        int
	bad      bool
	parts    []Part // exactly as many as the form says
	pointers []*Part
	list     []Param // all parameters so far
}

func (r *binaryReader) uvarint() uint64 {
	var n uint64
	for shift := uint(0); shift < 63 && r.i < len(r.s); shift += 7 {
		c := r.s[r.i]
		r.i++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

// count reads a number of things that take at least size octets each.
func (r *binaryReader) count(most, size int) int {
	n := r.uvarint()
	if n > uint64(most) || n > uint64((len(r.s)-r.i)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *binaryReader) octets(n uint64) string {
	if n > uint64(len(r.s)-r.i) {
		r.bad = true
		return ""
	}
	s := r.s[r.i : r.i+int(n)]
	r.i += int(n)
	return s
}

func (r *binaryReader) string() string {
	n := r.uvarint()
	if n < uint64(len(dictionary)) {
		return dictionary[n]
	}
	return r.octets(n - uint64(len(dictionary)))
}

func (r *binaryReader) params() []Param {
	n := r.count(maxParams, 2)
	if n == 0 {
		return nil
	}
	from := len(r.list)
	for range n {
		name := r.string()
		r.list = append(r.list, Param{name, r.string()})
	}
	return r.list[from:len(r.list):len(r.list)] // stays where it is if list moves
}

func (r *binaryReader) nstring(present bool) NString {
	if !present {
		return NString{}
	}
	return NString{r.string(), true}
}

// size reads a number of octets that is at most most.
func (r *binaryReader) size(most int64) int64 {
	n := r.uvarint()
	if n > uint64(most) {
		r.bad = true
		return 0
	}
	return int64(n)
}

// part reads a part that lies in [from, to) of the file. The depth is bounded,
// and so is the number of calls by the capacity of parts.
func (r *binaryReader) part(depth int, from, to int64) *Part {
	if r.bad || depth == 0 || len(r.parts) == cap(r.parts) || r.i >= len(r.s) {
		r.bad = true
		return &Part{}
	}
	r.parts = append(r.parts, Part{})
	p := &r.parts[len(r.parts)-1]
	flags := r.s[r.i]
	r.i++
	p.Header = r.size(to)
	p.Body = p.Header + r.size(to-p.Header)
	p.End = p.Body + r.size(to-p.Body)
	p.HeaderSize = p.Body - p.Header + r.size(p.Body-p.Header)
	p.BodySize = p.End - p.Body + r.size(p.End-p.Body)
	p.Lines = r.size(p.End - p.Body)
	r.bad = r.bad || p.Header < from
	p.Type, p.Subtype, p.Encoding = r.string(), r.string(), r.string()
	p.Params = r.params()
	p.ID = r.nstring(flags&flagID != 0)
	p.Description = r.nstring(flags&flagDescription != 0)
	p.MD5 = r.nstring(flags&flagMD5 != 0)
	p.Location = r.nstring(flags&flagLocation != 0)
	if flags&flagDisposition != 0 {
		p.Disposition = r.string()
		p.DispParams = r.params()
		r.bad = r.bad || p.Disposition == ""
	}
	if flags&flagLanguage != 0 {
		p.Language = make([]string, r.count(maxParams, 1))
		for i := range p.Language {
			p.Language[i] = r.string()
		}
	}
	r.bad = r.bad || p.Type == "" || p.Subtype == "" || p.Encoding == ""
	switch {
	case flags&flagMessage != 0:
		env := r.octets(r.uvarint())
		p.Message = r.part(depth-1, p.Body, p.End)
		p.Message.envelope = []byte(env)
		r.bad = r.bad || env == "" || flags&flagMultipart != 0
	case flags&flagMultipart != 0:
		n := r.count(cap(r.parts)-len(r.parts), 11)
		r.bad = r.bad || n == 0 || len(r.pointers)+n > cap(r.pointers)
		if r.bad {
			break
		}
		k := len(r.pointers)
		r.pointers = r.pointers[:k+n]
		p.Children = r.pointers[k : k+n : k+n]
		at := p.Body
		for i := range p.Children {
			p.Children[i] = r.part(depth-1, at, p.End)
			at = p.Children[i].End
		}
	}
	return p
}
