package limiter_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

func settle(t testing.TB, l limiter.Settler, r limiter.Request, d limiter.Decision, s limiter.Settlement) limiter.Decision {
	t.Helper()
	after, err := l.Settle(t.Context(), r, d, s)
	if err != nil {
		t.Fatalf("Settle(%+v, %+v): %v", r, s, err)
	}
	return after
}

// left returns what Peek reports.
func left(t testing.TB, l limiter.Limiter, r limiter.Request) (all []int64) {
	t.Helper()
	d, err := l.Peek(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range d.Windows[:d.N] {
		all = append(all, st.Remaining)
	}
	return all
}

func reopen(t testing.TB, w *limiter.Window, j *journal) *limiter.Window {
	t.Helper()
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return newWindow(t, limiter.Options{Journal: j})
}

// After a proper restart everything is as it was, except that no request is in
// progress.
func TestARestartLosesNothingOfAnyKind(t *testing.T) {
	steps := longer(2_000, 60_000)
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		g := &game{TB: t, Rand: rand.New(rand.NewPCG(7, 16)), l: w, o: oracle{counts: map[string][]*oracleCount{}}}
		for i := range steps {
			if i%100 == 99 {
				w = reopen(t, w, j)
				g.l, g.open = w, nil
				for _, counts := range g.o.counts {
					for _, c := range counts {
						c.slots = nil
					}
				}
			}
			g.step()
			g.pass()
		}
	})
}

func TestCreditsAreKeptForYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		r := ask("k", apikey.Limit{Name: "credit", N: 100, Period: apikey.Ever})
		for range 30 {
			mustTake(t, w, r)
		}
		for range 20 {
			time.Sleep(4 * 365 * 24 * time.Hour)
			for i := range 2000 { // sweeps pass
				mustTake(t, w, ask(fmt.Sprint(i%100), second))
			}
			if n := left(t, w, r)[0]; n != 70 {
				t.Fatalf("credits do not expire: %d are left, want 70", n)
			}
			w = reopen(t, w, j)
		}
		if n := left(t, w, r)[0]; n != 70 {
			t.Fatalf("credits do not expire: %d are left, want 70", n)
		}
		r.Cost = 70
		mustTake(t, w, r)
		if d := mustTake(t, w, r); d.Allowed || d.RetryAfter != limiter.Never || d.Windows[0].Reset != 0 {
			t.Errorf("no wait brings credits back: %+v", d)
		}
		r.Demands[0].Limits[0].N += 100 // topped up
		if d := mustTake(t, w, r); !d.Allowed || d.Windows[0].Remaining != 30 {
			t.Errorf("a credit is topped up by raising N: %+v", d)
		}
	})
}

func TestAQuotaEndsWithItsPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		time.Sleep(20 * 24 * time.Hour)
		r := ask("k", apikey.Limit{Name: "month", N: 1000, Period: apikey.Monthly, Zone: "Asia/Tokyo"})
		d := mustTake(t, w, r)
		for range 99 {
			mustTake(t, w, r)
		}
		w = newWindow(t, limiter.Options{Journal: j}) // a crash
		if n := left(t, w, r)[0]; n > 900 || n < 900-64 {
			t.Errorf("a crash charges at most the reservation: %d of 1000 are left, 100 were used", n)
		}
		time.Sleep(d.Windows[0].Reset - 1)
		if n := left(t, w, r)[0]; n > 900 {
			t.Errorf("a quota counts until its period ends: %d are left", n)
		}
		w = newWindow(t, limiter.Options{Journal: j})
		time.Sleep(time.Nanosecond)
		if n := left(t, w, r)[0]; n != 1000 {
			t.Errorf("a new period starts from zero: %d are left", n)
		}
		w = newWindow(t, limiter.Options{Journal: j})
		if n := left(t, w, r)[0]; n != 1000 {
			t.Errorf("what was reserved in a period is not used in the next: %d are left", n)
		}
	})
}

