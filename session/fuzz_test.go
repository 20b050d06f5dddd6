package session

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
)

// FuzzSession sends any octets in each of three states. The server must not
// panic, must answer with well-formed lines only, and must end the session when
// the client is gone. The Maildir is one for all inputs, so that they meet each
// other's mailboxes.
func FuzzSession(f *testing.F) {
	transcripts, err := filepath.Glob("testdata/*.imap")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range transcripts {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		tr, err := parseTranscript(string(data))
		if err != nil {
			f.Fatal(err)
		}
		var lines strings.Builder
		for _, e := range tr.entries {
			if e.kind == 'C' {
				lines.WriteString(e.text + "\r\n")
			}
		}
		for state := range byte(3) {
			f.Add(state, []byte(lines.String()))
		}
	}
	h := newHarness(f, func(mo *mailbox.Options, opt *Options) {
		opt.Limits.AuthFailures = 2
		opt.Disable = []string{"COMPRESS=DEFLATE"} // the answers are checked as they come
		opt.Log, mo.Log = nil, nil                 // a fuzz target must not log through f
	})
	for _, name := range []string{"1.test", "2.test", "3.test"} {
		h.deliver("", name, "Subject: "+name+"\n\nbody\n")
	}
	f.Fuzz(func(t *testing.T, state byte, input []byte) {
		before := ""
		switch state % 3 {
		case 1:
			before = "l LOGIN alice secret\r\n"
		case 2:
			before = "l LOGIN alice secret\r\ns SELECT INBOX\r\n"
		}
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() { // ends with the connection
			defer close(done)
			h.srv.Serve(t.Context(), theirs, false)
		}()
		answers := make(chan []byte, 1)
		go func() { // ends with the connection
			b, _ := io.ReadAll(ours)
			answers <- b
		}()
		ours.SetWriteDeadline(time.Now().Add(patience))
		io.WriteString(ours, before)
		ours.Write(input)
		io.WriteString(ours, "\r\n")
		ours.Close()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("the session does not end")
		}
		if n := h.srv.Counters.Panics.Load(); n > 0 {
			t.Fatal("panic")
		}
		checkLines(t, string(<-answers))
	})
}

// checkLines holds that each whole line of the server begins as one may.
func checkLines(t *testing.T, text string) {
	for text != "" {
		line, rest, whole := strings.Cut(text, "\r\n")
		if !whole {
			return // cut off by the end
		}
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("line %q", line)
		}
		word, _, _ := strings.Cut(line, " ")
		if word == "" || word != "*" && word != "+" && strings.ContainsAny(word, "(){%*\"\\+") {
			t.Fatalf("line begins with %q: %q", word, line)
		}
		for {
			size, ok := literalSize(line)
			if !ok {
				break
			}
			if int64(len(rest)) < size {
				return
			}
			if line, rest, whole = strings.Cut(rest[size:], "\r\n"); !whole {
				return
			}
		}
		text = rest
	}
}
