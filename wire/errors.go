package wire

import (
	"errors"
	"fmt"
)

// A SyntaxError says why a command was refused before it was understood. Its
// text is made for the client and never holds what the client sent.
type SyntaxError struct {
	Text string
	// Code is the response code without brackets, or empty: TOOBIG, LIMIT.
	Code string
	// Refused asks for a tagged NO instead of BAD: the command may be right,
	// but is more than this server takes.
	Refused bool
	// Fatal means that the end of the command cannot be found, or would cost
	// too much to find: the connection must end with BYE.
	Fatal bool
}

func (e *SyntaxError) Error() string { return "wire: " + e.Text }

// Errors that a caller branches on.
var (
	// ErrMismatch is returned when a streamed literal did not have the size
	// that its header told; the connection cannot go on.
	ErrMismatch = errors.New("wire: literal differs from its size")
	// ErrPipelined is returned by Input.Replace when undecoded octets wait.
	ErrPipelined = errors.New("wire: input behind a change of layer")
)

func syntaxErrorf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Text: fmt.Sprintf(format, args...)}
}
