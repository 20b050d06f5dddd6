package session

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"roost/auth"
	"roost/deflate"
	"roost/mailbox"
	"roost/wire"
)

// A Session is one connection. See the package comment for who may use it.
type Session struct {
	srv *Server
	opt *Options
	id  string

	raw     net.Conn // as given to Serve
	t       transport
	tls     *tls.Conn     // nil: no TLS
	deflate *deflate.Conn // in t; nil: no COMPRESS
	in      *wire.Input
	sc      *wire.Scanner
	w       *wire.Writer

	state   state
	user    auth.User
	account *mailbox.Account // from login on
	access  *mailbox.Access  // what the user reaches by name, likewise
	// barrier collects what the output depends on; the Writer waits for it.
	barrier  mailbox.Barrier
	mailbox  *mailbox.Mailbox // while selected
	view     *mailbox.View    // of it
	fresh    fresh            // of it
	saved    saved            // in it
	partial  partialPlace     // of the last FETCH of a part of something
	contexts []*searchContext // results that are updated
	notify   *notifying       // nil: NOTIFY was not used
	enabled  enabled

	comparator comparator // RFC 5255 §4

	cmd    running
	bad    badCommands
	idling bool // in IDLE
	over   bool // the connection ends after this command
}

// fresh is what a refresh was good for: a View, and the commands in the first
// upTo octets of the client.
type fresh struct {
	view *mailbox.View
	upTo uint64
}

// enabled are the extensions that the client has turned on.
type enabled struct {
	rev2      bool // IMAP4rev2
	utf8      bool // UTF8=ACCEPT or IMAP4rev2: names of mailboxes in UTF-8
	condstore bool // MODSEQ in FETCH responses (RFC 7162 §3.1)
	qresync   bool // VANISHED instead of EXPUNGE (RFC 7162 §3.2)
	uidOnly   bool // no message numbers either way (RFC 9586)
}

// running is the command that runs.
type running struct {
	tag, name string
	code      string        // of the tagged OK
	text      string        // of it
	later     func() string // gives the code after the View was synced
}

// badCommands counts what the client does wrong.
type badCommands struct {
	inRow  int // since the last good command
	total  int // before login
	good   bool
	logins int // failed
}

// uid says that the running command is a UID command: its FETCH responses carry
// the UID (RFC 9051 §6.4.9).
func (c *running) uid() bool { return strings.HasPrefix(c.name, "UID ") }

func newSession(srv *Server, opt *Options, conn net.Conn) *Session {
	s := &Session{srv: srv, opt: opt, id: newID(), raw: conn, state: notAuthenticated}
	s.t = transport{
		limits: &opt.Limits, conn: conn, loginEnd: time.Now().Add(opt.Limits.LoginTime),
		in:  func(n int) { srv.Counters.BytesIn.Add(uint64(n)) },
		out: func(n int) { srv.Counters.BytesOut.Add(uint64(n)) },
	}
	s.in = wire.NewInput(&s.t)
	s.in.Before = s.beforeRead
	s.w = wire.NewWriter(&s.t)
	s.w.BeforeFlush = s.barrier.Wait
	s.sc = wire.NewScanner(s.in, opt.Limits.PreAuth, s.askLiteral)
	s.sc.Limits.LiteralMinus = opt.LiteralMinus
	return s
}

// beforeRead sends what was written before a read that may block.
func (s *Session) beforeRead() error {
	s.in.Release()
	return s.w.Flush()
}

func (s *Session) askLiteral() error {
	s.w.Continue("go ahead")
	return s.w.Err()
}

// logger is made when there is something to say: it is large, and most sessions
// say little.
func (s *Session) logger() *slog.Logger { return s.opt.Log.With("session", s.id) }

func (s *Session) interrupt() { s.t.interrupt() }

