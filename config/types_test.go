package config

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]Size{"0": 0, "12": 12, "1B": 1, "64KiB": 64 << 10, "256 MiB": 256 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40, "9223372036854775807": math.MaxInt64} {
		got, err := ParseSize(in)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
		if back, err := ParseSize(got.String()); err != nil || back != got {
			t.Errorf("%q: String %q does not read back: %v", in, got, err)
		}
	}
	for _, in := range []string{"", "KiB", "-1", "1.5MiB", "64KB", "1kib", "8388608TiB", "9223372036854775808", "1 2", "1KiBKiB", "0x10"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q: got %d, want an error", in, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]struct {
		d time.Duration
		s string
	}{"31m": {31 * time.Minute, "31m"}, "60s": {time.Minute, "1m"}, "2h": {2 * time.Hour, "2h"}, "90s": {90 * time.Second, "1m30s"}, "0s": {0, "0s"}, "250ms": {250 * time.Millisecond, "250ms"}, "10m": {10 * time.Minute, "10m"}} {
		got, err := ParseDuration(in)
		if err != nil || got.D() != want.d || got.String() != want.s {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want.s)
		}
		if back, err := ParseDuration(got.String()); err != nil || back != got {
			t.Errorf("%q does not read back: %v", got, err)
		}
	}
	for _, in := range []string{"", "3", "-1s", "soon", "1d"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func TestExpand(t *testing.T) {
	tests := []struct {
		template string
		v        Vars
		want     string // empty = an error
	}{
		{"/var/mail/%u/Maildir", Vars{User: "ann"}, "/var/mail/ann/Maildir"},
		{"/var/mail/%d/%n", Vars{User: "ann@example.org"}, "/var/mail/example.org/ann"},
		{"/var/mail/%d/%n", Vars{User: "ann"}, ""},
		{"/var/mail/%n", Vars{User: "@x"}, ""},
		{"%h/Maildir", Vars{User: "ann", Home: "/home/ann/"}, "/home/ann/Maildir"},
		{"%h/Maildir", Vars{User: "ann"}, ""},
		{"%h/Maildir", Vars{User: "ann", Home: "home"}, ""},
		{"%h/Maildir", Vars{User: "ann", Home: "/home/../root"}, ""},
		{"%h/Maildir", Vars{User: "ann", Home: "/home/\x00"}, ""},
		{"/m/%%u/%u", Vars{User: "%h%u%%"}, "/m/%u/%h%u%%"}, // the name is never expanded
		{"/m/%u", Vars{User: "%{home}"}, "/m/%{home}"},
		{"/m/%u", Vars{User: ""}, ""},
		{"/m/%u", Vars{User: "."}, ""},
		{"/m/%u", Vars{User: ".."}, ""},
		{"/m/%u", Vars{User: ".x"}, ""},
		{"/m/%d", Vars{User: "a@.."}, ""},
		{"/m/%d", Vars{User: "a@b/c"}, ""},
		{"/m/%u", Vars{User: "../x"}, ""},
		{"/m/%u", Vars{User: "a/b"}, ""},
		{"/m/%u", Vars{User: "a\x00b"}, ""},
		{"/m/%u", Vars{User: "a\nb"}, ""},
		{"/m/%u", Vars{User: "a\xffb"}, ""},
		{"/m/%u", Vars{User: "zoë"}, "/m/zoë"},
		{"/m/%x", Vars{User: "a"}, ""},
		{"/m/%", Vars{User: "a"}, ""},
		{"/m/%u", Vars{User: strings.Repeat("a", 5000)}, ""},
	}
	for _, tt := range tests {
		got, err := Expand(tt.template, tt.v)
		if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, ErrTemplate) {
			t.Errorf("Expand(%q, %+v) = %q, %v, want %q", tt.template, tt.v, got, err, tt.want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("ann@example.org")
	f.Add("../../etc")
	f.Fuzz(func(t *testing.T, user string) {
		for _, template := range []string{"/m/%u/x", "/m/%n/x", "/m/%d/x"} {
			got, err := Expand(template, Vars{User: user})
			if err != nil {
				continue
			}
			// Exactly one part lies between the fixed ones.
			parts := strings.Split(got, "/")
			if len(parts) != 4 || parts[1] != "m" || parts[3] != "x" || parts[2] == "" || parts[2][0] == '.' {
				t.Fatalf("Expand(%q, %q) = %q", template, user, got)
			}
		}
	})
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"imaps", "impas", 1}, {"line", "lines", 1}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
