package slab

import (
	"syscall"
	"unsafe"
)

// Least is the size in octets from which on large pages are asked for. Below it
// they would waste more than they save.
const Least = 1 << 20

// hugePage is the size of a large page on amd64 and arm64 with pages of 4 KiB.
// Where it is another one the advice is still allowed, and no more than that.
const hugePage = 2 << 20

// A Word is a number.
type Word interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int8 | ~int16 | ~int32 | ~int64
}

// Make is make([]T, n), on large pages if that is worth while and the kernel
// has them.
func Make[T any](n int) []T {
	s := make([]T, n)
	if size := uintptr(n) * unsafe.Sizeof(*new(T)); size >= Least {
		advise(unsafe.Pointer(&s[0]), size)
	}
	return s
}

// As gives the memory of s as a slice of another type, as far as whole
// elements of it go. T must not need a stricter alignment than S.
func As[T, S Word](s []S) []T {
	from, to := unsafe.Sizeof(*new(S)), unsafe.Sizeof(*new(T))
	n := uintptr(len(s)) * from / to
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(s))), n)
}

// advise asks for large pages for the memory from p on. The runtime maps its
// heap in multiples of them, so that the rounding outwards reaches only memory
// that is the heap's, or reserved for it.
func advise(p unsafe.Pointer, size uintptr) {
	from := uintptr(p) &^ (hugePage - 1)
	to := (uintptr(p) + size + hugePage - 1) &^ (hugePage - 1)
	// An advice, no more: where it is not taken, pages come one by one.
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, madvHugePage)
}

const madvHugePage = 14 // MADV_HUGEPAGE, the same on all architectures
