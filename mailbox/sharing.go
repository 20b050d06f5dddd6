package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"roost/disk"
	"roost/maildir"
)

// This file is how users find what others share with them: which owners have
// given somebody a right. It is a few words per owner in memory, made from every
// roost.account once, and then by the accounts themselves as they change, so that
// LIST opens only accounts that have something to show. What may really be done
// is asked of the account.

// SharedOptions say where users find the mailboxes of other users.
type SharedOptions struct {
	// Prefix is that of the names, with the separator at its end; "": nothing is
	// shared.
	Prefix string
	// Find says where the mail of a user is. ErrNotExist: there is no such user.
	Find func(name string) (User, error)
	// Users gives the names of all users.
	Users func() ([]string, error)
}

// escapeOwner stands before two hex digits in names of owners. It is no wildcard
// of LIST, unlike the escape of other names.
const escapeOwner = '='

// sharing is the directory of who shares with whom.
type sharing struct {
	o      SharedOptions
	st     *Store
	levels maildir.Mailbox // of the prefix

	ready chan struct{} // closed once all accounts were looked at
	bg    sync.WaitGroup

	mu     sync.Mutex // guards all below
	owners map[string]map[string]Rights
	by     map[string]map[string]struct{} // identifier to owners
	told   map[string]bool                // owners whose account has told itself
	wakes  map[*TreeWatch]struct{}
}

func newSharing(st *Store, o SharedOptions) (*sharing, error) {
	if o.Prefix == "" {
		return nil, nil
	}
	sep := string(st.o.Separator)
	head, ok := strings.CutSuffix(o.Prefix, sep)
	if !ok {
		return nil, fmt.Errorf("mailbox: options: shared prefix %q does not end with the separator", o.Prefix)
	}
	m, err := maildir.ParseMailbox(head, st.o.Separator)
	if err != nil || m[0] == maildir.Inbox || strings.ContainsAny(head, "*%") {
		return nil, fmt.Errorf("mailbox: options: shared prefix %q cannot be one", o.Prefix)
	}
	if own := st.o.Prefix; own != "" && (strings.HasPrefix(own, o.Prefix) || strings.HasPrefix(o.Prefix, own)) {
		return nil, fmt.Errorf("mailbox: options: shared prefix %q and prefix %q are in each other", o.Prefix, own)
	}
	if o.Find == nil || o.Users == nil {
		return nil, errors.New("mailbox: options: nobody knows who shares")
	}
	o.Prefix = strings.Join(m, sep) + sep
	return &sharing{
		o: o, st: st, levels: m, ready: make(chan struct{}),
		owners: map[string]map[string]Rights{}, by: map[string]map[string]struct{}{},
		told: map[string]bool{}, wakes: map[*TreeWatch]struct{}{},
	}, nil
}

// top is the level above all owners.
func (s *sharing) top() string { return s.o.Prefix[:len(s.o.Prefix)-1] }

