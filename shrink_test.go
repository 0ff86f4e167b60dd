package latchkey_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

// A spike of keys in flight makes the cache larger than it may be. Once they are
// over, nothing of the surplus stays.
func TestTheCacheShrinksAfterASpikeOfRequestsInFlight(t *testing.T) {
	for _, how := range []string{"by itself", "with the keys that come next"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				every := time.Minute
				if how != "by itself" {
					every = 1000 * time.Hour
				}
				s := newService(t, latchkey.Options{CacheSize: 64, FlushEvery: every})
				spike := longer(500, 2000)
				flights := make([]*flight, spike)
				principals := make([]weak.Pointer[apikey.Principal], spike)
				for i := range spike {
					_, token := create(t, s)
					flights[i] = takeOff(t, s, token)
					principals[i] = weak.Make(flights[i].Verified().Principal())
				}
				if n := engine.Of(s).Cached(); n != spike {
					t.Fatalf("%d keys are cached, all %d are in flight", n, spike)
				}
				for i := range flights {
					flights[i].Leave()
					flights[i] = nil
				}
				if how == "by itself" {
					time.Sleep(10 * every)
				} else {
					for range 2 * spike {
						_, token := create(t, s)
						want(t, "another", verify(t, s, token), nil)
					}
				}
				synctest.Wait()
				if n := engine.Of(s).Cached(); n > 64 {
					t.Errorf("%d keys are cached after the spike, at most 64 are allowed", n)
				}
				runtime.GC()
				left := 0
				for _, p := range principals {
					if p.Value() != nil {
						left++
					}
				}
				if left > 64 {
					t.Errorf("%d of the %d keys of the spike are still in memory", left, spike)
				}
			})
		})
	}
}
