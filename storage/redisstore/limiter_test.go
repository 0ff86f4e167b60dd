package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

var prefixes atomic.Int64

// own are options with a prefix that no other limiter has.
func own() redisstore.LimiterOptions {
	o := patient
	o.Prefix = fmt.Sprintf("test%d:", prefixes.Add(1))
	return o
}

// fleet makes limiters and further instances on the state of each.
type fleet struct {
	open func(t testing.TB, o redisstore.LimiterOptions) *redisstore.Limiter
	mu   sync.Mutex
	of   map[limiter.Limiter]redisstore.LimiterOptions
}

func (f *fleet) instance(t testing.TB, o redisstore.LimiterOptions) limiter.Limiter {
	l := f.open(t, o)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[limiter.Limiter]redisstore.LimiterOptions{}
	}
	f.of[l] = o
	return l
}

func (f *fleet) peer(t testing.TB, l limiter.Limiter) limiter.Limiter {
	f.mu.Lock()
	o := f.of[l]
	f.mu.Unlock()
	return f.instance(t, o)
}

func (f *fleet) harness() limitertest.Harness {
	return limitertest.Harness{
		New:  func(t testing.TB) limiter.Limiter { return f.instance(t, own()) },
		Peer: f.peer,
		Restart: func(t testing.TB, l limiter.Limiter) limiter.Limiter {
			must(t, l.(*redisstore.Limiter).Close(t.Context()))
			return f.peer(t, l)
		},
		Crash: func(t testing.TB, l limiter.Limiter) limiter.Limiter {
			kill(t, l)
			return f.peer(t, l)
		},
		Kill: kill,
	}
}

// kill ends an instance: it renews nothing any more.
func kill(t testing.TB, l limiter.Limiter) {
	must(t, l.(*redisstore.Limiter).Close(context.Background()))
}

// The rules run in real time over either client.
func TestLimiter(t *testing.T) {
	if testing.Short() {
		t.Skip("takes twenty seconds")
	}
	t.Parallel() // it mostly sleeps
	addr := redistest.Shared(t).Addr()
	each(t, func(t *testing.T, open opener) {
		f := fleet{open: func(t testing.TB, o redisstore.LimiterOptions) *redisstore.Limiter {
			l := open(t, o, addr)
			l.SlotsLast(2 * time.Second)
			return l
		}}
		h := f.harness()
		h.Unit, h.SlotLife = 2*time.Second, 2*time.Second
		limitertest.Run(t, h)
	})
}
