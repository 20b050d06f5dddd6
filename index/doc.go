// Package index is the persistent UID index of one mailbox: the journal
// (roost.index), the cache (roost.cache), their recovery and compaction, and
// the table of messages that they describe. It knows UIDs, mod-sequences,
// flags, keywords and the bytes of names. It must not know directories of
// mail, sessions, or what a message says.
//
// A change is a [Batch]: [Index.Apply] records and publishes it in one step,
// [Index.Wait] makes it durable. Nothing may be told to a client before Wait
// returned for the position it depends on. FORMAT.md describes the files.
//
// Three rules carry the recovery. A frame says what is, never what changes, so
// that frames may be replayed over a base that is newer than they are. A new
// file is always written complete beside the old one and takes its place by
// rename: at first use, at a compaction, after damage, and when the old one was
// removed. Doubt about what clients were told is answered by a jump of UIDNEXT
// and HIGHESTMODSEQ with both floors, never by guessing; UIDVALIDITY changes
// only if no copy of it is left.
package index
