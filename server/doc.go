// Package server is the process around the sessions. It knows listeners, TLS,
// limits on connections, signals, reload, the admin listener (/metrics and
// /healthz) and the control socket. It must not know IMAP grammar or files of
// mail.
//
// Its goroutines: one per listener that accepts, one per connection that runs
// the session, one that ticks the caches of the mail store, and Run itself,
// which waits for signals and stops them all.
package server
