// Package testmail makes mail that looks like mail: the messages of the demo
// and corpora of any size for tests, benchmarks and comparisons with other
// servers. It knows what messages look like and nothing of servers or disks.
// The same arguments always give the same bytes.
package testmail
