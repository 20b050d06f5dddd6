package server

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"roost/config"
)

// fakeConn is a connection from an address of the test's choice.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}

func (c *fakeConn) Close() error { c.closed = true; return nil }

func testRegistry(change func(*config.ConnectionLimits)) (*registry, *time.Time) {
	limits := config.Default().Limits.ConnectionLimits
	if change != nil {
		change(&limits)
	}
	now := time.Unix(1_800_000_000, 0)
	return newRegistry(limits, func() time.Time { return now }), &now
}

func mustEnter(t *testing.T, r *registry, from string) (*connection, *fakeConn) {
	t.Helper()
	f := &fakeConn{from: from}
	c, err := r.enter(f)
	if err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return c, f
}

func TestUnauthenticatedPerAddress(t *testing.T) {
	r, _ := testRegistry(func(l *config.ConnectionLimits) { l.UnauthenticatedIP = 2 })
	mustEnter(t, r, "192.0.2.1:1")
	c, _ := mustEnter(t, r, "192.0.2.1:2")
	if _, err := r.enter(&fakeConn{from: "192.0.2.1:3"}); !errors.Is(err, errTooManyFromIP) {
		t.Errorf("third connection: %v", err)
	}
	if err := c.login("u"); err != nil {
		t.Fatal(err)
	}
	mustEnter(t, r, "192.0.2.1:4") // a login makes room
	mustEnter(t, r, "[2001:db8::1]:1")
	mustEnter(t, r, "[2001:db8::2]:1")
	if _, err := r.enter(&fakeConn{from: "[2001:db8::3]:1"}); !errors.Is(err, errTooManyFromIP) {
		t.Errorf("third connection of a /64: %v", err)
	}
	for range 5 {
		mustEnter(t, r, "127.0.0.1:1") // trusted
	}
}

func TestOldestUnauthenticatedMakesRoom(t *testing.T) {
	r, _ := testRegistry(func(l *config.ConnectionLimits) { l.Unauthenticated = 2 })
	_, first := mustEnter(t, r, "192.0.2.1:1")
	_, second := mustEnter(t, r, "192.0.2.2:1")
	mustEnter(t, r, "192.0.2.3:1")
	if !first.closed || second.closed {
		t.Errorf("closed: first %v, second %v; want the oldest only", first.closed, second.closed)
	}
	if n := r.snapshot().Unauthenticated; n != 2 {
		t.Errorf("%d wait, want 2", n)
	}
}

func TestRateCountsOnlyThoseWithoutLogin(t *testing.T) {
	r, now := testRegistry(func(l *config.ConnectionLimits) { l.ConnectionRate = 3 })
	for range 10 {
		c, _ := mustEnter(t, r, "192.0.2.1:1")
		if err := c.login("u"); err != nil {
			t.Fatal(err)
		}
		c.leave()
	}
	for range 3 {
		c, _ := mustEnter(t, r, "192.0.2.1:1")
		c.leave()
		c.leave() // twice is once
	}
	if _, err := r.enter(&fakeConn{from: "192.0.2.1:9"}); !errors.Is(err, errRate) {
		t.Errorf("after three failures: %v", err)
	}
	mustEnter(t, r, "192.0.2.2:1")
	*now = now.Add(2 * time.Minute)
	mustEnter(t, r, "192.0.2.1:1")
}

func TestUserLimits(t *testing.T) {
	r, _ := testRegistry(func(l *config.ConnectionLimits) { l.UserConnections, l.UserIPConnections = 3, 2 })
	var in []*connection
	for _, from := range []string{"192.0.2.1:1", "192.0.2.1:2"} {
		c, _ := mustEnter(t, r, from)
		if err := c.login("u"); err != nil {
			t.Fatal(err)
		}
		in = append(in, c)
	}
	c, _ := mustEnter(t, r, "192.0.2.1:3")
	if err := c.login("u"); !errors.Is(err, errTooManyUserIP) {
		t.Errorf("third of the address: %v", err)
	}
	if err := c.login("v"); err != nil {
		t.Errorf("another user: %v", err)
	}
	d, _ := mustEnter(t, r, "192.0.2.2:1")
	if err := d.login("u"); err != nil {
		t.Fatal(err)
	}
	e, _ := mustEnter(t, r, "192.0.2.3:1")
	if err := e.login("u"); !errors.Is(err, errTooManyOfUser) {
		t.Errorf("fourth of the user: %v", err)
	}
	for _, c := range append(in, c, d, e) {
		c.leave()
	}
	if s := r.snapshot(); s.Connections != 0 || s.Unauthenticated != 0 || s.Users != 0 {
		t.Errorf("after all left: %+v", s)
	}
	if len(r.userIP) != 0 || len(r.waitingIP) != 0 {
		t.Errorf("left over: %v %v", r.userIP, r.waitingIP)
	}
}

// TestLogoutWaitsAgain: a connection that gave up its user counts as one that
// has not logged in, but not as one that never did.
func TestLogoutWaitsAgain(t *testing.T) {
	r, _ := testRegistry(func(l *config.ConnectionLimits) { l.UserConnections, l.ConnectionRate = 1, 1 })
	c, _ := mustEnter(t, r, "192.0.2.1:1")
	if err := c.login("u"); err != nil {
		t.Fatal(err)
	}
	c.logout()
	if s := r.snapshot(); s.Unauthenticated != 1 || s.Users != 0 {
		t.Errorf("behind logout: %+v", s)
	}
	other, _ := mustEnter(t, r, "192.0.2.1:2")
	if err := other.login("u"); err != nil {
		t.Errorf("the place is not free: %v", err)
	}
	if err := c.login("v"); err != nil {
		t.Error(err)
	}
	c.logout()
	c.leave()
	if s := r.snapshot(); s.Unauthenticated != 0 || s.Connections != 1 {
		t.Errorf("behind leave: %+v", s)
	}
	mustEnter(t, r, "192.0.2.1:3") // it did not count against the address
}
