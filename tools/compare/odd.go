package main

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// oddMessages are what mail programs wrote, or somebody on purpose: each is
// there because servers have got it wrong.
func oddMessages() []string {
	head := func(fields ...string) string { return strings.Join(fields, "\n") + "\n\nbody\n" }
	all := []string{
		// Dates.
		head("Subject: no date", "From: a@example.org"),
		head("Subject: bad date", "Date: yesterday at noon"),
		head("Subject: old zone", "Date: Mon, 1 Jan 2024 12:00:00 EST"),
		head("Subject: no zone", "Date: 2 Jan 2024 12:00:00"),
		head("Subject: far zone", "Date: Mon, 15 Jan 2024 23:30:00 -1200"),
		head("Subject: other far zone", "Date: Mon, 15 Jan 2024 00:30:00 +1400"),
		head("Subject: short year", "Date: 3 Jan 24 12:00:00 +0000"),
		head("Subject: future", "Date: 3 Jan 2037 12:00:00 +0000"),
		head("Subject: empty date", "Date:"),
		// Subjects.
		head("Subject:", "Date: 4 Jan 2024 12:00:00 +0000"),
		head("Date: 4 Jan 2024 12:00:01 +0000", "From: nobody@example.org"),
		head("Subject: Re: [list] Fwd: [other] deep subject (fwd)", "Date: 4 Jan 2024 12:00:02 +0000"),
		head("Subject: deep subject", "Date: 4 Jan 2024 12:00:03 +0000"),
		head("Subject: [only blob]", "Date: 4 Jan 2024 12:00:04 +0000"),
		head("Subject: Re: [only blob]", "Date: 4 Jan 2024 12:00:05 +0000"),
		head("Subject: [fwd: deep subject]", "Date: 4 Jan 2024 12:00:06 +0000"),
		head("Subject: RE : spaced", "Date: 4 Jan 2024 12:00:07 +0000"),
		head("Subject: fw[1]: spaced", "Date: 4 Jan 2024 12:00:08 +0000"),
		head("Subject: a folded", " subject\twith tabs  and spaces", "Date: 4 Jan 2024 12:00:09 +0000"),
		head("Subject: =?utf-8?q?Re:_encoded?= =?utf-8?q?_word?=", "Date: 4 Jan 2024 12:00:10 +0000"),
		head("Subject: encoded word", "Date: 4 Jan 2024 12:00:11 +0000"),
		head("Subject: =?iso-8859-1?q?=C4rger?=", "Date: 4 Jan 2024 12:00:12 +0000"),
		head("Subject: =?utf-8?b?w6RyZ2Vy?=", "Date: 4 Jan 2024 12:00:13 +0000"),
		// Addresses.
		head("Subject: group", "From: a@example.org", "To: friends: b@example.org, c@example.org;", "Date: 5 Jan 2024 12:00:00 +0000"),
		head("Subject: empty group", "To: undisclosed-recipients:;", "Date: 5 Jan 2024 12:00:01 +0000"),
		head("Subject: quoted", `From: "\"Q, Uoted\"" <q@example.org>`, "Cc: z@example.org, a@example.org", "Date: 5 Jan 2024 12:00:02 +0000"),
		head("Subject: encoded name", "From: =?utf-8?q?=C3=84nne?= <AE@example.org>", "Date: 5 Jan 2024 12:00:03 +0000"),
		head("Subject: no name", "From: <zz@example.org>", "Date: 5 Jan 2024 12:00:04 +0000"),
		head("Subject: only name", "From: Somebody", "Date: 5 Jan 2024 12:00:05 +0000"),
		head("Subject: comment", "From: zc@example.org (A Comment)", "Date: 5 Jan 2024 12:00:06 +0000"),
		head("Subject: route", "From: <@a,@b:routed@example.org>", "Date: 5 Jan 2024 12:00:07 +0000"),
		head("Subject: two froms", "From: first@example.org", "From: second@example.org", "Date: 5 Jan 2024 12:00:08 +0000"),
	}
	all = append(all, oddThreads()...)
	return append(all, oddBodies()...)
}

