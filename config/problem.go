package config

import (
	"fmt"
	"strings"
)

// Severity says whether a Problem keeps the server from starting.
type Severity int

// The severities. With a Warning the configuration is usable.
const (
	Error Severity = iota
	Warning
)

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// A Problem is one thing wrong in a configuration file.
type Problem struct {
	File     string
	Line     int    // from 1; 0 if the key is not in the file
	Key      string // such as "limits.line"; empty if the file as a whole is meant
	Severity Severity
	Text     string // what is wrong
	Remedy   string // what to do about it
}

// String is one line: file, line, severity, key, text and remedy.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	fmt.Fprintf(&b, ": %s: ", p.Severity)
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Problems are all that is wrong in a file, in the order of their lines.
type Problems []Problem

// Errors returns those that keep the server from starting.
func (ps Problems) Errors() Problems { return ps.only(Error) }

// Warnings returns those that do not.
func (ps Problems) Warnings() Problems { return ps.only(Warning) }

func (ps Problems) only(s Severity) Problems {
	var out Problems
	for _, p := range ps {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// Err is nil if there is no Error among ps, else an error that lists the errors,
// one a line.
func (ps Problems) Err() error {
	if e := ps.Errors(); len(e) > 0 {
		return problemsError(e)
	}
	return nil
}

func (ps Problems) String() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

type problemsError Problems

func (e problemsError) Error() string { return Problems(e).String() }
