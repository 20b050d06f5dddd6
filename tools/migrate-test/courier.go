package main

import (
	"fmt"
	"syscall"
)

// courierScenario lays mail down with Courier, goes to roost and back, and to
// roost once more.
func (t *test) courierScenario() error {
	if err := t.configureRoost("INBOX."); err != nil {
		return err
	}
	t.step("mail is laid down and flagged through Courier")
	err := with(t.courier, func(c *client) error {
		if err := all(c, `CREATE INBOX.Work`, `CREATE INBOX.Work.Old`, `CREATE "INBOX.With Space"`, `SUBSCRIBE INBOX.Work`, `SUBSCRIBE INBOX.Work.Old`); err != nil {
			return err
		}
		for name, n := range map[string]int{"INBOX": 17, "INBOX.Work": 8, "INBOX.Work.Old": 5, "INBOX.With Space": 3} {
			if err := t.appendTo(c, name, n, ``, `\Seen`, `\Seen \Answered`, `\Flagged`, `\Draft`); err != nil {
				return err
			}
		}
		return all(c, `SELECT INBOX`, `UID STORE 2,5:6 +FLAGS (\Deleted)`, `EXPUNGE`, `UID STORE 3:9 +FLAGS ($Label1)`,
			`UID STORE 8:12 +FLAGS (Project-X other)`, `UID STORE 9 -FLAGS (other)`, `UID COPY 3:8 INBOX.Work`)
	})
	if err != nil {
		return err
	}
	for range 3 {
		if err := t.deliver("INBOX", t.mail()); err != nil {
			return err
		}
	}
	before, err := snapshotOf(t.courier)
	if err != nil {
		return err
	}
	t.remember("Courier", before, true)
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
	there, err := t.afterCourier(before)
	if err != nil {
		return err
	}
	t.step("back to Courier")
	back, err := snapshotOf(t.courier)
	if err != nil {
		return err
	}
	// Courier has keywords in files of its own, which roost reads and leaves.
	t.same("back with Courier", there, back, noKeywords)
	t.remember("back with Courier", back, true)
	err = with(t.courier, func(c *client) error {
		if err := t.appendTo(c, "INBOX", 3, `\Seen`); err != nil {
			return err
		}
		return all(c, `SELECT INBOX`, `UID STORE 7 +FLAGS (\Deleted)`, `EXPUNGE`)
	})
	if err != nil {
		return err
	}
	if back, err = snapshotOf(t.courier); err != nil {
		return err
	}
	t.step("to roost again: Courier served it meanwhile")
	s, err := t.startRoost()
	if err != nil {
		return err
	}
	defer func() { s.stop(syscall.SIGTERM) }()
	again, err := snapshotOf(at(s))
	if err != nil {
		return err
	}
	t.same("second time after Courier", back, again, noKeywords)
	t.remember("second time after Courier", again, true)
	return nil
}

// afterCourier checks what roost tells, works on it, and gives what it tells
// in the end.
func (t *test) afterCourier(before map[string]mailbox) (map[string]mailbox, error) {
	s, err := t.startRoost()
	if err != nil {
		return nil, err
	}
	defer func() { s.stop(syscall.SIGTERM) }()
	got, err := snapshotOf(at(s))
	if err != nil {
		return nil, err
	}
	t.same("adopted from Courier", before, got, nil)
	t.remember("adopted from Courier", got, true)
	err = with(at(s), func(c *client) error {
		lines, err := c.do(`LSUB "" "*"`)
		if err != nil {
			return err
		}
		if n := len(lines) - 1; n != 2 {
			t.fail("%d subscriptions, not 2: %v", n, lines)
		} else {
			t.pass("the 2 subscriptions came along")
		}
		if err := t.appendTo(c, "INBOX", 2, `\Seen`, `\Flagged`); err != nil {
			return err
		}
		return all(c, `SELECT INBOX`, `UID STORE 1 +FLAGS (\Deleted)`, `UID EXPUNGE 1`, `UID COPY 3:4 INBOX.Work.Old`)
	})
	if err != nil {
		return nil, err
	}
	return snapshotOf(at(s))
}

// noKeywords leaves the system flags.
func noKeywords(_, flags string) string {
	out := ""
	for _, f := range splitFlags(flags) {
		if f[0] == '\\' {
			out += f + " "
		}
	}
	return out
}
