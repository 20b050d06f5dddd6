// Package maildir knows Maildirs as other programs make and expect them: file
// names (base:2,info), the directories tmp, new and cur, trees of mailboxes
// (Maildir++ and fs), the order of writing, fsync and rename, the files of
// other servers that travel with the mail, and how to hear of changes. It must
// not know our UIDs, IMAP, or what a message says.
//
// # Names
//
// Identity is the octets before the first separator and nothing else
// ([ParseName]). Everything else that is known about names is that other
// programs rename files at any time to change flags, and that a program which
// cannot keep what it does not understand destroys it: unknown letters, further
// fields and odd orders survive each rename of ours octet for octet.
//
// # Listings
//
// POSIX leaves open whether readdir tells of an entry that is renamed while it
// reads: the old name, the new one, both, or none. So a listing ([Dir.Scan]) is
// a proof of absence only if the directory was still: same times before and
// after, and older than the granule in which two changes look like one. Dovecot
// holds a lock instead, which binds only programs that know it. Rejected: one
// stat per file (at a million files that is seconds, and it proves nothing
// about names that were not told).
//
// # Writing
//
// A message is written to tmp, given its time, synced and renamed; rename
// replaces what is there without a word, so RENAME_NOREPLACE is asked for.
// link and unlink, as older programs do it, leaves two names after a crash.
// Flags change by rename only, never by link and unlink, which can lose the
// message when two programs do it at once.
//
// # Watching
//
// An event is a hint. It says that a look is worth while, and with [Watcher.Fence]
// that there is nothing else to be looked at.
package maildir
