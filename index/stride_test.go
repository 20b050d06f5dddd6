//go:build !race

package index

// stride is that of stride_race_test.go: every octet.
const stride = 1
