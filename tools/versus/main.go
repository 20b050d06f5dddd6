// Command versus measures roost side by side with Dovecot: the same mail for
// each, both running on this machine, asked in turns, so that what else the
// machine does meets both. It prints one table of medians and of how they stand
// to each other, and what they should. It is what `make versus` runs.
//
// Dovecot is installed by apt-get if it is missing and we are root. Both listen
// on loopback only, keep everything in a temporary directory and end with the
// program. The exit status is 1 if a budget is missed, 2 if it could not be
// measured: every answer is checked, and a NO is an error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

func main() {
	o := options{}
	var only string
	flag.StringVar(&o.roost, "roost", "./roost", "the roost binary")
	flag.StringVar(&only, "only", "", "only rows whose name matches this `regexp`")
	flag.IntVar(&o.rounds, "rounds", 0, "how often each side has its turn (default 5, or 2 with -quick)")
	flag.BoolVar(&o.quick, "quick", false, "small sizes: shows that it works, and what is far off")
	flag.StringVar(&o.json, "json", "", "write the figures to this `file` too")
	flag.BoolVar(&o.keep, "keep", false, "keep the directory")
	flag.Parse()
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 2
		}
	}
	missed, err := 0, error(nil)
	if o.only, err = regexp.Compile(only); err == nil {
		missed, err = run(&o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(2)
	}
	if missed > 0 {
		fmt.Printf("%d budgets are missed.\n", missed)
		os.Exit(1)
	}
	fmt.Println("All budgets are kept.")
}

type options struct {
	roost  string
	only   *regexp.Regexp
	rounds int
	quick  bool
	json   string
	keep   bool
}

// What is measured: the servers, and the system calls alone.
const (
	roostSide = iota
	dovecotSide
	bareSide
	nSides
)

// A bench is one run.
type bench struct {
	*options
	home    string
	sides   []*side // roost, Dovecot
	samples map[string]*[nSides][]float64
	notes   []string
	// interrupted gives an error once we are told to end.
	interrupted func() error
}

func run(o *options) (missed int, err error) {
	if o.rounds < 1 {
		return 0, fmt.Errorf("-rounds %d: at least 1", o.rounds)
	}
	if !slices.ContainsFunc(rows, func(r row) bool { return o.only.MatchString(r.name) }) {
		return 0, fmt.Errorf("-only %s matches no row", o.only)
	}
	if err := needDovecot(); err != nil {
		return 0, err
	}
	home, err := os.MkdirTemp("", "roost-versus-")
	if err != nil {
		return 0, err
	}
	if o.keep {
		fmt.Println("Everything is in", home)
	} else {
		defer os.RemoveAll(home)
	}
	if err := os.Chmod(home, 0o755); err != nil { // Dovecot's processes have users of their own
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{options: o, home: home, samples: map[string]*[nSides][]float64{}, interrupted: ctx.Err}
	roost, err := newRoost(o.roost, filepath.Join(home, "roost"))
	if err != nil {
		return 0, err
	}
	dovecot, err := newDovecot(filepath.Join(home, "dovecot"), roost)
	if err != nil {
		return 0, err
	}
	b.sides = []*side{roost, dovecot}
	defer roost.stop()
	defer dovecot.stop()
	if o.quick {
		b.note("Quick: mailboxes have a tenth of the messages that the table tells.")
	}
	for _, s := range b.sides {
		if err := s.fill(0, b.size(100), true, false); err != nil {
			return 0, err
		}
		if err := s.start(); err != nil {
			return 0, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	var failed []error
	for _, g := range groups {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.group == g.name && b.wants(r.id) }) {
			continue
		}
		if err := b.interrupted(); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := g.run(b); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", g.name, err)) // the others still tell something
			continue
		}
		fmt.Printf("%s: measured in %.0f s\n", g.name, time.Since(began).Seconds())
	}
	if o.json != "" {
		if err := b.writeJSON(o.json); err != nil {
			return 0, err
		}
	}
	return b.table(), errors.Join(failed...)
}

// size is how many messages a mailbox gets for which the table says n.
func (b *bench) size(n int) int {
	if b.quick && n > 100 {
		return n / 10
	}
	return n
}

// times is how often something is done for one figure.
func (b *bench) times(n int) int {
	if b.quick {
		return max(1, n/4)
	}
	return n
}

func (b *bench) wants(ids ...string) bool {
	return slices.ContainsFunc(rows, func(r row) bool {
		return slices.Contains(ids, r.id) && b.only.MatchString(r.name)
	})
}

func (b *bench) add(id string, side int, v float64) {
	if b.samples[id] == nil {
		b.samples[id] = new([nSides][]float64)
	}
	b.samples[id][side] = append(b.samples[id][side], v)
}

// note is told below the table.
func (b *bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// inTurns lets each side have its turn in each round.
func (b *bench) inTurns(f func(s *side, round int) error) error {
	for round := range b.rounds {
		for _, s := range b.sides {
			if err := b.interrupted(); err != nil {
				return err
			}
			if err := f(s, round); err != nil {
				return fmt.Errorf("%s, round %d: %w", s.name, round+1, err)
			}
		}
	}
	return nil
}

// measure fills one row, after a turn that does not count.
func (b *bench) measure(id string, f func(s *side, round int) (float64, error)) error {
	if !b.wants(id) {
		return nil
	}
	for _, s := range b.sides {
		if _, err := f(s, -1); err != nil {
			return fmt.Errorf("%s: %s: %w", id, s.name, err)
		}
	}
	return b.inTurns(func(s *side, round int) error {
		v, err := f(s, round)
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		b.add(id, s.index, v)
		return nil
	})
}
