package auth

import "net/netip"

// PlaintextAllowed says whether passwords may cross a connection from addr. The
// policy is "never", "loopback" or "always" and counts only without TLS; any other
// is "never".
func PlaintextAllowed(policy string, addr netip.Addr, tls bool) bool {
	switch {
	case tls, policy == "always":
		return true
	case policy == "loopback":
		return addr.Unmap().IsLoopback()
	}
	return false
}
