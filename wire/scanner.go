package wire

import (
	"bytes"
	"errors"
)

const maxTag = 126

// A Scanner reads one command after the other. Begin reads the first line of a
// command with its tag and name, the methods named after the grammar read the
// arguments, End checks that nothing is left. The first error stays: all
// methods after it do nothing and give zero values, so that only End's result
// must be looked at. After an error Skip finds the start of the next command.
type Scanner struct {
	Limits Limits
	// UTF8 says that mailbox names are UTF-8 (IMAP4rev2 or UTF8=ACCEPT is
	// enabled), else modified UTF-7 (RFC 9051 §5.1).
	UTF8 bool
	// Separator is the hierarchy separator, 0 if not known.
	Separator byte

	in     *Input
	goOn   func() error // asks for a synchronizing literal: writes `+`, need not flush
	line   []byte       // the current line, without its end
	pos    int          // in line
	err    error
	tag    string
	name   string
	lines  int   // octets of lines of this command
	kept   int64 // octets of literals of this command kept in memory
	count  int   // literals of this command
	depth  int   // open parentheses
	lit    *LiteralReader
	inside bool // the first line of the command was read
	ended  bool // its last line was read
}

// NewScanner gives a Scanner on in. goOn must write a command continuation
// request (RFC 9051 §7.6); the Input's Before hook flushes it.
func NewScanner(in *Input, limits Limits, goOn func() error) *Scanner {
	return &Scanner{in: in, Limits: limits, goOn: goOn}
}

// Begin reads the first line of the next command up to its name. io.EOF means
// that the client is gone between two commands. With a *SyntaxError the tag may
// be empty (RFC 9051 §7.1: then the answer is an untagged BAD).
//
//	command = tag SP command-name ...
func (sc *Scanner) Begin() error {
	if cap(sc.line) > 1<<10 {
		sc.line = nil // one long line must not be paid for by an idle client
	}
	*sc = Scanner{Limits: sc.Limits, UTF8: sc.UTF8, Separator: sc.Separator, in: sc.in, goOn: sc.goOn, line: sc.line}
	sc.nextLine()
	if sc.err != nil {
		if isSyntax(sc.err) {
			sc.salvageTag()
		}
		return sc.err
	}
	sc.tag = sc.scanTag()
	sc.SP()
	sc.name = upper(sc.Atom())
	if sc.name == "UID" && sc.err == nil {
		sc.SP()
		if name := upper(sc.Atom()); sc.err == nil {
			sc.name = "UID " + name
		}
	}
	return sc.err
}

// salvageTag takes the tag from a line that is refused as a whole.
func (sc *Scanner) salvageTag() {
	err := sc.err
	sc.err = nil
	tag := sc.scanTag()
	if sc.err == nil && sc.Peek() == ' ' {
		sc.tag = tag
	}
	sc.err = err
}

// Tag is the tag of the command, empty if it was not valid.
func (sc *Scanner) Tag() string { return sc.tag }

// Command is the name of the command in upper case, with "UID " before it for
// the UID commands.
func (sc *Scanner) Command() string { return sc.name }

// Err is the first error.
func (sc *Scanner) Err() error { return sc.err }

// Fail makes text the error of the command, unless there is one.
func (sc *Scanner) Fail(text string) { sc.fail(&SyntaxError{Text: text}) }

func (sc *Scanner) fail(err error) {
	if sc.err == nil {
		sc.err = err
	}
}

// End checks that the command ends here and gives the first error.
func (sc *Scanner) End() error {
	if sc.err == nil && sc.pos < len(sc.line) {
		sc.Fail("unexpected text behind the last argument")
	}
	if sc.err == nil && sc.depth != 0 {
		sc.Fail("missing parenthesis")
	}
	if sc.err == nil && sc.lit != nil {
		sc.Fail("literal not read")
	}
	if sc.err == nil {
		sc.ended = true
	}
	return sc.err
}

// nextLine reads a line of the current command.
func (sc *Scanner) nextLine() {
	if sc.err != nil {
		return
	}
	sc.pos = 0
	room := max(sc.Limits.Line-sc.lines, 0)
	line, over, err := sc.in.Line(sc.line[:0], max(room, 32), int64(room)+sc.Limits.Discard)
	sc.line = line
	switch {
	case err != nil:
		if sc.inside {
			err = noEOF(err)
		}
		sc.fail(err)
		return
	case over || len(line) > room:
		sc.fail(&SyntaxError{Text: "command line too long", Code: "TOOBIG"})
		return
	}
	sc.inside = true
	sc.lines += len(line)
	if bytes.IndexByte(line, 0) >= 0 {
		sc.Fail("NUL is not allowed")
	} else if bytes.IndexByte(line, '\r') >= 0 {
		sc.Fail("CR without LF is not allowed")
	}
}

// Skip consumes what is left of a command: literals of which octets are on
// their way, and the lines behind them (RFC 7888 §3). It may be called also
// when there was no error. Its own error means that the connection must end; a
// Fatal *SyntaxError has the words for a BYE.
func (sc *Scanner) Skip() error {
	if sc.err != nil {
		var syn *SyntaxError
		if !errors.As(sc.err, &syn) || syn.Fatal {
			return sc.err
		}
	}
	if sc.ended {
		return nil
	}
	budget := sc.Limits.Discard
	more := false // a line of this command still is to be read
	switch {
	case sc.lit != nil:
		if !sc.lit.coming() {
			break // never asked for: the client must not send it
		}
		if err := sc.in.Discard(sc.lit.left); err != nil {
			return err
		}
		sc.lit.left = 0
		more = true
	default:
		var err error
		if more, err = sc.skipLiteral(sc.line, &budget); err != nil {
			return err
		}
	}
	for more {
		line, over, err := sc.in.Line(sc.line[:0], sc.Limits.Line, budget)
		sc.line = line
		if err != nil {
			return noEOF(err)
		}
		budget -= int64(len(line)) + 2
		if over || budget <= 0 {
			return &SyntaxError{Text: "command too long", Code: "TOOBIG", Fatal: true}
		}
		if more, err = sc.skipLiteral(line, &budget); err != nil {
			return err
		}
	}
	sc.lit, sc.ended = nil, true
	return nil
}

// skipLiteral drops the octets of a non-synchronizing literal that line
// announces; false means that it announces none.
func (sc *Scanner) skipLiteral(line []byte, budget *int64) (bool, error) {
	head, ok := cutLiteralHeader(line)
	if !ok || !head.nonSync {
		return false, nil
	}
	if head.overflow || head.size > *budget {
		return false, &SyntaxError{Text: "literal too big", Code: "TOOBIG", Fatal: true}
	}
	*budget -= head.size
	return true, sc.in.Discard(head.size)
}

func isSyntax(err error) bool {
	var syn *SyntaxError
	return errors.As(err, &syn)
}
