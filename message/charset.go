package message

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// charsets are names that the indexes of x/text do not know, or know otherwise
// than mail means them. UTF-8 and US-ASCII need no decoder.
var charsets = map[string]encoding.Encoding{
	"":                  nil,
	"us-ascii":          nil,
	"ascii":             nil,
	"ansi_x3.4-1968":    nil,
	"utf-8":             nil,
	"utf8":              nil,
	"unicode-1-1-utf-8": nil,
	"x-utf_8j":          nil,
	"ansi_x3.110-1983":  charmap.ISO8859_1,   // RFC 1345, mostly a superset of it
	"iso-8859-1":        charmap.Windows1252, // what programs write under that name, and browsers read
	"latin1":            charmap.Windows1252,
	"utf-16":            unicode.UTF16(unicode.BigEndian, unicode.UseBOM), // RFC 2781 §4.3
}

// lookupCharset finds the decoder for a charset; nil with ok means that text in
// it is UTF-8 as it is. Any name is taken, and none ever fails a caller: text in
// an unknown charset is used as the octets that it is.
func lookupCharset(name string) (enc encoding.Encoding, ok bool) {
	if len(name) > 64 {
		return nil, false
	}
	name = strings.ToLower(strings.TrimSpace(name))
	if enc, ok = charsets[name]; ok {
		return enc, true
	}
	// the orders matter: ianaindex gives a nil Encoding for what it knows but
	// has no decoder for
	if enc, err := ianaindex.MIME.Encoding(name); err == nil && enc != nil {
		return enc, true
	}
	if enc, err := ianaindex.MIME.Encoding("cs" + name); err == nil && enc != nil {
		return enc, true
	}
	if enc, err := htmlindex.Get(name); err == nil && enc != nil && enc != encoding.Replacement {
		return enc, true
	}
	return nil, false
}

// toUTF8 decodes b; ok is false if the charset is unknown.
func toUTF8(charset string, b []byte) ([]byte, bool) {
	enc, ok := lookupCharset(charset)
	if !ok {
		return nil, false
	}
	if enc == nil {
		return b, true
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return nil, false
	}
	return out, true
}

// stateless reports whether ASCII octets of charset always mean ASCII, so that
// a run of them need not be decoded.
func stateless(charset string) bool {
	charset = strings.ToLower(charset)
	for _, prefix := range [...]string{"iso-2022", "csiso2022", "utf-16", "utf-32", "utf-7", "unicode-1-1-utf-7", "hz-", "ucs-", "iso-10646", "ibm037", "cp037", "ebcdic", "ibm1047", "cp1047"} {
		if strings.HasPrefix(charset, prefix) {
			return false
		}
	}
	return true
}

// validUTF8 replaces what is no UTF-8.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
