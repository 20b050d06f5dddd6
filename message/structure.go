package message

import "strconv"

// AppendEnvelope appends the ENVELOPE of p in wire form (RFC 9051 §7.5.2). p is
// the root or the Message of a part; of any other part the fields are NIL.
func (p *Part) AppendEnvelope(dst []byte) []byte {
	if p.envelope == nil {
		return append(dst, emptyEnvelope...)
	}
	return append(dst, p.envelope...)
}

// AppendBody appends BODY of p in wire form: without extension data.
//
//	body = "(" (body-type-1part / body-type-mpart) ")"
func (p *Part) AppendBody(dst []byte) []byte { return p.appendBody(dst, false) }

// AppendBodyStructure appends BODYSTRUCTURE of p in wire form.
func (p *Part) AppendBodyStructure(dst []byte) []byte { return p.appendBody(dst, true) }

// appendBody recurses at most MaxDepth deep.
func (p *Part) appendBody(dst []byte, ext bool) []byte {
	dst = append(dst, '(')
	if p.IsMultipart() {
		for _, c := range p.Children {
			dst = c.appendBody(dst, ext)
		}
		dst = append(dst, ' ')
		dst = appendString(dst, p.Subtype)
		if ext {
			dst = append(dst, ' ')
			dst = appendParams(dst, p.Params)
			dst = p.appendExtension(dst)
		}
		return append(dst, ')')
	}
	dst = p.appendFields(dst)
	switch {
	case p.Message != nil:
		dst = append(dst, ' ')
		dst = p.Message.AppendEnvelope(dst)
		dst = append(dst, ' ')
		dst = p.Message.appendBody(dst, ext)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.Lines, 10)
	case p.IsText():
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.Lines, 10)
	}
	if ext {
		dst = append(dst, ' ')
		dst = appendNString(dst, p.MD5)
		dst = p.appendExtension(dst)
	}
	return append(dst, ')')
}

// appendFields appends
//
//	media-type SP body-fields
//
// A text part without a charset is in US-ASCII (RFC 2046 §4.1.2).
func (p *Part) appendFields(dst []byte) []byte {
	dst = appendString(dst, p.Type)
	dst = append(dst, ' ')
	dst = appendString(dst, p.Subtype)
	dst = append(dst, ' ')
	dst = p.appendTypeParams(dst)
	dst = append(dst, ' ')
	dst = appendNString(dst, p.ID)
	dst = append(dst, ' ')
	dst = appendNString(dst, p.Description)
	dst = append(dst, ' ')
	dst = appendString(dst, p.Encoding)
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, p.BodySize, 10)
}

func (p *Part) appendTypeParams(dst []byte) []byte {
	if !p.IsText() {
		return appendParams(dst, p.Params)
	}
	if _, ok := p.Param("charset"); ok {
		return appendParams(dst, p.Params)
	}
	const ascii = `("charset" "us-ascii"`
	if len(p.Params) == 0 {
		return append(dst, ascii+")"...)
	}
	dst = append(dst, ascii+" "...)
	n := len(dst)
	dst = appendParams(dst, p.Params)
	return append(dst[:n], dst[n+1:]...) // without its opening bracket
}

// appendExtension appends disposition, language and location.
func (p *Part) appendExtension(dst []byte) []byte {
	if p.Disposition == "" {
		dst = append(dst, " NIL "...)
	} else {
		dst = append(dst, " ("...)
		dst = appendString(dst, p.Disposition)
		dst = append(dst, ' ')
		dst = appendParams(dst, p.DispParams)
		dst = append(dst, ") "...)
	}
	switch len(p.Language) {
	case 0:
		dst = append(dst, "NIL"...)
	case 1:
		dst = appendString(dst, p.Language[0])
	default:
		for i, tag := range p.Language {
			dst = append(dst, "( "[min(i, 1)])
			dst = appendString(dst, tag)
		}
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	return appendNString(dst, p.Location)
}
