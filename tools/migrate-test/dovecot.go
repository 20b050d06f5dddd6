package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// dovecotScenario lays mail down with Dovecot, goes to roost, back, and to
// roost once more, in order and in a panic.
func (t *test) dovecotScenario() error {
	if err := t.configureRoost(""); err != nil {
		return err
	}
	t.step("mail is laid down and flagged through Dovecot %s", strings.TrimSpace(firstLine("dovecot", "--version")))
	before, err := t.layWithDovecot()
	if err != nil {
		return err
	}
	t.step("roost takes over")
	out, err := t.roost("adopt", "--dry-run", user)
	fmt.Print(indent(out))
	if err != nil {
		return err
	}
	if out, err = t.roost("adopt", user); err != nil {
		return err
	}
	fmt.Print(indent(out))
	there, err := t.serveWithRoost("adopted", before, beyondLetters)
	if err != nil {
		return err
	}
	t.step("back to Dovecot")
	after, err := t.backToDovecot(there)
	if err != nil {
		return err
	}
	t.step("to roost again, without a word: Dovecot served it meanwhile")
	again, err := t.serveWithRoost("second time", after, beyondLetters)
	if err != nil {
		return err
	}
	t.step("to Dovecot without an export: roost wrote its files at the end")
	dovecot, err := t.startDovecot()
	if err != nil {
		return err
	}
	now, err := snapshotOf(at(dovecot))
	if err == nil {
		t.same("left without an export", again, now, beyondLetters)
		t.remember("left without an export", now, true)
		t.syncs("left without an export", dovecot.addr)
	}
	dovecot.stop(syscall.SIGTERM)
	if err != nil {
		return err
	}
	return t.panic()
}

