// Package oracle decides whether anything was lost. It drives the real binary
// over loopback, works on its Maildir as other programs do, kills it, cuts its
// power, fills its disk, and afterwards holds what is there against a ledger of
// what clients were told and what other programs made durable. It knows the
// protocol as a client and the Maildir as a stranger; it must not know any
// package of the server.
//
// The ledger's rules, by the names that reports use:
//
//   - L1: what was acknowledged or delivered, and not named in a command that
//     removes it, is there exactly once, with the same octets.
//   - L2: a UID that was ever told names the same octets or nothing, and
//     UIDVALIDITY stays.
//   - L3: of an APPEND or COPY of several that was not acknowledged all are
//     there or none; of a MOVE each is somewhere.
//   - L4: flags have an acknowledged value, or that of a command that was not
//     acknowledged.
//   - L5: what was expunged stays gone.
//   - L6: UIDNEXT and HIGHESTMODSEQ never fall; a client that comes back with
//     QRESYNC sees what a new client sees.
//   - L7: the server starts by itself within five seconds, `roost fsck` finds
//     no problem after a crash and nothing to warn of after a stop, and nothing
//     is left in tmp/ but what a crash interrupted.
//   - L8: every file in new/ and cur/ has a name that Maildir programs read.
package oracle
