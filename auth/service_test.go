package auth

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var localhost = netip.MustParseAddr("127.0.0.1")

func newService(t testing.TB, text string, throttle ThrottleOptions) *Service {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return New(Options{Users: path, Throttle: throttle})
}

const loginUsers = "ann:{PLAIN}secret:1:2::/home/ann\nzo\u00eb:{PLAIN}secret\nbob:{SHA256}f7RERuWhObO3oHciFhtpNCnGhD0FNBL7CyE3AkK4vbA=\nlocked:!\n" +
	"barred:{PLAIN}secret::::::nologin\noffice:{PLAIN}secret::::::allow_nets=192.0.2.0/24,2001:db8::1\nbang:{PLAIN}!x\n"

func TestLogin(t *testing.T) {
	s := newService(t, loginUsers, ThrottleOptions{})
	tests := []struct {
		user, password, remote string
		want                   error
	}{
		{"ann", "secret", "127.0.0.1", nil},
		{"ann", "secret\x00", "127.0.0.1", ErrInvalid},
		{"ann", "secret\t", "127.0.0.1", ErrInvalid},
		{"ann", "", "127.0.0.1", ErrInvalid},
		{"ann", "{PLAIN}secret", "127.0.0.1", ErrInvalid},
		{"Ann", "secret", "127.0.0.1", ErrInvalid},
		{"ann ", "secret", "127.0.0.1", ErrInvalid},
		{"zo\u00eb", "secret", "127.0.0.1", nil},
		{"zoe\u0308", "secret", "127.0.0.1", nil},
		{"\uff41nn", "secret", "127.0.0.1", ErrInvalid}, // fullwidth a
		{"bob", "pässword 1", "127.0.0.1", nil},
		{"bob", "secret", "127.0.0.1", ErrInvalid},
		{"nobody", "secret", "127.0.0.1", ErrInvalid},
		{"", "secret", "127.0.0.1", ErrInvalid},
		{"../ann", "secret", "127.0.0.1", ErrInvalid},
		{"ann\x00", "secret", "127.0.0.1", ErrInvalid},
		{"\xff", "secret", "127.0.0.1", ErrInvalid},
		{"# people", "", "127.0.0.1", ErrInvalid},
		{"locked", "", "127.0.0.1", ErrInvalid},
		{"locked", "!", "127.0.0.1", ErrInvalid},
		{"barred", "secret", "127.0.0.1", ErrLocked},
		{"barred", "wrong", "127.0.0.1", ErrInvalid},
		{"office", "secret", "192.0.2.77", nil},
		{"office", "secret", "::ffff:192.0.2.77", nil},
		{"office", "secret", "2001:db8::1", nil},
		{"office", "secret", "2001:db8::2", ErrLocked},
		{"office", "wrong", "198.51.100.1", ErrInvalid},
		{"bang", "!x", "127.0.0.1", nil},
	}
	for _, tt := range tests {
		before := s.Checks()
		u, err := s.Login(t.Context(), tt.user, tt.password, netip.MustParseAddr(tt.remote))
		if !errors.Is(err, tt.want) || tt.want == ErrInvalid && errors.Is(err, ErrLocked) {
			t.Errorf("%+v: %v", tt, err)
		}
		if tt.want != nil && (!errors.Is(err, ErrInvalid) || u.Name != "") {
			t.Errorf("%+v: a failure gives %+v, %v", tt, u, err)
		}
		// One check whoever it is: nothing to be learnt from the time.
		if got := s.Checks() - before; got != 1 {
			t.Errorf("%+v: %d checks, want 1", tt, got)
		}
	}
	u, err := s.Login(t.Context(), "ann", "secret", localhost)
	if err != nil || u.Name != "ann" || u.UID != 1 || u.GID != 2 || u.Home != "/home/ann" {
		t.Errorf("ann is %+v, %v", u, err)
	}
	if u, err := s.Lookup("bob"); err != nil || u.Name != "bob" {
		t.Errorf("lookup: %+v, %v", u, err)
	}
	if _, err := s.Lookup("nobody"); !errors.Is(err, ErrNoUser) {
		t.Errorf("lookup of nobody: %v", err)
	}
}

// countingDigest counts its checks and tells how many run at once.
type countingDigest struct {
	calls, running, most *atomic.Int64
	gate                 chan struct{}
}

func (d countingDigest) cost() string { return "counting" }

