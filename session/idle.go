package session

import (
	"context"

	"roost/mailbox"
	"roost/wire"
)

// maxIdleLine is what a client may send in IDLE before it is thrown out.
const maxIdleLine = 1024

// runIdle is IDLE (RFC 9051 §6.3.13, RFC 2177): everything is told at once,
// EXPUNGE too, until DONE. The read of that line is woken by the news.
func runIdle(ctx context.Context, s *Session) error {
	s.w.Continue("idling")
	if err := s.w.Flush(); err != nil {
		return err
	}
	s.srv.Counters.Idling.Add(1)
	defer s.srv.Counters.Idling.Add(-1)
	s.hear()
	s.t.begin(s.in.Buffered() == 0, true)
	s.t.listen(func() error { return s.push(ctx, everything) }, s.stillHere, s.opt.Limits.IdleKeepalive)
	line, over, err := s.in.Line(nil, maxIdleLine, maxIdleLine)
	s.t.listen(nil, nil, 0)
	switch {
	case over:
		return &wire.SyntaxError{Text: "too much in IDLE", Fatal: true}
	case err != nil:
		return err
	case !wire.EqualFold(string(line), "DONE"):
		return bad("expected DONE")
	}
	return nil
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
