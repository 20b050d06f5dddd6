package session

import (
	"context"
	"time"

	"roost/wire"
)

// maxIdleLine is what a client may send in IDLE before it is thrown out.
const maxIdleLine = 1024

// idleLine is what the reader of IDLE gives.
type idleLine struct {
	text  string
	err   error
	panic any // to be raised again where it is recovered
}

// runIdle is IDLE (RFC 9051 §6.3.13, RFC 2177): everything is told at once,
// EXPUNGE too, until DONE. A second goroutine reads that line; it is over when
// runIdle returns.
func runIdle(ctx context.Context, s *Session) error {
	s.w.Continue("idling")
	if err := s.w.Flush(); err != nil {
		return err
	}
	s.srv.Counters.Idling.Add(1)
	defer s.srv.Counters.Idling.Add(-1)
	s.idle = true
	s.t.begin(s.in.Buffered() == 0, true)
	lines := make(chan idleLine, 1)
	go func() { // ends with its line, or when the read is interrupted
		defer func() {
			if p := recover(); p != nil {
				lines <- idleLine{panic: p}
			}
		}()
		line, over, err := s.in.Line(nil, maxIdleLine, maxIdleLine)
		if over {
			err = &wire.SyntaxError{Text: "too much in IDLE", Fatal: true}
		}
		lines <- idleLine{text: string(line), err: err}
	}()
	l, err := s.idleLoop(ctx, lines)
	if err != nil { // take the reader back
		s.t.interrupt()
		<-lines
	}
	s.idle = false
	if l.panic != nil {
		panic(l.panic)
	}
	switch {
	case err != nil:
		return err
	case l.err != nil:
		return l.err
	case !wire.EqualFold(l.text, "DONE"):
		return bad("expected DONE")
	}
	return nil
}

// idleLoop tells the news until the reader has a line.
func (s *Session) idleLoop(ctx context.Context, lines <-chan idleLine) (idleLine, error) {
	keepalive := time.NewTicker(s.opt.Limits.IdleKeepalive)
	defer keepalive.Stop()
	var changed <-chan struct{}
	if s.view != nil {
		changed = s.view.Changed()
		if err := s.push(); err != nil { // what came before we listened
			return idleLine{}, err
		}
	}
	for {
		select {
		case l := <-lines:
			return l, nil
		case <-changed:
			if err := s.push(); err != nil {
				return idleLine{}, err
			}
			changed = s.view.Changed()
		case <-keepalive.C:
			s.w.Status("", "OK", "", "Still here")
			if err := s.w.Flush(); err != nil {
				return idleLine{}, err
			}
		case <-s.srv.drained:
			return idleLine{}, errInterrupted
		case <-ctx.Done():
			return idleLine{}, errInterrupted
		}
	}
}

// push tells the news and sends them.
func (s *Session) push() error {
	if err := s.sync(everything); err != nil {
		return err
	}
	return s.w.Flush()
}
