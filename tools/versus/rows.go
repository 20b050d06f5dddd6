package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A row of the table. Of figures "/s" more is better, of others less.
type row struct {
	id, group string
	name      string
	unit      string
	ratio     float64 // what roost/Dovecot should be, or
	limit     float64 // what roost's figure should be
	bare      bool    // ratio is to the system calls alone
}

// groups share their mail.
var groups = []struct {
	name string
	run  func(b *bench) error
}{
	{"login", login},
	{"large", large},
	{"real", realMail},
	{"append", appends},
	{"store", store},
	{"copy", copies},
	{"load", load},
	{"idle", idling},
	{"memory", memory},
}

// rows are the budgets.
var rows = []row{
	rated("login", "login", "LOGIN, SELECT (100), LOGOUT, one at a time", "/s", 2.5),
	rated("login8", "login", "LOGIN, SELECT (100), LOGOUT, 8 at a time", "/s", 2.5),
	rated("tls", "login", "LOGIN over TLS, SELECT (100), LOGOUT, one at a time", "/s", 1.5),
	rated("tls8", "login", "LOGIN over TLS, SELECT (100), LOGOUT, 8 at a time", "/s", 1.5),

	rated("select-new", "large", "SELECT 100,000, never indexed", "ms", 0.5),
	limited("select", "large", "SELECT 100,000, new connection", "ms", 1),
	limited("select-restart", "large", "SELECT 100,000, after a restart", "ms", 10),
	rated("flags", "large", "UID FETCH 1:* (FLAGS), 100,000", "ms", 0.25),
	rated("modseq", "large", "UID FETCH 1:* (FLAGS MODSEQ), 100,000", "ms", 0.15),

	rated("envelope-new", "real", "FETCH ENVELOPE BODYSTRUCTURE dates, 10,000, first", "ms", 0.5),
	rated("envelope", "real", "FETCH ENVELOPE BODYSTRUCTURE dates, 10,000, again", "ms", 0.15),
	rated("header-new", "real", "header fields as Thunderbird asks, 10,000, first", "ms", 0.5),
	rated("header", "real", "header fields as Thunderbird asks, 10,000, again", "ms", 0.4),
	rated("body", "real", "UID FETCH 1:* (BODY.PEEK[])", "MB/s", 1.5),
	rated("body-tls", "real", "UID FETCH 1:* (BODY.PEEK[]), TLS", "MB/s", 1.7),
	rated("body-one", "real", "UID FETCH (BODY.PEEK[]), one message a command", "/s", 2),

	rated("append", "append", "APPEND 4 KB, one after another", "/s", 1.6),
	rated("append8", "append", "APPEND 4 KB, 8 connections", "/s", 2),
	rated("append8one", "append", "APPEND 4 KB, 8 connections into one mailbox", "/s", 3),
	rated("append-1m", "append", "APPEND 1 MB, one after another", "/s", 1.3),
	rated("append8-1m", "append", "APPEND 1 MB, 8 connections", "/s", 1.3),

	{id: "store", group: "store", name: "STORE 1:*, 10,000", unit: "ms", ratio: 1.15, bare: true},
	rated("store-one", "store", "STORE, one message a command", "/s", 2.5),
	rated("store-pipe", "store", "STORE, one message a command, 1,000 pipelined", "/s", 3.2),

	rated("copy", "copy", "COPY 10,000", "ms", 0.5),
	rated("move", "copy", "MOVE 10,000", "ms", 0.5),
	rated("expunge", "copy", "EXPUNGE 10,000", "ms", 0.9),

	rated("search-text", "real", "SEARCH TEXT, 10,000", "ms", 0.5),
	rated("search-unseen", "large", "SEARCH UNSEEN, 100,000", "ms", 0.5),
	rated("search-since", "large", "SEARCH SINCE, 100,000", "ms", 0.05),
	rated("sort-new", "large", "SORT (DATE), 100,000, first", "ms", 0.4),
	rated("sort", "large", "SORT (DATE), 100,000, again", "ms", 0.4),
	rated("thread-new", "real", "THREAD REFERENCES, 10,000, first", "ms", 0.6),
	rated("thread", "real", "THREAD REFERENCES, 10,000, again", "ms", 0.7),

	limited("qresync", "large", "SELECT (QRESYNC), 100,000, nothing changed", "ms", 2),
	limited("qresync100", "large", "SELECT (QRESYNC), 100,000, 100 changes", "ms", 4),

	rated("noop", "load", "NOOP", "/s", 1.5),
	rated("mixed", "load", "mixed load, 20 clients, 100 users", "/s", 2),
	rated("mixed-one", "load", "mixed load, 20 clients, one mailbox", "/s", 2),

	limited("deliver50", "idle", "file into new/ to EXISTS in IDLE, p50", "ms", 2),
	limited("deliver99", "idle", "file into new/ to EXISTS in IDLE, p99", "ms", 10),
	limited("flag99", "idle", "outside flag change to FETCH, p99", "ms", 10),
	limited("unlink99", "idle", "unlink to EXPUNGE, p99", "ms", 250),

	limited("memory", "memory", "memory per idle connection", "KiB", 8),
	limited("memory-tls", "memory", "memory per idle connection, TLS", "KiB", 24),
}

