package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// A timing is how long one command took.
type timing struct {
	command        string
	roost, dovecot times
}

// times are of one server: the first run, and the others sorted.
type times struct {
	first time.Duration
	again []time.Duration
}

// median is that of the runs after the first, the first if there are none.
func (t *times) median() time.Duration {
	if len(t.again) == 0 {
		return t.first
	}
	return t.again[len(t.again)/2]
}

// spread is the shortest and the longest of the runs that median is about.
func (t *times) spread() (low, high time.Duration) {
	if len(t.again) == 0 {
		return t.first, t.first
	}
	return t.again[0], t.again[len(t.again)-1]
}

// compare runs all commands on both and gives the number of answers that differ
// without a reason.
func compare(a, b *client, o *options) (differ int, err error) {
	all := o.ask
	if len(all) == 0 {
		all = commands()
	}
	var table []timing
	fmt.Printf("%9s %9s %6s %9s %9s %6s  %s\n", "roost", "Dovecot", "ratio", "again", "again", "ratio", "(milliseconds; medians)")
	for _, cmd := range all {
		if !strings.Contains(cmd, o.only) {
			continue
		}
		x, y, t, err := both(a, b, cmd, o.repeat)
		if err != nil {
			return differ, err
		}
		table = append(table, t)
		fmt.Printf("%9.2f %9.2f %6.2f %9.2f %9.2f %6.2f  %s\n", ms(t.roost.first), ms(t.dovecot.first), ratio(t.roost.first, t.dovecot.first),
			ms(t.roost.median()), ms(t.dovecot.median()), ratio(t.roost.median(), t.dovecot.median()), short(cmd))
		if !judge(cmd, x, y) {
			differ++
		}
	}
	summary(table)
	if o.table != "" {
		return differ, os.WriteFile(o.table, []byte(markdown(table)), 0o644)
	}
	return differ, nil
}

// judge prints how the answers to cmd differ, if they do, and says whether that
// is as it should be: explained, and no more than that.
func judge(cmd string, x, y []string) bool {
	g := compareAnswers(x, y)
	if g.none() {
		return true
	}
	for _, d := range differences {
		if d.command == cmd && d.more == g.more && (d.messages == 0 || d.messages == g.size) {
			fmt.Printf("  differs: %s\n  because %s\n", g.text, d.why)
			return true
		}
	}
	fmt.Println("  DIFFERS:", g.text)
	return false
}

// both runs cmd on each server in turn and gives the untagged answers to the
// first run without status responses.
func both(a, b *client, cmd string, repeat int) (x, y []string, t timing, err error) {
	t.command = cmd
	for i := range 1 + max(0, repeat) {
		lines, took, err := timed(a, cmd)
		if err != nil {
			return nil, nil, t, fmt.Errorf("roost: %s: %w", cmd, err)
		}
		lines2, took2, err := timed(b, cmd)
		if err != nil {
			return nil, nil, t, fmt.Errorf("dovecot: %s: %w", cmd, err)
		}
		if i == 0 {
			x, y = lines, lines2
			t.roost.first, t.dovecot.first = took, took2
			continue
		}
		t.roost.again = append(t.roost.again, took)
		t.dovecot.again = append(t.dovecot.again, took2)
	}
	slices.Sort(t.roost.again)
	slices.Sort(t.dovecot.again)
	return x, y, t, nil
}

func timed(c *client, cmd string) ([]string, time.Duration, error) {
	start := time.Now()
	lines, err := c.ask(cmd)
	return lines, time.Since(start), err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// kindOf says in which line of the summary a command is.
func kindOf(cmd string) string {
	verb, rest, _ := strings.Cut(strings.TrimPrefix(cmd, "UID "), " ")
	if verb == "FETCH" {
		return verb
	}
	if verb == "SORT" || verb == "THREAD" {
		if !strings.HasSuffix(rest, " ALL") && !strings.HasSuffix(rest, " UNSEEN") && !strings.HasSuffix(rest, " FLAGGED") {
			return verb + " of a search in headers"
		}
		return verb
	}
	for _, k := range []struct{ key, kind string }{
		{"TEXT ", "TEXT, BODY"}, {"BODY ", "TEXT, BODY"}, {"SENT", "SENTSINCE and so on"},
		{"HEADER ", "HEADER"},
		{"SUBJECT ", "FROM, TO, CC, BCC, SUBJECT"}, {"FROM ", "FROM, TO, CC, BCC, SUBJECT"}, {"TO ", "FROM, TO, CC, BCC, SUBJECT"}, {"CC ", "FROM, TO, CC, BCC, SUBJECT"},
		{"LARGER", "sizes and dates"}, {"SMALLER", "sizes and dates"}, {"SINCE", "sizes and dates"}, {"BEFORE", "sizes and dates"},
		{"ON ", "sizes and dates"}, {"OLDER", "sizes and dates"}, {"YOUNGER", "sizes and dates"},
	} {
		if strings.HasPrefix(rest, k.key) || strings.Contains(rest, " "+k.key) || strings.Contains(rest, "("+k.key) {
			return verb + " " + k.kind
		}
	}
	return verb + " flags, numbers, keywords"
}

// summary prints the median of the ratios of each kind of command.
func summary(table []timing) {
	var kinds []string
	first, again := map[string][]float64{}, map[string][]float64{}
	for i := range table {
		t := &table[i]
		k := kindOf(t.command)
		if first[k] == nil {
			kinds = append(kinds, k)
		}
		first[k] = append(first[k], ratio(t.roost.first, t.dovecot.first))
		again[k] = append(again[k], ratio(t.roost.median(), t.dovecot.median()))
	}
	fmt.Printf("\n%28s %28s\n%28s %28s\n", "first", "again", "median of ratios (spread)", "median of ratios (spread)")
	for _, k := range kinds {
		fmt.Printf("%28s %28s  %s (%d)\n", middle(first[k]), middle(again[k]), k, len(first[k]))
	}
	fmt.Println()
}

func middle(r []float64) string {
	slices.Sort(r)
	return fmt.Sprintf("%.2f (%.2f to %.2f)", r[len(r)/2], r[0], r[len(r)-1])
}

// markdown writes all times down.
func markdown(table []timing) string {
	var b strings.Builder
	b.WriteString("| command | roost, first | Dovecot, first | ratio | roost, again | Dovecot, again | ratio |\n|---|---|---|---|---|---|---|\n")
	for i := range table {
		t := &table[i]
		low, high := t.roost.spread()
		low2, high2 := t.dovecot.spread()
		fmt.Fprintf(&b, "| `%s` | %.1f | %.1f | %.2f | %.1f (%.1f to %.1f) | %.1f (%.1f to %.1f) | %.2f |\n", t.command,
			ms(t.roost.first), ms(t.dovecot.first), ratio(t.roost.first, t.dovecot.first),
			ms(t.roost.median()), ms(low), ms(high), ms(t.dovecot.median()), ms(low2), ms(high2), ratio(t.roost.median(), t.dovecot.median()))
	}
	return b.String()
}
