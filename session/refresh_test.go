package session

import (
	"io"
	"strings"
	"testing"

	"roost/mailbox"
)

// TestPipelineRefreshesOnce: commands that came together look at the files once;
// one that comes later sees what was delivered before it.
func TestPipelineRefreshesOnce(t *testing.T) {
	var count mailbox.Counters
	h := newHarness(t, func(mo *mailbox.Options, _ *Options) { mo.Counters = &count })
	for i := range 3 {
		h.deliver("", []string{"1.a", "2.a", "3.a"}[i], "Subject: x\n\ny\n")
	}
	conn, r := logIn(t, h)
	talk(t, conn, r, "s SELECT INBOX\r\n", "s OK ")
	before := count.Fences.Load()
	var all strings.Builder
	for range 100 {
		all.WriteString("p STORE 1:3 +FLAGS (\\Seen)\r\np STORE 1:3 -FLAGS (\\Seen)\r\n")
	}
	all.WriteString("q NOOP\r\n")
	sent := make(chan error, 1)
	go func() { // ends when all is written
		_, err := io.WriteString(conn, all.String())
		sent <- err
	}()
	talk(t, conn, r, "", "q OK ")
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if n := count.Fences.Load() - before; n > 40 {
		t.Errorf("%d fences for 201 commands in one write", n)
	}
	h.deliver("", "4.a", "Subject: x\n\ny\n")
	talk(t, conn, r, "n NOOP\r\n", "* 4 EXISTS")
	talk(t, conn, r, "", "n OK ")
}