func rated(id, group, name, unit string, ratio float64) row {
	return row{id: id, group: group, name: name, unit: unit, ratio: ratio}
}

func limited(id, group, name, unit string, limit float64) row {
	return row{id: id, group: group, name: name, unit: unit, limit: limit}
}

func (r *row) faster() bool { return strings.HasSuffix(r.unit, "/s") }

// budget is what should be, as the table shows it.
func (r *row) budget() string {
	sign := "≤ "
	if r.faster() {
		sign = "≥ "
	}
	switch {
	case r.limit > 0:
		return sign + figure(r.limit) + " " + r.unit
	case r.bare:
		return sign + figure(r.ratio) + "x bare"
	}
	return sign + figure(r.ratio) + "x"
}

// A result is a row that was measured.
type result struct {
	ID, Name, Unit string
	Roost, Dovecot []float64
	Bare           []float64 `json:",omitempty"`
	Ratio          float64   // roost/Dovecot, of the medians
	Budget         string
	Kept           bool
}

func (b *bench) results() []result {
	var out []result
	for _, r := range rows {
		s := b.samples[r.id]
		if s == nil || !b.only.MatchString(r.name) || len(s[roostSide]) == 0 {
			continue
		}
		x := result{ID: r.id, Name: r.name, Unit: r.unit, Roost: s[roostSide], Dovecot: s[dovecotSide], Bare: s[bareSide], Budget: r.budget()}
		mine := median(x.Roost)
		x.Ratio = mine / median(x.Dovecot)
		is, should := x.Ratio, r.ratio
		switch {
		case r.limit > 0:
			is, should = mine, r.limit
		case r.bare:
			is = mine / median(x.Bare)
		}
		x.Kept = is <= should
		if r.faster() {
			x.Kept = is >= should
		}
		out = append(out, x)
	}
	return out
}

// table prints and gives how many budgets are missed.
func (b *bench) table() (missed int) {
	lines := [][]string{{"", "Dovecot", "roost", "roost/Dovecot", "budget", ""}}
	for _, x := range b.results() {
		verdict := "ok"
		if !x.Kept {
			verdict = "MISSED"
			missed++
		}
		name := x.Name + ", " + x.Unit
		if len(x.Bare) > 0 {
			name += fmt.Sprintf(" (bare: %s)", spread(x.Bare))
		}
		lines = append(lines, []string{name, spread(x.Dovecot), spread(x.Roost), ratioText(x.Ratio), x.Budget, verdict})
	}
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	fmt.Println()
	for i, line := range lines {
		for k, cell := range line {
			fmt.Print("| ", cell, strings.Repeat(" ", width[k]-len([]rune(cell))+1))
		}
		fmt.Println("|")
		for k := range line {
			if i == 0 {
				fmt.Print("|", strings.Repeat("-", width[k]+2))
			}
		}
		if i == 0 {
			fmt.Println("|")
		}
	}
	fmt.Println()
	for _, note := range b.notes {
		fmt.Println(note)
	}
	return missed
}

// spread is the median with the least and the most.
func spread(v []float64) string {
	if len(v) == 1 {
		return figure(v[0])
	}
	return fmt.Sprintf("%s (%s..%s)", figure(median(v)), figure(slices.Min(v)), figure(slices.Max(v)))
}

func ratioText(v float64) string {
	if v < 0.1 {
		return fmt.Sprintf("%.3fx", v)
	}
	return fmt.Sprintf("%.2fx", v)
}

// figure has about three digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

func median(v []float64) float64 { return percentile(v, 50) }

// percentile p of v, between 0 and 100.
func percentile(v []float64, p int) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if p == 50 && len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return v[min(len(v)-1, len(v)*p/100)]
}

func (b *bench) writeJSON(path string) error {
	text, err := json.MarshalIndent(struct {
		Rows  []result
		Notes []string
	}{b.results(), b.notes}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
