package testmail

import (
	"bytes"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"
)

var when = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

func TestDemoIsWhatTheREADMEPromises(t *testing.T) {
	mails := Demo(when)
	if len(mails) < 38 || len(mails) > 45 {
		t.Errorf("%d messages, want about 40", len(mails))
	}
	boxes := map[string]int{}
	for i, m := range mails {
		boxes[m.Mailbox]++
		if bytes.Contains(m.Raw, []byte("\r")) {
			t.Errorf("message %d has CR: an MTA stores LF", i)
		}
		if m.New && m.Letters != "" {
			t.Errorf("message %d is in new/ with flags", i)
		}
		if !slices.IsSorted([]byte(m.Letters)) {
			t.Errorf("message %d: letters %q are not sorted", i, m.Letters)
		}
		if !m.Received.Before(when) {
			t.Errorf("message %d arrived after now", i)
		}
	}
	for _, want := range []string{"INBOX", "Sent", "Drafts", "Junk", "Trash", "Projects/Roof"} {
		if boxes[want] == 0 {
			t.Errorf("nothing in %s", want)
		}
	}
	again := Demo(when)
	for i := range mails {
		if !bytes.Equal(mails[i].Raw, again[i].Raw) {
			t.Fatalf("message %d differs when made again", i)
		}
	}
}

func TestCorpusIsParseableAndThreaded(t *testing.T) {
	ids, replies, total := map[string]bool{}, 0, 0
	for m := range Corpus(500, 3, when) {
		msg, err := mail.ReadMessage(bytes.NewReader(m.Raw))
		if err != nil {
			t.Fatal(err)
		}
		if ref := msg.Header.Get("In-Reply-To"); ref != "" {
			replies++
			if !ids[ref] {
				t.Errorf("reply to unknown %s", ref)
			}
		}
		ids[msg.Header.Get("Message-ID")] = true
		total += len(m.Raw)
		if strings.ContainsAny(m.Letters, "\r\n:") {
			t.Errorf("letters %q", m.Letters)
		}
	}
	if len(ids) != 500 || replies < 200 {
		t.Errorf("%d ids, %d replies", len(ids), replies)
	}
	if avg := total / 500; avg < 2000 || avg > 12000 {
		t.Errorf("average size %d", avg)
	}
}