func (d countingDigest) match([]byte) bool {
	d.calls.Add(1)
	n := d.running.Add(1)
	for m := d.most.Load(); n > m && !d.most.CompareAndSwap(m, n); m = d.most.Load() {
	}
	<-d.gate
	d.running.Add(-1)
	return true
}

func TestDecoyIsOfTheCommonCost(t *testing.T) {
	a, b := "{SHA256}f7RERuWhObO3oHciFhtpNCnGhD0FNBL7CyE3AkK4vbA=", "{PLAIN}x"
	if got := parseUsers([]byte("a:" + b + "\nb:" + a + "\nc:" + a + "\nd:!\n")).decoy.cost(); got != "SHA256" {
		t.Errorf("decoy %s, want SHA256", got)
	}
	if got := parseUsers(nil).decoy; got.cost() != "$argon2id$m=19456,t=2,p=1" {
		t.Errorf("decoy of an empty file: %s", got.cost())
	}
	// The decoy's own password lets nobody in.
	s := newService(t, "ann:{PLAIN}secret\n", ThrottleOptions{})
	if _, err := s.Login(t.Context(), "nobody", "secret", localhost); !errors.Is(err, ErrInvalid) {
		t.Errorf("nobody: %v", err)
	}
}

func TestPoolIsBounded(t *testing.T) {
	path := writeUsers(t, "ann:{PLAIN}secret\n")
	s := New(Options{Users: path, Checks: 2})
	u, err := s.file.load()
	if err != nil {
		t.Fatal(err)
	}
	var calls, running, most atomic.Int64
	d := countingDigest{&calls, &running, &most, make(chan struct{})}
	u.byName["ann"].digest, u.decoy = d, d
	s.file.checked = s.file.now().Add(time.Hour) // no reload while this runs
	s.file.now = func() time.Time { return s.file.checked }

	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			name := "ann"
			if i%2 == 0 {
				name = "nobody"
			}
			_, err := s.Login(context.Background(), name, "x", localhost)
			if (err == nil) != (name == "ann") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	d.gate <- struct{}{} // at least one runs
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Login(canceled, "ann", "x", localhost); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	close(d.gate)
	wg.Wait()
	if calls.Load() != 10 || most.Load() > 2 {
		t.Errorf("%d checks, %d at once; want 10, 2 at most", calls.Load(), most.Load())
	}
}

func TestLoginDelays(t *testing.T) {
	path := writeUsers(t, "ann:{PLAIN}secret\n")
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Users: path, Throttle: someDelays})
		remote := netip.MustParseAddr("192.0.2.1")
		login := func(user, password string, from netip.Addr) (time.Duration, error) {
			start := time.Now()
			_, err := s.Login(t.Context(), user, password, from)
			return time.Since(start), err
		}
		for i, want := range []time.Duration{2, 2, 4, 8, 15, 15} {
			if took, err := login("ann", "wrong", remote); took != want*time.Second || !errors.Is(err, ErrInvalid) {
				t.Errorf("failure %d: %v after %v, want %v", i+1, err, took, want*time.Second)
			}
		}
		if took, err := login("ann", "secret", remote); took != 15*time.Second || err != nil {
			t.Errorf("right at last: %v after %v", err, took)
		}
		if took, err := login("ann", "secret", remote); took != 0 || err != nil {
			t.Errorf("known pair: %v after %v", err, took)
		}
		if took, err := login("ann", "secret", netip.MustParseAddr("198.51.100.1")); took != time.Second || err != nil {
			t.Errorf("elsewhere: %v after %v", err, took)
		}
		if took, _ := login("ann", "wrong", localhost); took != 0 {
			t.Errorf("trusted waits %v", took)
		}

		// Whoever hangs up early has failed all the same, and has learnt nothing.
		other := netip.MustParseAddr("203.0.113.9")
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if _, err := s.Login(ctx, "ann", "wrong", other); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hung up: %v", err)
		}
		checks := s.Checks()
		ctx, cancel = context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if _, err := s.Login(ctx, "ann", "secret", other); !errors.Is(err, context.DeadlineExceeded) || s.Checks() != checks {
			t.Errorf("hung up while waiting: %v, %d checks", err, s.Checks()-checks)
		}
	})
}

