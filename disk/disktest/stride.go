//go:build !race

package disktest

// Stride is that of stride_race.go: every call, every octet.
const Stride = 1
