package session

import (
	"fmt"
	"strings"
	"testing"
)

func urlText(u messageURL) string {
	s := fmt.Sprintf("%q %d %d %s", u.mailbox, u.uidValidity, u.uid, u.section.label(""))
	if u.section.partial {
		s += fmt.Sprintf(" %d+%d", u.section.offset, u.section.count)
	}
	return s
}

func TestParseMessageURL(t *testing.T) {
	for url, want := range map[string]string{
		"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER": `"Drafts" 385759045 20 [HEADER]`, // RFC 4469 appendix A
		"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME": `"Drafts" 385759045 20 [1.MIME]`,
		"/INBOX;UIDVALIDITY=785799047/;UID=11467":               `"INBOX" 785799047 11467 []`,
		"/Drafts/;UID=3002": `"Drafts" 0 3002 []`, // RFC 8508 §4.2
		"/inbox/;uid=1/":    `"INBOX" 0 1 []`,
		"/INBOX/;uid=20/;section=1.2/;partial=0.1024": `"INBOX" 0 20 [1.2]<0> 0+1024`, // RFC 5092 §8
		"/a/;UID=1/;PARTIAL=5":                        `"a" 0 1 []<5> 5+-1`,
		";UID=20/;SECTION=1.2":                        `"" 0 20 [1.2]`, // relative to what is selected
		"/;UID=20":                                    `"" 0 20 []`,
		"Drafts/;UID=1":                               `"Drafts" 0 1 []`,
		"/a/b%20c%3Bd/;UID=1":                         `"a/b c;d" 0 1 []`,
		"/gray%20council/;UID=1/;SECTION=HEADER.FIELDS%20(DATE)": `"gray council" 0 1 [HEADER.FIELDS (DATE)]`,
		"/%C3%A4/;UID=1/;SECTION=2.HEADER.FIELDS.NOT%20(A%20B)":  `"ä" 0 1 [2.HEADER.FIELDS.NOT (A B)]`,
	} {
		u, err := parseMessageURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
		} else if got := urlText(u); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
	for _, url := range []string{
		"", "/", "/INBOX", "imap://joe@example.com/INBOX/;UID=20", "//example.com/INBOX/;UID=20", "/INBOX;UID=1", "/INBOX/;UID=0", "/INBOX/;UID=1:2",
		"/INBOX/;UID=4294967296", "/INBOX/;UID=*", "/INBOX/;UID=", "/INBOX/;UID=1?SUBJECT", "/INBOX/;UID=1#a", "/INBOX/;UID=1/;UID=2",
		"/INBOX/;UID=1/;SECTION=", "/INBOX/;UID=1/;SECTION=1]<0.5>", "/INBOX/;UID=1/;SECTION=MIME", "/INBOX/;UID=1/;SECTION=1%0D%0Aa",
		"/INBOX/;UID=1/;PARTIAL=0.1/;SECTION=1", "/INBOX/;UID=1/;PARTIAL=0.1/;PARTIAL=0.1", "/INBOX/;UID=1/;PARTIAL=-1", "/INBOX/;UID=1/;PARTIAL=0.0",
		"/INBOX/;UID=1/;PARTIAL=1.2.3", "/INBOX/;UID=1/;URLAUTH=submit+fred", "/a%/;UID=1", "/a%0/;UID=1", "/a%00/;UID=1", "/a;UIDVALIDITY=0/;UID=1",
		"/a;UIDVALIDITY=1;UID=1", "/a;x=1/;UID=1", "/INBOX/;UID=1/x", "/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20({1}", "/" + strings.Repeat("a", maxURL) + "/;UID=1",
	} {
		if u, err := parseMessageURL(url); err == nil {
			t.Errorf("%.100q: no error, %s", url, urlText(u))
		}
	}
}

// No URL may panic, or name what FETCH could not name.
func FuzzMessageURL(f *testing.F) {
	for _, url := range []string{
		"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME/;PARTIAL=1.2", ";UID=1", "/a%20/;UID=1/;SECTION=HEADER.FIELDS%20(DATE)", "imap://a/b/;UID=1",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		u, err := parseMessageURL(url)
		if err != nil {
			return
		}
		if u.uid == 0 || u.section.offset < 0 || u.section.partial && (u.section.count < -1 || u.section.count == 0) {
			t.Errorf("%q: %s", url, urlText(u))
		}
		for _, c := range u.mailbox {
			if c < ' ' || c == 0x7f {
				t.Errorf("%q: control characters in %q", url, u.mailbox)
			}
		}
		badURL(url)
	})
}
