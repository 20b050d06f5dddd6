package message

import "bytes"

// A decoder takes a Content-Transfer-Encoding away (RFC 2045 §6). Octets come
// in any pieces; the result does not depend on how they were cut.
type decoder interface {
	// decode appends what src says to dst.
	decode(dst, src []byte) []byte
	// finish appends what was held back.
	finish(dst []byte) []byte
}

// newDecoder returns nil for an encoding that is not known, and identity for
// those that change nothing. crlf asks for CRLF at line ends of stored text.
func newDecoder(encoding string, crlf bool) decoder {
	switch encoding {
	case "7BIT", "8BIT", "BINARY":
		if crlf {
			return &crlfDecoder{}
		}
		return identity{}
	case "BASE64":
		return &base64Decoder{}
	case "QUOTED-PRINTABLE":
		return &qpDecoder{crlf: crlf}
	}
	return nil
}

type identity struct{}

func (identity) decode(dst, src []byte) []byte { return append(dst, src...) }
func (identity) finish(dst []byte) []byte      { return dst }

// crlfDecoder makes CRLF of bare LF.
type crlfDecoder struct{ lastCR bool }

func (d *crlfDecoder) decode(dst, src []byte) []byte {
	for len(src) > 0 {
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			d.lastCR = src[len(src)-1] == '\r'
			return append(dst, src...)
		}
		if i > 0 {
			dst = append(dst, src[:i]...)
			d.lastCR = src[i-1] == '\r'
		}
		if !d.lastCR {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		d.lastCR = false
		src = src[i+1:]
	}
	return dst
}

func (*crlfDecoder) finish(dst []byte) []byte { return dst }

// base64Value gives the six bits of a letter; 64 for padding, 255 for the rest.
var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(letters) {
		t[letters[i]] = byte(i)
	}
	t['='] = 64
	return t
}()

// base64Decoder decodes what can be decoded: other octets are skipped, padding
// may be missing, and data behind padding is a new run (concatenated parts).
type base64Decoder struct {
	bits uint32
	n    int // letters in bits, 0 to 3
}

func (d *base64Decoder) decode(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		if d.n == 0 {
			for i+4 <= len(src) {
				a, b, c, e := base64Value[src[i]], base64Value[src[i+1]], base64Value[src[i+2]], base64Value[src[i+3]]
				if a|b|c|e >= 64 {
					break
				}
				v := uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(e)
				dst = append(dst, byte(v>>16), byte(v>>8), byte(v))
				i += 4
			}
			if i == len(src) {
				break
			}
		}
		switch v := base64Value[src[i]]; {
		case v < 64:
			d.bits = d.bits<<6 | uint32(v)
			if d.n++; d.n == 4 {
				dst = append(dst, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
				d.bits, d.n = 0, 0
			}
		case v == 64:
			dst = d.finish(dst)
		}
		i++
	}
	return dst
}

func (d *base64Decoder) finish(dst []byte) []byte {
	switch d.n {
	case 2:
		dst = append(dst, byte(d.bits>>4))
	case 3:
		dst = append(dst, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.bits, d.n = 0, 0
	return dst
}

func appendBase64(dst, src []byte) []byte {
	var d base64Decoder
	return d.finish(d.decode(dst, src))
}

// maxHeld is how much white space qpDecoder holds back to see whether a line
// ends behind it.
const maxHeld = 1024

// qpDecoder decodes quoted-printable (RFC 2045 §6.7). An "=" that begins
// nothing is kept, white space at the end of a line is dropped.
type qpDecoder struct {
	crlf bool
	held []byte // white space, "=" and what follows it, or CR
}

func (d *qpDecoder) decode(dst, src []byte) []byte {
	if len(d.held) > 0 {
		// the octets held back and enough behind them to decide, then the rest
		for len(src) > 0 && len(d.held) > 0 {
			d.held = append(d.held, src[0])
			src = src[1:]
			b := d.held
			var n int
			dst, n = d.run(dst, b, false)
			d.held = append(d.held[:0], b[n:]...)
		}
	}
	dst, n := d.run(dst, src, false)
	d.held = append(d.held, src[n:]...)
	return dst
}

func (d *qpDecoder) finish(dst []byte) []byte {
	dst, _ = d.run(dst, d.held, true)
	d.held = d.held[:0]
	return dst
}

// run decodes src up to where more is needed to decide, and returns how far.
func (d *qpDecoder) run(dst, src []byte, final bool) ([]byte, int) {
	i := 0
	for i < len(src) {
		j := i
		for j < len(src) && (qpPlain[src[j]] || src[j] == ' ' && j+1 < len(src) && qpPlain[src[j+1]]) {
			j++
		}
		dst = append(dst, src[i:j]...)
		if i = j; i == len(src) {
			break
		}
		k := i // end of a run of white space, behind "=" if there is one
		if src[i] == '=' {
			k++
		}
		soft := k > i
		for k < len(src) && isWSP(src[k]) && k-i < maxHeld {
			k++
		}
		if k-i == maxHeld { // too much to be padding
			dst = append(dst, src[i:k]...)
			i = k
			continue
		}
		lineEnd := k
		if k < len(src) && src[k] == '\r' {
			k++
		}
		if k == len(src) && !final {
			return dst, i
		}
		switch {
		case k < len(src) && src[k] == '\n': // line end, white space before it is padding
			if !soft {
				if d.crlf || k > lineEnd {
					dst = append(dst, '\r')
				}
				dst = append(dst, '\n')
			}
			i = k + 1
		case soft && lineEnd == i+1 && k < len(src):
			var n int
			if dst, n = d.escape(dst, src[i:], final); n == 0 {
				return dst, i
			}
			i += n
		case k == len(src) && k == lineEnd: // padding at the end of the part
			i = k
		default:
			dst = append(dst, src[i:k]...)
			i = k
		}
	}
	return dst, i
}

// escape decodes "=XX" at the start of src; n is 0 if more is needed.
func (d *qpDecoder) escape(dst, src []byte, final bool) (out []byte, n int) {
	if len(src) < 3 && unhex[src[1]] >= 0 && !final {
		return dst, 0
	}
	if len(src) >= 3 && unhex[src[1]] >= 0 && unhex[src[2]] >= 0 {
		return append(dst, byte(unhex[src[1]])<<4|byte(unhex[src[2]])), 3
	}
	return append(dst, '='), 1
}

// qpPlain are the octets that stand for themselves wherever they are. A LF is
// none, as it may have to become CRLF.
var qpPlain = func() (t [256]bool) {
	for i := range t {
		t[i] = i != '=' && i != ' ' && i != '\t' && i != '\r' && i != '\n'
	}
	return t
}()
