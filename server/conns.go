package server

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"roost/config"
)

// Reasons to refuse a connection or a login.
var (
	errTooManySessions = errors.New("too many connections to this server")
	errTooManyFromIP   = errors.New("too many connections from your address that have not logged in")
	errRate            = errors.New("too many connections from your address that ended without a login")
	errTooManyOfUser   = errors.New("too many connections of this user")
	errTooManyUserIP   = errors.New("too many connections of this user from your address")
)

// A registry counts the connections and says which may come in and log in.
type registry struct {
	now func() time.Time

	mu        sync.Mutex // guards all below
	limits    config.ConnectionLimits
	all       map[*connection]struct{}
	waiting   *list.List // connections that have not logged in, oldest first
	waitingIP map[netip.Addr]int
	user      map[string]int
	userIP    map[userIP]int
	failures  map[netip.Addr]*window // connections that ended without a login
	refused   uint64
}

type userIP struct {
	user string
	ip   netip.Addr
}

// A window counts events of the current minute and the one before.
type window struct {
	minute   int64
	now, old int
}

// A connection is one entry of the registry.
type connection struct {
	reg     *registry
	conn    net.Conn
	ip      netip.Addr // for IPv6 the /64
	trusted bool
	since   time.Time

	// guarded by reg.mu
	wait *list.Element // in reg.waiting; nil once logged in
	user string
	good bool // it logged in once
	done bool
}

func newRegistry(limits config.ConnectionLimits, now func() time.Time) *registry {
	return &registry{
		now: now, limits: limits, all: map[*connection]struct{}{}, waiting: list.New(),
		waitingIP: map[netip.Addr]int{}, user: map[string]int{}, userIP: map[userIP]int{}, failures: map[netip.Addr]*window{},
	}
}

// setLimits changes the limits for what comes from now on.
func (r *registry) setLimits(limits config.ConnectionLimits) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits = limits
}

// countedAddr is the address by which a client is counted: IPv4 whole, of IPv6
// the /64, because that is what one client has.
func countedAddr(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

func (r *registry) trustedLocked(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return true
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, p := range r.limits.Trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// enter takes in a connection, or says why not. If too many have not logged
// in, the one that has waited longest is closed for it.
func (r *registry) enter(conn net.Conn) (*connection, error) {
	ip := countedAddr(conn.RemoteAddr())
	r.mu.Lock()
	defer r.mu.Unlock()
	trusted := r.trustedLocked(conn.RemoteAddr())
	err := r.mayEnterLocked(ip, trusted)
	if err != nil {
		r.refused++
		return nil, err
	}
	if r.waiting.Len() >= r.limits.Unauthenticated {
		oldest := r.waiting.Front().Value.(*connection)
		r.stopWaitingLocked(oldest)
		oldest.conn.Close()
		r.refused++
	}
	c := &connection{reg: r, conn: conn, ip: ip, trusted: trusted, since: r.now()}
	c.wait = r.waiting.PushBack(c)
	r.waitingIP[ip]++
	r.all[c] = struct{}{}
	return c, nil
}

func (r *registry) mayEnterLocked(ip netip.Addr, trusted bool) error {
	switch {
	case len(r.all) >= r.limits.Sessions:
		return errTooManySessions
	case trusted:
		return nil
	case r.waitingIP[ip] >= r.limits.UnauthenticatedIP:
		return errTooManyFromIP
	case r.failuresLocked(ip) >= r.limits.ConnectionRate:
		return errRate
	}
	return nil
}

func (r *registry) stopWaitingLocked(c *connection) {
	if c.wait == nil {
		return
	}
	r.waiting.Remove(c.wait)
	c.wait = nil
	if r.waitingIP[c.ip]--; r.waitingIP[c.ip] <= 0 {
		delete(r.waitingIP, c.ip)
	}
}

// login counts c for user, or says why it may not be one of user's.
func (c *connection) login(user string) error {
	r := c.reg
	r.mu.Lock()
	defer r.mu.Unlock()
	key := userIP{user, c.ip}
	switch {
	case r.user[user] >= r.limits.UserConnections:
		return errTooManyOfUser
	case !c.trusted && r.userIP[key] >= r.limits.UserIPConnections:
		return errTooManyUserIP
	}
	c.logoutLocked()
	r.stopWaitingLocked(c)
	c.user, c.good = user, true
	r.user[user]++
	r.userIP[key]++
	return nil
}

// logout takes c from its user: it waits for a login again (UNAUTHENTICATE).
func (c *connection) logout() {
	r := c.reg
	r.mu.Lock()
	defer r.mu.Unlock()
	c.logoutLocked()
	if !c.done && c.wait == nil {
		c.wait = r.waiting.PushBack(c)
		r.waitingIP[c.ip]++
	}
}

func (c *connection) logoutLocked() {
	if c.user == "" {
		return
	}
	r, key := c.reg, userIP{c.user, c.ip}
	if r.user[c.user]--; r.user[c.user] <= 0 {
		delete(r.user, c.user)
	}
	if r.userIP[key]--; r.userIP[key] <= 0 {
		delete(r.userIP, key)
	}
	c.user = ""
}

// leave takes c out; one that never logged in counts against its address.
func (c *connection) leave() {
	r := c.reg
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.done {
		return
	}
	c.done = true
	if !c.good && !c.trusted {
		r.failLocked(c.ip)
	}
	r.stopWaitingLocked(c)
	c.logoutLocked()
	delete(r.all, c)
}

// maxFailureWindows bounds the memory for addresses that fail.
const maxFailureWindows = 50_000

func (r *registry) failLocked(ip netip.Addr) {
	minute := r.now().Unix() / 60
	w := r.failures[ip]
	if w == nil {
		if len(r.failures) >= maxFailureWindows {
			for old, o := range r.failures {
				if o.minute < minute-1 {
					delete(r.failures, old)
				}
			}
			if len(r.failures) >= maxFailureWindows {
				return // an attack from so many addresses is not slowed by counting them
			}
		}
		w = &window{minute: minute}
		r.failures[ip] = w
	}
	w.advance(minute)
	w.now++
}

func (r *registry) failuresLocked(ip netip.Addr) int {
	w := r.failures[ip]
	if w == nil {
		return 0
	}
	w.advance(r.now().Unix() / 60)
	return max(w.now, w.old)
}

func (w *window) advance(minute int64) {
	switch {
	case minute == w.minute:
	case minute == w.minute+1:
		w.minute, w.old, w.now = minute, w.now, 0
	default:
		w.minute, w.old, w.now = minute, 0, 0
	}
}

// snapshot is for /metrics and `roost status`.
type snapshot struct {
	Connections     int
	Unauthenticated int
	Users           int
	Refused         uint64
}

func (r *registry) snapshot() snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return snapshot{Connections: len(r.all), Unauthenticated: r.waiting.Len(), Users: len(r.user), Refused: r.refused}
}

// closeAll closes every connection: the last resort of a shutdown.
func (r *registry) closeAll() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.all {
		c.conn.Close()
	}
	return len(r.all)
}
