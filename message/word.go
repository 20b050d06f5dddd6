package message

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// DecodeText turns the raw value of a field into the text that it means:
// unfolded, white space in runs of one, encoded words decoded (RFC 2047), UTF-8.
// Text that is no UTF-8 and in no charset is kept as it is.
func DecodeText(raw []byte) string {
	return string(appendDecoded(nil, raw))
}

// appendDecoded appends DecodeText(raw) to dst.
func appendDecoded(dst, raw []byte) []byte {
	if bytes.Contains(raw, []byte("=?")) {
		raw = decodeWords(raw)
	}
	start, space := len(dst), false
	for len(raw) > 0 {
		if isLWSP(raw[0]) {
			space = true
			raw = raw[1:]
			continue
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		n := 1
		for n < len(raw) && !isLWSP(raw[n]) {
			n++
		}
		dst = append(dst, raw[:n]...)
		raw = raw[n:]
	}
	return dst
}

// A word is one encoded-word: its octets, not yet in UTF-8.
type word struct {
	charset string
	text    []byte
}

// decodeWords decodes the encoded words of raw. White space between two of them
// is dropped, and neighbours in one charset are joined before they are decoded,
// since programs cut characters in half (against RFC 2047 §5).
func decodeWords(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	var pending word
	flush := func() {
		if pending.text != nil {
			if u, ok := toUTF8(pending.charset, pending.text); ok {
				out = append(out, u...)
			} else {
				out = append(out, pending.text...)
			}
			pending = word{}
		}
	}
	for len(raw) > 0 {
		i := bytes.Index(raw, []byte("=?"))
		if i < 0 {
			break
		}
		w, n, ok := parseWord(raw[i:])
		if !ok {
			flush()
			out = append(out, raw[:i+2]...)
			raw = raw[i+2:]
			continue
		}
		if pending.text != nil && len(trim(raw[:i])) == 0 {
			if sameName(pending.charset, w.charset) {
				pending.text = append(pending.text, w.text...)
				raw = raw[i+n:]
				continue
			}
			flush()
		} else {
			flush()
			out = append(out, raw[:i]...)
		}
		pending = w
		raw = raw[i+n:]
	}
	flush()
	return append(out, raw...)
}

// maxWord is how long an encoded-word may be. The RFC says 75 octets; a search
// for its end must not run through the field each time.
const maxWord = 4096

// parseWord reads
//
//	encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="
//
// at the start of b (RFC 2047 §2, RFC 2231 §5); n is its length.
func parseWord(b []byte) (w word, n int, ok bool) {
	b = b[:min(len(b), maxWord)]
	i := bytes.IndexByte(b[2:min(len(b), 80)], '?')
	if i <= 0 || len(b) < i+6 || b[i+4] != '?' {
		return w, 0, false
	}
	charset := b[2 : i+2]
	if k := bytes.IndexByte(charset, '*'); k >= 0 {
		charset = charset[:k]
	}
	for _, c := range charset {
		if c <= ' ' || c >= 0x7f {
			return w, 0, false
		}
	}
	enc, text := b[i+3], b[i+5:]
	end := bytes.Index(text, []byte("?="))
	if end < 0 {
		return w, 0, false
	}
	n = i + 5 + end + 2
	text = text[:end]
	switch enc {
	case 'q', 'Q':
		w.text = decodeQ(text)
	case 'b', 'B':
		w.text = appendBase64(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))+1), text)
	default:
		return w, 0, false
	}
	w.charset = string(charset)
	return w, n, true
}

func decodeQ(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(text) && unhex[text[i+1]] >= 0 && unhex[text[i+2]] >= 0:
			out = append(out, byte(unhex[text[i+1]])<<4|byte(unhex[text[i+2]]))
			i += 2
		case c == '\r' || c == '\n':
		default:
			out = append(out, c)
		}
	}
	return out
}

// fullRunes returns how much of b is left when a rune that is cut off at its
// end is taken away.
func fullRunes(b []byte) int {
	for i := 1; i <= min(len(b), utf8.UTFMax-1); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if c >= 0xc0 && !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}
