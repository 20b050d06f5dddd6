package auth

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// ThrottleOptions are the delays. The zero value has none.
type ThrottleOptions struct {
	Delay     time.Duration  // after the first failure of an address; doubled with each
	MaxDelay  time.Duration  // of an address
	UserDelay time.Duration  // of a user with failures from anywhere
	Trusted   []netip.Prefix // exempt
}

const (
	forgetFailures = 10 * time.Minute // since the last one
	forgetGood     = 24 * time.Hour
	maxTracked     = 1 << 16 // addresses, users and pairs, each; the longest unseen is dropped
)

// Throttle remembers failures and says how long to wait. It never waits itself and
// never refuses, so that nobody can lock out an owner: a pair of user and address
// that logged in within a day waits for nothing. Its memory is bounded. It is safe
// for concurrent use.
type Throttle struct {
	opt  ThrottleOptions
	now  func() time.Time
	seed maphash.Seed

	mu    sync.Mutex // guards all below
	addrs lru[netip.Addr]
	users lru[uint64]
	good  lru[goodPair]
}

type goodPair struct {
	user uint64
	addr netip.Addr
}

// NewThrottle returns a Throttle that reads the time from now.
func NewThrottle(opt ThrottleOptions, now func() time.Time) *Throttle {
	return &Throttle{opt: opt, now: now, seed: maphash.MakeSeed()}
}

// Before returns how long to wait before the password of user is checked for a
// client at addr.
func (t *Throttle) Before(user string, addr netip.Addr) time.Duration {
	if containsAddr(t.opt.Trusted, addr) {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now, u, a := t.now(), t.userKey(user), addrKey(addr)
	if t.good.get(goodPair{u, a}, now, forgetGood) > 0 {
		return 0
	}
	wait := t.opt.penalty(t.addrs.get(a, now, forgetFailures))
	if wait < t.opt.UserDelay && t.users.get(u, now, forgetFailures) > 0 {
		wait = t.opt.UserDelay
	}
	return wait
}

// Failed records a failure. It returns how long to wait before the client is told,
// if it has waited for waited already.
func (t *Throttle) Failed(user string, addr netip.Addr, waited time.Duration) time.Duration {
	if containsAddr(t.opt.Trusted, addr) {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.addrs.add(addrKey(addr), now, forgetFailures)
	t.users.add(t.userKey(user), now, forgetFailures)
	return max(0, min(t.opt.Delay, t.opt.MaxDelay)-waited)
}

// Succeeded records that user logged in from addr. The failures of the address stay
// until they are forgotten: else whoever has one account could guess at the others
// in between.
func (t *Throttle) Succeeded(user string, addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.good.add(goodPair{t.userKey(user), addrKey(addr)}, t.now(), forgetGood)
}

func (t *Throttle) userKey(user string) uint64 { return maphash.String(t.seed, user) }

// addrKey is addr, or the /64 of an IPv6 address: one customer.
func addrKey(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}

// penalty is the delay after n failures.
func (o ThrottleOptions) penalty(n int) time.Duration {
	if n == 0 {
		return 0
	}
	d := o.Delay
	for i := 1; i < n && d > 0 && d < o.MaxDelay; i++ {
		d *= 2
	}
	return min(d, o.MaxDelay)
}

// An lru counts events per key, at most maxTracked keys.
type lru[K comparable] struct {
	entries map[K]*list.Element
	order   list.List // of *lruEntry[K], last seen first
}

type lruEntry[K comparable] struct {
	key   K
	count int
	last  time.Time
}

// get returns the count of key, 0 if its last event is older than forget.
func (l *lru[K]) get(key K, now time.Time, forget time.Duration) int {
	el, ok := l.entries[key]
	if !ok {
		return 0
	}
	e := el.Value.(*lruEntry[K])
	if now.Sub(e.last) >= forget {
		l.remove(el)
		return 0
	}
	return e.count
}

func (l *lru[K]) add(key K, now time.Time, forget time.Duration) {
	if l.entries == nil {
		l.entries = map[K]*list.Element{}
	}
	if n := l.get(key, now, forget); n > 0 {
		el := l.entries[key]
		e := el.Value.(*lruEntry[K])
		e.count, e.last = min(n+1, 1<<20), now
		l.order.MoveToFront(el)
		return
	}
	l.entries[key] = l.order.PushFront(&lruEntry[K]{key, 1, now})
	if len(l.entries) > maxTracked {
		l.remove(l.order.Back())
	}
}

func (l *lru[K]) remove(el *list.Element) {
	delete(l.entries, el.Value.(*lruEntry[K]).key)
	l.order.Remove(el)
}
