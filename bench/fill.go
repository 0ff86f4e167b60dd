package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// fill creates n keys and returns the tokens of those that are kept, in any
// order. Many write at once: one sync of the disk is enough for all that wait.
func fill(out *report, service *latchkey.Service, n int, key func(i int) latchkey.NewKey, keep func(i int) bool) (tokens []string, err error) {
	const writers = 512
	var (
		next  atomic.Int64
		mu    sync.Mutex
		errs  = make([]error, writers)
		group sync.WaitGroup
	)
	for w := range writers {
		group.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if i%max(25_000, n/40) == 0 {
					out.progress("%d of %d keys", i, n)
				}
				_, token, err := service.Create(context.Background(), apikey.Actor{ID: "bench"}, key(i))
				errs[w] = err
				if keep(i) {
					mu.Lock()
					tokens = append(tokens, token.Reveal())
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	return tokens, errors.Join(errs...)
}
