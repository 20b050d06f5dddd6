package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"roost/mailbox"
)

// Each command says which rights it needs, or that it needs none.
func TestEveryCommandHasItsNeeds(t *testing.T) {
	names := map[string]bool{}
	for name := range commands {
		name = strings.TrimPrefix(name, "UID ")
		if strings.HasPrefix(name, "X") {
			continue // of another test
		}
		names[name] = true
		if _, needy := needs[name]; needy == slices.Contains(noNeeds, name) {
			t.Errorf("%s: it must be either in needs or in noNeeds", name)
		}
	}
	for name := range needs {
		if !names[name] && name != "CATENATE" { // no command, but what APPEND does
			t.Errorf("%s is no command", name)
		}
	}
	for _, name := range noNeeds {
		if !names[name] {
			t.Errorf("%s is no command", name)
		}
	}
}

// sharedHarness is a harness with mailboxes of alice: INBOX and .Box have a message
// each, .Hidden is nobody's business.
func sharedHarness(t *testing.T, boxes ...string) *harness {
	h := newHarness(t, func(mo *mailbox.Options, _ *Options) { mo.Shared.Prefix = "shared/" })
	p := &play{t: t, h: h, bound: map[string]string{}, placed: map[string]int{}}
	for _, box := range boxes {
		p.mkdir("." + box)
		h.deliver("."+box, p.base(1), "Subject: one\n\nbody\n")
	}
	h.deliver("", p.base(1), "Subject: one\n\nbody\n")
	return h
}

func (h *harness) user(name string) *client {
	h.t.Helper()
	c := h.connect(false)
	c.loginAs(name)
	return c
}

// An attempt is a command of a guest. @@ stands for the mailbox.
type attempt struct {
	what  string
	lines []string
	rest  string // behind the last line, once it was answered with +
}

