// Package index is the persistent UID index of one mailbox: the journal
// (roost.index), the cache (roost.cache), their recovery and compaction, and
// the table of messages that they describe. It knows UIDs, mod-sequences,
// flags, keywords and the bytes of names. It must not know directories of
// mail, sessions, or what a message says.
package index
