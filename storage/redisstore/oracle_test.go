package redisstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/redistest"
)

// plain is a client for virtual time: one connection, on which it tells the
// server what time it is, and no goroutine. After a call it may step aside.
type plain struct {
	mu    sync.Mutex
	conn  net.Conn
	r     *bufio.Reader
	clock string        // begins the names of the keys of the server's clock
	step  time.Duration // how far the server's clock is off
}

func dialPlain(t testing.TB, clock string) *plain {
	return dialTo(t, clock, redistest.Shared(t).Addr())
}

func dialTo(t testing.TB, clock, addr string) *plain {
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &plain{conn: conn, r: bufio.NewReader(conn), clock: clock}
}

func (p *plain) Cluster() bool { return false }

func (p *plain) Do(_ context.Context, calls ...redisstore.Call) []redisstore.Reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now().Add(p.step).UnixMicro()
	_ = p.send("MSET", p.clock+"s", strconv.FormatInt(now/1e6, 10), p.clock+"us", strconv.FormatInt(now%1e6, 10))
	replies := make([]redisstore.Reply, len(calls))
	for i, c := range calls {
		args := []string{"EVALSHA", c.SHA1}
		if c.Source != "" {
			args = []string{"EVAL", c.Source}
		}
		replies[i] = p.send(slices.Concat(args, []string{strconv.Itoa(len(c.Keys))}, c.Keys, []string{c.Arg})...)
	}
	return replies
}

func (p *plain) send(args ...string) redisstore.Reply {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	_, _ = io.WriteString(p.conn, b.String())
	line, err := p.r.ReadString('\n')
	line = strings.TrimSuffix(line, "\r\n")
	switch {
	case err != nil:
		return redisstore.Reply{Err: err}
	case line[0] == '-':
		return redisstore.Reply{Err: errors.New(line[1:])}
	case line[0] == '$':
		n, _ := strconv.Atoi(line[1:])
		buf := make([]byte, n+2)
		_, err := io.ReadFull(p.r, buf)
		return redisstore.Reply{Value: string(buf[:n]), Err: err}
	}
	return redisstore.Reply{Value: line}
}

// virtual returns a limiter for a bubble on a client that was made outside.
func virtual(t testing.TB, p *plain) *redisstore.Limiter {
	t.Helper()
	o := own()
	l, err := redisstore.NewLimiter(p, o)
	must(t, err)
	l.ClockAt(p.clock+"s", p.clock+"us")
	return l
}

// Random requests of all kinds are decided and settled as by the limiter in
// memory, to the microsecond.
func TestTheServerDecidesAsTheLimiterInMemory(t *testing.T) {
	t.Parallel()
	seeds := uint64(6)
	if os.Getenv("LATCHKEY_LONG") != "" {
		seeds = 2000
	}
	for seed := range seeds {
		p := dialPlain(t, fmt.Sprintf("clock%d:", seed))
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { sameAsInMemory(t, p, seed) })
		})
	}
}

type outstanding struct {
	r           limiter.Request
	got, wanted limiter.Decision
}

func sameAsInMemory(t *testing.T, p *plain, seed uint64) {
	got := virtual(t, p)
	got.SlotsLast(30 * time.Minute) // it is not what this is about
	defer got.Close(t.Context())
	want, err := limiter.New(limiter.Options{})
	must(t, err)
	rng := rand.New(rand.NewPCG(seed, 1))
	time.Sleep(time.Until(time.Date(2026, 10, 24, 20, 0, 0, 0, time.UTC)))
	var open []outstanding
	for i := range 1000 {
		time.Sleep(pause(rng))
		at := time.Now().UTC().Format("01-02T15:04:05.000000")
		if len(open) > 0 && rng.IntN(3) == 0 {
			k := rng.IntN(len(open))
			o := open[k]
			open = slices.Delete(open, k, k+1)
			s := limiter.Settlement{Cost: rng.Int64N(6), Over: rng.IntN(4) > 0 || o.got.Slot != 0}
			if len(o.r.Amounts) > 0 && rng.IntN(4) > 0 {
				s.Amounts = []limiter.Amount{{Unit: "tokens", N: rng.Int64N(400)}}
			}
			if !s.Over && rng.IntN(2) == 0 {
				open = append(open, outstanding{settledAt(o.r, s), o.got, o.wanted})
			}
			g, err := got.Settle(t.Context(), o.r, o.got, s)
			must(t, err)
			w, err := want.Settle(t.Context(), o.r, o.wanted, s)
			must(t, err)
			same(t, fmt.Sprintf("step %d at %s: Settle(%+v, at %v, %+v)", i, at, o.r, time.UnixMicro(o.got.At).UTC(), s), o.r, g, w)
			continue
		}
		r := randomRequest(rng)
		ask := [2]func(context.Context, limiter.Request) (limiter.Decision, error){got.Take, want.Take}
		if rng.IntN(6) == 0 {
			ask = [2]func(context.Context, limiter.Request) (limiter.Decision, error){got.Peek, want.Peek}
		}
		g, err := ask[0](t.Context(), r)
		must(t, err)
		w, err := ask[1](t.Context(), r)
		must(t, err)
		same(t, fmt.Sprintf("step %d at %s: Take(%+v)", i, at, r), r, g, w)
		if g.At != 0 {
			open = append(open, outstanding{r, g, w})
		}
	}
}

