package wire

import (
	"bytes"
	"io"
	"math"
)

// literalMinus is the size up to which LITERAL- allows non-synchronizing
// literals (RFC 7888 §5).
const literalMinus = 4096

// literalHeader is what announces a literal at the end of a line.
//
//	literal  = "{" number64 ["+"] "}" CRLF *CHAR8
//	literal8 = "~{" number64 ["+"] "}" CRLF *OCTET
type literalHeader struct {
	size     int64
	start    int // where it begins in the line
	nonSync  bool
	binary   bool
	overflow bool // more than 63 bits
	zeros    bool // superfluous leading zeros
}

// cutLiteralHeader finds a literal header at the end of line.
func cutLiteralHeader(line []byte) (h literalHeader, ok bool) {
	i := len(line) - 1
	if i < 0 || line[i] != '}' {
		return h, false
	}
	i--
	if i >= 0 && line[i] == '+' {
		h.nonSync = true
		i--
	}
	end := i + 1
	for i >= 0 && isDigit(line[i]) {
		i--
	}
	if i < 0 || line[i] != '{' || i+1 == end {
		return h, false
	}
	h.zeros = line[i+1] == '0' && i+2 < end
	for _, c := range line[i+1 : end] {
		d := int64(c - '0')
		if h.size > (math.MaxInt64-d)/10 {
			h.overflow = true
			h.size = math.MaxInt64
			break
		}
		h.size = h.size*10 + d
	}
	if i > 0 && line[i-1] == '~' {
		h.binary = true
		i--
	}
	h.start = i
	return h, true
}

// header takes the literal header that must be here and end the line.
func (sc *Scanner) header() (h literalHeader, ok bool) {
	if sc.err != nil {
		return h, false
	}
	h, ok = cutLiteralHeader(sc.line)
	if !ok || h.start != sc.pos || h.zeros {
		sc.Fail("invalid literal")
		return h, false
	}
	if sc.count++; sc.count > sc.Limits.Count {
		sc.tooBig(h, "too many literals in one command")
		return h, false
	}
	return h, true
}

// tooBig refuses a literal: NO instead of the continuation request, BAD for one
// that comes anyway, BYE if that is more than it is worth to read.
func (sc *Scanner) tooBig(h literalHeader, text string) {
	sc.fail(&SyntaxError{
		Text: text, Code: "TOOBIG",
		Refused: !h.nonSync,
		Fatal:   h.nonSync && h.size > sc.Limits.Discard,
	})
}

// Literal reads a literal that is kept in memory. What it takes grows with what
// arrives. NUL is refused (CHAR8, RFC 9051 §9).
func (sc *Scanner) Literal() []byte {
	h, ok := sc.header()
	if !ok {
		return nil
	}
	if h.binary {
		sc.Fail("literal8 is not allowed here")
		return nil
	}
	if h.size > sc.Limits.Literal || h.size > sc.Limits.Literals-sc.kept ||
		sc.Limits.LiteralMinus && h.nonSync && h.size > literalMinus {
		sc.tooBig(h, "literal too big")
		return nil
	}
	sc.kept += h.size
	lr := &LiteralReader{sc: sc, size: h.size, left: h.size, nonSync: h.nonSync}
	sc.lit = lr
	if err := lr.Accept(); err != nil {
		return nil
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, lr, h.size); err != nil {
		sc.fail(noEOF(err))
		return nil
	}
	lr.next()
	if bytes.IndexByte(b.Bytes(), 0) >= 0 {
		sc.Fail("NUL is not allowed")
		return nil
	}
	return b.Bytes()
}

// A LiteralReader is a literal that is not kept in memory: the message of an
// APPEND. Read gives its octets and then io.EOF; Close must follow before the
// Scanner is used again.
type LiteralReader struct {
	sc      *Scanner
	size    int64
	left    int64
	nonSync bool
	binary  bool
	asked   bool
}

// LiteralReader takes the literal or literal8 that must be here. Nothing is
// read and the client is not asked for it before Accept, so that the command
// can still be refused: after an error of the caller's own, Skip does the rest.
// More than max octets is a *SyntaxError with TOOBIG.
func (sc *Scanner) LiteralReader(max int64) *LiteralReader {
	h, ok := sc.header()
	if !ok {
		return nil
	}
	if h.size > max || sc.Limits.LiteralMinus && h.nonSync && h.size > literalMinus {
		sc.tooBig(h, "literal too big")
		return nil
	}
	sc.lit = &LiteralReader{sc: sc, size: h.size, left: h.size, nonSync: h.nonSync, binary: h.binary}
	return sc.lit
}

// Size is the number of octets announced.
func (lr *LiteralReader) Size() int64 { return lr.size }

// Binary says that it is a literal8, which may hold NUL (RFC 3516 §4.4).
func (lr *LiteralReader) Binary() bool { return lr.binary }

// coming says that octets of the literal are on their way.
func (lr *LiteralReader) coming() bool { return lr.nonSync || lr.asked }

// Accept asks the client for the octets, if it waits for that.
func (lr *LiteralReader) Accept() error {
	if lr.sc.err != nil {
		return lr.sc.err
	}
	if lr.coming() {
		return nil
	}
	lr.asked = true
	if err := lr.sc.goOn(); err != nil {
		lr.sc.fail(err)
		return err
	}
	return nil
}

// Read accepts the literal and reads from it.
func (lr *LiteralReader) Read(p []byte) (int, error) {
	if lr.left == 0 {
		return 0, io.EOF
	}
	if err := lr.Accept(); err != nil {
		return 0, err
	}
	n, err := lr.sc.in.Read(p[:min(int64(len(p)), lr.left)])
	lr.left -= int64(n)
	if err != nil {
		err = noEOF(err)
		lr.sc.fail(err)
	}
	return n, err
}

// Close drops what was not read and goes on to the rest of the command.
func (lr *LiteralReader) Close() error {
	sc := lr.sc
	if sc.err != nil || sc.lit != lr {
		return sc.err
	}
	if err := lr.Accept(); err != nil {
		return err
	}
	if err := sc.in.Discard(lr.left); err != nil {
		sc.fail(err)
		return err
	}
	lr.left = 0
	sc.lines = 0 // of MULTIAPPEND, each message has its own line
	sc.count--   // and what is streamed costs no memory
	lr.next()
	return sc.err
}

// next goes on to the line behind the literal.
func (lr *LiteralReader) next() {
	lr.sc.lit = nil
	lr.sc.nextLine()
}
