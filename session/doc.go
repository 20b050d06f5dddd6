// Package session is one IMAP connection from greeting to BYE: its states, one
// file per family of commands, and the only place that turns errors into OK,
// NO, BAD and BYE (errors.go). It must not know file names or journals; bytes
// of the protocol pass through package wire only.
//
// A command takes one way. Session.one reads its line, the table in command.go
// finds its row, parse reads the arguments (bytes only, no session state) and
// gives a runner, run does it (state only) and writes the untagged responses,
// finish moves the View on under the policy of the row and writes the tagged
// line. Nothing flushes but the reads: before each read that may block, and
// whenever 64 KiB are full, the Writer passes the mailbox.Barrier and sends.
//
// A connection has one goroutine, and during IDLE a second one that only reads.
// Everything in a Session belongs to the first, but for what says otherwise.
package session
