package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"roost/disk"
)

// foreignFixture unpacks files that a real server made: "-- name --", then the
// contents.
func foreignFixture(t testing.TB, name string) (files map[string]string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "foreign", name))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	at := ""
	for line := range strings.Lines(string(data)) {
		if file, ok := strings.CutPrefix(line, "-- "); ok {
			at = strings.TrimSuffix(file, " --\n")
			files[at] = ""
		} else if at != "" {
			files[at] += line
		}
	}
	return files
}

func TestParseUidlistOfDovecot(t *testing.T) {
	files := foreignFixture(t, "dovecot.txtar")
	l, err := ParseUidlist(strings.NewReader(files["dovecot-uidlist"]))
	if err != nil {
		t.Fatal(err)
	}
	// Two lines were appended behind the header's UIDNEXT of 7.
	if l.UIDValidity != 1795523673 || l.UIDNext != 9 || l.GUID != "d03eb71b5884056b147d000083ecc375" || len(l.Entries) != 8 {
		t.Errorf("got %+v", l)
	}
	var b bytes.Buffer
	if err := WriteUidlist(&b, l); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(files["dovecot-uidlist"], " N7 ", " N9 ", 1); b.String() != want {
		t.Errorf("written back: %q, want %q", b.String(), want)
	}
}

func TestParseUidlist(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want *UIDList
	}{
		"version 3 with fields": {"3 V1 N2 Xabc G00112233445566778899aabbccddeeff\n1 S5 W6 P00x :a:2,S\n7 q1 Zx:b :c\n", &UIDList{
			UIDValidity: 1, UIDNext: 8, GUID: "00112233445566778899aabbccddeeff", Header: "Xabc",
			Entries: []UIDEntry{{1, "a", "S5 W6 P00x"}, {7, "c", "Zx:b"}}, // only a ":" that begins a field ends them; q is nothing
		}},
		"version 1":           {"1 9 8\n3 a:2,RS\n7 b\n", &UIDList{UIDValidity: 9, UIDNext: 8, Entries: []UIDEntry{{3, "a", ""}, {7, "b", ""}}}},
		"no messages":         {"3 V1 N2\n", &UIDList{UIDValidity: 1, UIDNext: 2}},
		"torn last line":      {"3 V1 N2\n5 :a\n6 :", &UIDList{UIDValidity: 1, UIDNext: 6, Entries: []UIDEntry{{5, "a", ""}}}},
		"more spaces":         {"3  V1   N2  \n5   :a\n", &UIDList{UIDValidity: 1, UIDNext: 6, Entries: []UIDEntry{{5, "a", ""}}}},
		"the same name twice": {"3 V1 N2\n5 :a\n6 :a\n", &UIDList{UIDValidity: 1, UIDNext: 7, Entries: []UIDEntry{{5, "a", ""}, {6, "a", ""}}}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := ParseUidlist(strings.NewReader(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(l, tc.want) {
				t.Errorf("got %+v, want %+v", l, tc.want)
			}
		})
	}
	l, _ := ParseUidlist(strings.NewReader("3 V1 N2\n5 :a\n6 :a\n"))
	if got := l.ByBase()["a"]; got != 6 {
		t.Errorf("of a name with two UIDs, %d counts", got)
	}
}

func TestParseUidlistRefuses(t *testing.T) {
	for text, line := range map[string]int{
		"":                          1,
		"3 V1 N2":                   1, // no LF: no header
		"\n":                        1,
		"2 V1 N2\n":                 1,
		"4 V1 N2\n":                 1,
		"3V1 N2\n":                  1,
		"x\n":                       1,
		"3 V0 N2\n":                 1,
		"3 V1 N0\n":                 1,
		"3 V1\n":                    1,
		"3 N1\n":                    1,
		"3 V N1\n":                  1,
		"3 V4294967296 N1\n":        1,
		"3 V1x N1\n":                1,
		"3 V1 N2 Gxyz\n":            1,
		"3 V1 N2 G0011\n":           1,
		"1 0 2\n":                   1,
		"1 2\n":                     1,
		"1 2 0\n":                   1,
		"1 2 3 4\n":                 1,
		"1 x 3\n":                   1,
		"3 V1 N2\n1 S5\n":           2, // no name
		"3 V1 N2\n1 :\n":            2,
		"3 V1 N2\n1 ::2,S\n":        2,
		"3 V1 N2\n1 :a/b\n":         2,
		"3 V1 N2\n1 :a\x00b\n":      2,
		"3 V1 N2\n0 :a\n":           2,
		"3 V1 N2\n4294967295 :a\n":  2,
		"3 V1 N2\n99999999999 :a\n": 2,
		"3 V1 N2\n:a\n":             2,
		"3 V1 N2\n\n":               2,
		"3 V1 N2\n2 :a\n2 :b\n":     3,
		"3 V1 N2\n2 :a\n1 :b\n":     3,
		"1 1 5\n5 a\n":              2, // not below UIDNEXT
		"1 1 5\n4\n":                2,
		"3 V1 N2\n1 :" + strings.Repeat("x", 256) + "\n":     2,
		"3 V1 N2\n1 " + strings.Repeat("S1 ", 3000) + ":a\n": 2,
	} {
		_, err := ParseUidlist(strings.NewReader(text))
		var bad *FormatError
		if !errors.As(err, &bad) || bad.Line != line || bad.File != UidlistFile {
			t.Errorf("%.40q: %v, want line %d", text, err, line)
		}
	}
}