// attempts are all commands that name a mailbox, with what is to come before.
var attempts = []attempt{
	{what: "SELECT", lines: []string{"SELECT @@"}},
	{what: "EXAMINE", lines: []string{"EXAMINE @@"}},
	{what: "SELECT (CONDSTORE)", lines: []string{"SELECT @@ (CONDSTORE)"}},
	{what: "SELECT (QRESYNC)", lines: []string{"ENABLE QRESYNC", "SELECT @@ (QRESYNC (1 1))"}},
	{what: "STATUS", lines: []string{"STATUS @@ (MESSAGES UIDNEXT SIZE MAILBOXID)"}},
	{what: "DELETE", lines: []string{"DELETE @@"}},
	{what: "CREATE", lines: []string{"CREATE @@"}},
	{what: "CREATE below", lines: []string{"CREATE @@/Sub"}},
	{what: "CREATE (USE)", lines: []string{`CREATE @@ (USE (\Sent))`}},
	{what: "RENAME", lines: []string{"RENAME @@ shared/alice/Else"}},
	{what: "RENAME to one's own", lines: []string{"RENAME @@ Mine"}},
	{what: "RENAME target", lines: []string{"RENAME shared/alice/Seen @@"}},
	{what: "RENAME below", lines: []string{"RENAME shared/alice/Seen @@/Sub"}},
	{what: "RENAME own", lines: []string{"CREATE Own", "RENAME Own @@"}},
	{what: "SUBSCRIBE", lines: []string{"SUBSCRIBE @@"}},
	{what: "UNSUBSCRIBE", lines: []string{"UNSUBSCRIBE @@"}},
	{what: "LIST", lines: []string{`LIST "" @@`}},
	{what: "LIST below", lines: []string{`LIST "" @@*`}},
	{what: "LIST level", lines: []string{`LIST "" @@%`}},
	{what: "LIST RETURN", lines: []string{`LIST "" (@@ @@/%) RETURN (SUBSCRIBED CHILDREN SPECIAL-USE MYRIGHTS STATUS (MESSAGES) METADATA (/shared/comment))`}},
	{what: "LIST RECURSIVEMATCH", lines: []string{`LIST (SUBSCRIBED RECURSIVEMATCH) "" @@*`}},
	{what: "LSUB", lines: []string{`LSUB "" @@`}},
	{what: "GETACL", lines: []string{"GETACL @@"}},
	{what: "SETACL", lines: []string{"SETACL @@ bob lrswipkxtea"}},
	{what: "SETACL of the owner", lines: []string{"SETACL @@ alice l"}},
	{what: "DELETEACL", lines: []string{"DELETEACL @@ bob"}},
	{what: "LISTRIGHTS", lines: []string{"LISTRIGHTS @@ bob"}},
	{what: "MYRIGHTS", lines: []string{"MYRIGHTS @@"}},
	{what: "GETMETADATA", lines: []string{"GETMETADATA @@ (/shared/comment /private/comment)"}},
	{what: "GETMETADATA DEPTH", lines: []string{"GETMETADATA @@ (DEPTH infinity) /shared"}},
	{what: "SETMETADATA", lines: []string{`SETMETADATA @@ (/private/comment "x")`}},
	{what: "SETMETADATA shared", lines: []string{`SETMETADATA @@ (/shared/comment "x")`}},
	{what: "GETQUOTAROOT", lines: []string{"GETQUOTAROOT @@"}},
	{what: "APPEND", lines: []string{"APPEND @@ {3+}\r\nabc"}},
	{what: "APPEND synchronizing", lines: []string{"APPEND @@ {3}"}, rest: "abc\r\n"},
	{what: "APPEND CATENATE", lines: []string{`APPEND INBOX CATENATE (URL "/@@/;UID=1")`}},
	{what: "COPY", lines: []string{"SELECT shared/alice/Seen", "COPY 1 @@"}},
	{what: "UID COPY", lines: []string{"SELECT shared/alice/Seen", "UID COPY 1 @@"}},
	{what: "MOVE", lines: []string{"SELECT shared/alice/Seen", "MOVE 1 @@"}},
	{what: "UID MOVE", lines: []string{"SELECT shared/alice/Seen", "UID MOVE 1 @@"}},
	{what: "REPLACE", lines: []string{"SELECT shared/alice/Seen", "REPLACE 1 @@ {3+}\r\nabc"}},
	{what: "UID REPLACE", lines: []string{"SELECT shared/alice/Seen", "UID REPLACE 1 @@ {3+}\r\nabc"}},
	{what: "ESEARCH mailboxes", lines: []string{"ESEARCH IN (mailboxes @@) RETURN (COUNT) ALL"}},
	{what: "ESEARCH subtree", lines: []string{"ESEARCH IN (subtree @@) RETURN (COUNT) ALL"}},
	{what: "NOTIFY", lines: []string{"NOTIFY SET STATUS (mailboxes @@ (MessageNew MessageExpunge MailboxName)) (subtree @@ (MessageNew MessageExpunge))"}},
	{what: "GETQUOTA", lines: []string{"GETQUOTA @@"}},
	{what: "SETQUOTA", lines: []string{"SETQUOTA @@ (MESSAGE 5)"}},
}

// run gives everything that the guest is told to the last line, with @@ for the mailbox.
func (at *attempt) run(c *client, name string) string {
	c.t.Helper()
	var b strings.Builder
	for i, line := range at.lines {
		b.Reset() // the lines before are only the way there
		tag := fmt.Sprintf("t%d", i)
		c.send(tag + " " + strings.ReplaceAll(line, "@@", name) + "\r\n")
		for {
			got := c.next()
			if got == "" {
				c.t.Fatalf("%s: the connection ended", at.what)
			}
			if strings.HasPrefix(got, "+") {
				c.send(at.rest)
			}
			fmt.Fprintln(&b, got)
			if strings.HasPrefix(got, tag+" ") {
				break
			}
		}
	}
	return strings.ReplaceAll(b.String(), name, "@@")
}