func (s *Session) remote() string {
	if a := s.raw.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// serve greets, runs commands until one ends the connection, and cleans up.
func (s *Session) serve(ctx context.Context) {
	defer s.cleanUp()
	defer s.survive()
	if s.t.stopped() {
		s.end(errInterrupted)
		return
	}
	s.greet()
	for !s.over {
		err := s.wait(ctx)
		if err == nil {
			err = s.one(ctx)
		}
		if err != nil {
			s.end(err)
			return
		}
	}
	s.w.Flush() // LOGOUT: nobody to tell of an error
	s.lastClose()
}

// survive is the last barrier for bugs: one session ends, the others do not
// notice.
func (s *Session) survive() {
	if p := recover(); p != nil {
		s.srv.Counters.Panics.Add(1)
		s.logger().Error("panic", "user", s.user.Name, "command", s.cmd.name, "panic", p, "stack", string(debug.Stack()))
	}
}

func (s *Session) greet() {
	s.w.Status("", "OK", "CAPABILITY "+s.capabilities(), s.opt.Name+" ready")
}

// wait returns when the client has sent something, a command or the end of
// IDLE; it tells the news meanwhile. An idle session is always in here, where
// its stack is small.
func (s *Session) wait(ctx context.Context) error {
	if s.t.stopped() {
		return errInterrupted
	}
	if !s.idling {
		s.cmd = running{}
	}
	s.listen(ctx)
	s.t.begin(s.in.Buffered() == 0, s.idling)
	return s.in.Wait()
}

// end says BYE, if anything can be said.
func (s *Session) end(err error) {
	r, ok := farewell(err)
	s.logger().Info("connection ends", "user", s.user.Name, "error", err)
	if !ok {
		return
	}
	if s.w.Flush() != nil {
		if !s.w.Reset() {
			return // in the middle of a response
		}
		s.w.BeforeFlush = nil // what waited for it is gone
	}
	s.w.Status("", r.kind, r.code, r.text)
	s.w.Flush()
	s.lastClose()
}

// lastClose closes the sending side and reads what still comes for a moment: a
// reset would take the last answer from the client.
func (s *Session) lastClose() {
	if s.tls != nil {
		s.tls.CloseWrite()
	}
	half, ok := s.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	s.raw.SetReadDeadline(time.Now().Add(2 * time.Second))
	var sink [512]byte
	for range 128 {
		if _, err := s.raw.Read(sink[:]); err != nil {
			return
		}
	}
}

func (s *Session) cleanUp() {
	s.stopIdle()
	s.stopNotify()
	s.closeMailbox()
	if s.account != nil {
		s.account.Release()
		s.account, s.access = nil, nil
	}
}

// one reads and runs one command. An error ends the connection.
func (s *Session) one(ctx context.Context) error {
	if s.idling {
		return s.finish(s.endIdle(ctx), s.opt.Now())
	}
	err := s.sc.Begin()
	s.cmd.tag, s.cmd.name = s.sc.Tag(), s.sc.Command()
	start := s.opt.Now()
	var cmd command
	if err == nil {
		if cmd, err = s.lookUp(); err == nil {
			var r runner
			if r, err = cmd.parse(s.sc); err == nil {
				start = s.opt.Now()
				err = s.run(ctx, cmd, r)
			}
		}
	}
	if skipped := s.sc.Skip(); skipped != nil {
		return skipped
	}
	return s.finish(err, start)
}

// lookUp finds the row of the command and checks its state.
func (s *Session) lookUp() (command, error) {
	cmd, ok := commands[s.cmd.name]
	if !ok {
		s.cmd.name = unknownCommand
		return cmd, bad("unknown command")
	}
	s.bad.good = true
	switch {
	case cmd.numbers && s.enabled.uidOnly:
		return cmd, errUIDRequired
	case cmd.states&s.state != 0:
		return cmd, nil
	case s.state == notAuthenticated:
		return cmd, bad("log in first")
	case cmd.states == notAuthenticated:
		return cmd, bad("logged in already")
	default:
		return cmd, bad("select a mailbox first")
	}
}

// run brings the selected mailbox up to date, runs the command and syncs the
// View.
func (s *Session) run(ctx context.Context, cmd command, r runner) error {
	if s.view != nil {
		if err := s.refresh(ctx); err != nil {
			if errors.Is(err, mailbox.ErrGone) || cmd.states == selected && cmd.sync != syncNothing {
				return err
			}
			s.logger().Warn("selected mailbox not refreshed", "user", s.user.Name, "error", err)
		}
	}
	err := s.permitted()
	if err == nil && s.view != nil && strings.HasPrefix(s.cmd.name, "UID ") {
		// A UID that another connection was given counts at once. EXISTS may come
		// at any time in a command; where numbers are sent, * must not move.
		err = s.sync(ctx, s.notifyPolicy(noExpunge, cmd.own))
	}
	if err == nil {
		err = r.run(ctx, s)
	}
	if errors.Is(err, mailbox.ErrGone) || s.over || err == errIdling {
		return err
	}
	if serr := s.tell(ctx, cmd, r); serr != nil {
		return serr
	}
	return err
}

// tell tells the news at the end of a command.
func (s *Session) tell(ctx context.Context, cmd command, r runner) error {
	if s.view == nil {
		return s.tellNotified(ctx)
	}
	policy := cmd.sync
	if p, ok := r.(policied); ok {
		policy = min(policy, p.policy())
	}
	if !cmd.own && s.in.Buffered() > 0 {
		policy = min(policy, noExpunge) // the client has sent message numbers perhaps
	}
	if err := s.sync(ctx, s.notifyPolicy(policy, cmd.own)); err != nil {
		return err
	}
	return s.tellNotified(ctx)
}

// refresh brings the selected mailbox up to date. A command that had come as a
// whole when the last refresh began asks for nothing newer than that gave.
func (s *Session) refresh(ctx context.Context) error {
	if s.view.Dropped() {
		return mailbox.ErrGone
	}
	if s.fresh.view == s.view && s.in.Consumed() <= s.fresh.upTo {
		return nil
	}
	upTo := s.in.Received()
	if err := s.view.Refresh(ctx); err != nil {
		return err
	}
	s.fresh.view, s.fresh.upTo = s.view, upTo
	return nil
}

// finish writes the tagged line. An error ends the connection.
func (s *Session) finish(err error, start time.Time) error {
	if werr := s.w.Err(); werr != nil {
		return werr
	}
	if err == errIdling {
		return nil
	}
	if err == errAnswered {
		s.srv.Counters.count(s.cmd.name, "OK", s.opt.Now().Sub(start))
		return nil
	}
	if err != nil {
		if r, known := status(err); known && r.kind == "BYE" || !known && s.lost(err) {
			return err
		}
	}
	r := response{"OK", s.cmd.code, s.cmd.text}
	if err != nil {
		var known bool
		if r, known = status(err); !known {
			s.logger().Error("command failed", "user", s.user.Name, "command", s.cmd.name, "error", err)
		}
	} else {
		if s.cmd.later != nil {
			r.code = s.cmd.later()
		}
		if r.text == "" {
			r.text = s.cmd.name + " completed"
		}
	}
	tag := s.cmd.tag
	if tag == "" && r.kind == "NO" {
		r.kind = "BAD" // an untagged NO would be a warning
	}
	s.w.Status(tag, r.kind, r.code, r.text)
	s.srv.Counters.count(s.cmd.name, r.kind, s.opt.Now().Sub(start))
	return s.judge(r.kind)
}

// lost says that err is one of the connection, not of the command.
func (s *Session) lost(err error) bool {
	return s.t.lost() || errors.Is(err, errInterrupted) || errors.Is(err, errHandshake)
}

// judge counts bad commands. A client whose first command is bad is no IMAP
// client: a browser or a scanner (cross-protocol attacks).
func (s *Session) judge(kind string) error {
	if kind != "BAD" {
		s.bad.inRow, s.bad.good = 0, true
		return nil
	}
	s.bad.inRow++
	if s.state != notAuthenticated {
		if s.bad.inRow >= s.opt.Limits.BadCommands {
			return bye("", "too many bad commands")
		}
		return nil
	}
	s.bad.total++
	if !s.bad.good || s.bad.total >= s.opt.Limits.BadCommandsPreAuth {
		return bye("", "this is an IMAP server")
	}
	return nil
}

// ok sets code (without brackets, may be empty) and text (empty: "X completed")
// of the tagged OK and gives nil.
func (s *Session) ok(code, text string) error {
	s.cmd.code, s.cmd.text = code, text
	return nil
}