// nameOf is the name of an owner as a level.
func (s *sharing) nameOf(owner string) string {
	var b strings.Builder
	for i, c := range []byte(owner) {
		if c == s.st.o.Separator || strings.IndexByte(`=*%"\/`, c) >= 0 || c < 0x20 || c == 0x7f || i == 0 && (c == '.' || c == '~') {
			fmt.Fprintf(&b, "%c%02X", escapeOwner, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ownerOf undoes nameOf; false: it would not give that level.
func (s *sharing) ownerOf(level string) (string, bool) {
	b := make([]byte, 0, len(level))
	for i := 0; i < len(level); i++ {
		if level[i] != escapeOwner {
			b = append(b, level[i])
			continue
		}
		hi, lo := unhex(level, i+1), unhex(level, i+2)
		if hi < 0 || lo < 0 {
			return "", false
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	owner := string(b)
	return owner, owner != "" && s.nameOf(owner) == level
}

func unhex(s string, i int) int {
	if i >= len(s) {
		return -1
	}
	return strings.IndexByte("0123456789ABCDEF", s[i])
}

// start begins to look at all accounts. It is called once.
func (s *sharing) start() { s.bg.Go(s.lookAtAll) }

// look waits until all accounts were looked at.
func (s *sharing) look(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookAtAll reads what the accounts of all users share.
func (s *sharing) lookAtAll() {
	defer close(s.ready)
	names, err := s.o.Users()
	if err != nil {
		s.st.o.Log.Error("who shares mailboxes is not known", "err", err)
		return
	}
	for _, name := range names {
		s.st.mu.Lock()
		closed := s.st.closed
		s.st.mu.Unlock()
		if closed {
			return
		}
		u, err := s.o.Find(name)
		if err != nil {
			continue
		}
		grants, err := readGrants(s.st.o.FS, u)
		if err != nil {
			s.st.o.Log.Warn("what a user shares is not known", "user", name, "err", err)
			continue
		}
		s.note(u.Name, grants, false)
	}
}

// readGrants reads what an account shares, without opening it.
func readGrants(fsys disk.FS, u User) (map[string]Rights, error) {
	path := u.Path
	if u.Index != "" {
		path = u.Index
	}
	dir, err := fsys.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	file, err := dir.Open(accountFileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	root, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	if info.Nlink != 1 || info.UID != root.UID && info.UID != uint32(os.Geteuid()) {
		return nil, ErrOwner
	}
	if info.Size > accountFileMax {
		return nil, ErrLimit
	}
	data := make([]byte, info.Size)
	if n, err := file.ReadAt(data, 0); n < len(data) {
		return nil, err
	}
	seed, ok, err := parseAccountHeader(data)
	if !ok || err != nil {
		return nil, err
	}
	state := newAccountState()
	parseAccountFrames(data, seed, state)
	return state.grants(), nil
}

// note makes grants what owner shares. What an account itself tells, with live,
// is newer than any file that was read.
func (s *sharing) note(owner string, grants map[string]Rights, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told[owner] && !live {
		return
	}
	s.told[owner] = s.told[owner] || live
	old := s.owners[owner]
	if maps.Equal(old, grants) {
		return
	}
	for identifier := range old {
		delete(s.by[identifier], owner)
		if len(s.by[identifier]) == 0 {
			delete(s.by, identifier)
		}
	}
	delete(s.owners, owner)
	if len(grants) > 0 {
		s.owners[owner] = grants
	}
	for identifier := range grants {
		if s.by[identifier] == nil {
			s.by[identifier] = map[string]struct{}{}
		}
		s.by[identifier][owner] = struct{}{}
	}
	for t := range s.wakes {
		t.wake()
	}
}

// watch makes t wake when somebody may share more or less, or ends that.
func (s *sharing) watch(t *TreeWatch, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.wakes[t] = struct{}{}
	} else {
		delete(s.wakes, t)
	}
}

// tellGrants tells the directory what the account shares now.
func (a *Account) tellGrants() {
	s := a.st.sharing
	if s == nil {
		return
	}
	var grants map[string]Rights
	a.granting.Lock() // so that what is newer is told later
	defer a.granting.Unlock()
	a.file.view(func(st *accountState) { grants = st.grants() })
	s.note(a.user, grants, true)
}

// given is what owner may have given to user at most.
func (s *sharing) given(owner, user string) Rights {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.owners[owner][Anyone]
	if !strings.HasPrefix(user, "-") {
		r |= s.owners[owner][user]
	}
	return r
}

// sharers gives the owners who may show something to user, in order.
func (s *sharing) sharers(user string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]struct{}{}
	for _, identifier := range []string{user, Anyone} {
		if strings.HasPrefix(identifier, "-") {
			continue
		}
		for owner := range s.by[identifier] {
			if owner != user && s.owners[owner][identifier]&RightLookup != 0 {
				all[owner] = struct{}{}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}
