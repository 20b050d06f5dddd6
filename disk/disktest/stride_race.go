//go:build race

package disktest

// Stride thins out the tests that fail or damage everything everywhere: they
// are slow under the race detector and hardly concurrent. `make test` runs them
// whole without it.
const Stride = 7
