// Package slab makes large slices for columns of a million rows. It knows that
// touching fresh memory for the first time is what such slices cost, a page of
// 4 KiB at a time, and asks the kernel for large pages; it must not know what
// is in them. They are ordinary slices that the garbage collector frees.
package slab