// A mailbox without "l", and without the right that a command needs, is answered
// like one that is not there, letter for letter (RFC 4314 §6). A command that
// appears later must be in the table.
func TestHiddenIsAsIfMissing(t *testing.T) {
	covered := map[string]bool{}
	for _, at := range attempts {
		word, rest, _ := strings.Cut(at.lines[len(at.lines)-1], " ")
		if word == "UID" {
			word, _, _ = strings.Cut(rest, " ")
		}
		covered[word] = true
	}
	for name, n := range needs {
		if (n.named != mailbox.Need{} || n.parent != mailbox.Need{}) && !covered[name] && name != "CATENATE" {
			t.Errorf("%s names a mailbox and is not in the table", name)
		}
	}
	for _, rights := range []string{"", "swtep"} {
		h := sharedHarness(t, "Hidden", "Seen")
		alice := h.user("alice")
		alice.ok("a", "SETACL Seen bob lrswipkxtea")
		alice.ok("a", "SETACL INBOX bob lr")
		alice.ok("a", "CREATE Hidden/Deep")
		alice.ok("a", `SETMETADATA Hidden (/shared/comment "c")`)
		alice.ok("a", `SETACL Hidden bob "%s"`, rights)
		for _, at := range attempts {
			t.Run(fmt.Sprintf("%q %s", rights, at.what), func(t *testing.T) {
				var want string
				for i, name := range []string{"shared/alice/Missing", "shared/alice/Hidden", "shared/alice/Hidden/Deep", "shared/alice/Hidden/None"} {
					if strings.HasPrefix(at.what, "RENAME") && strings.Contains(name, "/Hidden/") && i > 0 {
						// One level more is another question where "k" above decides.
						name = "shared/alice/Hidden"
					}
					if at.what == "LIST level" || at.what == "LIST below" || strings.HasPrefix(at.what, "LIST R") {
						if i > 1 {
							continue
						}
					}
					c := h.user("bob")
					got := at.run(c, name)
					c.ok("bye", "LOGOUT")
					if i == 0 {
						want = got
					} else if got != want {
						t.Errorf("%s:\n%s\nwhere there is nothing:\n%s", name, got, want)
					}
				}
				// Nor is there a difference where the user does not exist.
				if at.what != "APPEND CATENATE" && !strings.HasPrefix(at.what, "RENAME own") {
					c := h.user("bob")
					if got := at.run(c, "shared/ghost/Missing"); got != want {
						t.Errorf("no such user:\n%s\nno such mailbox:\n%s", got, want)
					}
					c.ok("bye", "LOGOUT")
				}
			})
		}
		// Nothing of all that did anything.
		if got := alice.ok("l", `LIST "" *`); len(got) != 4 {
			t.Errorf("the mailboxes now: %q", got)
		}
		if got := alice.ok("g", "GETACL Hidden"); len(got) != 1 || strings.Contains(got[0], "alice l ") {
			t.Errorf("the list now: %q", got)
		}
	}
}

