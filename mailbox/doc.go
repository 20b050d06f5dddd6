// Package mailbox joins the Maildir and the index. It knows accounts (one
// user's tree of mailboxes), live mailboxes shared by all their sessions, who
// gets which UID (it is the only assigner), changes, views, search. It must
// not know sockets, tags, or response text.
//
// Lock order: Store.mu, Account.mu, the token Mailbox.syncing, Mailbox.mu, then
// cacheFiller.mu and the locks inside package index. The token is no lock for
// commands: who holds it reads the directories, and system calls may happen
// meanwhile. No goroutine holds two mailbox locks. No lock is held across fsync,
// rename, link, unlink, open, client I/O, body reads or scans.
//
// Beside these there are turns, which are held across such calls and wait for
// a context: Account.turn (who changes the tree) before Mailbox.syncing (who
// turns files into messages). accountFile.wmu serialises the writers of
// roost.account and is the innermost of all but accountFile.mu.
package mailbox
