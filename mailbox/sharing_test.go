package mailbox

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"roost/disk"
	"roost/disk/disktest"
	"roost/index"
)

// A town is a Store with users who share.
type town struct {
	t    testing.TB
	fsys disk.FS
	dir  string
	st   *Store
	gone map[string]bool // users whom the users file does not have any more
}

func newTown(t testing.TB, fsys disk.FS, dir string, users []string, change func(*Options)) *town {
	t.Helper()
	tn := &town{t: t, fsys: fsys, dir: dir, gone: map[string]bool{}}
	for _, name := range users {
		if err := makeRoot(fsys, tn.user(name).Path, CreateAlways); err != nil {
			t.Fatal(err)
		}
	}
	tn.st = newTestStore(t, fsys, func(o *Options) {
		o.Shared = SharedOptions{
			Prefix: "shared/",
			Users:  func() ([]string, error) { return users, nil },
			Find: func(name string) (User, error) {
				if !slices.Contains(users, name) || tn.gone[name] {
					return User{}, ErrNotExist
				}
				return tn.user(name), nil
			},
		}
		if change != nil {
			change(o)
		}
	})
	return tn
}

func (tn *town) user(name string) User {
	return User{Name: name, Path: filepath.Join(tn.dir, hex.EncodeToString([]byte(name)))}
}

// open gives the account of a user, and what the user reaches.
func (tn *town) open(name string) (*Account, *Access) {
	tn.t.Helper()
	a, err := tn.st.Open(tn.t.Context(), tn.user(name))
	if err != nil {
		tn.t.Fatal(err)
	}
	tn.t.Cleanup(a.Release)
	return a, a.Access(name)
}

func (x *Access) mustSet(t testing.TB, name, identifier, rights string) {
	t.Helper()
	r, ok := ParseRights(rights)
	if !ok {
		t.Fatalf("rights %q", rights)
	}
	if err := x.SetACL(t.Context(), name, Need{All: RightAdmin}, identifier, RightsReplace, r); err != nil {
		t.Fatalf("set the rights of %s on %s: %v", identifier, name, err)
	}
}