// oddThreads are conversations; the second word of a line is a message id, the
// others references.
func oddThreads() (all []string) {
	lines := []string{
		"root A1", "reply A2 A1", "reply A3 A1 A2", "skip A4 A1 A9", // A9 never came
		"loop B1 B2", "loop B2 B1", "selfish C1 C1", "selfish C2 C1 C2",
		"dup D1", "dup D1", "child D2 D1", "lost E1 E0", "lost E2 E0", "lonely F1 F0",
		"late G3 G1 G2", "late G2 G1", "late G1", "merge H1", "Re:_merge H2", "merge H3", "Re:_merge H4 H9",
		"Re:_orphan I1", "Re:_orphan I2", "orphan I3", "noid -", "noid - A1",
		"swap J1 J3 J2", "swap J2 J3", "swap J3 J2", "again K3 K1 K2 K1", "again K1", "again K2 K3",
	}
	for i, line := range lines {
		f := strings.Fields(line)
		m := fmt.Sprintf("Subject: thread %s\nDate: 6 Jan 2024 12:%02d:00 +0000\n", strings.ReplaceAll(f[0], "_", " "), (i*7)%60)
		if strings.HasPrefix(f[0], "Re:_") {
			m = fmt.Sprintf("Subject: Re: thread %s\nDate: 6 Jan 2024 12:%02d:00 +0000\n", f[0][4:], (i*7)%60)
		}
		if f[1] != "-" {
			m += "Message-ID: <" + f[1] + "@odd.example>\n"
		}
		for k, ref := range f[2:] {
			if k == 0 {
				m += "References:"
			}
			m += " <" + ref + "@odd.example>"
			if k == len(f)-3 {
				m += "\n"
			}
		}
		all = append(all, m+"\nbody\n")
	}
	return append(all,
		"Subject: quoted id\nMessage-ID: <\"Q1\"@odd.example>\nDate: 7 Jan 2024 12:00:00 +0000\n\nbody\n",
		"Subject: answer to quoted id\nMessage-ID: <Q2@odd.example>\nIn-Reply-To: <Q1@odd.example>\nDate: 7 Jan 2024 12:00:01 +0000\n\nbody\n",
		"Subject: words in In-Reply-To\nMessage-ID: <Q3@odd.example>\nIn-Reply-To: Your message of Monday <Q2@odd.example> <A1@odd.example>\nDate: 7 Jan 2024 12:00:02 +0000\n\nbody\n",
	)
}

// oddBodies have something to find.
func oddBodies() []string {
	mime := "MIME-Version: 1.0\n"
	b64 := base64.StdEncoding.EncodeToString([]byte("a needle in base64 and more\n"))
	return []string{
		"Subject: base64\n" + mime + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" + b64 + "\n",
		"Subject: quoted\n" + mime + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\na quoted =\nprintable nee=64le =3D\n",
		"Subject: latin\n" + mime + "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\na latin \xfcmlaut\n",
		"Subject: unknown\n" + mime + "Content-Type: text/plain; charset=x-nobody-knows\n\nan unknown charset\n",
		"Subject: outer\n" + mime + "Content-Type: message/rfc822\n\nSubject: Inner subject\nFrom: inner@example.org\n\nan inner message needle\n",
		"Subject: mixed\n" + mime + "Content-Type: multipart/mixed; boundary=b\n\npreamble needle\n--b\n\nplain\n--b\nContent-Type: text/x-log; name=part-name.txt\nContent-Disposition: attachment\n\nattachment text\n--b--\n",
		"Subject: binary\n" + mime + "Content-Type: application/octet-stream\n\nattachment text\n",
		"Subject: lines\n\nline one\nline two\n",
		"Subject: in html\n" + mime + "Content-Type: text/html; charset=utf-8\n\n<p>b&uuml;dget <b>bud</b>get</p>\n",
		"\nno header at all\n",
		"Subject: only header",
	}
}
