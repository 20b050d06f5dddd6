package message

import "bytes"

// FieldSeparator stands before each value in what a FieldText makes. No text to
// be searched for holds it, as it is no UTF-8.
const FieldSeparator = 0xff

// A FieldText turns raw values of header fields into what SEARCH looks into
// (RFC 9051 §6.4.4). Its scratch is used again: one goroutine at a time.
type FieldText struct {
	Compare Comparator
	scratch []byte
}

// Append appends DecodeText(raw) as Compare maps it, and the same with white
// space as it was written if that is another: nobody sees how wide it is.
func (t *FieldText) Append(dst, raw []byte) []byte {
	t.scratch = appendDecoded(t.scratch[:0], raw)
	n := len(t.scratch)
	dst = t.Compare.appendMap(append(dst, FieldSeparator), t.scratch)
	t.scratch = appendSpaced(t.scratch, raw)
	if spaced := t.scratch[n:]; len(spaced) > 0 && !bytes.Equal(spaced, t.scratch[:n]) {
		dst = t.Compare.appendMap(append(dst, FieldSeparator), spaced)
	}
	return dst
}

// appendSpaced appends the text of a field, unfolded and decoded, with its white
// space as it is; nothing if DecodeText is surely the same.
func appendSpaced(dst, raw []byte) []byte {
	raw = trim(raw)
	switch {
	case bytes.Contains(raw, []byte("=?")):
		raw = decodeWords(raw)
	case bytes.IndexByte(raw, '\t') < 0 && !bytes.Contains(raw, []byte("  ")):
		return dst
	}
	return unfold(dst, raw)
}

// AppendAddresses is Append for fields that hold addresses. Keys that look into
// them look for names and addresses, however they are written: behind the text
// comes the text without what quotes, unless that is the same.
func (t *FieldText) AppendAddresses(dst, raw []byte) []byte {
	start := len(dst)
	dst = t.Append(dst, raw)
	if bytes.IndexByte(dst[start:], '"') < 0 && bytes.IndexByte(dst[start:], '\\') < 0 {
		return dst
	}
	for _, c := range dst[start:] {
		if c != '"' && c != '\\' {
			dst = append(dst, c)
		}
	}
	return dst
}

// Keys gives what to look for in a FieldText to find text: text mapped, and for
// addresses text without what quotes too, if that is another and not empty.
func (t *FieldText) Keys(text string, addresses bool) [][]byte {
	key := t.Compare.appendMap(nil, []byte(text))
	keys := [][]byte{key}
	if addresses && bytes.ContainsAny(key, `"\`) {
		var plain []byte
		for _, c := range key {
			if c != '"' && c != '\\' {
				plain = append(plain, c)
			}
		}
		if len(bytes.TrimSpace(plain)) > 0 {
			keys = append(keys, plain)
		}
	}
	return keys
}
