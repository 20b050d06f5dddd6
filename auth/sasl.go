package auth

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// An Exchange is one SASL authentication (RFC 4422 §3). It does no I/O: the caller
// decodes what the client sends, hands it in, and sends what comes out.
//
// An Exchange belongs to one goroutine. It may be dropped at any point, as when
// the client cancels with "*" (RFC 9051 §6.2.2) or disconnects.
type Exchange interface {
	// Next takes a message of the client; nil stands for "no initial response",
	// which is not the same as an empty one (RFC 4959 §3). If done is false,
	// challenge, which may be empty, goes to the client and its answer comes into
	// the next call. If done is true the exchange is complete: call Service.Finish
	// for its outcome. After an error, which is an ErrMalformed, the exchange is
	// over and Finish returns ErrInvalid.
	Next(response []byte) (challenge []byte, done bool, err error)

	// Additional is what the server has to say with a successful outcome (RFC 4422
	// §3.6), nil if nothing. IMAP has no room for it in the tagged OK: after a Finish
	// without error the caller sends it like a challenge, and the client answers with
	// an empty message, before the OK.
	Additional() []byte

	// outcome is what the client has proved or claims.
	outcome() outcome
}

type outcome struct {
	user     string // as sent
	password string // to be checked, unless SCRAM has done that
	scram    *scramOutcome
	ok       bool // the exchange is complete and well-formed
}

// SASLLimits bound the messages of exchanges.
type SASLLimits struct {
	Message int // bytes of one message; 0 = 8 KiB
	Authid  int // bytes of a user name; 0 = 1 KiB
}

func (l SASLLimits) withDefaults() SASLLimits {
	if l.Message <= 0 {
		l.Message = 8 << 10
	}
	if l.Authid <= 0 {
		l.Authid = 1 << 10
	}
	return l
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// checkText refuses what no name and no password may be.
func checkText(what string, b []byte, limit int) error {
	switch {
	case len(b) == 0:
		return malformed("empty %s", what)
	case len(b) > limit:
		return malformed("%s of %d bytes", what, len(b))
	case bytes.IndexByte(b, 0) >= 0:
		return malformed("NUL in %s", what)
	}
	return nil
}

func checkAuthid(b []byte, limit int) error {
	if err := checkText("user name", b, limit); err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return malformed("user name is not UTF-8")
	}
	return nil
}

// plainExchange is PLAIN.
//
//	message = [authzid] UTF8NUL authcid UTF8NUL passwd
//
// RFC 4616 §2.
type plainExchange struct {
	limits SASLLimits
	over   bool
	out    outcome
}

func (e *plainExchange) Next(response []byte) ([]byte, bool, error) {
	if e.over {
		return nil, false, malformed("PLAIN is over")
	}
	if response == nil {
		return []byte{}, false, nil
	}
	e.over = true
	if len(response) > e.limits.Message {
		return nil, false, malformed("PLAIN message of %d bytes", len(response))
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 {
		return nil, false, malformed("PLAIN with %d NULs", len(parts)-1)
	}
	authzid, authcid, password := parts[0], parts[1], parts[2]
	if err := checkAuthid(authcid, e.limits.Authid); err != nil {
		return nil, false, err
	}
	if err := checkText("password", password, e.limits.Message); err != nil {
		return nil, false, err
	}
	// Nobody may act as somebody else (RFC 4616 §2, Authorize).
	if len(authzid) > 0 && !bytes.Equal(authzid, authcid) {
		return nil, false, malformed("authorization identity differs from user name")
	}
	e.out = outcome{user: string(authcid), password: string(password), ok: true}
	return nil, true, nil
}

// Additional is nil: PLAIN has nothing to say.
func (e *plainExchange) Additional() []byte { return nil }

func (e *plainExchange) outcome() outcome { return e.out }

// loginExchange is the obsolete LOGIN mechanism, which Outlook still uses: the
// server asks for the name, then for the password. Clients may send the name as
// initial response.
type loginExchange struct {
	limits SASLLimits
	asked  bool // for the name
	user   []byte
	over   bool
	out    outcome
}

func (e *loginExchange) Next(response []byte) ([]byte, bool, error) {
	switch {
	case e.over:
		return nil, false, malformed("LOGIN is over")
	case len(response) > e.limits.Message:
		e.over = true
		return nil, false, malformed("LOGIN message of %d bytes", len(response))
	// An empty initial response is taken for none: some clients send "=".
	case !e.asked && len(response) == 0:
		e.asked = true
		return []byte("Username:"), false, nil
	case e.user == nil:
		e.asked = true
		if err := checkAuthid(response, e.limits.Authid); err != nil {
			e.over = true
			return nil, false, err
		}
		e.user = bytes.Clone(response)
		return []byte("Password:"), false, nil
	}
	e.over = true
	if err := checkText("password", response, e.limits.Message); err != nil {
		return nil, false, err
	}
	e.out = outcome{user: string(e.user), password: string(response), ok: true}
	return nil, true, nil
}

// Additional is nil: LOGIN has nothing to say.
func (e *loginExchange) Additional() []byte { return nil }

func (e *loginExchange) outcome() outcome { return e.out }
