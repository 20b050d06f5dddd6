package mailbox

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A treeModel says what random operations on the tree must lead to.
type treeModel struct {
	nested bool
	boxes  map[string]identity // without INBOX
	levels map[string]bool     // fs layout: directories that are no mailboxes
	used   map[string]uint32   // highest UIDVALIDITY seen under a name
	ids    map[string]bool     // every id ever given
	subs   map[string]bool
}

func newTreeModel(nested bool) *treeModel {
	return &treeModel{nested, map[string]identity{}, map[string]bool{}, map[string]uint32{}, map[string]bool{}, map[string]bool{}}
}

func (m *treeModel) hasBelow(name string) bool {
	for other := range m.boxes {
		if strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

func (m *treeModel) exists(name string) bool {
	_, ok := m.boxes[name]
	return ok || name == "INBOX"
}

// superiors gives the mailboxes that CREATE and RENAME must make above name.
func (m *treeModel) superiors(name string) (missing []string) {
	for i := range len(name) {
		if name[i] == '/' && !m.exists(name[:i]) && !m.levels[name[:i]] && !m.hasBelow(name[:i]) {
			missing = append(missing, name[:i])
		}
	}
	return missing
}

// learn notes the identity of a mailbox that must be new.
func (m *treeModel) learn(t *testing.T, a *Account, name string) {
	t.Helper()
	got := identityOf(t, a, name)
	if m.ids[got.id] || got.uidValidity <= m.used[name] {
		t.Fatalf("new mailbox %q is %v; UIDVALIDITY used there: %d, id known: %v", name, got, m.used[name], m.ids[got.id])
	}
	m.ids[got.id] = true
	m.set(name, got)
}

func (m *treeModel) set(name string, id identity) {
	m.boxes[name] = id
	m.used[name] = max(m.used[name], id.uidValidity)
	delete(m.levels, name)
}

func (m *treeModel) create(t *testing.T, a *Account, name string) {
	t.Helper()
	_, err := a.Create(t.Context(), name, nil)
	if m.exists(name) {
		wantErr(t, err, ErrExist, "create", name)
		return
	}
	wantErr(t, err, nil, "create", name)
	for _, above := range m.superiors(name) {
		m.learn(t, a, above)
	}
	m.learn(t, a, name)
}

func (m *treeModel) delete(t *testing.T, a *Account, name string) {
	t.Helper()
	err := a.Delete(t.Context(), name)
	switch below := m.hasBelow(name); {
	case name == "INBOX":
		wantErr(t, err, ErrName, "delete", name)
	case m.exists(name):
		wantErr(t, err, nil, "delete", name)
		delete(m.boxes, name)
		m.levels[name] = m.nested && m.levelBelow(name)
	case below, m.levels[name] && m.levelBelow(name):
		wantErr(t, err, ErrHasChildren, "delete", name)
	case m.levels[name]:
		wantErr(t, err, nil, "delete", name)
		delete(m.levels, name)
	default:
		wantErr(t, err, ErrNotExist, "delete", name)
	}
}

// levelBelow reports whether directories are below name.
func (m *treeModel) levelBelow(name string) bool {
	for level, is := range m.levels {
		if is && strings.HasPrefix(level, name+"/") {
			return true
		}
	}
	return m.hasBelow(name)
}

func (m *treeModel) rename(t *testing.T, a *Account, from, to string) {
	t.Helper()
	err := a.Rename(t.Context(), from, to)
	under := func(name string) bool { return name == from || strings.HasPrefix(name, from+"/") }
	moved := map[string]string{} // also levels
	for name := range m.boxes {
		if under(name) {
			moved[name] = to + name[len(from):]
		}
	}
	for name, is := range m.levels {
		if is && under(name) {
			moved[name] = to + name[len(from):]
		}
	}
	switch {
	case from == "INBOX":
		if m.exists(to) {
			wantErr(t, err, ErrExist, "rename", from, to)
			return
		}
		wantErr(t, err, nil, "rename", from, to)
		for _, above := range m.superiors(to) {
			m.learn(t, a, above)
		}
		m.learn(t, a, to)
		return
	case to == "INBOX":
		wantErr(t, err, ErrExist, "rename", from, to)
		return
	case strings.HasPrefix(to, from+"/"):
		wantErr(t, err, ErrName, "rename", from, to)
		return
	case len(moved) == 0:
		wantErr(t, err, ErrNotExist, "rename", from, to)
		return
	}
	for _, name := range moved {
		if m.exists(name) || m.levels[name] {
			wantErr(t, err, ErrExist, "rename", from, to)
			return
		}
	}
	if m.exists(to) || m.levels[to] {
		wantErr(t, err, ErrExist, "rename", from, to)
		return
	}
	wantErr(t, err, nil, "rename", from, to)
	for _, above := range m.superiors(to) {
		m.learn(t, a, above)
	}
	was := map[string]identity{}
	for old, name := range moved {
		if id, ok := m.boxes[old]; ok {
			was[name] = id
			delete(m.boxes, old)
		} else {
			delete(m.levels, old)
			m.levels[name] = true
		}
	}
	for name, id := range was {
		now := identityOf(t, a, name)
		if now.id != id.id || id.uidValidity > m.used[name] && now != id || id.uidValidity <= m.used[name] && now.uidValidity <= m.used[name] {
			t.Fatalf("renamed %q: %v, was %v, used under the name: %d", name, now, id, m.used[name])
		}
		m.set(name, now)
	}
}

func wantErr(t *testing.T, err, want error, op ...string) {
	t.Helper()
	if !errors.Is(err, want) && !(errors.Is(want, ErrNotExist) && errors.Is(err, ErrNotSelectable)) {
		t.Fatalf("%v: got %v, want %v", op, err, want)
	}
}

// check compares the listing.
func (m *treeModel) check(t *testing.T, a *Account) {
	t.Helper()
	all, err := a.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i, l := range all {
		got[l.Name] = fmt.Sprint(l.Exists, l.NonExistent, l.HasChildren, l.Subscribed)
		if i > 0 && compareNames(all[i-1].Name, l.Name, '/') >= 0 {
			t.Fatalf("%q is listed after %q", l.Name, all[i-1].Name)
		}
	}
	want := map[string]string{}
	for name := range m.boxes {
		want[name] = fmt.Sprint(true, false, m.hasBelow(name), m.subs[name])
		for i := range len(name) {
			if above := name[:i]; name[i] == '/' && !m.exists(above) {
				want[above] = fmt.Sprint(false, !m.levels[above], true, m.subs[above])
			}
		}
	}
	for name, is := range m.levels {
		if is && want[name] == "" {
			want[name] = fmt.Sprint(false, false, false, m.subs[name])
		}
	}
	for name := range m.subs {
		if want[name] == "" {
			want[name] = fmt.Sprint(false, true, false, true)
		}
	}
	want["INBOX"] = fmt.Sprint(true, false, m.hasBelow("INBOX"), m.subs["INBOX"])
	if !maps.Equal(got, want) {
		t.Fatalf("list (exists, not, children, subscribed)\n got %v\nwant %v", got, want)
	}
}

func TestTreeModel(t *testing.T) {
	universe := []string{"INBOX", "INBOX/a"}
	for _, x := range []string{"a", "b", "Entwürfe", "v1.0"} {
		universe = append(universe, x)
		for _, y := range []string{"a", "%"} {
			universe = append(universe, x+"/"+y, x+"/"+y+"/z")
		}
	}
	for _, layout := range []string{"maildir++", "fs"} {
		for seed := range 3 {
			t.Run(fmt.Sprintf("%s/%d", layout, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(seed), 1))
				change := func(o *Options) { o.Layout = layout }
				mem, st := memStore(t, change)
				a := openTestAccount(t, st)
				m := newTreeModel(layout == "fs")
				pick := func() string { return universe[rng.IntN(len(universe))] }
				for range 400 {
					switch name := pick(); rng.IntN(10) {
					case 0, 1, 2:
						m.create(t, a, name)
					case 3, 4:
						m.delete(t, a, name)
					case 5, 6:
						m.rename(t, a, name, pick())
					case 7:
						on := rng.IntN(2) == 0
						err := a.Subscribe(t.Context(), name, on)
						if on && !m.exists(name) && !m.hasBelow(name) && !m.levels[name] {
							wantErr(t, err, ErrNotExist, "subscribe", name)
							break
						}
						wantErr(t, err, nil, "subscribe", name)
						if on {
							m.subs[name] = true
						} else {
							delete(m.subs, name)
						}
					case 8:
						if id, ok := m.boxes[name]; ok && identityOf(t, a, name) != id {
							t.Fatalf("%q is %v, was %v", name, identityOf(t, a, name), id)
						}
					case 9:
						if rng.IntN(4) > 0 {
							break
						}
						a.Release()
						if err := st.Close(); err != nil {
							t.Fatal(err)
						}
						st = newTestStore(t, mem, change)
						a = openTestAccount(t, st)
					}
					m.check(t, a)
				}
				for _, name := range slices.Sorted(maps.Keys(m.boxes)) {
					if got := identityOf(t, a, name); got != m.boxes[name] {
						t.Errorf("%q is %v, was %v", name, got, m.boxes[name])
					}
				}
				a.Release()
			})
		}
	}
}
