package maildir

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

var (
	plain   = Layout{Escape: '%'}
	strict  = Layout{}
	nested  = Layout{Nested: true, Escape: '%'}
	nested0 = Layout{Nested: true}
)

func TestLayout(t *testing.T) {
	tests := []struct {
		layout Layout
		name   string
		dir    string // joined with "/"; "-" refused
	}{
		{plain, "INBOX", ""},
		{plain, "inbox", ""},
		{plain, "A", ".A"},
		{plain, "A/B", ".A.B"},
		{plain, "inbox/B", ".INBOX.B"},
		{plain, "A/inbox", ".A.inbox"},
		{plain, "a.b/c", ".a%2eb.c"},
		{plain, "100%", ".100%25"},
		{plain, "%2e", ".%252e"},
		{plain, "~user", ".%7euser"},
		{plain, "A/~user", ".A.~user"},
		{plain, "Entwürfe", ".Entw&APw-rfe"},
		{plain, "Entwu\u0308rfe", ".Entw&APw-rfe"},
		{plain, "R&D", ".R&-D"},
		{plain, "notmuch", "-"},
		{plain, "nfs0123456789abcdef", "-"},
		{plain, "nfsfoo", ".nfsfoo"},
		{plain, strings.Repeat("x", 254), "." + strings.Repeat("x", 254)},
		{plain, strings.Repeat("x", 255), "-"},
		{strict, "a.b", "-"},
		{strict, "100%", ".100%"},
		{strict, "~user", "-"},
		{nested, "A/B", "A/B"},
		{nested, "a.b/.c", "a.b/%2ec"},
		{nested, "INBOX/B", "INBOX/B"},
		{nested, "A/cur", "-"},
		{nested, "new/A", "-"},
		{nested, "dovecot.index", "-"},
		{nested, "roost.trash", "-"},
		{nested, "roost", "roost"},
		{nested, "courierimap", "-"},
		{nested0, ".hidden", "-"},
		{nested0, "100%", "100%"},
	}
	for _, tt := range tests {
		m, err := ParseMailbox(tt.name, '/')
		if err != nil {
			t.Errorf("%q: %v", tt.name, err)
			continue
		}
		dir, err := tt.layout.Dir(m)
		if got := strings.Join(dir, "/"); err == nil && got != tt.dir || (err != nil) != (tt.dir == "-") {
			t.Errorf("%q: %q %v, want %q", tt.name, got, err, tt.dir)
		}
		if err != nil {
			continue
		}
		back, err := tt.layout.Mailbox(dir)
		if err != nil || !slices.Equal(back, m) {
			t.Errorf("%q: back %q %v", tt.name, back, err)
		}
	}
}

// TestParseMailboxRefuses is the list of CVE-2006-2414 and rule B2.
func TestParseMailboxRefuses(t *testing.T) {
	for _, name := range []string{
		"", "/", "a/", "/a", "/etc", "a//b", ".", "..", "../x", "a/../b", "a/.", "a\x00b", "a\nb", "a\rb", "a\x7fb",
		"a\u0085b", "a\u2028b", "a\u2029", "\ufeffa", "a\xff", strings.Repeat("a/", 64) + "a", strings.Repeat("x", 5000),
	} {
		if m, err := ParseMailbox(name, '/'); !errors.Is(err, ErrName) {
			t.Errorf("%q: %q %v", name, m, err)
		}
	}
	if _, err := ParseMailbox("a/b", '.'); !errors.Is(err, ErrName) {
		t.Errorf("slash in a level: %v", err)
	}
	if m, err := ParseMailbox("Inbox.b", '.'); err != nil || m.String() != "INBOX/b" {
		t.Errorf("%q %v", m, err)
	}
	for _, m := range []Mailbox{nil, {}, {""}, {"."}, {".."}, {"a", ""}, {"a/b"}, {"inbox"}, {"a\x00"}, make(Mailbox, 65)} {
		for _, l := range []Layout{plain, strict, nested, nested0} {
			if dir, err := l.Dir(m); !errors.Is(err, ErrName) {
				t.Errorf("%q: %q %v", m, dir, err)
			}
		}
	}
}

