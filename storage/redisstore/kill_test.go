package redisstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

// What a server forgets that is killed under load depends on what it writes to
// disk. Requests in progress are counted again whatever it does, and nobody sees
// an error but ErrUnavailable.
func TestAKilledServerForgetsWhatItHasNotWritten(t *testing.T) { // alone: its load would disturb tests that measure time
	rounds := 1
	if os.Getenv("LATCHKEY_LONG") != "" {
		rounds = 20
	}
	for _, c := range []struct {
		name   string
		args   []string
		oldest time.Duration // of what may be forgotten
	}{
		{"without appendonly", nil, time.Hour},
		// The server writes before it answers, unless a sync is under way: then up to two seconds later.
		{"appendfsync everysec", []string{"--appendonly", "yes", "--appendfsync", "everysec"}, 2500 * time.Millisecond},
		{"appendfsync always", []string{"--appendonly", "yes", "--appendfsync", "always"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := redistest.Start(t, c.args...)
			var sum killed
			for range rounds {
				k := killUnderLoad(t, s)
				if sum.add(k); k.oldest > c.oldest {
					t.Errorf("%d of %d charges were forgotten, the oldest %v before the kill", k.forgotten, k.charged, k.oldest)
				}
				if c.args == nil && k.forgotten != k.charged {
					t.Errorf("%d of %d charges were forgotten by a server that writes nothing: this proves nothing", k.forgotten, k.charged)
				}
			}
			t.Logf("%d kills: %d of %d charges were forgotten, the oldest %v before the kill", rounds, sum.forgotten, sum.charged, sum.oldest.Round(time.Millisecond))
		})
	}
}

// killed is what became of charges that were acknowledged before a kill.
type killed struct {
	charged, forgotten int
	oldest             time.Duration // of those that were forgotten, before the kill
}

func (k *killed) add(more killed) {
	k.charged, k.forgotten, k.oldest = k.charged+more.charged, k.forgotten+more.forgotten, max(k.oldest, more.oldest)
}

func killUnderLoad(t *testing.T, s *redistest.Server) (k killed) {
	const keys, life = 4, 3 * time.Second
	o := own()
	l := clients["rueidis"](t, o, s.Addr())
	l.SlotsLast(life)
	stream := asks("stream", apikey.Limit{Name: "two", N: 2, Concurrent: true})
	first := takes(t, l, stream)
	ask := func(i int) limiter.Request {
		return asks(fmt.Sprint("key ", i), apikey.PerDay(1_000_000), apikey.Limit{Name: "month", N: 1_000_000, Period: apikey.Monthly})
	}

	var load sync.WaitGroup
	var charged [keys][]time.Time // when each was acknowledged
	for i := range keys {
		load.Go(func() {
			for {
				d, err := l.Take(t.Context(), ask(i))
				if err != nil || !d.Allowed {
					if !errors.Is(err, limiter.ErrUnavailable) {
						t.Errorf("under load: %v, %v", d, err)
					}
					return
				}
				charged[i] = append(charged[i], time.Now())
			}
		})
	}
	time.Sleep(time.Second/2 + rand.N(time.Second))
	s.Kill()
	at := time.Now()
	load.Wait()
	s.Start(t)

	for i := range keys {
		n := len(charged[i])
		d, err := l.Peek(t.Context(), ask(i))
		for errors.Is(err, limiter.ErrUnavailable) && time.Since(at) < 20*time.Second {
			d, err = l.Peek(t.Context(), ask(i))
		}
		must(t, err)
		counted := int(1_000_000 - d.Windows[0].Remaining)
		if d.Windows[1].Remaining != d.Windows[0].Remaining || counted > n+1 { // one answer may have been lost
			t.Errorf("%d were charged, and then counted: %v", n, d)
		}
		k.charged += n
		if counted < n {
			k.forgotten += n - counted
			k.oldest = max(k.oldest, at.Sub(charged[i][counted]))
		}
	}
	for back := time.Now(); ; time.Sleep(life / 100) {
		d, err := l.Peek(t.Context(), stream)
		if err == nil && d.Windows[0].Remaining == 1 {
			break
		}
		if time.Since(back) > life/3+time.Second {
			t.Fatalf("a request in progress is counted again within a third of a slot's life: %v, %v", d, err)
		}
	}
	_, err := l.Settle(t.Context(), stream, first, limiter.Settlement{Cost: 1, Over: true})
	must(t, err)
	return k
}
