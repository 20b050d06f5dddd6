// Package mailbox joins the Maildir and the index. It knows accounts (one
// user's tree of mailboxes), live mailboxes shared by all their sessions, who
// gets which UID (it is the only assigner), changes, views, search. It must
// not know sockets, tags, or response text.
//
// Lock order: Store.mu, Account.mu, Mailbox.mu, then the locks inside package
// index. No goroutine holds two mailbox locks. No lock is held across fsync,
// rename, link, unlink, open, client I/O, body reads or scans.
package mailbox
