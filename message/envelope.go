package message

import "bytes"

const emptyEnvelope = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"

// appendEnvelope appends ENVELOPE in wire form (RFC 9051 §7.5.2). Of repeated
// Date, Subject, In-Reply-To and Message-ID fields the last counts; repeated
// address fields are read as one, so that a second From cannot be hidden.
//
//	envelope = "(" env-date SP env-subject SP env-from SP env-sender SP
//	           env-reply-to SP env-to SP env-cc SP env-bcc SP
//	           env-in-reply-to SP env-message-id ")"
func appendEnvelope(dst []byte, h *headerFields) []byte {
	dst = append(dst, '(')
	dst = appendField(dst, h.last(fDate))
	dst = append(dst, ' ')
	dst = appendField(dst, h.last(fSubject))
	dst = append(dst, ' ')
	from := len(dst)
	dst = appendAddresses(dst, h, fFrom)
	fromEnd := len(dst)
	for _, f := range [...]field{fSender, fReplyTo} {
		dst = append(dst, ' ')
		n := len(dst)
		dst = appendAddresses(dst, h, f)
		if string(dst[n:]) == "NIL" {
			dst = append(dst[:n], dst[from:fromEnd]...)
		}
	}
	for _, f := range [...]field{fTo, fCc, fBcc} {
		dst = append(dst, ' ')
		dst = appendAddresses(dst, h, f)
	}
	dst = append(dst, ' ')
	dst = appendField(dst, h.last(fInReplyTo))
	dst = append(dst, ' ')
	dst = appendField(dst, h.last(fMessageID))
	return append(dst, ')')
}

func appendField(dst, raw []byte) []byte {
	if raw == nil {
		return append(dst, "NIL"...)
	}
	n := len(dst)
	dst = append(dst, '"')
	if dst = unfold(dst, raw); plain(dst[n+1:]) {
		return append(dst, '"')
	}
	return appendString(dst[:n], bytes.Clone(dst[n+1:]))
}

// appendAddresses appends env-from and its like:
//
//	"(" 1*address ")" / nil
func appendAddresses(dst []byte, h *headerFields, f field) []byte {
	n := len(dst)
	dst = append(dst, '(')
	p := &h.addresses
	p.left = MaxAddresses
	for _, s := range h.list {
		if s.field == f {
			dst = p.appendWire(dst, h.data[s.start:s.end])
		}
	}
	if len(dst) == n+1 {
		return append(dst[:n], "NIL"...)
	}
	return append(dst, ')')
}
