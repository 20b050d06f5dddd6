package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A name of a message for ever (RFC 9051 §2.3.1.1).
type uidName struct {
	mailbox     string
	uidValidity uint32
	uid         uint32
}

// pass and fail print one line each; fail makes the run fail in the end.
func (t *test) pass(format string, args ...any) {
	t.passed++
	fmt.Printf("  ok    "+format+"\n", args...)
}

func (t *test) fail(format string, args ...any) {
	t.failed++
	fmt.Printf("  FAIL  "+format+"\n", args...)
}

func (t *test) step(format string, args ...any) { fmt.Printf("\n"+format+"\n", args...) }

// same checks that two servers tell clients the same of everything. ignore
// takes out of flags what cannot be the same.
func (t *test) same(what string, want, got map[string]mailbox, ignore func(name, flags string) string) {
	messages, bad := 0, 0
	names := slices.Sorted(maps.Keys(want))
	if other := slices.Sorted(maps.Keys(got)); !slices.Equal(names, other) {
		t.fail("%s: mailboxes %q, not %q", what, other, names)
		return
	}
	for _, name := range names {
		w, g := want[name], got[name]
		if w.uidValidity != g.uidValidity || w.uidNext != g.uidNext || len(w.messages) != len(g.messages) {
			t.fail("%s: %s has UIDVALIDITY %d, UIDNEXT %d, %d messages; not %d, %d, %d", what, name,
				g.uidValidity, g.uidNext, len(g.messages), w.uidValidity, w.uidNext, len(w.messages))
			bad++
			continue
		}
		for i := range w.messages {
			a, b := w.messages[i], g.messages[i]
			a.flags, b.flags = foldFlags(a.flags), foldFlags(b.flags)
			if ignore != nil {
				a.flags, b.flags = ignore(name, a.flags), ignore(name, b.flags)
			}
			if a != b {
				t.fail("%s: %s: %+v, not %+v", what, name, b, a)
				bad++
			}
			messages++
		}
	}
	if bad == 0 {
		t.pass("%s: UIDVALIDITY, UIDNEXT, UIDs, flags, keywords, dates, sizes and octets of %d messages in %d mailboxes are the same",
			what, messages, len(names))
	}
}

// foldFlags sorts them without regard to case, as keywords are.
func foldFlags(flags string) string {
	list := strings.Fields(strings.ToLower(flags))
	slices.Sort(list)
	return strings.Join(list, " ")
}

// remember notes which message each UID named, and checks that none ever named
// another one, unless the server that tells it may not know better.
func (t *test) remember(who string, all map[string]mailbox, check bool) {
	bad, n := 0, 0
	for name, mb := range all {
		for _, m := range mb.messages {
			key := uidName{name, mb.uidValidity, m.uid}
			n++
			if check {
				for id := range t.named[key] {
					if id != m.id {
						t.fail("%s: UID %d of %s is %s, and was %s", who, m.uid, name, m.id, id)
						bad++
					}
				}
			}
			if t.named[key] == nil {
				t.named[key] = map[string]bool{}
			}
			t.named[key][m.id] = true
		}
	}
	if check && bad == 0 {
		t.pass("%s: none of %d UIDs ever named another message", who, n)
	}
}

// clashes counts the UIDs that named another message before.
func (t *test) clashes(all map[string]mailbox) (n int) {
	for name, mb := range all {
		for _, m := range mb.messages {
			if before := t.named[uidName{name, mb.uidValidity, m.uid}]; len(before) > 0 && !before[m.id] {
				n++
			}
		}
	}
	return n
}

// syncs checks that mbsync transfers nothing.
func (t *test) syncs(what, addr string) {
	open := func() (*client, error) { return dial(addr) }
	before, err := snapshotOf(open)
	var moved string
	if err == nil {
		moved, err = t.mbsync(addr)
	}
	var after map[string]mailbox
	if err == nil {
		after, err = snapshotOf(open)
	}
	switch {
	case err != nil:
		t.fail("%s: %v", what, err)
	case moved != "":
		t.fail("%s: mbsync moved %s", what, moved)
	case !reflect.DeepEqual(before, after):
		t.fail("%s: mbsync changed what the server has", what)
	default:
		t.pass("%s: mbsync transfers nothing", what)
	}
}

func splitFlags(flags string) []string { return strings.Fields(flags) }
