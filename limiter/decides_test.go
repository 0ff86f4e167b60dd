package limiter_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// mixed are limits of all kinds that one subject may have.
var mixed = []apikey.Limit{
	{Name: "few", N: 5, Window: 10 * time.Second},
	{Name: "other", N: 7, Window: 10 * time.Second},
	{Name: "one", N: 1, Window: time.Second},
	{Name: "minute", N: 60, Window: time.Minute},
	{Name: "many", N: 128, Window: 90 * time.Minute},
	{Name: "more", N: 129, Window: time.Minute},
	{Name: "day", N: 400, Window: 24 * time.Hour},
	{Name: "odd", N: 1000, Window: 61 * time.Minute},
	{Name: "hourly", N: 40, Period: apikey.Hourly},
	{Name: "daily", N: 300, Period: apikey.Daily, Zone: "Europe/Berlin"},
	{Name: "monthly", N: 5000, Period: apikey.Monthly, Zone: "America/New_York"},
	{Name: "credit", N: 20_000, Period: apikey.Ever},
	{Name: "tokens", N: 90, Window: time.Minute, Unit: "tokens"},
	{Name: "bytes", N: 900, Window: time.Minute, Unit: "bytes"},
	{Name: "tokens", N: 2000, Period: apikey.Daily, Unit: "tokens"},
	{Name: "busy", N: 3, Concurrent: true},
	{Name: "busier", N: 6, Concurrent: true},
}

// game plays random requests against a limiter and the oracle.
type game struct {
	testing.TB
	*rand.Rand
	l    limiter.Settler
	o    oracle
	open []openRequest
	down int // how many were refused
}

type openRequest struct {
	r           limiter.Request
	taken, told limiter.Decision // by the limiter, and by the oracle
}

func (g *game) limits() (all []apikey.Limit) {
	for _, i := range g.Perm(len(mixed))[:1+g.IntN(4)] {
		l := mixed[i]
		switch g.IntN(12) {
		case 0:
			l.Shadow = true
		case 1:
			l.N = 1 + l.N/2
		case 2:
			l.N = l.N*3 + 1
		}
		all = append(all, l)
	}
	return all
}

func (g *game) request() (r limiter.Request) {
	subjects := []string{"a", "b", "a subject that is longer than what fits in its bucket", "d"}
	left := limiter.MaxWindows
	for _, i := range g.Perm(len(subjects))[:1+g.IntN(3)] {
		all := g.limits()
		all = all[:min(len(all), left)]
		left -= len(all)
		r.Demands = append(r.Demands, limiter.Demand{Subject: subjects[i], Limits: all})
	}
	if g.IntN(2) == 0 {
		r.Cost = g.Int64N(9)
		if g.IntN(6) == 0 {
			r.Cost = g.Int64N(400)
		}
	}
	for _, unit := range []string{"tokens", "bytes", "of no limit"} {
		if g.IntN(3) == 0 {
			r.Amounts = append(r.Amounts, limiter.Amount{Unit: unit, N: g.Int64N(40)})
		}
	}
	r.Shadow = g.IntN(20) == 0
	return r
}

// settlement may charge more than the request has.
func (g *game) settlement(r limiter.Request) (s limiter.Settlement) {
	s.Cost, s.Over = g.Int64N(12), g.IntN(3) > 0
	for _, a := range r.Amounts {
		if g.IntN(3) > 0 {
			a.N = g.Int64N(60)
			s.Amounts = append(s.Amounts, a)
		}
	}
	return s
}

func (g *game) same(what string, r limiter.Request, got limiter.Decision, err error, want limiter.Decision) {
	g.Helper()
	if err != nil {
		g.Fatalf("%s of %+v: %v", what, r, err)
	}
	if (got.Slot == 0) != (want.Slot == 0) {
		g.Fatalf("%s of %+v: a slot is %d, want one: %t", what, r, got.Slot, want.Slot != 0)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(limiter.Decision{}, "Slot", "At")); diff != "" {
		g.Fatalf("%s of %+v at %v (-oracle +limiter):\n%s", what, r, time.Now(), diff)
	}
}

