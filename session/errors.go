package session

import (
	"errors"
	"io"
	"net"
	"os"

	"roost/auth"
	"roost/mailbox"
	"roost/wire"
)

// A response is a tagged answer other than a plain OK, or a BYE, as an error:
// what a runner returns. Its text is for the client.
type response struct{ kind, code, text string }

func (r *response) Error() string { return "session: " + r.kind + " " + r.text }

// Errors that take another way than a tagged answer.
var (
	errAnswered  = errors.New("session: answered already") // STARTTLS
	errIdling    = errors.New("session: in IDLE")          // answered when that ends
	errHandshake = errors.New("session: TLS handshake failed")
)

// no, bad and bye make responses. code is without brackets and may be empty
// (RFC 9051 §7.1, RFC 5530 §3).
func no(code, text string) error  { return &response{"NO", code, text} }
func bad(text string) error       { return &response{"BAD", "", text} }
func bye(code, text string) error { return &response{"BYE", code, text} }

// errUIDRequired is for message numbers once UIDONLY is enabled (RFC 9586 §3).
var errUIDRequired error = &response{"BAD", "UIDREQUIRED", "message numbers are not allowed once UIDONLY is enabled"}

// tryCreate is for APPEND, COPY and MOVE: a destination that does not exist is
// answered with TRYCREATE first in the text (RFC 9051 §6.3.12, §6.4.7).
func tryCreate(err error) error {
	if errors.Is(err, mailbox.ErrNotExist) {
		return no("TRYCREATE", "no such mailbox")
	}
	return err
}

// statuses maps the errors of the packages below.
var statuses = []struct {
	err error
	response
}{
	{mailbox.ErrNotExist, response{"NO", "NONEXISTENT", "no such mailbox"}},
	{mailbox.ErrNotSelectable, response{"NO", "NONEXISTENT", "mailbox cannot be selected"}},
	{mailbox.ErrExist, response{"NO", "ALREADYEXISTS", "mailbox exists already"}},
	{mailbox.ErrHasChildren, response{"NO", "HASCHILDREN", "mailbox has children"}},
	{mailbox.ErrName, response{"NO", "CANNOT", "mailbox name not allowed"}},
	{mailbox.ErrReadOnly, response{"NO", "READ-ONLY", "mailbox is read-only"}},
	{mailbox.ErrPermission, response{"NO", "NOPERM", "permission denied"}},
	{mailbox.ErrOwner, response{"NO", "CONTACTADMIN", "the mail cannot be accessed, its owner is wrong"}},
	{mailbox.ErrLocked, response{"NO", "INUSE", "the mail is in use by another program"}},
	{mailbox.ErrOverQuota, response{"NO", "OVERQUOTA", "not enough space"}},
	{mailbox.ErrLimit, response{"NO", "LIMIT", "limit reached"}},
	{mailbox.ErrUnavailable, response{"NO", "UNAVAILABLE", "not available now, try again later"}},
	{mailbox.ErrExpunged, response{"NO", "EXPUNGEISSUED", "some of the messages no longer exist"}},
	{mailbox.ErrGone, response{"BYE", "UNAVAILABLE", "the mailbox has changed, please connect again"}},
	{mailbox.ErrUseAttr, response{"NO", "USEATTR", "special use not allowed here"}},
	{auth.ErrInvalid, response{"NO", "AUTHENTICATIONFAILED", "wrong user name or password"}},
	{auth.ErrUnavailable, response{"NO", "UNAVAILABLE", "cannot check passwords now, try again later"}},
	{mailbox.ErrMetadataName, response{"BAD", "", "invalid entry name"}},
	{mailbox.ErrMetadataCount, response{"NO", "METADATA TOOMANY", "too many annotations"}},
	{mailbox.ErrBadSet, response{"BAD", "", "message number out of range"}},
}

// status says what a client is told of err. There is no other such place.
// known is false if err is a surprise: then it is logged.
func status(err error) (r response, known bool) {
	var resp *response
	if errors.As(err, &resp) {
		return *resp, true
	}
	var syn *wire.SyntaxError
	if errors.As(err, &syn) {
		switch {
		case syn.Fatal:
			return response{"BYE", syn.Code, syn.Text}, true
		case syn.Refused:
			return response{"NO", syn.Code, syn.Text}, true
		}
		return response{"BAD", syn.Code, syn.Text}, true
	}
	for _, st := range statuses {
		if errors.Is(err, st.err) {
			return st.response, true
		}
	}
	return response{"NO", "SERVERBUG", "internal error"}, false
}

// farewell is the BYE for an error that ends the connection; ok is false if
// the client is gone and nothing can be said.
func farewell(err error) (r response, ok bool) {
	var op *net.OpError // not net.Error: an errno of the disk is one too
	switch {
	case errors.Is(err, errInterrupted):
		return response{"BYE", "UNAVAILABLE", "server is shutting down"}, true
	case errors.Is(err, errNotIMAP):
		return response{"BYE", "", "this is an IMAP server"}, true
	case errors.Is(err, errSlow):
		return response{"BYE", "", "too slow"}, true
	case errors.Is(err, os.ErrDeadlineExceeded):
		return response{"BYE", "", "idle for too long"}, true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed),
		errors.Is(err, errHandshake), errors.As(err, &op):
		return response{}, false
	}
	if r, known := status(err); known && r.kind == "BYE" {
		return r, true
	}
	return response{"BYE", "UNAVAILABLE", "internal error, please connect again"}, true
}
