package histories

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/storage"
)

// weather delays whoever passes, at random but from a seed.
type weather struct {
	seed uint64
	n    atomic.Uint64
}

func (w *weather) next() *rand.Rand { return rand.New(rand.NewPCG(w.seed, w.n.Add(1))) }

func (w *weather) pass() {
	switch r := w.next(); {
	case r.IntN(100) < 50:
	case r.IntN(100) < 40:
		runtime.Gosched()
	case r.IntN(100) < 80:
		time.Sleep(time.Duration(r.Int64N(int64(200 * time.Microsecond))))
	default:
		time.Sleep(time.Duration(r.Int64N(int64(time.Millisecond))))
	}
}

// linger is for news, to grow old: now and then so old that a change has returned
// meanwhile on every instance.
func (w *weather) linger() {
	if r := w.next(); r.IntN(100) < 8 {
		time.Sleep(time.Duration(r.Int64N(int64(20 * time.Millisecond))))
		return
	}
	w.pass()
}

// errLost is the answer of a store to one change in a hundred, which it has made.
var errLost = errors.New("the answer was lost")

// slow is a store behind bad weather.
type slow struct {
	storage.Store
	weather *weather
}

func (s slow) Get(ctx context.Context, id string) (storage.Record, error) {
	s.weather.pass()
	defer s.weather.linger()
	return s.Store.Get(ctx, id)
}

func (s slow) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	s.weather.pass()
	revision, err := s.Store.Apply(ctx, c)
	s.weather.pass() // it is written, and nobody here knows
	if err == nil && c.Expect > 0 && s.weather.next().IntN(100) == 0 {
		return 0, errLost
	}
	return revision, err
}

// local is a slow store that announces its changes, late.
type local struct {
	slow
	notifier storage.Notifier
}

func (l local) Subscribe(f func(storage.Notice)) (cancel func()) {
	return l.notifier.Subscribe(func(n storage.Notice) {
		l.weather.linger()
		f(n)
	})
}

// shared is a slow store that other processes share.
type shared struct {
	slow
	feed      storage.Feed
	announcer storage.Announcer
}

func (s shared) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	s.weather.pass()
	defer s.weather.pass()
	return s.feed.Poll(ctx, q)
}

func (s shared) Await(ctx context.Context) error {
	defer s.weather.linger()
	return s.feed.Await(ctx)
}

func (s shared) Announce(ctx context.Context, topic string) error {
	s.weather.pass()
	defer s.weather.pass()
	return s.announcer.Announce(ctx, topic)
}

// slowed puts a store behind bad weather. It keeps the abilities that the
// service looks for.
func slowed(s storage.Store, seed uint64) storage.Store {
	behind := slow{s, &weather{seed: seed}}
	if n, ok := storage.As[storage.Notifier](s); ok {
		return local{behind, n}
	}
	feed, _ := storage.As[storage.Feed](s)
	announcer, _ := storage.As[storage.Announcer](s)
	return shared{behind, feed, announcer}
}
