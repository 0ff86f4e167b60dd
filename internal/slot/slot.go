// Package slot lets package latchkey carry, with each of its keys, what package
// limiter keeps about it, so that one look-up finds both. Neither of the two
// imports the other.
package slot

import "sync/atomic"

// Slot remembers where a limiter.Window keeps the state of one subject. The zero
// value is ready to use. A Slot serves one subject of one Window and must not be
// copied. It may be used concurrently and thrown away at any time: what it holds
// is a hint.
type Slot struct{ atomic.Value }