func (g *game) step() {
	now := time.Now().UnixNano()
	if n := len(g.open); n > 0 && g.IntN(3) == 0 {
		i := g.IntN(n)
		q := &g.open[i]
		s := g.settlement(q.r)
		got, err := g.l.Settle(g.Context(), q.r, q.taken, s)
		want := g.o.settle(q.r, q.told, s, now)
		for i := range want.Windows {
			got.Windows[i].Violated = false // of a shadow, as it was
		}
		want.Slot = got.Slot
		g.same(fmt.Sprintf("Settle of %v with %+v", time.Duration(now-q.taken.At), s), q.r, got, err, want)
		// What it costs now.
		q.r.Cost = s.Cost
		for j := range q.r.Amounts {
			for _, a := range s.Amounts {
				if a.Unit == q.r.Amounts[j].Unit {
					q.r.Amounts[j].N = a.N
				}
			}
		}
		if s.Over || s.Cost == 0 { // a request of no cost cannot be named again
			if s.Over {
				g.open[i] = g.open[n-1]
				g.open = g.open[:n-1]
			} else {
				q.r.Cost = 1
				got, err := g.l.Settle(g.Context(), q.r, q.taken, limiter.Settlement{Cost: 1, Over: true})
				want := g.o.settle(q.r, q.told, limiter.Settlement{Cost: 1, Over: true}, now)
				for i := range want.Windows {
					got.Windows[i].Violated = false
				}
				g.same("the last Settle", q.r, got, err, want)
				g.open[i] = g.open[n-1]
				g.open = g.open[:n-1]
			}
		}
		return
	}
	r := g.request()
	if g.IntN(5) == 0 {
		d, err := g.l.Peek(g.Context(), r)
		g.same("Peek", r, d, err, g.o.decide(r, now, false))
		return
	}
	d, err := g.l.Take(g.Context(), r)
	want := g.o.decide(r, now, true)
	g.same("Take", r, d, err, want)
	if !d.Allowed {
		g.down++
		return
	}
	if d.At != now {
		g.Fatalf("a request is charged at %d, want %d", d.At, now)
	}
	g.open = append(g.open, openRequest{r, d, want})
}

// pass lets time go by: none, some, or until just before or when something
// leaves.
func (g *game) pass() {
	switch g.IntN(8) {
	case 0, 1, 2:
	case 3, 4:
		time.Sleep(time.Duration(g.Int64N(int64(time.Second))))
	case 5:
		time.Sleep(time.Duration(g.Int64N(int64(30 * time.Second))))
	case 6:
		if g.IntN(10) == 0 {
			time.Sleep(time.Duration(g.Int64N(int64(20 * time.Hour))))
		}
	case 7:
		d, err := g.l.Peek(g.Context(), g.request())
		if err != nil {
			g.Fatal(err)
		}
		if reset := d.Windows[g.IntN(d.N)].Reset; reset > 0 && reset < 3*time.Hour {
			time.Sleep(reset - time.Duration(g.IntN(2)))
		}
	}
}

// Every decision is compared with the oracle's, field by field: limits of all
// kinds on several subjects, amounts, shadows, settlements above and below what
// was taken, limits that come and go and whose N changes, over the changes of
// months and of daylight saving time.
func TestWindowDecidesAsAListOfChargesWould(t *testing.T) {
	steps := longer(4_000, 120_000)
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &game{TB: t, Rand: rand.New(rand.NewPCG(seed, 16)), l: newWindow(t, limiter.Options{}), o: oracle{counts: map[string][]*oracleCount{}}}
				time.Sleep(87 * 24 * time.Hour) // near daylight saving time
				for range steps {
					g.step()
					g.pass()
				}
				if g.down < steps/20 || g.down > steps*9/10 {
					t.Errorf("%d of %d were refused: that proves little", g.down, steps)
				}
			})
		})
	}
}
