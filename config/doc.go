// Package config turns config.toml into a validated Config. It knows the keys,
// their defaults, their ranges and how they depend on each other; it reports
// every problem of a file at once, each with its line, its key, what is wrong
// and the remedy. It must not know anything else: it opens no file but the
// configuration, looks up no user and no host, and imports none of our packages.
//
// Sizes are written "256MiB" (B, KiB, MiB, GiB, TiB; a bare number is bytes),
// durations "90s", "31m", "2h". Relative paths count from the directory of the
// configuration file. The variables %u %n %d %h %% are allowed in [mail] path and
// index only; see Expand.
package config
