// Package wire knows the grammar of RFC 9051 §9 (and of RFC 3501 §9 where that
// differs): a Scanner reads commands, literals and size limits included, a
// Writer writes responses. It must not know what a command means, nor sessions,
// time or files; deadlines, barriers and continuation requests are hooks.
//
// The Scanner takes one line at a time. So a syntax error is always found with
// the whole line at hand, and Skip can see whether a non-synchronizing literal
// follows it (RFC 7888 §3). What a command may cost is bounded by Limits before
// it is read; nothing is allocated on the word of a client.
package wire