// names gives what a user sees of others, with the rights.
func (x *Access) names(t testing.TB) string {
	t.Helper()
	list, err := x.List(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range list {
		if x.others(l.Name) {
			out = append(out, l.Name+":"+l.Rights.letters())
		}
	}
	return strings.Join(out, " ")
}

// check holds the directory of who shares against the open accounts.
func (tn *town) check() {
	tn.t.Helper()
	s := tn.st.sharing
	by := map[string]map[string]struct{}{}
	for owner, grants := range s.owners {
		for identifier := range grants {
			if by[identifier] == nil {
				by[identifier] = map[string]struct{}{}
			}
			by[identifier][owner] = struct{}{}
		}
	}
	if !maps.EqualFunc(by, s.by, maps.Equal) {
		tn.t.Errorf("owners by identifier %v, identifiers by owner %v", s.by, s.owners)
	}
	for _, a := range tn.st.accounts {
		var grants map[string]Rights
		entries := 0
		a.file.view(func(st *accountState) {
			grants = st.grants()
			for _, list := range st.acls.of {
				entries += len(list)
			}
			if entries != st.acls.n {
				tn.t.Errorf("%s: %d entries, counted as %d", a.user, entries, st.acls.n)
			}
		})
		if !maps.Equal(grants, s.owners[a.user]) && len(grants)+len(s.owners[a.user]) > 0 {
			tn.t.Errorf("%s shares %v, known is %v", a.user, grants, s.owners[a.user])
		}
	}
}

// The rights are in roost.account: they are there after a restart, before the owner
// logs in, and through what the file goes through.
func TestRightsSurvive(t *testing.T) {
	fsys := disktest.NewMem()
	users := []string{"alice", "bob"}
	tn := newTown(t, fsys, "/mail", users, nil)
	a, alice := tn.open("alice")
	mustCreate(t, a, "Work", "Work/Old", "Other")
	alice.mustSet(t, "Work", "bob", "lrs")
	alice.mustSet(t, "Work", "-carol", "w")
	alice.mustSet(t, "Work/Old", Anyone, "lr")
	alice.mustSet(t, "Other", "bob", "lr")
	if err := a.Rename(t.Context(), "Work", "Moved"); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(t.Context(), "Other"); err != nil {
		t.Fatal(err)
	}
	tn.check()
	const want = "shared:  shared/alice: shared/alice/Moved:lrs shared/alice/Moved/Old:lr"
	see := func(tn *town) {
		t.Helper()
		_, bob := tn.open("bob")
		if got := bob.names(t); got != strings.ReplaceAll(want, ":  ", ": ") {
			t.Errorf("bob sees %q", got)
		}
	}
	see(tn)
	a.file.wmu.Lock()
	err := a.file.rewrite()
	a.file.wmu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tn.st.accounts {
		for x.refs > 0 {
			x.Release()
		}
	}
	tn.st.Close()
	see(newTown(t, fsys, "/mail", users, nil))
}

// A record of the list, as it is in files from now on.
func TestACLRecord(t *testing.T) {
	id := index.MailboxID{1, 2, 3}
	got := hex.EncodeToString(encodeACL(id, "-bob", RightLookup|RightRead|RightAdmin))
	const want = "1e070110010203000000000000000000000000000f042d626f6210036c7261"
	if got != want {
		t.Errorf("record %s", got)
	}
	st := newAccountState()
	rec, _ := hex.DecodeString(want)
	unknown := newRecord(recACL).bytes(tagID, id[:]).bytes(tagIdentifier, []byte("x")).bytes(tagRights, []byte("l!r")).done()
	if err := errors.Join(st.apply(rec), st.apply(unknown)); err != nil {
		t.Fatal(err)
	}
	if l := st.acls.of[id]; l["-bob"] != RightLookup|RightRead|RightAdmin || l["x"] != RightLookup|RightRead || st.acls.n != 2 {
		t.Errorf("read as %v", l)
	}
	if err := st.apply(encodeACL(id, "-bob", 0)); err != nil || len(st.acls.of[id]) != 1 || st.acls.n != 1 {
		t.Errorf("%v, %v", st.acls.of, err)
	}
	for _, bad := range [][]byte{newRecord(recACL).bytes(tagIdentifier, []byte("x")).done(), newRecord(recACL).bytes(tagID, id[:]).done()} {
		if err := st.apply(bad); !errors.Is(err, errRecord) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func TestRightsOf(t *testing.T) {
	const l, r, w = RightLookup, RightRead, RightWrite
	list := acl{"bob": l | r, Anyone: w, "-carol": w, "-" + Anyone: r, "--dash": l, "-dash": w}
	for user, want := range map[string]Rights{"bob": l | w, "carol": 0, "dave": w, "dash": 0, "-dash": w, "-carol": w, "": w} {
		if got := list.of(user); got != want {
			t.Errorf("%q has %q, want %q", user, got, want)
		}
	}
	if got := AllRights.String(); got != "lrswipkxteacd" {
		t.Errorf("all rights are %q", got)
	}
	for text, want := range map[string]string{"": "", "d": "ted", "c": "kxc", "x": "xc", "e": "ed", "lrlr": "lr", "cd": "kxtecd"} {
		if got, ok := ParseRights(text); !ok || got.String() != want {
			t.Errorf("%q is %q, %v", text, got, ok)
		}
	}
	for _, text := range []string{"L", "q", "0", "l r", "é"} {
		if _, ok := ParseRights(text); ok {
			t.Errorf("%q are rights", text)
		}
	}
}

// Names of users are levels, whatever is in them.
func TestOddOwners(t *testing.T) {
	users := []string{"bob", "a.b@example.org", "100%", "*", "=2A", "Jürgen", ".hidden", "~root", "INBOX", "with space", `q"\`, "inbox"}
	for _, sep := range []byte{'/', '.'} {
		tn := newTown(t, disktest.NewMem(), "/mail", users, func(o *Options) { o.Separator, o.Shared.Prefix = sep, "Other users"+string(sep) })
		_, bob := tn.open("bob")
		for _, owner := range users[1:] {
			a, access := tn.open(owner)
			mustCreate(t, a, "Box")
			access.mustSet(t, "Box", "bob", "lr")
			access.mustSet(t, "INBOX", "bob", "lr")
		}
		list, err := bob.List(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, l := range list {
			if strings.ContainsAny(l.Name, `*%"\`) || strings.Count(l.Name, string(sep)) > 2 {
				t.Errorf("name %q", l.Name)
			}
			if !l.Exists {
				continue
			}
			r, err := bob.Mailbox(t.Context(), l.Name, Need{All: RightRead})
			if err != nil {
				t.Errorf("%s: %v", l.Name, err)
				continue
			}
			if got := bob.NameOf(r.Mailbox); got != l.Name {
				t.Errorf("%q is called %q", l.Name, got)
			}
			r.Release()
			n++
		}
		if n != 1+2*(len(users)-1) {
			t.Errorf("%d mailboxes: %v", n, list)
		}
	}
}

func FuzzOwnerName(f *testing.F) {
	for _, s := range []string{"alice", "=2E", "=2e", "a=", "..", "=00", "é"} {
		f.Add(s)
	}
	s := &sharing{st: &Store{o: Options{Separator: '.'}}}
	f.Fuzz(func(t *testing.T, text string) {
		if owner, ok := s.ownerOf(text); ok && s.nameOf(owner) != text {
			t.Errorf("%q is %q, which is called %q", text, owner, s.nameOf(owner))
		}
		if text == "" {
			return
		}
		level := s.nameOf(text)
		if owner, ok := s.ownerOf(level); !ok || owner != text || strings.ContainsAny(level, ".*%\x00\r\n") {
			t.Errorf("%q is called %q, which is %q, %v", text, level, owner, ok)
		}
	})
}

// A list has an end, and a full one can still be made shorter.
func TestACLLimit(t *testing.T) {
	tn := newTown(t, disktest.NewMem(), "/mail", []string{"alice", "bob"}, nil)
	_, alice := tn.open("alice")
	set := func(identifier string, r Rights) error {
		return alice.SetACL(t.Context(), "INBOX", Need{}, identifier, RightsReplace, r)
	}
	for i := range maxACLEntries {
		if err := set(fmt.Sprint("user", i), RightLookup); err != nil {
			t.Fatal(err)
		}
	}
	if err := set("bob", RightLookup); !errors.Is(err, ErrLimit) {
		t.Errorf("one more: %v", err)
	}
	if err := errors.Join(set("user7", RightRead), set("user8", 0), set("bob", RightLookup)); err != nil {
		t.Error(err)
	}
	if err := set(strings.Repeat("x", maxIdentifier+1), RightLookup); !errors.Is(err, ErrLimit) {
		t.Errorf("a long name: %v", err)
	}
	tn.check()
}

// A mailbox of one's own behind the names of other users is not shown, nor reached.
func TestOwnMailboxBehindOthers(t *testing.T) {
	fsys := disktest.NewMem()
	before := newTown(t, fsys, "/mail", []string{"alice", "bob"}, func(o *Options) { o.Shared.Prefix = "users/" })
	a, _ := before.open("alice")
	mustCreate(t, a, "shared", "shared/bob", "sharedness")
	a.Release()
	before.st.Close()
	tn := newTown(t, fsys, "/mail", []string{"alice", "bob"}, nil)
	_, alice := tn.open("alice")
	list, err := alice.List(t.Context(), nil)
	if err != nil || len(list) != 2 || list[1].Name != "sharedness" {
		t.Errorf("%v, %v", list, err)
	}
	for _, name := range []string{"shared", "shared/bob"} {
		if _, err := alice.Mailbox(t.Context(), name, Need{}); !errors.Is(err, ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		if err := alice.Delete(t.Context(), name, Need{}); !errors.Is(err, ErrNotExist) {
			t.Errorf("delete %s: %v", name, err)
		}
	}
}

// LIST opens the accounts of those who share and that its patterns may reach, no
// others.
func TestListOpensFew(t *testing.T) {
	users := []string{"bob"}
	for i := range 40 {
		users = append(users, fmt.Sprintf("user%02d", i))
	}
	fsys := disktest.NewMem()
	first := newTown(t, fsys, "/mail", users, nil)
	for _, name := range []string{"user07", "user11"} {
		a, access := first.open(name)
		mustCreate(t, a, "Box")
		access.mustSet(t, "Box", "bob", "lr")
	}
	for _, a := range first.st.accounts {
		for a.refs > 0 {
			a.Release()
		}
	}
	first.st.Close()
	tn := newTown(t, fsys, "/mail", users, nil)
	_, bob := tn.open("bob")
	opened := func() int { return len(tn.st.accounts) - 1 }
	list, err := bob.List(t.Context(), func(name string) bool { return false })
	if err != nil || opened() != 0 || list[len(list)-1].Name != "shared" || !list[len(list)-1].HasChildren {
		t.Errorf("%d accounts opened for %v, %v", opened(), list, err)
	}
	if _, err = bob.List(t.Context(), func(name string) bool { return name == "shared/user07" }); err != nil || opened() != 1 {
		t.Errorf("%d accounts opened, %v", opened(), err)
	}
	if got := bob.names(t); opened() != 2 || !strings.Contains(got, "shared/user11/Box:lr") {
		t.Errorf("%d accounts opened for %s", opened(), got)
	}
	for _, name := range []string{"shared/user12/Box", "shared/user12", "shared/nobody", "shared/bob", "shared", "shared/user07/INBOX", "shared/user07/../user11/Box"} {
		if _, err := bob.Mailbox(t.Context(), name, Need{}); !errors.Is(err, ErrNotExist) && !errors.Is(err, ErrName) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if opened() != 2 {
		t.Errorf("%d accounts opened", opened())
	}
	tn.gone["user07"] = true // the users file has it no more
	if got := bob.names(t); strings.Contains(got, "user07") || !strings.Contains(got, "user11") {
		t.Errorf("bob sees %s", got)
	}
	tn.check()
}
