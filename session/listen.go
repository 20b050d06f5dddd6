package session

import (
	"errors"
	"time"
)

// This file is how a session that waits for its client hears of news. There is
// no second goroutine: whoever has news moves the deadline of the read that
// waits, the reader tells them and goes on reading.

// errWoken says that a read was ended by news, not by its deadline.
var errWoken = errors.New("session: woken")

// tellPause is the least time between two tellings: a mailbox in which much
// happens is told of in bundles, and its client is heard in between.
const tellPause = 5 * time.Millisecond

// A listener is told of news while the client sends nothing. The mutex of the
// transport guards it.
type listener struct {
	tell      func() error // by the reader; nil: nobody listens
	news      bool
	told      time.Time     // when tell was called last
	keepAlive func() error  // likewise, every so often; nil: never
	every     time.Duration // how often
	aliveAt   time.Time     // when next
}

// due gives what is to be called now, else until when to wait, which is never
// later than deadline unless that is zero.
func (l *listener) due(now, deadline time.Time) (func() error, time.Time) {
	if l.news {
		at := l.told.Add(tellPause)
		if !now.Before(at) {
			l.news, l.told = false, now
			return l.tell, deadline
		}
		deadline = earlier(deadline, at)
	}
	if l.keepAlive != nil {
		if !now.Before(l.aliveAt) {
			l.aliveAt = now.Add(l.every)
			return l.keepAlive, deadline
		}
		deadline = earlier(deadline, l.aliveAt)
	}
	return nil, deadline
}

// earlier gives the earlier of two times; the zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// listen makes tell be called by reads that wait between two commands or in
// IDLE: at once, and whenever notice was called since; nil ends that. keepAlive,
// if not nil, is called every so often. Their errors end the read.
func (t *transport) listen(tell, keepAlive func() error, every time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listener = listener{tell: tell, news: true, told: t.listener.told, keepAlive: keepAlive, every: every}
	if keepAlive != nil {
		t.listener.aliveAt = time.Now().Add(every)
	}
}

// notice says that there is something to be told. It may be called from
// anywhere, with locks held: it only moves a deadline.
func (t *transport) notice() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listener.tell == nil || t.listener.news {
		return
	}
	t.listener.news = true
	if !t.reading || t.interrupted || !t.waiting && !t.patient {
		return // the next read looks first
	}
	at := t.listener.told.Add(tellPause)
	if now := time.Now(); !now.Before(at) {
		at = time.Unix(1, 0)
	}
	t.conn.SetReadDeadline(at)
}