// TestLayoutDecodes reads what other servers write.
func TestLayoutDecodes(t *testing.T) {
	for _, tt := range []struct {
		layout Layout
		dir    []string
		want   string // "-" cannot be decoded
	}{
		{plain, []string{".Entwürfe"}, "Entwürfe"},
		{plain, []string{".A.Entw&APw-rfe"}, "A/Entwürfe"},
		{plain, []string{".a%2Eb"}, "a.b"},
		{plain, []string{".50% off"}, "50% off"},
		{plain, []string{".a%2fb"}, "a%2fb"},
		{plain, []string{".a%00b"}, "a%00b"},
		{plain, []string{".&AC8-"}, "-"},
		{plain, []string{".&AC4ALg-"}, "-"},
		{plain, []string{".&AAA-"}, "-"},
		{plain, []string{".&AEE-"}, "-"},
		{plain, []string{".bad&"}, "-"},
		{plain, []string{".a..b"}, "-"},
		{plain, []string{".a."}, "-"},
		{plain, []string{"..DOVECOT-TRASHED"}, "-"},
		{plain, []string{".\xff\xfe"}, "-"},
		{plain, []string{".%2e%2e"}, "-"},
		{plain, []string{"A"}, "-"},
		{plain, []string{".A", ".B"}, "-"},
		{nested, []string{"A", "B"}, "A/B"},
		{nested, []string{"A", "tmp"}, "-"},
		{nested, []string{"A", "..", "B"}, "-"},
		{nested, []string{"%2e%2e"}, "-"},
	} {
		m, err := tt.layout.Mailbox(tt.dir)
		if err != nil && tt.want == "-" {
			continue
		}
		if m.String() != tt.want || err != nil {
			t.Errorf("%q: %q %v, want %q", tt.dir, m, err, tt.want)
		}
	}
}

func FuzzLayout(f *testing.F) {
	for _, s := range []string{"INBOX", "A/B.c", "..", "a/../b", "~/x", "%2e%2e", "&AC4ALg-", "Entwürfe/%", "cur", "inbox/inbox", "\ufeff"} {
		f.Add(s, s, byte('/'), byte('%'))
	}
	f.Fuzz(func(t *testing.T, name, disk string, sep, escape byte) {
		if escape >= 0x80 || escape == '/' || escape == '.' || escape == '&' || escape < ' ' || escape == 0x7f {
			escape = '%'
		}
		if sep != '.' {
			sep = '/'
		}
		for _, l := range []Layout{{Escape: escape}, {}, {Nested: true, Escape: escape}, {Nested: true}} {
			if m, err := ParseMailbox(name, sep); err == nil {
				dir, err := l.Dir(m)
				if err == nil {
					checkDir(t, l, dir)
					back, err := l.Mailbox(dir)
					if err != nil || !slices.Equal(back, m) {
						t.Fatalf("%+v %q: %q, back %q %v", l, m, dir, back, err)
					}
				}
			}
			// What is on disk decodes to a name that is one, or to none.
			dir := []string{disk}
			if l.Nested {
				dir = strings.Split(disk, "/")
			}
			if m, err := l.Mailbox(dir); err == nil {
				if again, err := ParseMailbox(m.String(), '/'); err != nil || !slices.Equal(again, m) {
					t.Fatalf("%+v %q: %q is no name: %q %v", l, disk, m, again, err)
				}
			}
		}
	})
}

// checkDir: a directory never leads out of the tree, nor to files of ours.
func checkDir(t *testing.T, l Layout, dir []string) {
	t.Helper()
	for _, name := range dir {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > NameMax {
			t.Fatalf("%+v: directory %q", l, dir)
		}
		if l.Nested && (name[0] == '.' || name == "cur" || name == "new" || name == "tmp") || !l.Nested && name[0] != '.' {
			t.Fatalf("%+v: directory %q", l, dir)
		}
	}
}
