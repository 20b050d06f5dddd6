package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// Options configure a Service.
type Options struct {
	Users    string // path of the users file
	Checks   int    // passwords checked at the same time; 0 = GOMAXPROCS
	SASL     SASLLimits
	Throttle ThrottleOptions
	Now      func() time.Time // nil = time.Now
	Log      *slog.Logger     // nil = nowhere
}

// Service answers who may log in. It is safe for concurrent use.
type Service struct {
	file     *file
	throttle *Throttle
	sasl     SASLLimits
	slots    chan struct{} // one per check that runs
	secret   []byte        // makes SCRAM decoys
	checks   atomic.Uint64
}

// New returns a Service. It does not read the users file; see Check.
func New(opt Options) *Service {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Checks <= 0 {
		opt.Checks = runtime.GOMAXPROCS(0)
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	return &Service{
		file:     &file{path: opt.Users, now: opt.Now, log: opt.Log},
		throttle: NewThrottle(opt.Throttle, opt.Now),
		sasl:     opt.SASL.withDefaults(),
		slots:    make(chan struct{}, opt.Checks),
		secret:   secret,
	}
}

// Check reads the users file. It returns the number of users and the lines that
// are skipped, or an ErrUnavailable.
func (s *Service) Check() (int, []LineError, error) {
	u, err := s.file.load()
	if err != nil {
		return 0, nil, err
	}
	return len(u.order), u.skipped, nil
}

// Lookup returns the user name without a password, for administration.
func (s *Service) Lookup(name string) (User, error) {
	u, err := s.file.load()
	if err != nil {
		return User{}, err
	}
	if name, err = NormalizeName(name); err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrNoUser, err)
	}
	a := u.byName[name]
	if a == nil {
		return User{}, fmt.Errorf("%w: %q", ErrNoUser, name)
	}
	return a.User, nil
}

// Names returns the names of all users, in the order of the file.
func (s *Service) Names() ([]string, error) {
	u, err := s.file.load()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(u.order))
	for i, a := range u.order {
		names[i] = a.Name
	}
	return names, nil
}

// Refers says whether some user's mail is on another server.
func (s *Service) Refers() bool {
	u, err := s.file.load()
	return err == nil && u.refers
}

// Checks returns how many passwords were checked, decoys included.
func (s *Service) Checks() uint64 { return s.checks.Load() }

// Mechanisms returns what to advertise, best first. Without secure no mechanism
// that sends the password is among them. SCRAM is offered only if every user who
// can log in has a password that allows it.
func (s *Service) Mechanisms(secure bool) []string {
	var out []string
	if u, err := s.file.load(); err == nil {
		out = append(out, u.mechs...)
	}
	if secure {
		out = append(out, "PLAIN", "LOGIN")
	}
	return out
}

// Start begins an exchange. The name of the mechanism is folded in ASCII case
// (RFC 9051 §6.2.2). The caller has checked that PLAIN and LOGIN are allowed on the
// connection. The error is ErrMechanism.
func (s *Service) Start(mech string) (Exchange, error) {
	if len(mech) > 20 { // RFC 4422 §3.1
		return nil, ErrMechanism
	}
	switch upper := asciiUpper(mech); upper {
	case "PLAIN":
		return &plainExchange{limits: s.sasl}, nil
	case "LOGIN":
		return &loginExchange{limits: s.sasl}, nil
	case "SCRAM-SHA-1", "SCRAM-SHA-256":
		return s.newScram(upper)
	}
	return nil, ErrMechanism
}

func asciiUpper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

// Finish returns the outcome of an exchange, whatever it came to; what Login says
// goes for it too. An exchange that is not complete is ErrInvalid. If there is no
// error, send Exchange.Additional before the tagged OK.
func (s *Service) Finish(ctx context.Context, e Exchange, remote netip.Addr) (User, error) {
	out := e.outcome()
	switch {
	case out.scram != nil && out.scram.err != nil:
		return User{}, out.scram.err
	case out.scram != nil && out.user != "":
		return s.attempt(ctx, out.user, remote, func(context.Context) (*account, error) {
			if !out.ok || !out.scram.valid {
				return nil, nil
			}
			return out.scram.account, nil
		})
	case !out.ok:
		return User{}, ErrInvalid
	}
	return s.Login(ctx, out.user, out.password, remote)
}

// Login checks a password for a client at remote. It may wait: for a slot to check
// in, and to slow down guessing; ctx ends that. The error is ErrInvalid,
// ErrReferral, ErrUnavailable or that of ctx.
func (s *Service) Login(ctx context.Context, user, password string, remote netip.Addr) (User, error) {
	return s.attempt(ctx, user, remote, func(ctx context.Context) (*account, error) {
		return s.verify(ctx, user, password)
	})
}

// attempt runs check between the delays. check returns nil for "wrong".
func (s *Service) attempt(ctx context.Context, name string, remote netip.Addr, check func(context.Context) (*account, error)) (User, error) {
	if normal, err := NormalizeName(name); err == nil {
		name = normal
	}
	wait := s.throttle.Before(name, remote)
	if err := sleep(ctx, wait); err != nil {
		return User{}, err
	}
	a, err := check(ctx)
	if err != nil {
		return User{}, err
	}
	if a != nil && !a.locked && a.allows(remote) {
		s.throttle.Succeeded(name, remote)
		if a.host != "" {
			return User{}, &Referral{User: a.Name, Host: a.host}
		}
		return a.User, nil
	}
	// Recorded before the wait, so that disconnecting does not help.
	if err := sleep(ctx, s.throttle.Failed(name, remote, wait)); err != nil {
		return User{}, err
	}
	if a != nil {
		return User{}, ErrLocked
	}
	return User{}, ErrInvalid
}

// verify returns the account of name if password is its password, nil if not. It
// checks exactly one digest whatever the name.
func (s *Service) verify(ctx context.Context, name, password string) (*account, error) {
	u, err := s.file.load()
	if err != nil {
		return nil, err
	}
	var a *account
	if name, err = NormalizeName(name); err == nil {
		a = u.byName[name]
	}
	d := u.decoy
	if a != nil && a.digest != nil {
		d = a.digest
	}
	fit := password != "" && len(password) <= maxPasswordSize && strings.IndexByte(password, 0) < 0
	if !fit {
		password = "x" // checked all the same, for the time it takes
	}
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	s.checks.Add(1)
	if !d.match([]byte(password)) || !fit || a == nil || a.digest == nil {
		return nil, nil
	}
	return a, nil
}

// acquire waits for a slot of the pool.
func (s *Service) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) release() { <-s.slots }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
