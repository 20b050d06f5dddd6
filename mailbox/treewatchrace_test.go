package mailbox

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"roost/disk/disktest"
)

// TestNamesChangeWhileLookedAt: whatever happens at whatever moment of a look at
// the names, this look or the next one tells it, and tells it once.
func TestNamesChangeWhileLookedAt(t *testing.T) {
	synctest.Test(t, testNamesChange)
}

func testNamesChange(t *testing.T) {
	mem := disktest.NewMem()
	rec := disktest.Wrap(mem)
	tn := newTown(t, rec, "/mail", []string{"alice", "bob"}, nil)
	a, alice := tn.open("alice")
	_, bob := tn.open("bob")
	mustCreate(t, a, "Work")
	mustCreate(t, a, "Still")
	alice.mustSet(t, "Work", "bob", "lr")
	alice.mustSet(t, "Still", "bob", "lr")
	tree, _, err := bob.WatchTree(t.Context(), func(string) bool { return true }, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	root, err := mem.OpenRoot(tn.user("bob").Path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	away := 0
	for _, what := range []struct {
		name, listed string
		do           func(there bool)
	}{
		{name: "rights", listed: "shared/alice/Work", do: func(there bool) {
			alice.mustSet(t, "Work", "bob", map[bool]string{true: "lr"}[there])
		}},
		{name: "mailbox", listed: "Own", do: func(there bool) {
			var err error
			if there {
				err = makeRoot(mem, tn.user("bob").Path+"/.Own", CreateAlways)
			} else {
				away++
				err = root.Rename(".Own", root, fmt.Sprintf("away%d", away))
			}
			if err != nil {
				t.Error(err)
			}
		}},
	} {
		there := slices.ContainsFunc(tree.List(), func(l Listed) bool { return l.Name == what.listed && l.Exists })
		known := there
		look := func() {
			changes, _, err := tree.Changes(t.Context())
			if err != nil {
				t.Error(err)
			}
			for _, c := range changes {
				if c.Listed.Name == what.listed {
					if c.Exists == known {
						t.Errorf("%s: told as %v, which it was", what.name, known)
					}
					known = c.Exists
				}
			}
		}
		// inLook does it right before a call of a look; false: there are not so many.
		inLook := func(call int) bool {
			time.Sleep(2 * stampAge) // what was read is believed from then on
			calls, done := 0, false
			rec.Before(func(disktest.Call) {
				if calls++; calls == call {
					done, there = true, !there
					what.do(there)
				}
			})
			look()
			rec.Before(nil)
			if look(); known != there {
				t.Fatalf("%s, before call %d of a look: there is one: %v, told: %v", what.name, call, there, known)
			}
			return done
		}
		for call, more := 1, true; more; call++ {
			more = false
			for range 2 { // it comes, and it goes
				if inLook(call) {
					more = true
					continue
				}
				there = !there
				what.do(there)
				look()
			}
			if !more && call < 5 {
				t.Errorf("%s: a look has only %d calls", what.name, call-1)
			}
		}
	}
}
