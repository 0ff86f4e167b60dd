//go:build race

package latchkey_test

// Under the race detector sync.Pool drops entries on purpose, so that counting
// allocations means nothing: make test counts them in a run without it.
const raceDetector = true
