// Command compare asks roost and Dovecot the same questions about the same mail
// and prints where the answers differ, and how long each took. It searches,
// sorts, threads and fetches a Maildir of testmail's messages and of odd ones, of which
// each server gets a copy. Differences that are meant are in differences.go,
// each with its reason; `make rfc` puts them into docs/compliance.md. It is what
// `make compare` runs.
//
// The servers take turns, so that what else the machine does meets both; times
// are medians. Dovecot is installed by apt-get if it is missing and we are
// root. Both listen on loopback only, keep everything in a temporary directory
// and end with the program. The exit status is 1 if an answer differs that is
// not explained.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"roost/testmail"
)

func main() {
	var o options
	flag.StringVar(&o.roost, "roost", "./roost", "the roost binary")
	flag.IntVar(&o.messages, "messages", 10000, "how many ordinary messages")
	flag.Uint64Var(&o.seed, "seed", 1, "of the ordinary messages")
	flag.BoolVar(&o.small, "small", false, "ordinary messages without their bodies: for very many")
	flag.StringVar(&o.only, "only", "", "only commands that contain this")
	flag.Func("ask", "ask this `command` instead of the usual ones; may be given again", func(s string) error {
		o.ask = append(o.ask, s)
		return nil
	})
	flag.StringVar(&o.table, "table", "", "write the times to this `file` as a Markdown table")
	flag.BoolVar(&o.keep, "keep", false, "keep the directory")
	flag.IntVar(&o.repeat, "repeat", 5, "how often each command runs again after the first time")
	flag.Parse()
	differ, err := run(&o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	if differ > 0 {
		fmt.Printf("%d answers differ.\n", differ)
		os.Exit(1)
	}
	fmt.Println("All answers are the same, or differ as explained.")
}

type options struct {
	roost    string
	messages int
	seed     uint64
	small    bool
	only     string
	ask      []string
	table    string
	keep     bool
	repeat   int
}

func run(o *options) (differ int, err error) {
	if err := needDovecot(); err != nil {
		return 0, err
	}
	home, err := os.MkdirTemp("", "roost-compare-")
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
	n, err := fill(home, o)
	if err != nil {
		return 0, err
	}
	fmt.Printf("%d messages for each server.\n", n)
	roost, err := startRoost(home, o.roost)
	if err != nil {
		return 0, err
	}
	defer roost.stop()
	dovecot, err := startDovecot(home)
	if err != nil {
		return 0, err
	}
	defer dovecot.stop()
	a, err := dial(roost.addr)
	if err != nil {
		return 0, fmt.Errorf("roost: %w", err)
	}
	defer a.close()
	b, err := dial(dovecot.addr)
	if err != nil {
		return 0, fmt.Errorf("dovecot: %w", err)
	}
	defer b.close()
	if err := sameMessages(a, b); err != nil {
		return 0, err
	}
	return compare(a, b, o)
}

// sameMessages makes sure that the numbers mean the same messages.
func sameMessages(a, b *client) error {
	const fetch = "FETCH 1:* (RFC822.SIZE FLAGS)"
	x, err := a.ask(fetch)
	if err != nil {
		return fmt.Errorf("roost: %w", err)
	}
	y, err := b.ask(fetch)
	if err != nil {
		return fmt.Errorf("dovecot: %w", err)
	}
	if len(x) != len(y) {
		return fmt.Errorf("roost has %d messages, Dovecot %d", len(x), len(y))
	}
	for i := range x {
		if normalFetch(x[i]) != normalFetch(y[i]) {
			return fmt.Errorf("the mailboxes differ: roost %q, Dovecot %q", x[i], y[i])
		}
	}
	return nil
}

func short(s string) string {
	if len(s) > 100 {
		return s[:97] + "..."
	}
	return s
}

// needDovecot installs Dovecot if it is not there.
func needDovecot() error {
	if _, err := exec.LookPath("dovecot"); err == nil {
		return nil
	}
	if os.Getuid() != 0 {
		return errors.New("dovecot is not installed (apt-get install dovecot-imapd)")
	}
	fmt.Println("Installing Dovecot.")
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "dovecot-imapd"}} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// fill makes the two Maildirs and gives the number of messages in each.
func fill(home string, o *options) (int, error) {
	start := time.Date(2024, 1, 1, 8, 0, 0, 0, time.UTC)
	dirs := [...]string{filepath.Join(home, "roost", "Maildir"), filepath.Join(home, "dovecot", "Maildir")}
	for _, dir := range dirs {
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
				return 0, err
			}
		}
	}
	n := 0
	place := func(m testmail.Mail) error {
		n++
		name := fmt.Sprintf("%d.M%06dP1.compare:2,%s", start.Unix()+int64(n), n, m.Letters)
		for _, dir := range dirs {
			path := filepath.Join(dir, "cur", name)
			if err := os.WriteFile(path, m.Raw, 0o644); err != nil {
				return err
			}
			if err := os.Chtimes(path, m.Received, m.Received); err != nil {
				return err
			}
		}
		return nil
	}
	var last time.Time
	for m := range testmail.Corpus(o.messages, o.seed, start) {
		last = m.Received
		if head, _, ok := bytes.Cut(m.Raw, []byte("\n\n")); o.small && ok {
			m.Raw = append(head, "\n\n"...)
		}
		if err := place(m); err != nil {
			return 0, err
		}
	}
	for i, raw := range oddMessages() {
		m := testmail.Mail{Raw: []byte(raw), Received: last.Add(time.Duration(i-40) * time.Hour), Letters: []string{"", "S", "FS"}[i%3]}
		if err := place(m); err != nil {
			return 0, err
		}
	}
	return n, nil
}
