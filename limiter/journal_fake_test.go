package limiter_test

import (
	"context"
	"slices"
	"sync"
	"time"
)

// journal is a Journal in a map. It keeps its promises to the letter and no
// better: records are gone when their ttl is over, the state given to
// SaveWindows is overwritten afterwards, and deletions can be lost.
type journal struct {
	mu      sync.Mutex
	records map[string]saved
	fail    error                           // returned by every call
	lose    bool                            // deletions report success and do nothing
	enter   func(op string, subject string) // called outside the mutex

	loads, saves, deletes int
}

type saved struct {
	state []byte
	until time.Time
}

func newJournal() *journal { return &journal{records: map[string]saved{}} }

func (j *journal) begin(ctx context.Context, op, subject string) error {
	if j.enter != nil {
		j.enter(op, subject)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return j.fail
}

func (j *journal) LoadWindows(ctx context.Context, subject string) ([]byte, error) {
	if err := j.begin(ctx, "load", subject); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.loads++
	r, ok := j.records[subject]
	if !ok || !time.Now().Before(r.until) {
		return nil, nil
	}
	return slices.Clone(r.state), nil
}

func (j *journal) SaveWindows(ctx context.Context, subject string, state []byte, ttl time.Duration) error {
	if err := j.begin(ctx, "save", subject); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.saves++
	j.records[subject] = saved{slices.Clone(state), time.Now().Add(ttl)}
	clear(state)
	return nil
}

func (j *journal) DeleteWindows(ctx context.Context, subjects []string) error {
	if err := j.begin(ctx, "delete", ""); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.deletes += len(subjects)
	for _, s := range subjects {
		if !j.lose {
			delete(j.records, s)
		}
	}
	return nil
}

// calls returns how many loads and deletions there were, while others go on.
func (j *journal) calls() (loads, deletes int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.loads, j.deletes
}
