// Package disktest holds file systems for tests: [Wrap] counts calls, makes
// them fail and lets a test act between them; [NewMem] is a file system in
// memory that forgets on a crash what was not synced. It knows the rules of
// POSIX about durability and nothing of what is written.
package disktest
