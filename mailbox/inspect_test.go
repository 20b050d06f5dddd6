package mailbox

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/disk"
	"roost/index"
)

// inspectDisk gives the findings of u, each as "severity: mailbox: what".
func inspectDisk(t *testing.T, u User, deep bool) (Inspection, []string) {
	t.Helper()
	st := newTestStore(t, disk.OS(), nil)
	in, err := st.Inspect(t.Context(), u, InspectOptions{Deep: deep})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range in.Findings {
		out = append(out, f.Severity.String()+": "+f.Mailbox+": "+f.What)
	}
	return in, out
}

func wantFinding(t *testing.T, found []string, severity, text string) {
	t.Helper()
	if !slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, severity+":") && strings.Contains(s, text) }) {
		t.Errorf("no %s with %q among\n%s", severity, text, strings.Join(found, "\n"))
	}
}

// closedAccount is an account on the disk that was served and closed.
func closedAccount(t *testing.T, n int, use func(a *Account, u User)) User {
	t.Helper()
	st, a, u := diskAccount(t, n)
	statusOf(t, a, "INBOX")
	if use != nil {
		use(a, u)
	}
	a.Release()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestInspectGood(t *testing.T) {
	u := closedAccount(t, 5, func(a *Account, u User) { mustCreate(t, a, "Work/Sub") })
	before := tree(t, u.Path)
	in, found := inspectDisk(t, u, true)
	if len(found) > 0 || in.Messages != 5 || in.Mailboxes != 3 || in.Busy {
		t.Errorf("%d messages in %d mailboxes: %q", in.Messages, in.Mailboxes, found)
	}
	if after := tree(t, u.Path); !slices.Equal(before, after) {
		t.Errorf("inspection changed the files: %q, were %q", after, before)
	}
}

// tree lists what is below dir, with times.
func tree(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			out = append(out, p+" "+info.ModTime().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestInspectFindings(t *testing.T) {
	u := closedAccount(t, 6, func(a *Account, u User) {
		mustCreate(t, a, "Work")
		openOnce(t, a, "Work")
	})
	cur := filepath.Join(u.Path, "cur")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(cur, "1.x:2,S"), "another file of one base")
	must(os.Link(filepath.Join(cur, "2.x:2,"), filepath.Join(u.Path, "new", "2.x")))
	must(os.Remove(filepath.Join(cur, "3.x:2,")))
	must(os.Rename(filepath.Join(cur, "4.x:2,"), filepath.Join(cur, "4.x:2,F")))
	write(filepath.Join(cur, "9.z,S=5:2,"), "not five octets")
	write(filepath.Join(cur, "9.w,W=9:2,"), "a\nb\n")
	write(filepath.Join(cur, ".hidden"), "")
	write(filepath.Join(u.Path, "tmp", "old"), "")
	must(os.Chmod(filepath.Join(u.Path, index.JournalName), 0o644))
	must(os.CopyFS(filepath.Join(u.Path, ".Copy"), os.DirFS(filepath.Join(u.Path, ".Work"))))
	must(os.WriteFile(filepath.Join(u.Path, accountFileName), damagedAt(t, filepath.Join(u.Path, accountFileName), accountFrames+20), 0o600))
	st := newTestStore(t, lateFS{disk.OS()}, nil)
	in, err := st.Inspect(t.Context(), u, InspectOptions{Deep: true})
	must(err)
	var found []string
	for _, f := range in.Findings {
		found = append(found, f.Severity.String()+": "+f.What)
		if f.Severity != Note && f.Do == "" {
			t.Errorf("%q does not say what to do", f.What)
		}
	}
	wantFinding(t, found, "problem", "two files have the same base name")
	wantFinding(t, found, "warning", "one file has two names")
	wantFinding(t, found, "warning", "messages of the index have no file")
	wantFinding(t, found, "note", "files have other flags")
	wantFinding(t, found, "note", "2 files are not in the index yet")
	wantFinding(t, found, "warning", "(,S=)")
	wantFinding(t, found, "warning", "(,W=)")
	wantFinding(t, found, "note", "no messages by their name or type")
	wantFinding(t, found, "note", "tmp/ are older")
	wantFinding(t, found, "warning", "mode 0644")
	wantFinding(t, found, "problem", "one is a copy of the other")
	wantFinding(t, found, "problem", accountFileName+" is damaged")
}

// lateFS is a file system two days later.
type lateFS struct{ disk.FS }

func (f lateFS) Now() time.Time { return f.FS.Now().Add(48 * time.Hour) }

// damagedAt is the content of a file with an octet turned over.
func damagedAt(t *testing.T, name string, at int64) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 0xff
	return b
}

func TestInspectJournal(t *testing.T) {
	damage := map[string]struct {
		do             func(t *testing.T, journal string)
		severity, want string
	}{
		"missing":    {func(t *testing.T, j string) { os.Remove(j) }, "problem", "is missing"},
		"unreadable": {func(t *testing.T, j string) { os.WriteFile(j, bytes.Repeat([]byte("x"), 20000), 0o600) }, "problem", "nothing in"},
		"header":     {func(t *testing.T, j string) { os.WriteFile(j, damagedAt(t, j, 20), 0o600) }, "warning", "one of the two headers"},
		"rows":       {func(t *testing.T, j string) { os.WriteFile(j, damagedAt(t, j, 8300), 0o600) }, "problem", "is damaged from octet"},
		"copy": {func(t *testing.T, j string) {
			b, _ := os.ReadFile(j)
			os.Remove(j)
			os.WriteFile(j, b, 0o600)
		}, "warning", "copy of another file"},
		"link":     {func(t *testing.T, j string) { os.Link(j, j+".backup") }, "warning", "2 names"},
		"no files": {func(t *testing.T, j string) { os.RemoveAll(filepath.Join(filepath.Dir(j), "cur")) }, "problem", "most messages of the index have no file"},
	}
	for name, d := range damage {
		t.Run(name, func(t *testing.T) {
			u := closedAccount(t, 5, nil)
			d.do(t, filepath.Join(u.Path, index.JournalName))
			_, found := inspectDisk(t, u, false)
			wantFinding(t, found, d.severity, d.want)
		})
	}
}

// TestInspectBusy: a server that has the lock is told of, and nothing fails.
func TestInspectBusy(t *testing.T) {
	_, a, u := diskAccount(t, 3)
	defer a.Release()
	statusOf(t, a, "INBOX")
	if in, found := inspectDisk(t, u, false); !in.Busy || in.Messages != 3 {
		t.Errorf("busy %v, %d messages, %q", in.Busy, in.Messages, found)
	}
}

// TestRepair: after it, an inspection finds nothing that matters.
func TestRepair(t *testing.T) {
	u := closedAccount(t, 5, nil)
	deliverFile(t, u.Path, "new", "1.x")
	j := filepath.Join(u.Path, index.JournalName)
	if err := os.WriteFile(j, damagedAt(t, j, 20), 0o600); err != nil {
		t.Fatal(err)
	}
	st := newTestStore(t, disk.OS(), nil)
	a, err := st.Open(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.RepairAccount(t.Context(), func(string, int, int, error) {}); err != nil {
		t.Fatal(err)
	}
	a.Release()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	in, found := inspectDisk(t, u, false)
	for _, f := range in.Findings {
		if f.Severity != Note {
			t.Errorf("left: %q", found)
		}
	}
	if in.Messages != 6 {
		t.Errorf("%d messages", in.Messages)
	}
}

func TestDumpAndExplain(t *testing.T) {
	u := closedAccount(t, 3, func(a *Account, u User) {
		mb, err := a.Mailbox(t.Context(), "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		defer mb.Release()
		v, err := mb.Open(t.Context(), false, &Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		store(t, v, StoreAdd, one(2), Flagged)
		if _, err := appendTo(mb, AppendMeta{Flags: Seen}, v.b, "a: b\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		store(t, v, StoreAdd, one(3), Deleted)
		if _, err := v.Expunge(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := v.b.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	st := newTestStore(t, disk.OS(), nil)
	var account, box strings.Builder
	if err := st.DumpAccount(u, &account); err != nil || !strings.Contains(account.String(), `mailbox "INBOX" dir ""`) {
		t.Errorf("%v: %s", err, account.String())
	}
	if err := st.Dump(u, "INBOX", &box); err != nil || !strings.Contains(box.String(), "message 2 ") || !strings.Contains(box.String(), "\\Flagged") {
		t.Errorf("%v: %s", err, box.String())
	}
	history := func(uid uint32) (Explanation, string) {
		e, err := st.Explain(t.Context(), u, "INBOX", imap.UID(uid))
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, ev := range e.Events {
			text = append(text, ev.Who+" "+ev.What)
		}
		return e, strings.Join(text, "\n")
	}
	e, text := history(2)
	if !e.Message || e.Found != "cur/2.x:2,F" || e.Found != e.File ||
		!strings.Contains(text, "another program put the file there") || !strings.Contains(text, `a client set the flags to (\Flagged)`) {
		t.Errorf("%+v\n%s", e, text)
	}
	if e, text = history(3); e.Message || e.Found != "" || !strings.Contains(text, "a client expunged it") || !strings.Contains(text, "removed the file") {
		t.Errorf("%+v\n%s", e, text)
	}
	if e, text = history(4); !e.Message || !strings.Contains(text, "a client added it by APPEND") {
		t.Errorf("%+v\n%s", e, text)
	}
	if e, text = history(4000); e.Message || text != "" {
		t.Errorf("%+v\n%s", e, text)
	}
	if _, err := st.Explain(t.Context(), u, "nothing", 1); err == nil {
		t.Error("a mailbox that is not there is explained")
	}
}
