package session

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"roost/mailbox"
)

// benchSession gives a Session with n messages selected whose output goes
// nowhere.
func benchSession(b *testing.B, n int, content string) *Session {
	b.Helper()
	h := newHarness(b, nil)
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		letters := ""
		if i%3 == 0 {
			letters = "S"
		}
		when := at.Add(time.Duration(i) * time.Minute)
		file := filepath.Join(h.home, "cur", fmt.Sprintf("%d.M%d.bench,S=%d,W=%d:2,%s", when.Unix(), i, len(content), len(content), letters))
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Chtimes(file, when, when); err != nil {
			b.Fatal(err)
		}
	}
	client, server := net.Pipe()
	b.Cleanup(func() { client.Close(); server.Close() })
	opt := h.srv.options.Load()
	s := newSession(h.srv, opt, server)
	s.w.Replace(io.Discard)
	account, err := h.store.Open(b.Context(), mailbox.User{Name: testUser, Path: h.home})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.cleanUp() })
	s.account, s.access, s.state = account, account.Access(testUser), authenticated
	sel := selectCmd{name: "INBOX"}
	if err := sel.run(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	if got := s.view.Len(); got != n {
		b.Fatalf("%d messages, want %d", got, n)
	}
	return s
}

// runLine runs a command as a session does.
func runLine(ctx context.Context, s *Session, line string) error {
	sc, err := beginLine(line)
	if err != nil {
		return err
	}
	s.cmd = running{tag: sc.Tag(), name: sc.Command()}
	cmd := commands[sc.Command()]
	r, err := cmd.parse(sc)
	if err != nil {
		return err
	}
	if err := s.run(ctx, cmd, r); err != nil {
		return err
	}
	return s.w.Flush()
}

func benchLine(b *testing.B, s *Session, line string) {
	b.Helper()
	if err := runLine(b.Context(), s, line); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := runLine(b.Context(), s, line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLarge(b *testing.B) {
	s := benchSession(b, 100_000, "Subject: x\n\nx\n")
	for _, line := range []string{
		"UID FETCH 1:* (FLAGS)",
		"UID FETCH 1:* (FLAGS MODSEQ)",
		"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
		"SEARCH UNSEEN",
		"SEARCH RETURN (COUNT) UNSEEN",
		"UID SEARCH RETURN (ALL) UNSEEN",
		"SEARCH SINCE 1-Feb-2020",
		"SEARCH LARGER 10",
		"SORT (DATE) UTF-8 ALL",
		"SORT (SUBJECT) UTF-8 ALL",
		"THREAD REFERENCES UTF-8 ALL",
	} {
		b.Run(line, func(b *testing.B) { benchLine(b, s, line) })
	}
}

const benchMail = `Return-Path: <ann@example.org>
Received: from mx.example.org (mx.example.org [192.0.2.1])
	by mail.example.net (Postfix) with ESMTPS id 4ABCDEF
	for <bob@example.net>; Mon, 7 Feb 2022 21:52:25 -0800 (PST)
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=2022;
	h=from:to:subject:date:message-id; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=;
	b=0123456789012345678901234567890123456789012345678901234567890123456789
Date: Mon, 7 Feb 2022 21:52:25 -0800
From: "Ann Example" <ann@example.org>
To: "Bob Example" <bob@example.net>, carol@example.net
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from the bench
Message-ID: <0123456789@example.org>
References: <1@example.org> <2@example.org>
In-Reply-To: <2@example.org>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/plain; charset=utf-8

Hello Bob, this is a message of some lines.
It says nothing that anybody would look for.

--b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<html><body><p>Hello Bob, this is a message of some lines.<br>=
It says nothing that anybody would look for.</p></body></html>

--b--
`

func BenchmarkContent(b *testing.B) {
	s := benchSession(b, 10_000, benchMail)
	for _, line := range []string{
		"UID FETCH 1:* (ENVELOPE BODYSTRUCTURE INTERNALDATE)",
		"UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])",
		"UID FETCH 1:* (BODY.PEEK[])",
		"UID FETCH 1:* (BODY.PEEK[1])",
		"SEARCH FROM nobody",
		`SEARCH SUBJECT "grüße"`,
		"SEARCH SENTSINCE 1-Jan-2023",
		"SEARCH BODY zebra",
		"SEARCH TEXT zebra",
	} {
		b.Run(line[:min(40, len(line))], func(b *testing.B) { benchLine(b, s, line) })
	}
}
