package mailbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/disk"
	"roost/maildir"
)

func TestForeignStamps(t *testing.T) {
	s := foreignStamps{kind: foreignCourier, uidValidity: 1<<32 - 1, uidNext: 7}
	s.courier = maildir.FileStamp{Stamp: maildir.Stamp{Ino: 5, Mtime: -3}, Size: 9}
	b := s.encode()
	if got := decodeForeign(b); got != s {
		t.Errorf("got %+v, want %+v", got, s)
	}
	for n := range b {
		if got := decodeForeign(b[:n]); !got.pending {
			t.Errorf("cut at %d: %+v", n, got)
		}
	}
	if got := decodeForeign(bytes.Repeat([]byte{0xff}, 40)); !got.pending {
		t.Errorf("of other bytes: %+v", got)
	}
}

func FuzzForeignStamps(f *testing.F) {
	s := foreignStamps{kind: foreignDovecot, uidValidity: 3, uidNext: 7}
	f.Add(s.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := decodeForeign(b)
		if again := decodeForeign(s.encode()); again != s {
			t.Fatalf("%+v became %+v", s, again)
		}
	})
}

func TestSurveyAdoption(t *testing.T) {
	f := newAdopted(t, map[string]string{
		"cur/1.a:2,az": "a", "new/2.b": "b", "dovecot-keywords": "0 word\n",
		"dovecot-uidlist": listOf(77, 4, "1 :1.a", "3 :gone"), "courierimapuiddb": "1 5 6\n",
		".Bad/cur/1.a:2,": "a", ".Bad/dovecot-uidlist": "3 V5 N6\nx\n",
		".None/cur/1.a:2,":   "a",
		".Locked/cur/1.a:2,": "a", ".Locked/dovecot-uidlist": listOf(7, 8, "1 :1.a"), ".Locked/dovecot-uidlist.lock": "",
	})
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(f.path, "courierimapuiddb"), old, old); err != nil {
		t.Fatal(err)
	}
	st, err := NewStore(Options{FS: disk.OS(), Escape: "%"})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	list := func() string {
		found, err := st.SurveyAdoption(t.Context(), User{Name: "u", Path: f.path})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range found {
			out = append(out, fmt.Sprintf("%s served=%v from=%q older=%q %d/%d kept=%d of %d gone=%d words=%v nameless=%q problem=%v",
				s.Name, s.Served, s.From, s.Older, s.UIDValidity, s.UIDNext, s.Kept, s.Messages, s.Gone, s.Keywords, s.Nameless, s.Problem != nil))
		}
		return strings.Join(out, "\n")
	}
	before := f.files()
	want := `INBOX served=false from="Dovecot" older="courierimapuiddb" 77/4 kept=1 of 2 gone=1 words=[word] nameless="z" problem=false
Bad served=false from="Dovecot" older="" 0/0 kept=0 of 1 gone=0 words=[] nameless="" problem=true
Locked served=false from="Dovecot" older="" 7/8 kept=1 of 1 gone=0 words=[] nameless="" problem=true
None served=false from="" older="" 0/0 kept=0 of 1 gone=0 words=[] nameless="" problem=false`
	if got := list(); got != want {
		t.Errorf("survey\n%s\nwant\n%s", got, want)
	}
	if after := f.files(); !slices.Equal(before, after) {
		t.Errorf("the survey wrote: %q, then %q", before, after)
	}
	f.open("INBOX")
	if got := list(); !strings.HasPrefix(got, "INBOX served=true") {
		t.Errorf("once it is served: %s", got)
	}
}

// files lists everything in the Maildir.
func (f *adopted) files() (names []string) {
	f.t.Helper()
	if err := filepath.WalkDir(f.path, func(p string, d os.DirEntry, err error) error {
		names = append(names, p)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return names
}
