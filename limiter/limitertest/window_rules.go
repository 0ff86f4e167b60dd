package limitertest

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const (
	exactLeave   = "a charge leaves a window of at most 128 exactly one window later"
	grainLeave   = "a charge counts at most one segment longer than a window of more than 128"
	neverRefused = "a client that keeps to a window of at most 128 is never refused"
)

var windowRules = []rule{
	{"no interval of the window's length admits more than N", always, exact},
	{exactLeave, always, leavesExactly},
	{grainLeave, always, leavesLate},
	{neverRefused, virtual, paced},
	{"sustained overload admits at least 98 percent of an exact log", virtual, sustained},
	{"Status tells what remains and when it grows", always, statuses},
	{"an idle subject is as good as new", always, idle},
}

// load returns the N to test with: bursts of it must fit well into real time.
func (e *env) load() int64 {
	if e.Virtual {
		return 60
	}
	return 10
}

// large makes a limit of load one of more than 128.
const large = 20

// arrivals returns those of n hits in a Unit, at a multiple of their costs.
func (e *env) arrivals(times int64) []pattern {
	all := patterns(e.load(), e.Unit, e.Grain)
	if !e.Virtual {
		all = all[4:5] // it breaks the usual approximations
	}
	for _, p := range all {
		for i := range p.hits {
			p.hits[i].Cost *= times
		}
	}
	return all
}

func exact(e *env) {
	for _, times := range []int64{1, large} {
		if !e.Virtual && times > 1 {
			break // there is no time; the history of the next two rules is looked at, too
		}
		l := e.limit(e.load() * times)
		for _, p := range e.arrivals(times) {
			admitted := e.offer(ask("exact "+p.name, l), p.hits)
			if len(admitted) == 0 {
				e.Errorf("%s: nothing was admitted", p.name)
			}
			failed := e.Failed()
			if e.check(admitted, l); e.Failed() && !failed {
				e.Errorf("... with arrivals %q", p.name)
			}
			e.nextUnit()
		}
		e.sleep(2 * e.Unit)
	}
}

func leavesExactly(e *env) { e.leaves(exactLeave, 1) }
func leavesLate(e *env)    { e.leaves(grainLeave, large) }

// leaves lets the history judge each answer.
func (e *env) leaves(rule string, times int64) {
	o := newOracle(e)
	for _, p := range e.arrivals(times) {
		r := ask("leaves "+p.name, e.limit(e.load()*times))
		origin := e.now()
		for _, h := range p.hits {
			e.until(origin + h.At)
			o.take(rule+": "+p.name, costing(r, h.Cost))
		}
		e.nextUnit()
	}
}

// paced sends one request each Nth of a window.
func paced(e *env) {
	pace := func(n int64, window time.Duration, windows int64) {
		r := ask("paced", apikey.Limit{Name: "paced", N: n, Window: window})
		r.Demands[0].Subject += time.Duration(n).String() + window.String()
		origin := e.now()
		for i := range n * windows {
			e.until(origin + time.Duration(i/n)*window + time.Duration(i%n)*window/time.Duration(n))
			if d := e.take(r); !d.Allowed {
				e.Fatalf("a client that keeps to a window of at most 128 is never refused: request %d at %d in %v: %v", i+1, n, window, d)
			}
		}
	}
	for _, window := range []time.Duration{time.Second, 7 * time.Second, time.Minute, time.Hour, 24 * time.Hour, apikey.MaxLimitWindow} {
		for n := range int64(mostExact) {
			pace(n+1, window, 2)
		}
		pace(1, window, 1000)
	}
	pace(60, time.Minute, 200)
	pace(mostExact, 24*time.Hour, 200)
}

func sustained(e *env) {
	const n, windows = 200, 60 // long enough for the ragged end not to matter
	model, want := history{}, 0
	r := ask("sustained", e.limit(n))
	hits := steady(n, e.Unit, 0, windows*e.Unit, 2)
	for _, h := range hits {
		at := time.Time{}.Add(h.At)
		if d := model.decide(r, at, exactly); d.Allowed {
			model.charge(r, d, at, at)
			want++
		}
	}
	got := len(e.offer(r, hits))
	if got > want || got*100 < want*98 {
		e.Errorf("sustained overload admits at least 98 percent of an exact log: %d of its %d are %.2f percent",
			got, want, 100*float64(got)/float64(want))
	}
}

func statuses(e *env) {
	limits := []apikey.Limit{e.limit(5), e.long(9), {Name: "large", N: 1000, Window: 10 * e.Unit}}
	r := ask("statuses", limits...)
	d := e.peek(r)
	for i, l := range limits {
		if s := d.Windows[i]; s.Remaining != l.N || s.Reset != 0 {
			e.Errorf("an unused window has all of N and no Reset: got %+v", d)
		}
	}
	asked1 := e.now()
	first := e.take(r)
	told1 := e.now()
	e.until(e.Unit / 2)
	asked2 := e.now()
	d = e.take(r)
	told2 := e.now()
	for i, l := range limits {
		if d.Windows[i].Remaining != l.N-2 {
			e.Errorf("Remaining is what is left after the request: got %+v", d)
		}
		// The first hit leaves first.
		if got := first.Windows[i].Reset; got < l.Window-e.lag-e.jitter() || got > l.Window+e.late(l) {
			e.Errorf("Reset is the time until the oldest counted hit leaves: got %v after a hit, want %v and at most %v more", got, l.Window, e.late(l))
		}
		was, got := first.Windows[i].Reset, d.Windows[i].Reset
		if least, most := was-(told2-asked1)-e.jitter(), was-(asked2-told1)+e.jitter(); got < least || got > most {
			e.Errorf("Reset counts down with the clock: was %v, got %v, want within [%v, %v]", was, got, least, most)
		}
	}
	e.sleep(d.Windows[0].Reset + e.jitter())
	e.remaining("Remaining grows when Reset has passed", r, 4, 7)
}

func idle(e *env) {
	r := ask("idle", e.limit(5))
	e.admit("an idle subject is as good as new", 5, r)
	e.sleep(e.Unit + e.jitter())
	if d := e.peek(r); !d.Allowed || d.Windows[0].Remaining != 5 || d.Windows[0].Reset != 0 {
		e.Errorf("an idle subject is as good as new: got %+v", d)
	}
	e.admit("an idle subject is as good as new", 5, r)
	e.refuse("a subject that comes back is limited", r)
}
