package mailbox

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"roost/disk/disktest"
)

var faultAll = flag.Bool("fault.all", false, "TestFaults fails every call with every error, not every third with one")

// A faultCommand is a command, and what it leads to.
type faultCommand struct {
	name  string
	parts bool
	after func(powerState)
	run   func(p *powerRun, mb *Mailbox, v *View) error
}

func faultBody(i int) string { return fmt.Sprintf("Subject: %d\n\nbody\n", i) }

var faultCommands = []faultCommand{
	{"fetch", false, func(powerState) {}, func(p *powerRun, mb *Mailbox, v *View) error {
		c := v.Content(2)
		defer c.Close()
		_, err := c.BodyStructure()
		return err
	}},
	{"scan", false, func(powerState) {}, func(p *powerRun, mb *Mailbox, v *View) error {
		return mb.refreshHard(p.t.Context(), true)
	}},
	{"store", true, func(s powerState) {
		m := s["INBOX"].msgs[faultBody(1)]
		m.flags = "(FS+Work)"
		s["INBOX"].msgs[faultBody(1)] = m
	}, func(p *powerRun, mb *Mailbox, v *View) error {
		_, err := v.Store(p.t.Context(), one(1), StoreOp{Mode: StoreAdd, Flags: Flagged})
		return err
	}},
	{"append", false, func(s powerState) { s["INBOX"].msgs["x: y\n\n"] = powerMessage{} }, func(p *powerRun, mb *Mailbox, v *View) error {
		_, err := appendTo(mb, AppendMeta{}, v.b, "x: y\r\n\r\n")
		return err
	}},
	{"multiappend", false, func(s powerState) {
		s["INBOX"].msgs["x: 1\n\n"], s["INBOX"].msgs["x: 2\n\n"] = powerMessage{}, powerMessage{}
	}, func(p *powerRun, mb *Mailbox, v *View) error {
		_, err := appendTo(mb, AppendMeta{}, v.b, "x: 1\r\n\r\n", "x: 2\r\n\r\n")
		return err
	}},
	{"copy", false, func(s powerState) {
		for i := 1; i <= 2; i++ {
			s["A"].msgs[faultBody(i)] = powerMessage{flags: s["INBOX"].msgs[faultBody(i)].flags}
		}
	}, func(p *powerRun, mb *Mailbox, v *View) error { return p.faultCopy(v.Copy, v) }},
	{"move", true, func(s powerState) {
		for i := 1; i <= 2; i++ {
			s["A"].msgs[faultBody(i)] = powerMessage{flags: s["INBOX"].msgs[faultBody(i)].flags}
			delete(s["INBOX"].msgs, faultBody(i))
		}
	}, func(p *powerRun, mb *Mailbox, v *View) error { return p.faultCopy(v.Move, v) }},
	{"expunge", false, func(s powerState) { delete(s["INBOX"].msgs, faultBody(3)) }, func(p *powerRun, mb *Mailbox, v *View) error {
		_, err := v.Expunge(p.t.Context(), nil)
		return err
	}},
	{"create", false, func(s powerState) { s["New"] = &powerBox{} }, func(p *powerRun, mb *Mailbox, v *View) error {
		_, err := p.a.Create(p.t.Context(), "New", nil)
		return err
	}},
	{"delete", false, func(s powerState) { delete(s, "A") }, func(p *powerRun, mb *Mailbox, v *View) error {
		return p.a.Delete(p.t.Context(), "A")
	}},
	{"rename", false, func(s powerState) { s["B"] = s["A"]; delete(s, "A") }, func(p *powerRun, mb *Mailbox, v *View) error {
		return p.a.Rename(p.t.Context(), "A", "B")
	}},
}

// TestFaults fails the n-th call of the file system in every command, until
// none is left to fail: nothing is lost, nothing is renumbered, and afterwards
// everything works (F7).
func TestFaults(t *testing.T) {
	errnos := []error{syscall.EIO, syscall.EACCES, syscall.EMFILE, syscall.ESTALE, syscall.EDQUOT, syscall.ENOSPC}
	for k, cmd := range faultCommands {
		t.Run(cmd.name, func(t *testing.T) {
			step := 1
			if !*faultAll {
				step = 3
			}
			for n := 1; n < 300; n += step {
				tries := errnos
				if !*faultAll {
					tries = errnos[(n/3+k)%len(errnos):][:1]
				}
				fired := false
				for _, errno := range tries {
					synctest.Test(t, func(t *testing.T) { fired = faultOnce(t, cmd, n, errno) })
				}
				if !fired || t.Failed() {
					return
				}
			}
			t.Error("the command never got by without a fault")
		})
	}
}

func faultOnce(t *testing.T, cmd faultCommand, n int, errno error) (fired bool) {
	p := &powerRun{t: t, mem: disktest.NewMem(), led: powerLedger{now: powerState{}}}
	if err := makeRoot(p.mem, testRoot, CreateAlways); err != nil {
		t.Fatal(err)
	}
	p.rec = disktest.Wrap(p.mem)
	p.open()
	mustCreate(t, p.a, "A")
	p.learn("A")
	p.led.begin("prepare", false, func(s powerState) {
		for i := 1; i <= 3; i++ {
			s["INBOX"].msgs[faultBody(i)] = powerMessage{flags: []string{"", "(S+Work)", "", "(D)"}[i]}
		}
	})
	p.with("INBOX", func(mb *Mailbox, v *View) {
		for i, meta := range []AppendMeta{{Flags: Seen, Keywords: []string{"Work"}}, {}, {Flags: Deleted}} {
			if _, err := appendTo(mb, meta, v.b, strings.ReplaceAll(faultBody(i+1), "\n", "\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.b.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	p.led.end()
	p.learn("INBOX")
	p.with("INBOX", func(mb *Mailbox, v *View) {
		synctest.Wait()
		p.led.begin(cmd.name, cmd.parts, cmd.after)
		if cmd.name == "rename" {
			p.led.moved = [2]string{"A", "B"}
		}
		p.rec.Reset()
		p.rec.Fail(disktest.Rule{Nth: n, Err: errno, Short: n%2 == 0})
		err := cmd.run(p, mb, v)
		if err == nil {
			err = v.b.Wait()
		}
		fired = p.rec.Count() >= n
		p.rec.Clear()
		if err == nil {
			p.led.moved = [2]string{}
			p.led.end()
		} else if !told(err) {
			t.Errorf("call %d fails with %v: %s answers %v, for which there is no code", n, errno, cmd.name, err)
		}
	})
	p.a.Release()
	p.st.Close() //nolint:errcheck // a journal that is not trusted any more says so
	for range 2 {
		found, err := readAccount(t, p.mem)
		if err == nil {
			err = p.led.verify(found)
		}
		if err != nil {
			t.Errorf("call %d of %s failed with %v: %v", n, cmd.name, errno, err)
		}
	}
	return fired
}

// told reports whether session has a code for err.
func told(err error) bool {
	for _, known := range []error{
		ErrNotExist, ErrReadOnly, ErrPermission, ErrOwner, ErrOverQuota, ErrLimit, ErrUnavailable, ErrExpunged, ErrGone, ErrNotSelectable,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// faultCopy copies or moves the first two messages to A.
func (p *powerRun) faultCopy(do func(context.Context, Seqs, *Mailbox) (CopyResult, error), v *View) error {
	dest, err := p.a.Mailbox(p.t.Context(), "A")
	if err != nil {
		return err
	}
	defer dest.Release()
	if _, err := do(p.t.Context(), Seqs{{1, 2}}, dest); err != nil {
		return err
	}
	_, err = v.Sync(SyncEverything)
	return err
}