// RFC 4314 §4, the table line by line: a command succeeds with what it needs and
// nothing else, and fails without any part of that. STATUS, for example, is asked
// for with "r" alone, and then with everything but "r".
func TestTableOfRights(t *testing.T) {
	const all = "lrswipkxtea"
	select1 := []string{"SELECT shared/alice/Box"}
	tests := []struct {
		what  string
		needs string // all of these letters
		any   bool   // or one of them is enough
		lines []string
		child bool // the name is below the mailbox
	}{
		{what: "SUBSCRIBE", needs: "l", lines: []string{"SUBSCRIBE shared/alice/Box"}},
		{what: "CREATE", needs: "k", lines: []string{"CREATE shared/alice/Box/New"}},
		{what: "DELETE", needs: "x", lines: []string{"DELETE shared/alice/Box"}},
		{what: "RENAME", needs: "x", lines: []string{"RENAME shared/alice/Box shared/alice/Parent/Box"}},
		{what: "SELECT", needs: "r", lines: []string{"SELECT shared/alice/Box"}},
		{what: "EXAMINE", needs: "r", lines: []string{"EXAMINE shared/alice/Box"}},
		{what: "STATUS", needs: "r", lines: []string{"STATUS shared/alice/Box (MESSAGES)"}},
		{what: "SETACL", needs: "a", lines: []string{"SETACL shared/alice/Box carol lr"}},
		{what: "DELETEACL", needs: "a", lines: []string{"DELETEACL shared/alice/Box carol"}},
		{what: "GETACL", needs: "a", lines: []string{"GETACL shared/alice/Box"}},
		{what: "LISTRIGHTS", needs: "a", lines: []string{"LISTRIGHTS shared/alice/Box carol"}},
		{what: "MYRIGHTS", needs: "lrikxa", any: true, lines: []string{"MYRIGHTS shared/alice/Box"}},
		{what: "APPEND", needs: "i", lines: []string{"APPEND shared/alice/Box {1+}\r\nx"}},
		{what: "COPY", needs: "i", lines: []string{"SELECT shared/alice/Source", "COPY 1 shared/alice/Box"}},
		{what: "MOVE into", needs: "i", lines: []string{"SELECT shared/alice/Source", "MOVE 1 shared/alice/Box"}},
		{what: "MOVE out of", needs: "rte", lines: append(select1, "MOVE 1 shared/alice/Source")},
		{what: "REPLACE", needs: "rite", lines: append(select1, "REPLACE 1 shared/alice/Box {1+}\r\nx")},
		{what: "EXPUNGE", needs: "re", lines: append(select1, "EXPUNGE")},
		{what: "UID EXPUNGE", needs: "re", lines: append(select1, "UID EXPUNGE 1")},
		{what: "STORE \\Seen", needs: "rs", lines: append(select1, `STORE 1 +FLAGS (\Seen)`)},
		{what: "STORE \\Deleted", needs: "rt", lines: append(select1, `STORE 1 +FLAGS (\Deleted)`)},
		{what: "STORE \\Flagged", needs: "rw", lines: append(select1, `STORE 1 +FLAGS (\Flagged)`)},
		{what: "STORE Keyword", needs: "rw", lines: append(select1, `STORE 1 -FLAGS (Keyword)`)},
		{what: "SETMETADATA", needs: "lw", lines: []string{`SETMETADATA shared/alice/Box (/shared/comment "x")`}},
		{what: "GETQUOTAROOT", needs: "r", lines: []string{"GETQUOTAROOT shared/alice/Box"}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			h := sharedHarness(t, "Box", "Parent", "Source")
			alice := h.user("alice")
			alice.ok("a", "SETACL Parent bob k")
			alice.ok("a", "SETACL Source bob lrswite")
			alice.ok("a", "SETACL Box carol l")
			try := func(rights string) string {
				t.Helper()
				alice.ok("s", `SETACL Box bob "%s"`, rights)
				c := h.user("bob")
				tagged := ""
				for i, line := range tt.lines {
					_, tagged = c.command(fmt.Sprintf("t%d", i), "%s", line)
					if !strings.HasPrefix(tagged, "OK ") {
						break
					}
				}
				c.ok("bye", "LOGOUT")
				return tagged
			}
			for _, right := range all {
				without := strings.ReplaceAll(all, string(right), "")
				if tt.any || !strings.ContainsRune(tt.needs, right) {
					continue
				}
				want := "NO [NOPERM] "
				if right == 'l' {
					want = "NO [NONEXISTENT] "
				}
				if got := try(without); !strings.HasPrefix(got, want) {
					t.Errorf("with all but %c: %q, want %s", right, got, want)
				}
			}
			if tt.any {
				for _, right := range all {
					if got, want := try(string(right)), strings.ContainsRune(tt.needs, right); strings.HasPrefix(got, "OK ") != want {
						t.Errorf("with %c alone: %q", right, got)
					}
				}
				return
			}
			if got := try(tt.needs); !strings.HasPrefix(got, "OK ") {
				t.Errorf("with %q: %q", tt.needs, got)
			}
		})
	}
}
