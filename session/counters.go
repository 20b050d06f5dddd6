package session

import (
	"sync/atomic"
	"time"
)

// LatencyBounds are the upper bounds of the latency buckets of a command; one
// more bucket holds the rest.
var LatencyBounds = [...]time.Duration{
	100 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond,
	30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second,
}

// Counters count what the sessions of a Server did. All but Open only grow.
type Counters struct {
	Connections      atomic.Uint64 // accepted
	Open             atomic.Int64  // now
	Idling           atomic.Int64  // now in IDLE
	Logins           atomic.Uint64
	FailedLogins     atomic.Uint64
	FailedHandshakes atomic.Uint64
	BytesIn          atomic.Uint64 // decrypted
	BytesOut         atomic.Uint64
	Panics           atomic.Uint64 // recovered; each one is a bug

	commands map[string]*CommandCount
}

// A CommandCount counts one command.
type CommandCount struct {
	OK, NO, BAD atomic.Uint64
	Nanoseconds atomic.Uint64 // spent running, from its last octet to its tagged answer
	Latency     [len(LatencyBounds) + 1]atomic.Uint64
}

// unknownCommand is what commands are counted under that do not exist.
const unknownCommand = "unknown"

func newCounters() *Counters {
	c := &Counters{commands: map[string]*CommandCount{unknownCommand: {}}}
	for name := range commands {
		c.commands[name] = &CommandCount{}
	}
	return c
}

// Commands are the counts by the name of the command. The map is not changed.
func (c *Counters) Commands() map[string]*CommandCount { return c.commands }

// count adds one run of the command name with its result.
func (c *Counters) count(name, kind string, took time.Duration) {
	cc := c.commands[name]
	if cc == nil {
		cc = c.commands[unknownCommand]
	}
	switch kind {
	case "OK":
		cc.OK.Add(1)
	case "NO":
		cc.NO.Add(1)
	default:
		cc.BAD.Add(1)
	}
	took = max(took, 0)
	cc.Nanoseconds.Add(uint64(took))
	i := 0
	for i < len(LatencyBounds) && took > LatencyBounds[i] {
		i++
	}
	cc.Latency[i].Add(1)
}
