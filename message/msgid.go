package message

// MessageIDs returns the ids in the raw value of a Message-ID, In-Reply-To or
// References field, without their angle brackets, in order, at most
// MaxMessageIDs, for threading (RFC 5256 §3). Quoted strings in them are
// normalised, white space and comments dropped, so that two ids are the same
// if they are equal. What is no id is skipped.
func MessageIDs(raw []byte) []string {
	var ids []string
	for i := 0; i < len(raw) && len(ids) < MaxMessageIDs; {
		switch raw[i] {
		case '(':
			i = skipComment(raw, i)
		case '<':
			id, next := messageID(raw, i+1)
			if id != "" {
				ids = append(ids, id)
			}
			i = next
		default:
			i++
		}
	}
	return ids
}

// messageID reads from behind "<". A "<" inside begins anew.
func messageID(raw []byte, i int) (id string, next int) {
	var a [128]byte
	out := a[:0]
	for i < len(raw) {
		switch c := raw[i]; {
		case c == '>':
			return string(out), i + 1
		case c == '<':
			out = out[:0]
			i++
		case isLWSP(c):
			i++
		case c == '"':
			out, i = appendQuoted(out, raw, i)
		default:
			out = append(out, c)
			i++
		}
	}
	return "", i
}
