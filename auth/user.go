package auth

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A User is an account of the users file.
type User struct {
	Name  string // normalized
	UID   int    // -1 if the file gives none
	GID   int    // -1 if the file gives none
	Home  string // empty if the file gives none
	Extra map[string]string
	// Extra has the fields name=value of the last column; one without "=" has the
	// value "yes". The map belongs to the file: do not change it.
}

// An account is a line of the users file.
type account struct {
	User
	digest digest
	locked bool
	nets   []netip.Prefix // where logins may come from; empty = anywhere
	host   string         // where the mail is instead of here; empty = here
}

// refusedExtra are extra fields of Dovecot that change who may log in, in ways that
// roost does not do. Ignoring them would let in more people than the file means to.
var refusedExtra = []string{"nopassword", "proxy", "proxy_maybe", "user", "master", "pass", "password"}

// parseAccount reads a line of a Dovecot passwd-file:
//
//	name:password:uid:gid:gecos:home:shell:extra
//
// Everything after the password may be left out.
func parseAccount(line string) (*account, error) {
	fields := strings.SplitN(line, ":", 8)
	if len(fields) < 2 {
		return nil, fmt.Errorf("auth: parse user: no \":\" after the name")
	}
	name, err := NormalizeName(fields[0])
	if err != nil {
		return nil, err
	}
	fields = append(fields, make([]string, 8-len(fields))...)
	a := &account{User: User{Name: name, Home: fields[5]}}
	if a.UID, err = parseID(fields[2]); err != nil {
		return nil, fmt.Errorf("auth: parse user: uid %w", err)
	}
	if a.GID, err = parseID(fields[3]); err != nil {
		return nil, fmt.Errorf("auth: parse user: gid %w", err)
	}
	if a.digest, a.locked, err = parsePassword(fields[1]); err != nil {
		return nil, err
	}
	return a, a.parseExtra(fields[7])
}

func parseID(s string) (int, error) {
	if s == "" {
		return -1, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n >= 1<<32-1 {
		return 0, fmt.Errorf("%q is not a number below 2^32-1", s)
	}
	if strconv.IntSize == 32 && n >= 1<<31 {
		return 0, fmt.Errorf("%q is too large for this machine", s)
	}
	return int(n), nil
}

func (a *account) parseExtra(s string) error {
	nologin := false
	for _, f := range strings.Fields(s) {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			value = "yes"
		}
		if a.Extra == nil {
			a.Extra = map[string]string{}
		}
		a.Extra[key] = value
		for _, refused := range refusedExtra {
			if key == refused {
				return fmt.Errorf("auth: parse user: extra field %q is not supported", key)
			}
		}
		switch key {
		case "nologin":
			nologin = true
		case "host":
			if !validHost(value) {
				return fmt.Errorf("auth: parse user: host %q is not a host name, nor an address", value)
			}
			a.host = value
		case "allow_nets":
			for net := range strings.SplitSeq(value, ",") {
				prefix, err := parseNet(net)
				if err != nil {
					return fmt.Errorf("auth: parse user: allow_nets: %w", err)
				}
				a.nets = append(a.nets, prefix)
			}
		}
	}
	// With a host it is how Dovecot's files write a referral: no login here.
	a.locked = a.locked || nologin && a.host == ""
	return nil
}

// validHost says whether s can be the host, with or without a port, of a URL.
func validHost(s string) bool {
	for _, c := range []byte(s) {
		if c != '.' && c != '-' && c != '_' && c != ':' && c != '[' && c != ']' &&
			(c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

func parseNet(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	return prefix.Masked(), err
}

// allows says whether the account may be used from addr.
func (a *account) allows(addr netip.Addr) bool {
	return len(a.nets) == 0 || containsAddr(a.nets, addr)
}

func containsAddr(nets []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, n := range nets {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
