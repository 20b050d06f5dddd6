package message

import (
	"html"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	previewRunes = 200      // RFC 8970 §3.3
	previewFirst = 4 << 10  // stored octets of a part that are looked at first
	previewRead  = 64 << 10 // and at most
	previewParts = 8        // parts that are tried
)

// Preview returns up to 200 characters of what the message with root p stored in
// r says, in UTF-8 and in one line (RFC 8970 §3.3): of the first text/plain part
// that is not an attachment, else of the first text/html part without its
// markup. Quoted lines are left out unless there are no others. It is empty if
// there is nothing to say. Errors come from r.
func Preview(r io.ReaderAt, p *Part) (string, error) {
	var parts []*Part
	for _, subtype := range [...]string{"plain", "html"} {
		p.Walk(func(c *Part) bool {
			if c.IsText() && equalFold(c.Subtype, subtype) && !equalFold(c.Disposition, "attachment") && c.End > c.Body {
				parts = append(parts, c)
			}
			return len(parts) < previewParts
		})
	}
	for _, c := range parts {
		s, err := previewOf(r, c)
		if s != "" || err != nil {
			return s, err
		}
	}
	return "", nil
}

// previewOf is the Preview of the leaf p: without quotations, if that leaves
// anything.
func previewOf(r io.ReaderAt, p *Part) (string, error) {
	for _, limit := range [...]int64{previewFirst, previewRead} {
		text, err := readText(r, p, limit)
		if err != nil {
			return "", err
		}
		if equalFold(p.Subtype, "html") {
			text = stripHTML(text)
		}
		s, full := oneLine(text, false)
		if all := limit == previewRead || p.End-p.Body <= limit; !all && !full {
			continue
		}
		if s == "" {
			s, _ = oneLine(text, true)
		}
		return s, nil
	}
	return "", nil // the last limit is for all
}

// readText reads the beginning of a leaf, up to limit stored octets, as valid
// UTF-8.
func readText(r io.ReaderAt, p *Part, limit int64) (string, error) {
	t := newTextReader(r, p)
	t.end = min(t.end, t.off+limit)
	var out, conv []byte
	text, _, err := t.next(make([]byte, t.end-t.off), &out, &conv)
	if err != nil {
		return "", err
	}
	if t.end < p.End {
		text = text[:fullRunes(text)]
	}
	return validUTF8(string(text)), nil
}

// oneLine puts the lines of text in one, without the signature, and without
// quotations if they are not wanted; full: there is more than it may hold.
func oneLine(text string, quotes bool) (line string, full bool) {
	b := make([]byte, 0, 2*previewRunes)
	n := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "-- " {
			break
		}
		if !quotes && strings.HasPrefix(line, ">") {
			continue
		}
		space := len(b) > 0
		for _, r := range line {
			switch {
			case '!' <= r && r <= '~':
			case r <= ' ' || r == 0x7f || unicode.IsSpace(r):
				space = len(b) > 0
				continue
			case invisible(r):
				continue
			}
			if space {
				if n++; n >= previewRunes {
					return string(b), true
				}
				b = append(b, ' ')
				space = false
			}
			if n++; n > previewRunes {
				return string(b), true
			}
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b), false
}

// invisible are characters that newsletters pad their previews with, and
// controls that must not reach a display.
func invisible(r rune) bool {
	switch {
	case r >= 0x80 && r < 0xa0, r == 0xad, r == 0x34f, r == 0x61c, r == 0x115f, r == 0x1160,
		r == 0x17b4, r == 0x17b5, r >= 0x180b && r <= 0x180e, r >= 0x200b && r <= 0x200f,
		r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff, r == utf8.RuneError:
		return true
	}
	return false
}

// hidden are the elements whose content is no text.
var hidden = [...]string{"style", "script", "head", "title"}

// stripHTML takes markup away, in linear time: tags become white space where
// they end a line, comments and hidden elements go with what is in them.
func stripHTML(s string) string {
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		s = s[i:]
		if strings.HasPrefix(s, "<!--") {
			_, rest, ok := strings.Cut(s[4:], "-->")
			if s = rest; !ok {
				break
			}
			continue
		}
		closing := strings.HasPrefix(s, "</")
		name := tagName(strings.TrimPrefix(s[1:], "/"))
		if name == "" && !strings.HasPrefix(s, "<!") && !strings.HasPrefix(s, "<?") {
			b.WriteByte('<') // not a tag
			s = s[1:]
			continue
		}
		end := strings.IndexByte(s, '>')
		if end < 0 {
			break
		}
		s = s[end+1:]
		for _, h := range hidden {
			if name == h && !closing {
				s = skipElement(s, h)
			}
		}
		if !inlineTag(name) {
			b.WriteByte('\n')
		}
	}
	return html.UnescapeString(b.String())
}

// tagName is the lower case name of the tag whose "<" is before s.
func tagName(s string) string {
	i := 0
	for i < len(s) && i < 16 && ('a' <= lowerASCII(s[i]) && lowerASCII(s[i]) <= 'z' || i > 0 && '0' <= s[i] && s[i] <= '9') {
		i++
	}
	return lowerString(s[:i])
}

// skipElement goes to the end tag of name, or to the end.
func skipElement(s, name string) string {
	for {
		i := strings.Index(s, "</")
		if i < 0 {
			return ""
		}
		s = s[i+2:]
		if tagName(s) == name {
			return s[strings.IndexByte(s, '>')+1:]
		}
	}
}

// inlineTag reports whether text goes on in the same word behind a tag.
func inlineTag(name string) bool {
	switch name {
	case "a", "b", "i", "u", "em", "strong", "span", "font", "small", "big", "sub", "sup", "code", "tt", "mark":
		return true
	}
	return false
}