func firstLine(name string, args ...string) string {
	out, _ := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

func indent(s string) string {
	return "  | " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  | ") + "\n"
}

// manyKeywords is the mailbox with more keywords than there are letters.
const manyKeywords = "Tags"

// beyondLetters takes out what only dovecot.index has: keywords from the 27th
// on in the mailbox that has so many.
func beyondLetters(name, flags string) string {
	if name != manyKeywords {
		return flags
	}
	list := slices.DeleteFunc(strings.Fields(flags), func(f string) bool {
		var n int
		_, err := fmt.Sscanf(f, "word%d", &n)
		return err == nil && n >= 26
	})
	return strings.Join(list, " ")
}

// layWithDovecot makes mailboxes and mail, and gives what Dovecot tells of them.
func (t *test) layWithDovecot() (map[string]mailbox, error) {
	s, err := t.startDovecot()
	if err != nil {
		return nil, err
	}
	defer func() { s.stop(syscall.SIGTERM) }()
	flags := []string{``, `\Seen`, `\Seen \Answered`, `\Flagged $Forwarded`, `\Draft $Label1`, `\Seen $Label1 Project-X`, `\Deleted`}
	err = with(at(s), func(c *client) error {
		if err := all(c, `CREATE Archive`, `CREATE Archive.2023`, `CREATE "With Space"`, `CREATE "K&AOQ-se"`, `CREATE Tags`, `CREATE Empty`,
			`SUBSCRIBE Archive.2023`, `SUBSCRIBE "K&AOQ-se"`); err != nil {
			return err
		}
		for name, n := range map[string]int{"INBOX": 24, "Archive": 9, "Archive.2023": 14, "With Space": 5, "K&AOQ-se": 7} {
			if err := t.appendTo(c, name, n, flags...); err != nil {
				return err
			}
		}
		for i := range 30 {
			if err := t.appendTo(c, manyKeywords, 1, fmt.Sprintf("Word%d", i)); err != nil {
				return err
			}
		}
		// Gaps, and flags that were changed later.
		return all(c, `SELECT INBOX`, `UID STORE 3,7,11:13 +FLAGS (\Deleted)`, `EXPUNGE`, `UID STORE 2,9 +FLAGS (later \Flagged)`,
			`UID COPY 1:6 Archive`, `SELECT Archive`, `UID STORE 1:2 FLAGS (\Deleted)`, `EXPUNGE`, `UID STORE 5:8 +FLAGS.SILENT (\Seen $MDNSent)`)
	})
	if err != nil {
		return nil, err
	}
	for i := range 6 {
		if err := t.deliver([]string{"INBOX", "Archive"}[i%2], t.mail()); err != nil {
			return nil, err
		}
	}
	// Delivered after Dovecot saw the mailbox, and so once more later.
	if _, err = snapshotOf(at(s)); err != nil {
		return nil, err
	}
	if err := with(at(s), func(c *client) error { return all(c, `SELECT INBOX`, `CLOSE`) }); err != nil {
		return nil, err
	}
	if moved, err := t.mbsync(s.addr); err != nil {
		return nil, err
	} else if moved == "" {
		t.fail("the first mbsync moves nothing")
	}
	t.syncs("Dovecot, second time", s.addr)
	before, err := snapshotOf(at(s))
	if err != nil {
		return nil, err
	}
	t.remember("Dovecot", before, true)
	return before, nil
}

// serveWithRoost checks that roost tells what the server before it told, works
// on it, and gives what it tells in the end.
func (t *test) serveWithRoost(what string, before map[string]mailbox, ignore func(name, flags string) string) (map[string]mailbox, error) {
	s, err := t.startRoost()
	if err != nil {
		return nil, err
	}
	defer func() { s.stop(syscall.SIGTERM) }()
	got, err := snapshotOf(at(s))
	if err != nil {
		return nil, err
	}
	t.same(what, before, got, ignore)
	t.remember(what, got, true)
	t.syncs(what, s.addr)
	err = with(at(s), func(c *client) error {
		if err := t.appendTo(c, "INBOX", 3, `\Seen`, `Fresh`, `\Flagged Project-X`); err != nil {
			return err
		}
		if err := t.appendTo(c, "Archive.2023", 2); err != nil {
			return err
		}
		return all(c, `SELECT INBOX`, `UID STORE 1 +FLAGS (\Deleted)`, `UID STORE 2 -FLAGS (later)`, `UID STORE 4:6 +FLAGS (\Seen roost)`,
			`UID EXPUNGE 1`, `UID COPY 4:6 Empty`, `UID MOVE 8 Archive`)
	})
	if err != nil {
		return nil, err
	}
	for range 3 {
		if err := t.deliver("INBOX", t.mail()); err != nil {
			return nil, err
		}
	}
	if _, err := t.mbsync(s.addr); err != nil {
		return nil, err
	}
	now, err := snapshotOf(at(s))
	if err != nil {
		return nil, err
	}
	t.remember(what+", in the end", now, true)
	return now, nil
}

// backToDovecot exports, checks that Dovecot tells the same, and works on it
// for a week.
func (t *test) backToDovecot(want map[string]mailbox) (map[string]mailbox, error) {
	out, err := t.roost("export", "dovecot", user)
	fmt.Print(indent(out))
	if err != nil {
		return nil, err
	}
	s, err := t.startDovecot()
	if err != nil {
		return nil, err
	}
	defer func() { s.stop(syscall.SIGTERM) }()
	got, err := snapshotOf(at(s))
	if err != nil {
		return nil, err
	}
	t.same("back with Dovecot", want, got, beyondLetters)
	t.remember("back with Dovecot", got, true)
	t.syncs("back with Dovecot", s.addr)
	if err := t.runExported(out, s); err != nil {
		return nil, err
	}
	for day := range 7 {
		err := with(at(s), func(c *client) error {
			if err := t.appendTo(c, "INBOX", 2, `\Seen`, `\Answered week`); err != nil {
				return err
			}
			if err := all(c, `SELECT INBOX`, fmt.Sprintf(`UID STORE %d +FLAGS (\Flagged week)`, 14+day), fmt.Sprintf(`STORE %d +FLAGS (\Deleted)`, 2+day), `EXPUNGE`, `UID COPY 15:20 Archive`); err != nil {
				return err
			}
			if day == 3 {
				return all(c, `CREATE Week`, `UID COPY 16:18 Week`)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if err := t.deliver("INBOX", t.mail()); err != nil {
			return nil, err
		}
		s.stop(syscall.SIGTERM)
		if err := t.deliver("Archive", t.mail()); err != nil {
			return nil, err
		}
		if s, err = t.startDovecot(); err != nil {
			return nil, err
		}
		if _, err := t.mbsync(s.addr); err != nil {
			return nil, err
		}
	}
	after, err := snapshotOf(at(s))
	if err != nil {
		return nil, err
	}
	t.remember("a week with Dovecot", after, true)
	return after, nil
}

// runExported runs the commands that the export printed, and looks whether
// Dovecot's mod-sequences are at least what was told.
func (t *test) runExported(out string, s *server) error {
	n := 0
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "doveadm ") {
			continue
		}
		n++
		cmd := exec.Command("sh", "-c", strings.Replace(line, "doveadm ", "doveadm -c '"+t.dir+"/dovecot.conf' ", 1))
		if text, err := cmd.CombinedOutput(); err != nil {
			t.fail("%s: %v: %s", line, err, text)
			return nil
		}
	}
	return with(at(s), func(c *client) error {
		lines, err := c.do("STATUS INBOX (HIGHESTMODSEQ)")
		if err != nil {
			return err
		}
		var told, has uint64
		fmt.Sscan(fieldOf(out, "--min-highest-modseq "), &told)
		for _, l := range lines {
			if v := fieldOf(l.line, "HIGHESTMODSEQ "); v != "" {
				fmt.Sscan(v, &has)
			}
		}
		if told == 0 || has < told {
			t.fail("Dovecot's HIGHESTMODSEQ is %d, roost told %d", has, told)
			return nil
		}
		t.pass("the %d doveadm commands lift Dovecot's HIGHESTMODSEQ to %d", n, has)
		return nil
	})
}

// panic kills roost after it told UIDs, lets Dovecot give the same UIDs to
// other messages, and checks that roost tells none of them again.
func (t *test) panic() error {
	t.step("roost is killed after it told new UIDs; Dovecot goes on; then roost again")
	s, err := t.startRoost()
	if err != nil {
		return err
	}
	err = with(at(s), func(c *client) error { return t.appendTo(c, "INBOX", 4, `\Seen`, `panic`) })
	if err == nil {
		var told map[string]mailbox
		if told, err = snapshotOf(at(s)); err == nil {
			t.remember("roost before the kill", told, true)
		}
	}
	s.stop(syscall.SIGKILL)
	if err != nil {
		return err
	}
	// Names that sort before those that roost made: Dovecot gives them the UIDs
	// that roost had told for its own.
	for range 2 {
		if err := t.deliverAt("INBOX", t.mail(), time.Now().Add(-time.Hour)); err != nil {
			return err
		}
	}
	if s, err = t.startDovecot(); err != nil {
		return err
	}
	err = with(at(s), func(c *client) error { return t.appendTo(c, "INBOX", 3) })
	if err == nil {
		err = with(at(s), func(c *client) error {
			return all(c, `SELECT INBOX`, `STORE 1 +FLAGS (\Deleted)`, `EXPUNGE`)
		})
	}
	var dovecot map[string]mailbox
	if err == nil {
		dovecot, err = snapshotOf(at(s))
	}
	s.stop(syscall.SIGTERM)
	if err != nil {
		return err
	}
	if n := t.clashes(dovecot); n == 0 {
		t.fail("Dovecot gave no UID that roost had told: nothing is tested")
	} else {
		t.pass("Dovecot, which cannot know better, gave %d UIDs to other messages than roost had told", n)
	}
	t.remember("Dovecot after the kill", dovecot, false)
	if err := t.deliver("INBOX", t.mail()); err != nil {
		return err
	}
	if s, err = t.startRoost(); err != nil {
		return err
	}
	defer func() { s.stop(syscall.SIGTERM) }()
	now, err := snapshotOf(at(s))
	if err != nil {
		return err
	}
	t.remember("roost after the kill", now, true)
	if w, g := len(dovecot["INBOX"].messages)+1, len(now["INBOX"].messages); w != g {
		t.fail("INBOX has %d messages, not %d", g, w)
	}
	return nil
}
