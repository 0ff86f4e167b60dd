package limiter

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 5 * time.Second
)

// breaker keeps calls away from a shared limiter that failed. After each
// failure there is a pause, twice as long as the one before, minus a random
// part of up to half, so that instances do not come back together. Then one
// call goes through, alone; its success closes the breaker.
type breaker struct {
	log *slog.Logger

	mu       sync.Mutex
	failures int   // in a row; 0: the breaker is closed
	until    int64 // the end of the pause
	probing  bool  // the one call is under way
	cause    error // the newest failure
}

// admit reports whether a call may go through, and whether it is the probe. One
// of succeed, fail and abandon must follow it. err says why the call may not go
// through.
func (b *breaker) admit(now int64) (probe bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failures == 0:
		return false, nil
	case now < b.until || b.probing:
		return false, b.cause
	}
	b.probing = true
	return true, nil
}

// degraded returns the newest failure; nil if the breaker is closed.
func (b *breaker) degraded() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cause
}

func (b *breaker) succeed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 {
		b.log.Info("limiter: the shared limiter answers again")
	}
	b.failures, b.probing, b.cause = 0, false, nil
}

// abandon is for a call that its caller ended: it tells nothing about the
// limiter.
func (b *breaker) abandon(probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = b.probing && !probe
}

// fail counts calls that were under way together as one failure.
func (b *breaker) fail(now int64, probe bool, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cause = fmt.Errorf("%w: %w", ErrUnavailable, err)
	if b.failures > 0 && !probe {
		return b.cause
	}
	if b.failures == 0 {
		b.log.Warn("limiter: the shared limiter does not answer", "error", err)
	}
	pause := min(shortestPause<<min(b.failures, 10), longestPause)
	b.failures, b.probing = b.failures+1, false
	b.until = now + int64(pause/2) + rand.Int64N(int64(pause/2))
	return b.cause
}
