package mailbox

import "sync/atomic"

// Counters count what the mailboxes of a process did. They only grow.
type Counters struct {
	Scans       atomic.Uint64 // directory scans (new, cur and new again)
	InodePasses atomic.Uint64 // readings of directories for inodes alone (R13)
	Events      atomic.Uint64 // events of the watch
	Fences      atomic.Uint64 // fences waited for
	Overflows   atomic.Uint64 // times that events were lost and a scan made up for it
	Arrived     atomic.Uint64 // files that became messages
	FlagDeltas  atomic.Uint64 // outside flag changes
	Expunged    atomic.Uint64 // messages that are gone
	Offline     atomic.Uint64 // times that a mailbox went offline (R17, R18)
	FailedSyncs atomic.Uint64 // failed syncs of a journal
	CacheFills  atomic.Uint64 // messages parsed into the cache
}