// A reservation of one period is of no use in the next, so what is admitted there
// is in a record.
func TestAReservationEndsWithThePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		hour, ever := apikey.Limit{Name: "hour", N: 800, Period: apikey.Hourly}, apikey.Limit{Name: "day", N: 1000, Window: 24 * time.Hour}
		r := ask("k", hour, ever)
		for range 1 + 2 + 4 + 8 + 1 { // the last one leaves 15 reserved
			mustTake(t, w, r)
		}
		time.Sleep(time.Hour)
		for range 10 {
			mustTake(t, w, r)
		}
		w = newWindow(t, limiter.Options{Journal: j})
		if got := left(t, w, r); got[0] > 790 || got[1] > 1000-26 {
			t.Errorf("10 in this hour and 26 today were admitted before the crash: %v are left", got)
		}
	})
}

// Whenever a process dies, and whatever it asks for: no period and no window
// admits more than N, and a crash charges at most the reservation.
func TestNoCrashAdmitsAboveN(t *testing.T) {
	limits := []apikey.Limit{
		{Name: "hour", N: 40, Period: apikey.Hourly},
		{Name: "day", N: 500, Period: apikey.Daily, Zone: "America/New_York"},
		{Name: "credit", N: 2000, Period: apikey.Ever},
		{Name: "tokens", N: 3000, Period: apikey.Daily, Unit: "tokens"},
	}
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		r, o := ask("k", limits...), oracle{counts: map[string][]*oracleCount{}}
		admitted, crashes := int64(0), int64(0)
		for range 5000 {
			time.Sleep(time.Duration(rng.Int64N(int64(6 * time.Minute))))
			r.Cost = 1 + rng.Int64N(2)
			r.Amounts = []limiter.Amount{{Unit: "tokens", N: rng.Int64N(20)}}
			now := time.Now().UnixNano()
			if d := mustTake(t, w, r); d.Allowed {
				if !o.decide(r, now, true).Allowed {
					t.Fatalf("after %d crashes more than N is admitted: %+v", crashes, d)
				}
				admitted += r.Cost
			} else if want := o.decide(r, now, false); crashes == 0 && want.Allowed {
				t.Fatalf("without a crash nothing is charged for nothing: %+v, want %+v", d, want)
			}
			if rng.IntN(200) == 0 {
				w = newWindow(t, limiter.Options{Journal: j})
				crashes++
			}
		}
		if n := left(t, w, r)[2]; admitted < 1000 || n > 2000-admitted || n < 2000-admitted-crashes*65 {
			t.Errorf("%d of 2000 credits were used, %d crashes, %d are left", admitted, crashes, n)
		}
	})
}

// What is charged in addition is in a record before Settle returns, and what is
// given back is free again unless the process dies.
func TestSettlementsSurviveACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j, Reserve: 1})
		r := ask("k",
			apikey.Limit{Name: "few", N: 100, Window: time.Hour, Unit: "tokens"},
			apikey.Limit{Name: "many", N: 1000, Window: time.Hour, Unit: "tokens"},
			apikey.Limit{Name: "month", N: 5000, Period: apikey.Monthly, Unit: "tokens"},
			apikey.Limit{Name: "requests", N: 50, Window: time.Hour})
		r.Amounts = []limiter.Amount{{Unit: "tokens", N: 10}}
		d := mustTake(t, w, r)
		settle(t, w, r, d, limiter.Settlement{Cost: 1, Amounts: []limiter.Amount{{Unit: "tokens", N: 60}}})
		w = newWindow(t, limiter.Options{Journal: j})
		if got := left(t, w, r); got[0] > 40 || got[1] > 940 || got[2] > 4940 || got[3] != 49 {
			t.Errorf("60 tokens and one request are charged after a crash: %v are left", got)
		}
		j.fail = fmt.Errorf("disk full")
		r.Amounts[0].N = 60
		if _, err := w.Settle(t.Context(), r, d, limiter.Settlement{Cost: 1, Amounts: []limiter.Amount{{Unit: "tokens", N: 70}}}); err == nil {
			t.Error("a charge that cannot be written is an error")
		}
		j.fail = nil
		if got := left(t, w, r); got[0] != 40 || got[3] != 49 {
			t.Errorf("after an error nothing is charged: %v are left", got)
		}
	})
}