// same compares what does not depend on the limiter.
func same(t *testing.T, what string, r limiter.Request, got, want limiter.Decision) {
	t.Helper()
	if (got.At == 0) != (want.At == 0) || (got.Slot == 0) != (want.Slot == 0) {
		t.Errorf("%s: At and Slot are set alike: %+v, %+v", what, got, want)
	}
	got.At, got.Slot, want.At, want.Slot = 0, 0, 0, 0
	round := func(d *time.Duration, o time.Duration) {
		if o > 0 && (*d-o).Abs() <= time.Microsecond {
			*d = o
		}
	}
	round(&got.RetryAfter, want.RetryAfter)
	for i := range got.Windows {
		round(&got.Windows[i].Reset, want.Windows[i].Reset)
	}
	if got != want {
		t.Fatalf("%s:\n got %v\nwant %v\n%+v\n%+v", what, got, want, got, want)
	}
}

// A window whose N passes 128 and comes back is never emptier than the truth,
// and never fuller than a segment explains.
func TestAWindowThatPasses128KeepsItsCount(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		p := dialPlain(t, fmt.Sprintf("passes%d:", seed))
		synctest.Test(t, func(t *testing.T) {
			l := virtual(t, p)
			rng := rand.New(rand.NewPCG(seed, 2))
			var hits []limitertest.Hit
			counted := func(since time.Duration) (n int64) {
				for _, h := range hits {
					if h.At > since {
						n += h.Cost
					}
				}
				return n
			}
			begun := time.Now()
			for range 1000 {
				time.Sleep(time.Duration(rng.IntN(900_000)) * time.Microsecond)
				r := asks("key", apikey.Limit{Name: "w", N: []int64{100, 120, 129, 140}[rng.IntN(4)], Window: time.Minute})
				r.Cost = 1 + rng.Int64N(4)
				now, n := time.Since(begun), r.Demands[0].Limits[0].N
				d := takes(t, l, r)
				if least := counted(now - time.Minute); d.Allowed && least+r.Cost > n {
					t.Fatalf("admitted %d beside %d of %d", r.Cost, least, n)
				}
				if most := counted(now - time.Minute - time.Second); !d.Allowed && most+r.Cost <= n {
					t.Fatalf("refused %d beside at most %d of %d", r.Cost, most, n)
				}
				if d.Allowed {
					hits = append(hits, limitertest.Hit{At: now, Cost: r.Cost})
				}
			}
		})
	}
}

func settledAt(r limiter.Request, s limiter.Settlement) limiter.Request {
	r.Cost = s.Cost
	if len(s.Amounts) > 0 {
		r.Amounts = s.Amounts
	}
	return r
}

func pause(rng *rand.Rand) time.Duration {
	switch rng.IntN(12) {
	case 0:
		return time.Duration(rng.IntN(3)) * time.Minute
	case 1:
		return time.Duration(rng.Int64N(int64(3*time.Hour/time.Microsecond))) * time.Microsecond
	case 2, 3, 4:
		return 0
	}
	return time.Duration(rng.IntN(3_000_000)) * time.Microsecond
}

var kinds = []apikey.Limit{
	{Name: "minute", N: 6, Window: time.Minute},
	{Name: "minute", N: 20, Window: time.Minute},
	{Name: "hour", N: 30, Window: time.Hour},
	{Name: "hour", N: 45, Window: time.Hour},
	{Name: "many", N: 200, Window: time.Hour},
	{Name: "many", N: 260, Window: time.Hour},
	{Name: "day", N: 300, Window: 24 * time.Hour},
	{Name: "five", N: 40, Window: 5 * time.Minute},
	{Name: "week", N: 120, Window: 7 * 24 * time.Hour},
	{Name: "tokens", N: 1000, Window: time.Minute, Unit: "tokens"},
	{Name: "tokens", N: 70_000, Window: time.Hour, Unit: "tokens"},
	{Name: "q-hour", N: 12, Period: apikey.Hourly},
	{Name: "q-day", N: 50, Period: apikey.Daily, Zone: "Europe/Berlin"},
	{Name: "q-month", N: 3000, Period: apikey.Monthly, Zone: "Europe/Berlin", Unit: "tokens"},
	{Name: "credits", N: 400, Period: apikey.Ever},
	{Name: "credits", N: 300, Period: apikey.Ever},
	{Name: "two", N: 2, Concurrent: true},
	{Name: "two", N: 5, Concurrent: true},
}

func randomRequest(rng *rand.Rand) (r limiter.Request) {
	for _, s := range []string{"key", "owner", "bucket"} {
		if s != "key" && rng.IntN(3) > 0 {
			continue
		}
		d := limiter.Demand{Subject: s}
		for range rng.IntN(3) + 1 {
			l := kinds[rng.IntN(len(kinds))]
			l.Shadow = rng.IntN(8) == 0
			if !slices.ContainsFunc(d.Limits, l.Same) && (len(r.Demands) < 2 || len(d.Limits) < 2) {
				d.Limits = append(d.Limits, l)
			}
		}
		r.Demands = append(r.Demands, d)
	}
	r.Cost = rng.Int64N(5)
	if rng.IntN(2) == 0 {
		r.Amounts = []limiter.Amount{{Unit: "tokens", N: rng.Int64N(300)}}
	}
	r.Shadow = rng.IntN(20) == 0
	return r
}
