package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"roost/testmail"
)

// began is when the first message of every mailbox arrived; the others follow
// some minutes apart.
var began = time.Date(2022, 1, 1, 8, 0, 0, 0, time.UTC)

// fill puts n messages of testmail into the INBOX of a user, the same for both
// servers; small: without their bodies. The letters of the flags are theirs
// unless bare.
func (b *bench) fill(user, n int, small, bare bool) error {
	results := make(chan error, len(b.sides))
	for _, s := range b.sides {
		go func() { // ends with the last message
			if err := s.fill(user, n, small, bare); err != nil {
				results <- fmt.Errorf("mail for %s: %w", s.name, err)
				return
			}
			results <- nil
		}()
	}
	var errs []error
	for range b.sides {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

func (s *side) fill(user, n int, small, bare bool) error {
	if err := s.makeMaildir(user); err != nil {
		return err
	}
	cur := filepath.Join(s.maildir(userName(user)), "cur")
	i := 0
	for m := range testmail.Corpus(n, uint64(user), began) {
		if head, _, ok := bytes.Cut(m.Raw, []byte("\n\n")); small && ok {
			m.Raw = append(head, "\n\nSmall.\n"...)
		}
		if bare {
			m.Letters = ""
		}
		if err := s.place(filepath.Join(cur, fileName(i, m.Letters)), user, m.Raw, m.Received); err != nil {
			return err
		}
		i++
	}
	return nil
}

// place writes one file.
func (s *side) place(path string, user int, raw []byte, received time.Time) error {
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return err
	}
	if err := s.give(path, user); err != nil {
		return err
	}
	return os.Chtimes(path, received, received)
}

// give makes the owner of user's mail that of a file.
func (s *side) give(path string, user int) error {
	if os.Getuid() != 0 || s.index != dovecotSide {
		return nil
	}
	return os.Chown(path, s.owner(user), s.gid)
}

// fileName is as Postfix makes them.
func fileName(i int, letters string) string {
	return fmt.Sprintf("%d.Vfe01I%07xM%06d.mail.example.org:2,%s", began.Unix()+int64(i), i, i%1000000, letters)
}

func (s *side) makeMaildir(user int) error {
	dir := s.maildir(userName(user))
	for _, path := range []string{filepath.Dir(dir), dir, filepath.Join(dir, "cur"), filepath.Join(dir, "new"), filepath.Join(dir, "tmp")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		if err := s.give(path, user); err != nil {
			return err
		}
	}
	return nil
}

// message is one to append, of exactly size octets, with CRLF.
func message(size int) string {
	var b bytes.Buffer
	b.WriteString("From: Ada Martin <ada@corpus.example>\r\nTo: users@corpus.example\r\nSubject: appended\r\n" +
		"Date: Mon, 1 Jan 2024 08:00:00 +0000\r\nMessage-ID: <appended@corpus.example>\r\n\r\n")
	const line = "The quick brown fox jumps over the lazy dog, and then does it once more.\r\n"
	for b.Len()+len(line) <= size-2 {
		b.WriteString(line)
	}
	for b.Len() < size-2 {
		b.WriteByte('.')
	}
	b.WriteString("\r\n")
	return b.String()
}
