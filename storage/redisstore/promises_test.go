package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

// A client that keeps to a limit of at most 128 is never refused, and admits as
// much as it may.
func TestAPacedClientIsNeverRefused(t *testing.T) {
	p := dialPlain(t, "paced:")
	for _, window := range []time.Duration{time.Second, time.Minute, apikey.MaxLimitWindow} {
		for _, n := range []int64{1, 2, 3, 7, 60, 127, 128} {
			synctest.Test(t, func(t *testing.T) {
				l := virtual(t, p)
				r := asks("key", apikey.Limit{Name: "w", N: n, Window: window})
				step := (window/time.Duration(n) + time.Microsecond).Truncate(time.Microsecond)
				if window%time.Duration(n) == 0 && (window/time.Duration(n))%time.Microsecond == 0 {
					step = window / time.Duration(n)
				}
				for i := range 3 * n {
					if d := takes(t, l, r); !d.Allowed {
						t.Fatalf("%d in %v: request %d was refused: %v", n, window, i, d)
					}
					time.Sleep(step)
				}
			})
		}
	}
}

// What is charged while the clock is behind is dated like the newest charge.
func TestAClockThatIsSetBackAdmitsNothing(t *testing.T) {
	p := dialPlain(t, "back:")
	synctest.Test(t, func(t *testing.T) {
		l := virtual(t, p)
		limits := []apikey.Limit{
			{Name: "pairs", N: 10, Window: time.Minute},
			{Name: "segments", N: 1000, Window: time.Minute},
			{Name: "hour", N: 1000, Period: apikey.Hourly},
		}
		time.Sleep(90 * time.Minute)
		first := takes(t, l, asks("key", limits...))
		p.step = -45 * time.Minute // before the hour
		for i := range 9 {
			if d := takes(t, l, asks("key", limits...)); !d.Allowed {
				t.Fatal(i, d)
			}
		}
		d := takes(t, l, asks("key", limits...))
		if d.Allowed || d.RetryAfter != 46*time.Minute || d.Windows[2].Remaining != 990 {
			t.Errorf("ten of ten in a minute, on a clock that is behind: %v", d)
		}
		p.step = 0
		after, err := l.Settle(t.Context(), asks("key", limits...), first, limiter.Settlement{})
		must(t, err)
		if after.Windows[0].Remaining != 1 || after.Windows[1].Remaining != 991 || after.Windows[2].Remaining != 991 {
			t.Errorf("given back: %v", after)
		}
	})
}

// What a settlement charges above N is counted in full, however narrow the
// numbers were that sufficed for N.
func TestASettlementAboveNIsCountedInFull(t *testing.T) {
	p := dialPlain(t, "above:")
	synctest.Test(t, func(t *testing.T) {
		l := virtual(t, p)
		narrow := apikey.Limit{Name: "w", N: 200, Window: time.Minute}
		wide := narrow
		wide.N = 1e9
		for _, cost := range []int64{255, 256, 65535, 65536} {
			subject := fmt.Sprint("settled at ", cost)
			r := asks(subject, narrow)
			d := takes(t, l, r)
			for _, s := range []limiter.Settlement{{Cost: cost}, {Cost: 1}} {
				_, err := l.Settle(t.Context(), r, d, s)
				must(t, err)
				r = settledAt(r, s)
				seen, err := l.Peek(t.Context(), asks(subject, wide))
				must(t, err)
				if got := wide.N - seen.Windows[0].Remaining; got != s.Cost {
					t.Errorf("settled at %d: %d is counted", s.Cost, got)
				}
			}
		}
	})
}

func TestAClockBesideAllPeriodsIsAnError(t *testing.T) {
	p := dialPlain(t, "beside:")
	synctest.Test(t, func(t *testing.T) {
		l := virtual(t, p)
		for period, step := range map[apikey.Period]time.Duration{apikey.Hourly: 3 * time.Hour, apikey.Daily: 72 * time.Hour, apikey.Monthly: 100 * 24 * time.Hour} {
			for _, p.step = range []time.Duration{step, -step} {
				d, err := l.Take(t.Context(), asks(string(period)+fmt.Sprint(p.step), apikey.Limit{N: 5, Period: period}))
				unavailable(t, "the server's clock is in none of the periods", d, err)
			}
		}
	})
}

func TestInstancesAdmitExactlyN(t *testing.T) {
	addr := redistest.Shared(t).Addr()
	for _, instances := range []int{1, 4, 8} {
		each(t, func(t *testing.T, open opener) {
			const n = 300
			o := own()
			r := asks("key", apikey.Limit{Name: "hour", N: n, Window: time.Hour})
			r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{{Name: "month", N: n + 10, Period: apikey.Monthly}}})
			var admitted atomic.Int64
			var wg sync.WaitGroup
			for range instances {
				l := open(t, o, addr)
				for range 2 {
					wg.Go(func() {
						for range n / instances {
							if d, err := l.Take(t.Context(), r); err != nil {
								t.Error(err)
								return
							} else if d.Allowed {
								admitted.Add(1)
							}
						}
					})
				}
			}
			wg.Wait()
			if admitted.Load() != n {
				t.Errorf("%d instances admitted %d, want %d", instances, admitted.Load(), n)
			}
		})
	}
}

func TestCreditsNeedAServerThatKeepsThem(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		o := own()
		o.Credits = false
		_, err := open(t, o, redistest.Shared(t).Addr()).Take(t.Context(), asks("key", apikey.Limit{N: 5, Period: apikey.Ever}))
		if !errors.Is(err, limiter.ErrInvalid) || !strings.Contains(err.Error(), "LimiterOptions.Credits") {
			t.Error(err)
		}
	})
}

