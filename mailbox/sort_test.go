package mailbox

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"roost/index"
	"roost/message"
)

func TestSortPermIsStable(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		n := rng.IntN(300)
		columns := make([][]uint64, 1+rng.IntN(3))
		for c := range columns {
			columns[c] = make([]uint64, n)
			span := []uint64{2, 300, 1 << 20, 1 << 62}[rng.IntN(4)]
			base := []uint64{0, 1 << 63, 1<<64 - 1<<62 - 1}[rng.IntN(3)]
			for i := range columns[c] {
				columns[c][i] = base + rng.Uint64N(span)
			}
		}
		want := make([]int32, n)
		for i := range want {
			want[i] = int32(i)
		}
		slices.SortStableFunc(want, func(a, b int32) int {
			for _, col := range columns {
				if d := cmp.Compare(col[a], col[b]); d != 0 {
					return d
				}
			}
			return 0
		})
		if got := sortPerm(n, columns); !slices.Equal(got, want) {
			t.Fatalf("columns %v:\n got %v\nwant %v", columns, got, want)
		}
	}
}

// The places of strings are right however they come in.
func TestTextColumnRanks(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		tc := newTextColumn(message.UnicodeCasemap)
		all := []string{""}
		for range rng.IntN(6) {
			for range rng.IntN(20) {
				s := string(rune('A'+rng.IntN(26))) + strings.Repeat("b", rng.IntN(3))
				tc.number(s)
				all = append(all, s)
			}
			slices.Sort(all)
			all = slices.Compact(all)
			rank := tc.ranks()
			for place, s := range all {
				if got := rank[tc.number(s)]; int(got) != place {
					t.Fatalf("%q is at %d of %q", s, got, all)
				}
			}
		}
	}
}

func TestSortFields(t *testing.T) {
	h := message.Header("DATE: a\r\nFrom: \r\nFrom: x@y\r\nfrom: z@y\r\nSubject: one\r\nSubject: two\r\n three\r\nTO : t@y\r\nReferences: <a@b> <\"c\"@d>\r\nIn-Reply-To: <e@f>\r\nX: y\r\n\r\n")
	f := readSortFields(h)
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"date", f.date, "a"}, {"from", f.from, "x@y"}, {"subject", f.subject, "two\r\n three"}, {"to", f.to, "t@y"}, {"cc", f.cc, ""},
	} {
		if got := strings.TrimSpace(string(tt.got)); got != tt.want {
			t.Errorf("%s is %q, want %q", tt.name, got, tt.want)
		}
	}
	if id, refs := f.ids(); id != "" || !slices.Equal(refs, []string{"a@b", "c@d"}) {
		t.Errorf("ids %q %q", id, refs)
	}
	f.refs = []byte("none")
	f.inReplyTo = []byte("your mail <one@x> of <two@x>")
	if _, refs := f.ids(); !slices.Equal(refs, []string{"one@x"}) {
		t.Errorf("without References: %q", refs)
	}
}

func TestDisplayOf(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`"Doe, Jane" <jane@x>`, "Doe, Jane"},
		{`=?utf-8?q?J=C3=BCrgen?= <j@x>`, "Jürgen"},
		{`j@x`, "j@x"},
		{`local`, "local"},
		{`friends: a@b;`, "friends"},
		{`=?utf-8?q??= <e@x>`, "e@x"},
	} {
		list := message.ParseAddresses([]byte(tt.in), 1)
		if len(list) == 0 || displayOf(&list[0]) != tt.want {
			t.Errorf("%q: %+v", tt.in, list)
		}
	}
}

func TestThreadIDIsOfTheOldest(t *testing.T) {
	id := func(header string) string {
		f := readSortFields(message.Header(header + "\n"))
		own, refs := f.ids()
		if len(refs) > 0 {
			own = refs[0]
		}
		return threadIDOf(own)
	}
	root := id("Message-ID: <a@x>\n")
	if len(root) != 25 || root[0] != 'T' {
		t.Errorf("id %q", root)
	}
	for _, h := range []string{
		"Message-ID: <b@x>\nReferences: <a@x>\n", "Message-ID: <c@x>\nReferences: <a@x>\n <b@x>\n",
		"Message-ID: <d@x>\nIn-Reply-To: <a@x>\n", "References: <\"a\"@x>\n",
	} {
		if got := id(h); got != root {
			t.Errorf("%q: %s, want %s", h, got, root)
		}
	}
	if got := id("Message-ID: <z@x>\n"); got == root {
		t.Error("another thread has the same id")
	}
	if got := id("Subject: x\n"); got != "" {
		t.Errorf("no ids: %q", got)
	}
}

// FuzzSortHeader feeds headers to everything that makes keys of them.
func FuzzSortHeader(f *testing.F) {
	f.Add([]byte("Date: Mon, 7 Feb 1994 21:52:25 -0800\nSubject: Re: [x] y (fwd)\nFrom: A <b@c>\nReferences: <a> <b>\n\n"))
	f.Add([]byte("To: :;,\xff\nMessage-ID: <<\nCc: =?utf-8?b?//8=?= <x>\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fields := readSortFields(message.Header(b))
		l := sortLoad{}
		var facts sortFacts
		l.readTexts(&fields, &facts)
		id, refs := fields.ids()
		rc, tc := newRefColumn(), newTextColumn(message.UnicodeCasemap)
		rc.set(3, id, refs)
		tc.set(3, &facts.texts, facts.reply)
		tc.ranks()
		if _, got := rc.get(3); len(got) != len(refs) {
			t.Errorf("%d references of %d", len(got), len(refs))
		}
		if got := tc.get(3); got[textSubject]&^replyBit == 0 {
			t.Error("no subject")
		}
		_ = tc.get(index.Row(7))
	})
}
