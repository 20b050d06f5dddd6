//go:build race

package index

// stride thins out the tests that damage a journal everywhere: they are slow
// under the race detector and use one goroutine. `make test` runs them whole
// without it.
const stride = 7