func TestARequestIsTakenOnce(t *testing.T) {
	addr := redistest.Shared(t).Addr()
	each(t, func(t *testing.T, open opener) {
		o := own()
		o.OnceLife = time.Second
		l, other := open(t, o, addr), open(t, o, addr)
		r := asks("key", apikey.PerDay(3), apikey.Limit{Name: "two", N: 2, Concurrent: true})
		first, err := l.TakeOnce(t.Context(), "job 1", r)
		must(t, err)
		takes(t, l, r)
		again, err := other.TakeOnce(t.Context(), "job 1", r) // no slot is left
		if err != nil || !again.Allowed || again.At != first.At || again.Slot != first.Slot || again.Windows[0].Remaining != 1 || again.Windows[1].Violated {
			t.Errorf("the second try: %+v, %v, want what the first one was told: %+v", again, err, first)
		}
		if refused, err := l.TakeOnce(t.Context(), "job 2", r); err != nil || refused.Allowed {
			t.Errorf("another request is decided: %v, %v", refused, err)
		}
		_, err = other.Settle(t.Context(), r, again, limiter.Settlement{Over: true})
		must(t, err)
		if d, err := l.TakeOnce(t.Context(), "job 2", r); err != nil || !d.Allowed {
			t.Errorf("a try that was refused is not remembered: %v, %v", d, err)
		}
		time.Sleep(1100 * time.Millisecond)
		if d, err := l.TakeOnce(t.Context(), "job 1", r); err != nil || d.Allowed {
			t.Errorf("it is forgotten after OnceLife: %v, %v", d, err)
		}
	})
}

func TestStateExpiresWhenNothingCounts(t *testing.T) {
	s := redistest.Shared(t)
	each(t, func(t *testing.T, open opener) {
		o := own()
		l, c := open(t, o, s.Addr()), s.Client(t)
		ttl := func(subject string) time.Duration { return c.PTTL(t.Context(), o.Prefix+"s{"+subject+"}").Val() }
		takes(t, l, asks("windows", apikey.PerMinute(60), apikey.PerDay(1000)))
		if d := ttl("windows"); d < 24*time.Hour || d > 24*time.Hour+11*time.Minute {
			t.Errorf("windows of up to a day stay %v", d)
		}
		takes(t, l, asks("windows", apikey.PerMinute(60))) // must not forget the day
		if d := ttl("windows"); d < 24*time.Hour-time.Minute {
			t.Errorf("a window that is not named stays %v", d)
		}
		takes(t, l, asks("quota", apikey.Limit{N: 5, Period: apikey.Hourly}))
		if d := ttl("quota"); d <= 0 || d > time.Hour+time.Second {
			t.Errorf("an hour's quota stays %v", d)
		}
		credits := asks("credits", apikey.Limit{N: 5, Period: apikey.Ever})
		d := takes(t, l, credits)
		if d := ttl("credits"); d != -1 {
			t.Errorf("credits stay for %v, want for ever", d)
		}
		_, err := l.Settle(t.Context(), credits, d, limiter.Settlement{})
		must(t, err)
		if d := ttl("credits"); d == -1 {
			t.Errorf("credits of which none is used stay for ever")
		}
	})
}

func TestAKeyIsSmall(t *testing.T) {
	p := dialPlain(t, "small:")
	synctest.Test(t, func(t *testing.T) {
		l := virtual(t, p)
		r := asks("0123456789abcdef", apikey.PerMinute(60), apikey.PerDay(1000))
		takes(t, l, r)
		size := func() int64 {
			reply := p.send("MEMORY", "USAGE", l.Key("0123456789abcdef"))
			var n int64
			_, _ = fmt.Sscanf(reply.Value, ":%d", &n)
			return n
		}
		once := size()
		if once < 50 || once > 200 {
			t.Errorf("a key that was used once takes %d bytes, want at most 200", once)
		}
		for range 144 {
			time.Sleep(10 * time.Minute)
			for range 6 {
				takes(t, l, r)
			}
		}
		for range 60 {
			time.Sleep(time.Millisecond)
			takes(t, l, r)
		}
		if n := size(); n < 500 || n > 1500 {
			t.Errorf("a fully active key takes %d bytes, want at most 1,500", n)
		} else {
			t.Logf("used once: %d bytes, fully active: %d", once, n)
		}
	})
}

// The rule of doc.go is enough.
func TestAnAccountNeedsFewRights(t *testing.T) {
	s := redistest.Start(t)
	rule := "ACL SETUSER limits on >secret resetchannels ~latchkey:* +eval +evalsha +get +mget +set +time"
	var args []any
	for _, a := range strings.Fields(rule) {
		args = append(args, a)
	}
	must(t, s.Client(t).Do(t.Context(), args...).Err())
	o := patient
	l := overGoRedis(t, &redis.UniversalOptions{Addrs: []string{s.Addr()}, Username: "limits", Password: "secret", DisableIdentity: true}, o)
	r := asks("key", apikey.PerDay(3), apikey.Limit{Name: "two", N: 2, Concurrent: true})
	r.Demands = append(r.Demands, limiter.Demand{Subject: "owner", Limits: []apikey.Limit{apikey.PerDay(3)}})
	d, err := l.TakeOnce(t.Context(), "job", r)
	must(t, err)
	_, err = l.Settle(context.Background(), r, d, limiter.Settlement{Over: true})
	must(t, err)
}
