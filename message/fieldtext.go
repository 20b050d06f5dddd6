package message

import "bytes"

// FieldSeparator stands before each value in what a FieldText makes. No text to
// be searched for holds it, as it is no UTF-8.
const FieldSeparator = 0xff

// A FieldText turns raw values of header fields into what SEARCH looks into
// (RFC 9051 §6.4.4). Its scratch is used again: one goroutine at a time.
type FieldText struct {
	Compare Comparator
	decoded []byte
}

// Append appends a FieldSeparator and DecodeText(raw) as Compare maps it.
func (t *FieldText) Append(dst, raw []byte) []byte {
	t.decoded = appendDecoded(t.decoded[:0], raw)
	return t.Compare.appendMap(append(dst, FieldSeparator), t.decoded)
}

// AppendAddresses is Append for fields that hold addresses. Keys that look into
// them look for names and addresses, however they are written: behind the
// value comes, after another FieldSeparator, the value without what quotes,
// unless that is the same.
func (t *FieldText) AppendAddresses(dst, raw []byte) []byte {
	start := len(dst)
	dst = t.Append(dst, raw)
	if bytes.IndexByte(dst[start:], '"') < 0 && bytes.IndexByte(dst[start:], '\\') < 0 {
		return dst
	}
	end := len(dst)
	dst = append(dst, FieldSeparator)
	for i := start + 1; i < end; i++ {
		if c := dst[i]; c != '"' && c != '\\' {
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