// Every prefix of a good file is a file that was not finished.
func TestParseUidlistTorn(t *testing.T) {
	text := foreignFixture(t, "dovecot.txtar")["dovecot-uidlist"]
	head := strings.IndexByte(text, '\n')
	for n := range len(text) {
		l, err := ParseUidlist(strings.NewReader(text[:n]))
		if n <= head {
			if err == nil {
				t.Fatalf("cut at %d: no error", n)
			}
			continue
		}
		if err != nil || len(l.Entries) != strings.Count(text[:n], "\n")-1 {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestParseCourierUIDs(t *testing.T) {
	text := foreignFixture(t, "courier.txtar")["courierimapuiddb"]
	l, err := ParseCourierUIDs(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if l.UIDNext != 6 || len(l.Entries) != 4 || l.Entries[1].UID != 3 {
		t.Errorf("got %+v", l)
	}
	var b bytes.Buffer
	if err := WriteCourierUIDs(&b, l); err != nil || b.String() != text {
		t.Errorf("written back: %q, %v", b.String(), err)
	}
	if l, err = ParseCourierUIDs(strings.NewReader("1 5 6\n5 a\n6 torn")); err != nil || len(l.Entries) != 1 || l.UIDNext != 6 {
		t.Errorf("torn: %+v, %v", l, err)
	}
	for text, line := range map[string]int{
		"": 1, "1 5 6": 1, "2 5 6\n": 1, "1 5\n": 1, "1 0 6\n": 1, "1 5 0\n": 1, "1 5 6 7\n": 1, "1 4294967296 6\n": 1,
		"1 5 6\n5\n": 2, "1 5 6\n5 \n": 2, "1 5 6\n0 a\n": 2, "1 5 6\n5 a/b\n": 2, "1 5 6\n5 a\n5 b\n": 3, "1 5 6\nx a\n": 2,
	} {
		_, err := ParseCourierUIDs(strings.NewReader(text))
		var bad *FormatError
		if !errors.As(err, &bad) || bad.Line != line {
			t.Errorf("%q: %v, want line %d", text, err, line)
		}
	}
}

// writeFixture makes the files of a fixture in a directory.
func writeFixture(t testing.TB, files map[string]string) disk.Dir {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := disk.OS().OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

func TestReadCourierKeywords(t *testing.T) {
	files := foreignFixture(t, "courier.txtar")
	k, err := ReadCourierKeywords(writeFixture(t, files))
	if err != nil {
		t.Fatal(err)
	}
	l, err := ParseCourierUIDs(strings.NewReader(files["courierimapuiddb"]))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range l.Entries {
		words := slices.Sorted(slices.Values(k[e.Base]))
		got = append(got, fmt.Sprint(e.UID, words))
	}
	if want := []string{"1[$Label1]", "3[$Label1]", "4[$Label1 Project-X]", "5[pending]"}; !slices.Equal(trimSpaces(got), want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func trimSpaces(list []string) []string {
	for i, s := range list {
		list[i] = strings.Replace(s, " [", "[", 1)
	}
	return list
}

// Rule A4: :list, then numbered files in their order, then those without.
func TestCourierKeywordChanges(t *testing.T) {
	k, err := ReadCourierKeywords(writeFixture(t, map[string]string{
		"courierimapkeywords/:list":    "one\ntwo\n\na:0 1 7 x\nb:1\nc:0\nbad\n:0\ntorn:0",
		"courierimapkeywords/.9.b":     "nine\n",
		"courierimapkeywords/.10.b":    "ten\nTEN\n\n",
		"courierimapkeywords/.10.c":    "ten\n",
		"courierimapkeywords/c":        "",
		"courierimapkeywords/.tmp.1.a": "half",
		"courierimapkeywords/.x.a":     "no number",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if want := (CourierKeywords{"a": {"one", "two"}, "b": {"ten"}}); !reflect.DeepEqual(k, want) {
		t.Errorf("got %v, want %v", k, want)
	}
	if k, err = ReadCourierKeywords(writeFixture(t, nil)); err != nil || len(k) != 0 {
		t.Errorf("without a directory: %v, %v", k, err)
	}
	k = CourierKeywords{}
	k.ParseList([]byte("\na:0\n"))
	if len(k) != 0 {
		t.Errorf("a list without keywords gives %v", k)
	}
}

func TestCourierSubscriptions(t *testing.T) {
	names := parseCourierSubscriptions([]byte("INBOX.Work\nINBOX\ninbox.Work.Old\nINBOX.K&AOQ-se\nINBOX.Übung\nINBOX.Work\n#shared.x\nINBOX.\nINBOX..a\nINBOXES.a\n\n"), Layout{Escape: '%'})
	var got []string
	for _, m := range names {
		got = append(got, m.String())
	}
	if want := []string{"Work", "INBOX", "Work/Old", "Käse", "Übung"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUIDValidityCounter(t *testing.T) {
	dir := writeFixture(t, map[string]string{"dovecot-uidvalidity": "6b058459", "dovecot-uidvalidity.6b05845a": ""})
	if v, err := ReadUIDValidity(dir); err != nil || v != 0x6b05845a {
		t.Fatalf("got %x, %v", v, err)
	}
	if err := RaiseUIDValidity(dir, 0x6b058460, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RaiseUIDValidity(dir, 5, 0o600); err != nil {
		t.Fatal(err)
	}
	data, _, err := readSmall(dir, "dovecot-uidvalidity", 100)
	if err != nil || string(data) != "6b058460" {
		t.Errorf("file: %q, %v", data, err)
	}
	if names, err := uidValidityNames(dir); err != nil || !slices.Equal(names, []string{"dovecot-uidvalidity.6b058460"}) {
		t.Errorf("names: %q, %v", names, err)
	}
	for text, want := range map[string]uint32{"": 0, "xyz": 0, "123": 0, "0000000g": 0, "0000000a\n": 10, strings.Repeat("1", 100): 0} {
		if v, err := ReadUIDValidity(writeFixture(t, map[string]string{"dovecot-uidvalidity": text})); err != nil || v != want {
			t.Errorf("%q: %d, %v", text, v, err)
		}
	}
	empty := writeFixture(t, nil)
	if err := RaiseUIDValidity(empty, 7, 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := ReadUIDValidity(empty); err != nil || v != 7 {
		t.Errorf("a new counter: %d, %v", v, err)
	}
}

func FuzzUidlist(f *testing.F) {
	f.Add([]byte(foreignFixture(f, "dovecot.txtar")["dovecot-uidlist"]))
	f.Add([]byte("1 9 8\n3 a:2,RS\n7 b\n"))
	f.Add([]byte("3 V1 N2 Xabc\n1 S5 W6 :a:2,S\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseUidlist(bytes.NewReader(data))
		if err != nil {
			return
		}
		checkUIDList(t, l)
		var b bytes.Buffer
		if err := WriteUidlist(&b, l); err != nil {
			t.Fatal(err)
		}
		again, err := ParseUidlist(&b)
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%+v became %+v, %v", l, again, err)
		}
	})
}

func FuzzCourierUIDs(f *testing.F) {
	f.Add([]byte(foreignFixture(f, "courier.txtar")["courierimapuiddb"]))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseCourierUIDs(bytes.NewReader(data))
		if err != nil {
			return
		}
		checkUIDList(t, l)
		var b bytes.Buffer
		if err := WriteCourierUIDs(&b, l); err != nil {
			t.Fatal(err)
		}
		again, err := ParseCourierUIDs(&b)
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%+v became %+v, %v", l, again, err)
		}
	})
}

func checkUIDList(t *testing.T, l *UIDList) {
	last := uint32(0)
	for _, e := range l.Entries {
		if e.UID <= last || e.UID >= l.UIDNext || e.Base == "" || strings.ContainsAny(e.Base, "/\x00\n:") {
			t.Fatalf("entry %+v after %d, UIDNEXT %d", e, last, l.UIDNext)
		}
		last = e.UID
	}
	if l.UIDValidity == 0 || l.UIDNext == 0 {
		t.Fatalf("UIDVALIDITY %d, UIDNEXT %d", l.UIDValidity, l.UIDNext)
	}
}

func FuzzCourierKeywords(f *testing.F) {
	f.Add([]byte(foreignFixture(f, "courier.txtar")["courierimapkeywords/:list"]), []byte("x\ny\n"))
	f.Fuzz(func(t *testing.T, list, change []byte) {
		k := CourierKeywords{}
		k.ParseList(list)
		k.parseChange("b", change)
		for base, words := range k {
			if base == "" || len(words) == 0 {
				t.Fatalf("%q has %q", base, words)
			}
			for _, w := range words {
				if !validKeyword(w) {
					t.Fatalf("%q has %q", base, w)
				}
			}
		}
	})
}

func FuzzCourierSubscriptions(f *testing.F) {
	f.Add([]byte("INBOX.Work\nINBOX\nINBOX.K&AOQ-se\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		layout := Layout{Escape: '%'}
		for _, m := range parseCourierSubscriptions(data, layout) {
			if m.IsInbox() {
				continue
			}
			for _, level := range m {
				if !validLevel(level) {
					t.Fatalf("%q", m)
				}
			}
		}
	})
}
