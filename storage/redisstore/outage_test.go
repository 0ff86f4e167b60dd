package redisstore_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

func asks(subject string, limits ...apikey.Limit) limiter.Request {
	return limiter.Request{Demands: []limiter.Demand{{Subject: subject, Limits: limits}}}
}

func unavailable(t testing.TB, what string, d limiter.Decision, err error) {
	t.Helper()
	if !errors.Is(err, limiter.ErrUnavailable) || d.Allowed {
		t.Errorf("%s: got %v, %v, want ErrUnavailable", what, d, err)
	}
}

func TestADecisionIsOneRoundTripAndSoIsASettlement(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		p := newProxy(t, redistest.Shared(t).Addr())
		l := open(t, own(), p.addr())
		r := limiter.Request{Demands: []limiter.Demand{
			{Subject: "key", Limits: []apikey.Limit{apikey.PerMinute(60), apikey.PerDay(1000), {Name: "two", N: 2, Concurrent: true}}},
			{Subject: "owner", Limits: []apikey.Limit{{Name: "month", N: 1e6, Period: apikey.Monthly}}},
		}}
		takes(t, l, r) // may need the script
		for range 10 {
			before := p.asked()
			d := takes(t, l, r)
			if n := p.asked() - before; n != 1 {
				t.Fatalf("a decision took %d scripts", n)
			}
			if _, err := l.Settle(t.Context(), r, d, limiter.Settlement{Cost: 1, Over: true}); err != nil {
				t.Fatal(err)
			}
			if n := p.asked() - before; n != 2 {
				t.Fatalf("a settlement took %d scripts", n-1)
			}
		}
		before := p.asked()
		takes(t, l, asks("key"))
		if p.asked() != before {
			t.Error("a request without limits was sent")
		}
	})
}

// A proxy that mixes up replies must not make one subject's answer another's.
func TestAReplyToAnotherQuestionIsNoAnswer(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		p := newProxy(t, redistest.Shared(t).Addr())
		o := own()
		l := open(t, o, p.addr())
		direct := open(t, o, redistest.Shared(t).Addr())
		full, free := asks("full", apikey.PerDay(1)), asks("free", apikey.PerDay(100_000))
		takes(t, l, full)
		for range 50 { // over every connection that the client makes: a new one has no reply before
			takes(t, l, free)
		}
		p.set("shift")
		for range 50 {
			d, err := l.Take(t.Context(), free)
			unavailable(t, "the reply is late by one", d, err)
			d, err = l.Take(t.Context(), full)
			unavailable(t, "the reply is late by one", d, err)
		}
		p.set("")
		p.cut()
		before, err := direct.Peek(t.Context(), free)
		must(t, err)
		settled := time.Now().Add(20 * time.Second)
		for n := int64(1); ; n++ {
			d, err := l.Take(t.Context(), free)
			if err == nil {
				if used := before.Windows[0].Remaining - d.Windows[0].Remaining; used < 1 || used > n {
					t.Errorf("%d were charged after the connections had ended, by %d requests", used, n)
				}
				break
			}
			if time.Now().After(settled) {
				t.Fatal("it does not recover:", err)
			}
		}
		d, err := l.Take(t.Context(), full)
		for errors.Is(err, limiter.ErrUnavailable) && time.Now().Before(settled) { // another connection may not have noticed yet
			d, err = l.Take(t.Context(), full)
		}
		if err != nil || d.Allowed {
			t.Errorf("what is full was admitted, or not decided: %v, %v", d, err)
		}
	})
}

func TestALostReplyIsNotAskedForAgain(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		p := newProxy(t, redistest.Shared(t).Addr())
		o := own()
		direct := open(t, o, redistest.Shared(t).Addr())
		o.Timeout = time.Second
		l := open(t, o, p.addr())
		r := asks("key", apikey.PerDay(100))
		takes(t, l, r)
		p.set("drop")
		d, err := l.Take(t.Context(), r)
		unavailable(t, "the reply is lost", d, err)
		p.cut() // makes a client that retries do so
		p.set("")
		time.Sleep(600 * time.Millisecond)
		if d, err = direct.Peek(t.Context(), r); err != nil || d.Windows[0].Remaining < 98 {
			t.Errorf("two requests were charged, no more: %v, %v", d, err)
		}
	})
}

