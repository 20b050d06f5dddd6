package message

import "bytes"

// A field is one header field that the parser understands.
type field uint8

const (
	fNone field = iota
	fDate
	fSubject
	fFrom
	fSender
	fReplyTo
	fTo
	fCc
	fBcc
	fInReplyTo
	fMessageID
	fType
	fEncoding
	fID
	fDescription
	fMD5
	fDisposition
	fLanguage
	fLocation
)

// span is a range of headerFields.data: the raw value of one field.
type span struct {
	field      field
	start, end int
}

// headerFields are the fields of one header block, in its order.
type headerFields struct {
	data []byte
	list []span
	open bool // continuation lines belong to the last of list

	addresses addressParser // scratch
}

func (h *headerFields) reset() { h.list, h.open = h.list[:0], false }

// line takes the line data[i:end] of a header block.
func (h *headerFields) line(data []byte, i, end int, message bool) {
	if c := data[i]; c == ' ' || c == '\t' {
		if h.open {
			h.list[len(h.list)-1].end = end
		}
		return
	}
	h.open = false
	line := data[i:min(end, i+64)]
	colon := bytes.IndexByte(line, ':')
	if colon < 2 {
		return
	}
	f := identify(trimRight(line[:colon]))
	if f == fNone || f < fType && !message {
		return
	}
	h.open = true
	h.list = append(h.list, span{f, i + colon + 1, end})
}

func identify(name []byte) field {
	var want string
	var f field
	switch len(name) {
	case 2:
		if equalFold(name, "cc") {
			return fCc
		}
		want, f = "to", fTo
	case 3:
		want, f = "bcc", fBcc
	case 4:
		if equalFold(name, "date") {
			return fDate
		}
		want, f = "from", fFrom
	case 6:
		want, f = "sender", fSender
	case 7:
		want, f = "subject", fSubject
	case 8:
		want, f = "reply-to", fReplyTo
	case 10:
		if equalFold(name, "message-id") {
			return fMessageID
		}
		want, f = "content-id", fID
	case 11:
		if equalFold(name, "in-reply-to") {
			return fInReplyTo
		}
		want, f = "content-md5", fMD5
	case 12:
		want, f = "content-type", fType
	case 16:
		if equalFold(name, "content-language") {
			return fLanguage
		}
		want, f = "content-location", fLocation
	case 19:
		if equalFold(name, "content-description") {
			return fDescription
		}
		want, f = "content-disposition", fDisposition
	case 25:
		want, f = "content-transfer-encoding", fEncoding
	default:
		return fNone
	}
	if equalFold(name, want) {
		return f
	}
	return fNone
}

// last returns the raw value of the last field f, nil if there is none.
func (h *headerFields) last(f field) []byte {
	for i := len(h.list) - 1; i >= 0; i-- {
		if s := h.list[i]; s.field == f {
			return h.data[s.start:s.end:s.end]
		}
	}
	return nil
}

// first is last from the other end: the first Content-Type is the one that
// every other reader of the message goes by.
func (h *headerFields) first(f field) []byte {
	for _, s := range h.list {
		if s.field == f {
			return h.data[s.start:s.end:s.end]
		}
	}
	return nil
}

// fill gives f.part what its header fields say.
func (p *parser) fill(f *frame, digest bool) {
	part, h := f.part, &p.fields
	if part.Encoding = p.keep(p.encoding(h.first(fEncoding))); part.Encoding == "" {
		part.Encoding = "UNKNOWN"
	}
	p.contentType(part, h.first(fType), digest)
	if v := h.first(fDisposition); v != nil {
		part.Disposition, part.DispParams = p.disposition(v)
	}
	part.ID = p.nstring(h.first(fID))
	part.Description = p.nstring(h.first(fDescription))
	part.MD5 = p.nstring(h.first(fMD5))
	part.Location = p.nstring(h.first(fLocation))
	if v := h.first(fLanguage); v != nil {
		part.Language = p.languages(v)
	}
	p.structure(f)
	if f.message {
		p.out = appendEnvelope(p.out[:0], h)
		if len(p.out) <= p.kept {
			p.kept -= len(p.out)
			part.envelope = bytes.Clone(p.out)
		} else {
			part.envelope = []byte(emptyEnvelope)
		}
	}
}

// contentType sets type and parameters, by default text/plain, in a digest
// message/rfc822 (RFC 2046 §5.1.5).
func (p *parser) contentType(part *Part, raw []byte, digest bool) {
	part.Type, part.Subtype = "text", "plain"
	if digest {
		part.Type, part.Subtype = "message", "rfc822"
	}
	if raw == nil {
		return
	}
	t, sub, rest := parseMediaType(raw)
	if t == nil || sub == nil && !equalFold(t, "multipart") {
		return
	}
	part.Type = p.keep(t)
	part.Subtype = p.keep(sub)
	if part.Type == "" {
		part.Type = "text"
	}
	if part.Subtype == "" {
		part.Subtype = "mixed"
	}
	part.Params = p.params(rest)
}

// structure decides whether the part may contain others.
func (p *parser) structure(f *frame) {
	part := f.part
	deep := len(p.stack) >= MaxDepth || p.parts >= MaxParts
	switch {
	case part.isMultipartType():
		b, _ := part.Param("boundary")
		switch {
		case deep:
			part.Type, part.Subtype, part.Params = "application", "octet-stream", nil
		case b == "":
			part.Type, part.Subtype, part.Params = "text", "plain", nil
		default:
			f.boundary = []byte(b[:min(len(b), maxBoundary)])
			f.digest = equalFold(part.Subtype, "digest")
			p.open++
		}
	case equalFold(part.Type, "message") && (equalFold(part.Subtype, "rfc822") || equalFold(part.Subtype, "global")):
		if deep || !part.isContainer() {
			part.Type, part.Subtype, part.Params = "application", "octet-stream", nil
		}
	}
}

// nstring keeps the unfolded value of a field.
func (p *parser) nstring(raw []byte) NString {
	if raw == nil {
		return NString{}
	}
	v := unfold(p.scratch[:0], raw)
	p.scratch = v
	s := p.keep(v)
	return NString{s, s != "" || len(v) == 0}
}

// keep copies b, unless the message used up what may be kept of it.
func (p *parser) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := common[string(b)]; ok {
		return s
	}
	if len(b) > p.kept {
		return ""
	}
	p.kept -= len(b)
	return string(b)
}

// common are strings that need no memory of their own.
var common = func() map[string]string {
	m := map[string]string{}
	for _, s := range []string{
		"text", "plain", "html", "multipart", "mixed", "alternative", "related", "signed", "report",
		"application", "octet-stream", "pdf", "zip", "pgp-signature", "image", "png", "jpeg", "gif",
		"message", "rfc822", "delivery-status", "attachment", "inline", "filename", "name", "boundary",
		"charset", "utf-8", "UTF-8", "us-ascii", "US-ASCII", "iso-8859-1", "ISO-8859-1", "windows-1252",
		"format", "flowed", "delsp", "yes", "protocol", "micalg", "type", "text/html", "calendar", "method",
		"7BIT", "8BIT", "BINARY", "BASE64", "QUOTED-PRINTABLE",
	} {
		m[s] = s
	}
	return m
}()
