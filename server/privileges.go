package server

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// An identity is what a process becomes.
type identity struct {
	uid, gid int
	groups   []int
}

// lookUpUser finds the uid, gid and groups of name, which may be a number.
func lookUpUser(name string) (identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return identity{}, fmt.Errorf("server: user %q of [server] user: no such user", name)
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return identity{}, fmt.Errorf("server: user %q: uid %q: %w", name, u.Uid, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return identity{}, fmt.Errorf("server: user %q: gid %q: %w", name, u.Gid, err)
	}
	id := identity{uid: uid, gid: gid}
	if gids, err := u.GroupIds(); err == nil {
		for _, g := range gids {
			if n, err := strconv.Atoi(g); err == nil {
				id.groups = append(id.groups, n)
			}
		}
	}
	return id, nil
}

// become drops to id for good, in all threads.
func become(id identity) error {
	if os.Getuid() == id.uid && os.Getuid() != 0 {
		return nil
	}
	if err := syscall.Setgroups(id.groups); err != nil {
		return fmt.Errorf("server: set groups: %w", err)
	}
	if err := syscall.Setgid(id.gid); err != nil {
		return fmt.Errorf("server: set gid %d: %w", id.gid, err)
	}
	if err := syscall.Setuid(id.uid); err != nil {
		return fmt.Errorf("server: set uid %d: %w", id.uid, err)
	}
	if id.uid != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("server: root could be had back after becoming uid %d", id.uid)
	}
	return nil
}
