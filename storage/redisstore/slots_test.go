package redisstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

func TestARequestKeepsItsSlotForAsLongAsItLasts(t *testing.T) {
	p := dialPlain(t, "long:")
	synctest.Test(t, func(t *testing.T) {
		l := virtual(t, p)
		defer l.Close(t.Context())
		r := limiter.Request{Demands: []limiter.Demand{
			{Subject: "key", Limits: []apikey.Limit{{Name: "two", N: 2, Concurrent: true}, apikey.PerDay(1000)}},
			{Subject: "owner", Limits: []apikey.Limit{{Name: "ten", N: 10, Concurrent: true}}},
		}}
		first, second := takes(t, l, r), takes(t, l, r)
		for range 10 {
			time.Sleep(7 * time.Minute)
			if d := takes(t, l, r); d.Allowed || d.RetryAfter != limiter.Unknown {
				t.Fatalf("two requests are in progress, and a third: %v", d)
			}
		}
		for i, d := range []limiter.Decision{first, second} {
			after, err := l.Settle(t.Context(), r, d, limiter.Settlement{Cost: 1, Over: true})
			must(t, err)
			if after.Windows[0].Remaining != int64(i+1) || after.Windows[2].Remaining != int64(9+i) {
				t.Errorf("the slots of a request that is over are free: %v", after)
			}
		}
	})
}

// A request that is over is renewed no more, even if nothing could be sent.
func TestTheSlotOfASettlementThatFailedIsFreeWithinItsLife(t *testing.T) {
	p := dialPlain(t, "failed:")
	synctest.Test(t, func(t *testing.T) {
		l := virtual(t, p)
		defer l.Close(t.Context())
		r := limiter.Request{Demands: []limiter.Demand{{Subject: "key", Limits: []apikey.Limit{{Name: "one", N: 1, Concurrent: true}}}}}
		ended, cancel := context.WithCancel(t.Context())
		d := takes(t, l, r)
		cancel()
		if _, err := l.Settle(ended, r, d, limiter.Settlement{Cost: 1, Over: true}); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		time.Sleep(limiter.SlotLife)
		if d := takes(t, l, r); !d.Allowed {
			t.Errorf("after SlotLife: %v", d)
		}
	})
}
