package mailbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"roost/disk"
	"roost/maildir"
)

// New mailboxes of an account that came from Dovecot get its files, and its
// counter is above our UIDVALIDITYs.
func TestLeaveNewMailboxes(t *testing.T) {
	f := newAdopted(t, map[string]string{"dovecot-uidlist": listOf(77, 4), "dovecot-uidvalidity": "0000004d"})
	f.open("INBOX")
	mustCreate(t, f.a, "Fresh")
	mb := f.open("Fresh")
	f.write(".Fresh/new/1.a", "a")
	if err := mb.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := mb.UIDValidity()
	f.close()
	if got, want := f.read(".Fresh/dovecot-uidlist"), fmt.Sprintf("3 V%d N2 G%s\n1 :1.a\n", v, mb.ID()); got != want {
		t.Errorf("list %q, want %q", got, want)
	}
	if got, want := f.read("dovecot-uidvalidity"), fmt.Sprintf("%08x", v); got != want {
		t.Errorf("counter %q, want %q", got, want)
	}
}

// A large list is added to, unless its header must change.
func TestLeaveLargeList(t *testing.T) {
	f := newAdopted(t, map[string]string{"cur/100.a:2,": "a", "dovecot-uidlist": listOf(77, 65, "3 P7 :100.a")})
	f.open("INBOX")
	f.close()
	deliver := func(name string) *Mailbox {
		mb := f.open("INBOX")
		mb.o.Foreign.AppendFrom = 1
		f.write("cur/"+name+":2,", "b")
		if err := mb.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		return mb
	}
	before := f.read("dovecot-uidlist")
	deliver("200.b")
	f.close()
	if got, want := f.read("dovecot-uidlist"), before+"65 :200.b\n"; got != want {
		t.Errorf("list %q, want %q", got, want)
	}
	mb := deliver("300.c")
	v, err := mb.Open(t.Context(), false, &Barrier{})
	if err != nil {
		t.Fatal(err)
	}
	store(t, v, StoreAdd, one(3), Deleted)
	if n, err := v.Expunge(t.Context(), nil); n != 1 || err != nil {
		t.Fatalf("expunged %d, %v", n, err)
	}
	v.Close()
	f.close()
	if got, want := f.read("dovecot-uidlist"), strings.Replace(before, " N65\n", " N67 G"+mb.ID()+"\n", 1)+"65 :200.b\n"; got != want {
		t.Errorf("UIDNEXT above the last message: list %q, want %q", got, want)
	}
	root, err := disk.OS().OpenRoot(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f.write("dovecot-uidlist", before+"66 :tor")
	if _, err := maildir.AppendUidlist(root, []maildir.UIDEntry{{UID: 67, Base: "x"}}); !errors.Is(err, maildir.ErrTorn) {
		t.Errorf("behind a torn line: %v", err)
	}
}

func TestExportDovecot(t *testing.T) {
	f := newAdopted(t, map[string]string{"cur/1.a:2,PS": "a\nb\n", "cur/2.b,S=3:2,": "b\n\n"})
	mb := f.open("INBOX")
	words := make([]string, 30)
	for i := range words {
		words[i] = fmt.Sprintf("word%02d", i)
	}
	v, err := mb.Open(t.Context(), false, &Barrier{})
	if err != nil {
		t.Fatal(err)
	}
	store(t, v, StoreAdd, one(2), 0, words...)
	v.Close()
	e, err := f.a.ExportDovecot(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if e.Messages != 2 || e.UIDNext != 3 || e.UIDValidity != mb.UIDValidity() || e.HighestModSeq != mb.ix.HighestModSeq() {
		t.Errorf("exported %+v", e)
	}
	// $Forwarded needs a letter too: 26 were taken by the time it was asked for.
	if want := []string{"$Forwarded", "word26", "word27", "word28", "word29"}; !slices.Equal(e.Unnamed, want) {
		t.Errorf("without letters: %q, want %q", e.Unnamed, want)
	}
	l, err := maildir.ParseUidlist(strings.NewReader(f.read("dovecot-uidlist")))
	if err != nil || l.UIDValidity != mb.UIDValidity() || l.GUID != mb.ID() || len(l.Entries) != 2 {
		t.Errorf("list %+v, %v", l, err)
	}
	if got := len(strings.Split(strings.TrimSpace(f.read("dovecot-keywords")), "\n")); got != 26 {
		t.Errorf("%d keywords", got)
	}
	if _, err := os.Lstat(filepath.Join(f.path, "cur", "2.b,S=3:2,abcdefghijklmnopqrstuvwxyz")); err != nil {
		t.Error(err)
	}
	// From now on it is kept up to date.
	f.write("new/3.c", "c")
	f.close()
	f.open("INBOX")
	f.close()
	if got := f.read("dovecot-uidlist"); !strings.HasSuffix(got, "\n3 :3.c\n") {
		t.Errorf("list %q", got)
	}
}

// $Forwarded has a letter of its own for us and a slot for Dovecot.
func TestForwardedBothWays(t *testing.T) {
	f := newAdopted(t, map[string]string{
		"cur/1.a:2,a": "a", "cur/2.b:2,P": "b",
		"dovecot-keywords": "0 $Forwarded\n", "dovecot-uidlist": listOf(77, 3, "1 :1.a", "2 :2.b"),
	})
	mb := f.open("INBOX")
	if got, want := foreignTold(mb), "77 3\n1 $Forwarded\n2 $Forwarded\n"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	for _, name := range []string{"1.a:2,Pa", "2.b:2,Pa"} {
		(&fixture{t: t}).eventually("the name "+name, func() bool {
			_, err := os.Lstat(filepath.Join(f.path, "cur", name))
			return err == nil
		})
	}
}
