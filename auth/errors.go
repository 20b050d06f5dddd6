package auth

import (
	"errors"
	"fmt"
)

var (
	// ErrInvalid is returned when name and password do not match, whatever the
	// reason; clients are told AUTHENTICATIONFAILED (RFC 5530 §3) and no more.
	ErrInvalid = errors.New("auth: invalid credentials")

	// ErrLocked is returned when the account exists and may not log in (locked
	// password, nologin, address outside allow_nets). It is an ErrInvalid too: only
	// the log may tell the difference.
	ErrLocked = fmt.Errorf("%w: account is locked", ErrInvalid)

	// ErrUnavailable is returned when the users file cannot be used; clients are
	// told UNAVAILABLE (RFC 5530 §3) and do not ask for another password.
	ErrUnavailable = errors.New("auth: users file unavailable")

	// ErrReferral is returned when name and password match and the mail of the user
	// is on another server; errors.As with a *Referral tells which.
	ErrReferral = errors.New("auth: mail is on another server")

	// ErrMalformed is returned by Exchange.Next when a message breaks the rules of
	// its mechanism. The exchange is over.
	ErrMalformed = errors.New("auth: malformed message")

	// ErrMechanism is returned by Start for a mechanism that is not offered.
	ErrMechanism = errors.New("auth: unknown mechanism")

	// ErrExists is returned by AddUser when the name is taken.
	ErrExists = errors.New("auth: user exists")

	// ErrNoUser is returned by SetPassword and RemoveUser for an unknown name.
	ErrNoUser = errors.New("auth: no such user")
)

// A Referral is an ErrReferral: the field host of the users file.
type Referral struct {
	User string
	Host string // may have a port
}

func (r *Referral) Error() string   { return ErrReferral.Error() + ": " + r.Host }
func (r *Referral) Is(e error) bool { return e == ErrReferral }
