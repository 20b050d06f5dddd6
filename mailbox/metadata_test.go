package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"roost/disk/disktest"
	"roost/index"
)

func mustSet(t testing.TB, a *Account, name string, pairs ...string) {
	t.Helper()
	var entries []MetadataEntry
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, MetadataEntry{pairs[i], []byte(pairs[i+1])})
	}
	if err := a.SetMetadata(t.Context(), name, entries); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t testing.TB, a *Account, name, entry, want string) {
	t.Helper()
	got, err := a.MetadataValue(t.Context(), name, entry)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Errorf("%s of %q is %q, %v, want %q", entry, name, got, err, want)
	}
}

// What was acknowledged is there after a crash and after the file was written
// anew; what was removed stays away.
func TestMetadataIsDurable(t *testing.T) {
	for how := disktest.Random; how <= disktest.Everything; how++ {
		mem, st := memStore(t, nil)
		a := openTestAccount(t, st)
		mustCreate(t, a, "A", "B")
		mustSet(t, a, "", "/private/comment", "of the account")
		mustSet(t, a, "A", "/private/comment", "of A", "/shared/comment", "twice")
		mustSet(t, a, "B", "/private/comment", "of B")
		if err := a.SetMetadata(t.Context(), "A", []MetadataEntry{{Name: "/Shared/Comment"}}); err != nil {
			t.Fatal(err)
		}
		big := strings.Repeat("x", 60<<10)
		for i := range 20 { // more than what makes the file be written anew
			mustSet(t, a, "A", "/private/vendor/test/big", fmt.Sprint(i, big))
		}
		if err := a.Rename(t.Context(), "A", "C"); err != nil {
			t.Fatal(err)
		}
		mem.Crash(rand.New(rand.NewPCG(uint64(how), 5)), how)
		b := openTestAccount(t, newTestStore(t, mem, nil))
		wantValue(t, b, "", "/private/comment", "of the account")
		wantValue(t, b, "C", "/private/comment", "of A")
		wantValue(t, b, "C", "/shared/comment", "")
		wantValue(t, b, "B", "/private/comment", "of B")
		wantValue(t, b, "C", "/private/vendor/test/big", fmt.Sprint(19, big))
		b.Release()
		a.Release()
		st.Close() // its files are dead
	}
}

// What the user wrote does not hang on the index.
func TestMetadataSurvivesItsIndex(t *testing.T) {
	mem, st := memStore(t, nil)
	a := openTestAccount(t, st)
	mustCreate(t, a, "A")
	mustSet(t, a, "A", "/private/comment", "mine")
	closeLive(t, a)
	dir, err := openPath(mem, a.tree.Root(), a.path, ".A")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, name := range []string{index.JournalName, index.CacheName} {
		if err := dir.Unlink(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	identityOf(t, a, "A")
	wantValue(t, a, "A", "/private/comment", "mine")
	a.Release()
}

func TestMetadataLimits(t *testing.T) {
	_, st := memStore(t, func(o *Options) {
		o.Metadata = MetadataLimits{Value: 100, Entries: 3, Mailbox: 250, Account: 400}
	})
	a := openTestAccount(t, st)
	defer a.Release()
	mustCreate(t, a, "A", "B")
	set := func(name string, entries ...MetadataEntry) error { return a.SetMetadata(t.Context(), name, entries) }
	value := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	const c, d, e, f = "/private/comment", "/private/d", "/private/e", "/private/f"
	for i, tt := range []struct {
		err  error
		want error
	}{
		{set("A", MetadataEntry{c, value(101)}), ErrMetadataSize},
		{set("A", MetadataEntry{"/private", value(1)}), ErrMetadataName},
		{set("A", MetadataEntry{c, value(1)}, MetadataEntry{"/private/vendor/x", value(1)}), ErrMetadataName},
		{set("A", MetadataEntry{c, value(90)}, MetadataEntry{d, value(90)}), nil},
		{set("A", MetadataEntry{e, value(90)}), ErrMetadataCount},                                                   // Mailbox
		{set("A", MetadataEntry{e, value(1)}), nil},                                                                 // three
		{set("A", MetadataEntry{f, value(1)}), ErrMetadataCount},                                                    // Entries
		{set("A", MetadataEntry{e, nil}, MetadataEntry{f, value(1)}, MetadataEntry{f, value(2)}), nil},              // one for the other
		{set("B", MetadataEntry{c, value(90)}, MetadataEntry{d, value(90)}), ErrMetadataCount},                      // Account
		{set("B", MetadataEntry{c, value(90)}), nil},                                                                //
		{set("A", MetadataEntry{c, nil}, MetadataEntry{d, nil}, MetadataEntry{f, nil}, MetadataEntry{e, nil}), nil}, //
		{set("B", MetadataEntry{d, value(90)}), nil},
		{set("nowhere", MetadataEntry{d, value(90)}), ErrNotExist},
	} {
		if !errors.Is(tt.err, tt.want) || tt.want == nil && tt.err != nil {
			t.Errorf("%d: %v, want %v", i, tt.err, tt.want)
		}
	}
	a.file.view(func(st *accountState) {
		if want := int64(len(c) + 90 + len(d) + 90); st.metadata.size != want || len(st.metadata.of) != 1 {
			t.Errorf("%d octets of %d mailboxes, want %d of one", st.metadata.size, len(st.metadata.of), want)
		}
	})
}

func TestValidEntry(t *testing.T) {
	for name, want := range map[string]bool{
		"/private/comment": true, "/SHARED/Comment": true, "/private": true, "/shared": true, "/private/a b": true,
		"": false, "/": false, "private/comment": false, "/other/comment": false, "/private/": false, "/private//x": false,
		"/private/*": false, "/private/100%": false, "/private/\x01": false, "/private/ä": false, "//private/x": false,
		"/private/" + strings.Repeat("x", 2000): false, "/privatex/y": false,
	} {
		if got := ValidEntry(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