func TestAServerThatHangsIsGivenUpInTime(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		s := redistest.Start(t)
		o := own()
		o.Timeout = 0
		l := open(t, o, s.Addr())
		r := asks("key", apikey.PerDay(100))
		if _, err := l.Peek(t.Context(), r); err != nil && !errors.Is(err, limiter.ErrUnavailable) {
			t.Fatal(err)
		}
		thaw := s.Freeze(t)
		defer thaw()
		begun := time.Now()
		d, err := l.Take(t.Context(), r)
		unavailable(t, "the server hangs", d, err)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v to give up, the time limit is 50 ms", took)
		}
	})
}

func TestScriptsThatAreFlushedAreSentAgain(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		s := redistest.Start(t)
		c := s.Client(t)
		l := open(t, own(), s.Addr())
		r := asks("key", apikey.PerDay(400))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					if d, err := l.Take(t.Context(), r); err != nil || !d.Allowed {
						t.Error(d, err)
						return
					}
				}
			})
		}
		for range 20 {
			must(t, c.ScriptFlush(t.Context()).Err())
		}
		wg.Wait()
		if d := takes(t, l, r); d.Allowed {
			t.Error("400 were admitted, and one more")
		}
	})
}

func TestAStateThatIsNotOursIsNoAnswer(t *testing.T) {
	s := redistest.Shared(t)
	each(t, func(t *testing.T, open opener) {
		o := own()
		l := open(t, o, s.Addr())
		for i, value := range []string{"x", strings.Repeat("y", 100), strings.Repeat("\xff", 64)} {
			subject := string(rune('a' + i))
			must(t, s.Client(t).Set(t.Context(), o.Prefix+"s{"+subject+"}", value, 0).Err())
			d, err := l.Take(t.Context(), asks(subject, apikey.PerDay(5)))
			unavailable(t, "the key has something else", d, err)
		}
		must(t, s.Client(t).LPush(t.Context(), o.Prefix+"s{list}", "x").Err())
		d, err := l.Take(t.Context(), asks("list", apikey.PerDay(5)))
		unavailable(t, "the key is a list", d, err)
	})
}

func TestAFailoverKeepsTheCounts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	each(t, func(t *testing.T, _ opener) {
		t.Parallel()
		w := redistest.Sentinel(t)
		o := own()
		o.Timeout = 300 * time.Millisecond
		var l *redisstore.Limiter
		if strings.HasSuffix(t.Name(), "rueidis") {
			l = overRueidis(t, rueidis.ClientOption{InitAddress: []string{w.Sentinel.Addr()}, Sentinel: rueidis.SentinelOption{MasterSet: redistest.Name}}, o)
		} else {
			l = overGoRedis(t, &redis.UniversalOptions{Addrs: []string{w.Sentinel.Addr()}, MasterName: redistest.Name}, o)
		}
		r := asks("key", apikey.PerDay(200), apikey.Limit{Name: "credits", N: 200, Period: apikey.Ever})
		admitted := 0
		for range 100 {
			if takes(t, l, r).Allowed {
				admitted++
			}
		}
		must(t, w.Primary.Client(t).Wait(t.Context(), 1, 5*time.Second).Err())
		w.Primary.Kill()
		begun := time.Now()
		for admitted < 200 {
			switch d, err := l.Take(t.Context(), r); {
			case errors.Is(err, limiter.ErrUnavailable):
			case err != nil:
				t.Fatal("only ErrUnavailable is shown:", err)
			case d.Allowed:
				admitted++
			default:
				t.Fatalf("after %d: %v", admitted, d)
			}
			if time.Since(begun) > 40*time.Second {
				t.Fatal("it does not recover")
			}
		}
		if d := takes(t, l, r); d.Allowed {
			t.Error("over the limit after a failover")
		}
	})
}
