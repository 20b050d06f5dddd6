package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Size is a number of bytes, 0 or more.
type Size int64

// The units of Size.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

var sizeUnits = []struct {
	suffix string
	unit   Size
}{
	{"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}, {"TiB", TiB}, {"B", 1}, {"", 1},
}

// ParseSize reads a size as the configuration has it: digits and one of B, KiB,
// MiB, GiB, TiB, or none for bytes. Decimal units are refused, because nobody
// agrees on what MB means.
func ParseSize(s string) (Size, error) {
	digits := strings.TrimRight(s, "BKMGTikmgtb ")
	suffix := strings.TrimLeft(s[len(digits):], " ")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("config: parse size %q: want digits and a unit, such as \"64KiB\"", s)
	}
	for _, u := range sizeUnits {
		if u.suffix != suffix {
			continue
		}
		if n > uint64(math.MaxInt64/int64(u.unit)) {
			return 0, fmt.Errorf("config: parse size %q: too large", s)
		}
		return Size(n) * u.unit, nil
	}
	return 0, fmt.Errorf("config: parse size %q: the units are B, KiB, MiB, GiB and TiB", s)
}

// String writes s in the largest unit that loses nothing; ParseSize reads it back.
func (s Size) String() string {
	for _, u := range []struct {
		suffix string
		unit   Size
	}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}} {
		if s >= u.unit && s%u.unit == 0 {
			return strconv.FormatInt(int64(s/u.unit), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// A Duration is a span of time, 0 or more.
type Duration time.Duration

var errNegative = errors.New("config: parse duration: it cannot be negative")

// ParseDuration reads a duration as the configuration has it: numbers with the
// units ms, s, m or h.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("config: parse duration %q: want a number and a unit, such as \"30s\" or \"31m\"", s)
	}
	if d < 0 {
		return 0, errNegative
	}
	return Duration(d), nil
}

// D is d as the standard library has it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String writes d without zero parts: "31m", not "31m0s"; ParseDuration reads it back.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
