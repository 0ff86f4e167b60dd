//go:build race

package limiter_test

// raceEnabled makes the largest test smaller.
const raceEnabled = true
