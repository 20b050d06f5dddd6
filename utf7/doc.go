// Package utf7 knows modified UTF-7, the form of mailbox names in IMAP4rev1
// and on disk (RFC 3501 §5.1.3). It must not know what a mailbox is.
package utf7
