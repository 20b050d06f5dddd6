package session

import (
	"context"

	"roost/mailbox"
	"roost/wire"
)

// maxIdleLine is what a client may send in IDLE before it is thrown out.
const maxIdleLine = 1024

// runIdle begins IDLE (RFC 9051 §6.3.13, RFC 2177): everything is told at once,
// EXPUNGE too, until DONE. The session waits for that as for a command.
func runIdle(_ context.Context, s *Session) error {
	s.w.Continue("idling")
	if err := s.w.Flush(); err != nil {
		return err
	}
	s.srv.Counters.Idling.Add(1)
	s.idling = true
	return errIdling
}

// endIdle reads the line that ends IDLE; the rest of it, as of any command, is
// up to finish.
func (s *Session) endIdle(ctx context.Context) error {
	line, over, err := s.in.Line(nil, maxIdleLine, maxIdleLine)
	s.stopIdle()
	switch {
	case over:
		return &wire.SyntaxError{Text: "too much in IDLE", Fatal: true}
	case err != nil:
		return err
	case !wire.EqualFold(string(line), "DONE"):
		err = bad("expected DONE")
	}
	if serr := s.tell(ctx, commands[s.cmd.name], nil); serr != nil {
		return serr
	}
	return err
}

func (s *Session) stopIdle() {
	if s.idling {
		s.idling = false
		s.srv.Counters.Idling.Add(-1)
		s.t.listen(nil, nil, 0)
	}
}

// listen makes a wait tell the news: in IDLE, and if NOTIFY asked for them.
func (s *Session) listen(ctx context.Context) {
	switch {
	case s.idling:
		s.hear()
		s.t.listen(func() error { return s.push(ctx, everything) }, s.stillHere, s.opt.Limits.IdleKeepalive)
	case s.notify != nil:
		s.hear()
		s.t.listen(func() error { return s.tellNews(ctx) }, nil, 0)
	}
}

// hear makes changes of the selected mailbox wake a read that waits.
func (s *Session) hear() {
	if s.view != nil {
		s.view.OnChange(s.t.notice)
	}
}

// push tells the news that policy, and NOTIFY, allow and sends them.
func (s *Session) push(ctx context.Context, policy mailbox.Policy) error {
	if s.view != nil {
		if err := s.sync(ctx, s.notifyPolicy(policy, false)); err != nil {
			return err
		}
	}
	if err := s.tellNotified(ctx); err != nil {
		return err
	}
	return s.w.Flush()
}

// stillHere keeps the connection open in the eyes of what lies between.
func (s *Session) stillHere() error {
	s.w.Status("", "OK", "", "Still here")
	return s.w.Flush()
}
