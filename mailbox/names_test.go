package mailbox

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Directories that decode to the same name are two mailboxes, each with a name
// under which it can be opened (rule B1).
func TestAliases(t *testing.T) {
	mem, st := memStore(t, nil)
	for _, dir := range []string{".Entw&APw-rfe", ".Entwürfe", ".Arbeit.Größe", ".bad&utf7", ".\xff", ".INBOX"} {
		if err := mem.MkdirRoot(testRoot+"/"+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a := openTestAccount(t, st)
	defer a.Release()
	all, err := a.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, l := range all {
		if !l.Exists {
			continue
		}
		if !utf8.ValidString(l.Name) {
			t.Errorf("%q is not UTF-8", l.Name)
		}
		id := identityOf(t, a, l.Name).id
		if other, dup := ids[id]; dup {
			t.Errorf("%q and %q are one mailbox", l.Name, other)
		}
		ids[id] = l.Name
	}
	if len(ids) != 7 { // the six and INBOX
		t.Errorf("mailboxes %q", ids)
	}
	// The form that roost writes itself has the plain name.
	if path, err := a.find("Entwürfe"); err != nil || path != ".Entw&APw-rfe" {
		t.Errorf("Entwürfe is %q, %v", path, err)
	}
	// What only another program spells in UTF-8 is found all the same.
	if path, err := a.find("Arbeit/Größe"); err != nil || path != ".Arbeit.Größe" {
		t.Errorf("Arbeit/Größe is %q, %v", path, err)
	}
	if err := a.Rename(t.Context(), "Arbeit", "Work"); err != nil {
		t.Fatal(err)
	}
	if path, err := a.find("Work/Größe"); err != nil || path != ".Work.Gr&APYA3w-e" {
		t.Errorf("Work/Größe is %q, %v", path, err)
	}
}

// A name that can be parsed has one form, which parses to itself and stays
// inside the root.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"INBOX", "inbox/x", "INBOX/INBOX/a", "a.b", "v1%2e0", "../x", "a//b", "Entwürfe", "~root", "%25"} {
		f.Add(name, byte('/'), true, "")
		f.Add(name, byte('.'), false, "INBOX.")
	}
	f.Fuzz(func(t *testing.T, name string, sep byte, nested bool, prefix string) {
		o := Options{Separator: sep, Prefix: prefix, Escape: "%"}
		if nested {
			o.Layout = "fs"
		}
		nm, err := newNameMap(&o)
		if err != nil {
			return
		}
		m, err := nm.parse(name)
		if err != nil {
			return
		}
		client := nm.client(m)
		again, err := nm.parse(client)
		if err != nil || again.String() != m.String() {
			t.Fatalf("%q is %q, which is %q, %v", name, client, again, err)
		}
		path, err := nm.dirPath(m)
		if err != nil {
			return
		}
		for _, part := range parts(path) {
			if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\x00") || part == "cur" || part == "new" || part == "tmp" {
				t.Fatalf("%q leads to %q", name, path)
			}
		}
		if back, err := nm.layout.Mailbox(parts(path)); err != nil || back.String() != m.String() {
			t.Fatalf("%q is %q on disk, which is %q, %v", name, path, back, err)
		}
	})
}
