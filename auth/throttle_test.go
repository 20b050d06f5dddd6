package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var someDelays = ThrottleOptions{Delay: 2 * time.Second, MaxDelay: 15 * time.Second, UserDelay: time.Second,
	Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestThrottleDoubles(t *testing.T) {
	clock := newClock()
	th := NewThrottle(someDelays, clock.now)
	a := addr("192.0.2.1")
	for i, want := range []time.Duration{0, 2, 4, 8, 15, 15} {
		if got := th.Before("ann", a); got != want*time.Second {
			t.Errorf("after %d failures: wait %v, want %v", i, got, want*time.Second)
		}
		told := th.Failed("ann", a, want*time.Second)
		if wantTold := max(0, 2-want) * time.Second; told != wantTold {
			t.Errorf("after %d failures: told after %v, want %v", i, told, wantTold)
		}
	}
	clock.add(forgetFailures)
	if got := th.Before("ann", a); got != 0 {
		t.Errorf("not forgotten: wait %v", got)
	}
}

func TestThrottleScope(t *testing.T) {
	clock := newClock()
	th := NewThrottle(someDelays, clock.now)
	th.Failed("ann", addr("192.0.2.1"), 0)
	th.Failed("ann", addr("2001:db8::1"), 0)
	for _, tt := range []struct {
		user, addr string
		want       time.Duration
	}{
		{"bob", "192.0.2.1", 2 * time.Second},
		{"bob", "::ffff:192.0.2.1", 2 * time.Second},
		{"bob", "192.0.2.2", 0},
		{"ann", "192.0.2.2", time.Second}, // the user's own, softer
		{"bob", "2001:db8::2", 2 * time.Second},
		{"bob", "2001:db8:0:0:ffff::9", 2 * time.Second},
		{"bob", "2001:db8:0:1::1", 0},
		{"ann", "127.0.0.1", 0},
		{"ann", "::1", 0},
	} {
		if got := th.Before(tt.user, addr(tt.addr)); got != tt.want {
			t.Errorf("%s from %s: wait %v, want %v", tt.user, tt.addr, got, tt.want)
		}
	}
	if got := th.Failed("ann", addr("127.0.0.1"), 0); got != 0 {
		t.Errorf("trusted: told after %v", got)
	}
	if got := th.Before("bob", netip.Addr{}); got != 0 {
		t.Errorf("no address: wait %v", got)
	}
}

func TestThrottleSparesTheOwner(t *testing.T) {
	clock := newClock()
	th := NewThrottle(someDelays, clock.now)
	home, office := addr("192.0.2.1"), addr("198.51.100.1")
	th.Succeeded("ann", home)
	for range 100 {
		th.Failed("ann", addr("203.0.113.5"), 0)
		th.Failed("bob", home, 0)
	}
	if got := th.Before("ann", home); got != 0 {
		t.Errorf("the owner waits %v", got)
	}
	if got := th.Before("ann", office); got != time.Second {
		t.Errorf("the owner elsewhere waits %v, want 1s", got)
	}
	if got := th.Before("bob", home); got != 15*time.Second {
		t.Errorf("ann's success spares bob: %v", got)
	}
	clock.add(forgetGood)
	th.Failed("ann", home, 0)
	if got := th.Before("ann", home); got == 0 {
		t.Error("a day is over and the pair is still good")
	}
}

func TestThrottleMemoryIsBounded(t *testing.T) {
	clock := newClock()
	th := NewThrottle(someDelays, clock.now)
	first := netip.AddrFrom4([4]byte{10, 0, 0, 0})
	th.Failed("first", first, 0)
	for i := range maxTracked + 100 {
		a := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		th.Failed(fmt.Sprint("user", i), a, 0)
		th.Succeeded(fmt.Sprint("user", i), a)
	}
	for what, n := range map[string]int{"addresses": len(th.addrs.entries), "users": len(th.users.entries), "pairs": len(th.good.entries), "order": th.addrs.order.Len()} {
		if n != maxTracked {
			t.Errorf("%d %s, want %d", n, what, maxTracked)
		}
	}
	if got := th.Before("first", first); got != 0 {
		t.Errorf("the oldest is still there: %v", got)
	}
}

func TestPlaintextAllowed(t *testing.T) {
	for _, tt := range []struct {
		policy, addr string
		tls, want    bool
	}{
		{"never", "127.0.0.1", false, false}, {"never", "192.0.2.1", true, true},
		{"loopback", "127.0.0.1", false, true}, {"loopback", "::1", false, true}, {"loopback", "::ffff:127.0.0.1", false, true},
		{"loopback", "192.0.2.1", false, false}, {"always", "192.0.2.1", false, true}, {"", "127.0.0.1", false, false},
	} {
		if got := PlaintextAllowed(tt.policy, addr(tt.addr), tt.tls); got != tt.want {
			t.Errorf("%+v: got %t", tt, got)
		}
	}
	if PlaintextAllowed("loopback", netip.Addr{}, false) {
		t.Error("no address is taken for loopback")
	}
}
