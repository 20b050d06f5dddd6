// Package disk is the seam between roost and the file system. It knows how to
// reach files safely (from directory descriptors, one name at a time, never
// through a symbolic link) and nothing of what they mean: no Maildir, no
// index, no mail.
//
// Packages maildir and index do all their file work through [FS], [Dir] and
// [File], so that a test can count the calls, fail the n-th one, lose whatever
// was not synced, and turn the clock (package disktest).
package disk
