package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"

	"roost/auth"
	"roost/mailbox"
	"roost/wire"
)

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		err        error
		kind, code string
		known      bool
	}{
		{&wire.SyntaxError{Text: "x"}, "BAD", "", true},
		{&wire.SyntaxError{Text: "x", Code: "TOOBIG", Refused: true}, "NO", "TOOBIG", true},
		{&wire.SyntaxError{Text: "x", Code: "TOOBIG", Fatal: true}, "BYE", "TOOBIG", true},
		{mailbox.ErrNotExist, "NO", "NONEXISTENT", true},
		{fmt.Errorf("mailbox: select: %w", mailbox.ErrUnavailable), "NO", "UNAVAILABLE", true},
		{tryCreate(fmt.Errorf("mailbox: open: %w", mailbox.ErrNotExist)), "NO", "TRYCREATE", true},
		{tryCreate(mailbox.ErrName), "NO", "CANNOT", true},
		{mailbox.ErrGone, "BYE", "UNAVAILABLE", true},
		{mailbox.ErrBadSet, "BAD", "", true},
		{auth.ErrLocked, "NO", "AUTHENTICATIONFAILED", true},
		{errors.New("surprise at /var/mail/alice"), "NO", "SERVERBUG", false},
	} {
		r, known := status(tt.err)
		if r.kind != tt.kind || r.code != tt.code || known != tt.known {
			t.Errorf("%v: %+v, %v", tt.err, r, known)
		}
		if !known && r.text != "internal error" {
			t.Errorf("%v: the client is told %q", tt.err, r.text)
		}
	}
}

func TestFarewell(t *testing.T) {
	disk := &fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}
	for _, tt := range []struct {
		err  error
		said bool
	}{
		{io.EOF, false},
		{io.ErrUnexpectedEOF, false},
		{&net.OpError{Op: "write", Err: syscall.ECONNRESET}, false},
		{net.ErrClosed, false},
		{errHandshake, false},
		{errInterrupted, true},
		{errSlow, true},
		{errNotIMAP, true},
		{os.ErrDeadlineExceeded, true},
		{fmt.Errorf("index: sync: %w", disk), true}, // an errno is a net.Error, but the client is there
		{mailbox.ErrGone, true},
		{bye("", "x"), true},
	} {
		if r, said := farewell(tt.err); said != tt.said || said && r.kind != "BYE" {
			t.Errorf("%v: %+v, %v", tt.err, r, said)
		}
	}
}