func TestMechanisms(t *testing.T) {
	const scram256 = "{SCRAM-SHA-256}4096,0XvVQtk0LyDTT39CuDXnGQ==,ATSAiyD742BDZW3bUs1FMNV1drZjZ0NE9XnpAkaYGUQ=,AeKh8u3hxMbejRYmPC20Y3/6pyNsynPx2b3a4jaybkE="
	for _, tt := range []struct {
		users            string
		secure, insecure []string
	}{
		{"", []string{"PLAIN", "LOGIN"}, nil},
		{"a:{SSHA}RsTwNkrvLawRj5zlXUca/ki5RelflPC5\nb:{PLAIN}x\n", []string{"PLAIN", "LOGIN"}, nil},
		{"a:{PLAIN}x\nb:!\n", []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"}, []string{"SCRAM-SHA-256", "SCRAM-SHA-1"}},
		{"a:{PLAIN}x\nb:" + scram256 + "\n", []string{"SCRAM-SHA-256", "PLAIN", "LOGIN"}, []string{"SCRAM-SHA-256"}},
	} {
		s := newService(t, tt.users, ThrottleOptions{})
		if got := s.Mechanisms(true); !slices.Equal(got, tt.secure) {
			t.Errorf("%q: secure %q, want %q", tt.users, got, tt.secure)
		}
		if got := s.Mechanisms(false); !slices.Equal(got, tt.insecure) {
			t.Errorf("%q: insecure %q, want %q", tt.users, got, tt.insecure)
		}
		for _, mech := range []string{"PLAIN", "plain", "Login", "SCRAM-SHA-256", "scram-sha-1"} {
			if _, err := s.Start(mech); err != nil {
				t.Errorf("Start(%s): %v", mech, err)
			}
		}
		for _, mech := range []string{"", "CRAM-MD5", "EXTERNAL", "SCRAM-SHA-256-PLUS", "PLAIN ", "pla\u0131n", "A very long name of a mechanism"} {
			if _, err := s.Start(mech); !errors.Is(err, ErrMechanism) {
				t.Errorf("Start(%s): %v", mech, err)
			}
		}
	}
}

func TestFinish(t *testing.T) {
	s := newService(t, loginUsers, ThrottleOptions{})
	finish := func(mech string, messages ...string) error {
		t.Helper()
		e, err := s.Start(mech)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			e.Next([]byte(m)) // malformed ones are among them
		}
		_, err = s.Finish(t.Context(), e, localhost)
		return err
	}
	if err := finish("PLAIN", "\x00ann\x00secret"); err != nil {
		t.Error(err)
	}
	if err := finish("LOGIN", "", "ann", "secret"); err != nil {
		t.Error(err)
	}
	for _, messages := range [][]string{nil, {"\x00ann\x00wrong"}, {"bob\x00ann\x00secret"}, {"ann\x00bob\x00secret"}, {"\x00\x00secret"}, {""}} {
		if err := finish("PLAIN", messages...); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", messages, err)
		}
	}
}

func TestUnavailable(t *testing.T) {
	s := New(Options{Users: filepath.Join(t.TempDir(), "none")})
	if _, err := s.Login(t.Context(), "ann", "x", localhost); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) {
		t.Errorf("login: %v", err)
	}
	e, err := s.Start("SCRAM-SHA-256")
	if err != nil {
		t.Fatal(err)
	}
	if _, done, err := e.Next([]byte("n,,n=ann,r=abc")); !done || err != nil {
		t.Errorf("SCRAM: done %t, %v", done, err)
	}
	if _, err := s.Finish(t.Context(), e, localhost); !errors.Is(err, ErrUnavailable) {
		t.Errorf("SCRAM: %v", err)
	}
	if got := s.Mechanisms(true); !slices.Equal(got, []string{"PLAIN", "LOGIN"}) {
		t.Errorf("mechanisms %q", got)
	}
	if _, _, err := s.Check(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("check: %v", err)
	}
	if _, err := s.Lookup("ann"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("lookup: %v", err)
	}
}

// TestBadExchangesDisturbNobody runs malformed exchanges beside a good login.
func TestBadExchangesDisturbNobody(t *testing.T) {
	s := newService(t, loginUsers, ThrottleOptions{})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			mech := []string{"PLAIN", "LOGIN", "SCRAM-SHA-1"}[i%3]
			e, err := s.Start(mech)
			if err != nil {
				t.Error(err)
				return
			}
			e.Next([]byte{0xff, 0, 0, 0}) // malformed
			if _, err := s.Finish(context.Background(), e, localhost); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", mech, err)
			}
		})
	}
	if _, err := s.Login(t.Context(), "ann", "secret", localhost); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
