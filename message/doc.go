// Package message knows RFC 5322 and MIME: the structure of a message as
// offsets over an io.ReaderAt, its envelope, its sections, decoding, and its
// text for search. It must not know IMAP sessions, UIDs or Maildir.
//
// # Stored and served
//
// A message lies on disk with LF or CRLF line ends, or both. Clients see the
// served form: every bare LF becomes CRLF and nothing else changes; a lone CR
// stays, no final newline is added. All sizes, line counts and partial offsets
// that leave this package are of the served form; offsets into the file are
// called stored. In a fetch that is not BINARY a NUL is served as 0x80, because
// RFC 9051 §9 has no NUL in literals.
//
// # Bounds
//
// Mail is written by strangers. Nothing here recurses deeper than [MaxDepth],
// makes more than [MaxParts] parts, keeps more than 8 MiB of strings of one
// message, or holds more than 1 MiB of it in memory at a time. No input panics.
package message
