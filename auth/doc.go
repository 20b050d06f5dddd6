// Package auth knows who may log in: the users file, password schemes, SASL
// exchanges as pure state machines (bytes in, challenge out, no I/O), and how to
// slow down guessing. It must not know IMAP framing (base64, continuation lines,
// response codes), connections or mailboxes.
//
// # Use
//
// A session asks Service.Mechanisms what to advertise, runs an Exchange from
// Service.Start until it is done, and hands it to Service.Finish; the LOGIN command
// calls Service.Login. Both give a User or an error: ErrInvalid for anything wrong
// with the credentials, ErrUnavailable if the users file cannot be used, or the
// error of the context.
//
// # Names
//
// A user name is UTF-8, put into Unicode normalization form C, and then compared
// exactly: case counts and compatibility characters are not folded, so two names
// that look alike stay two names. Control and format characters and "/" are
// refused. Passwords are compared as the bytes that were sent: the hashes in
// existing users files were made that way (RFC 4616 §2 allows it).
//
// # What an attacker learns
//
// An unknown user costs one check against the hash that most users of the file
// have, and gets the same error as a wrong password after the same delay; so does
// a locked one. With SCRAM, unknown users get a salt and an iteration count that
// are stable for the life of the process.
package auth
