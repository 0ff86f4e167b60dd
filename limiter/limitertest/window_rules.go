package limitertest

import (
	"time"
)

var windowRules = []rule{
	{"no interval of the window's length admits more than N", always, exact},
	{"a hit counts at most one segment longer than its window", always, grain},
	{"sustained overload admits at least 98 percent of an exact log", virtual, sustained},
	{"Status tells what remains and when it grows", always, statuses},
	{"an idle subject is as good as new", always, idle},
}

func virtual(h Harness) string {
	if h.Virtual {
		return ""
	}
	return "needs virtual time"
}

// load returns the N to test with: bursts of it must fit well into real time.
func (e *env) load() int64 {
	if e.Virtual {
		return 60
	}
	return 10
}

func exact(e *env) {
	n := e.load()
	all := patterns(n, e.Unit, e.Grain)
	if !e.Virtual {
		all = all[4:5] // it breaks the usual approximations
	}
	for _, p := range all {
		admitted := e.offer(ask("exact "+p.name, e.limit(n)), p.hits)
		if len(admitted) == 0 {
			e.Errorf("%s: nothing was admitted", p.name)
		}
		failed := e.Failed()
		if e.check(admitted, e.limit(n)); e.Failed() && !failed {
			e.Errorf("... with arrivals %q", p.name)
		}
		e.nextUnit()
	}
}

// grain counts again at each refusal: a refusal is right only if the hits of
// the window and one segment leave no room, apart from what the limiter may
// reserve without use.
func grain(e *env) {
	n := e.load()
	all := patterns(n, e.Unit, e.Grain)
	if !e.Virtual {
		all = all[4:5]
	}
	unused := e.unused(n)
	window := e.Unit + e.Grain + time.Microsecond // segments may be rounded up
	for _, p := range all {
		r := ask("grain "+p.name, e.limit(n))
		origin := e.now()
		var admitted []Hit
		for _, h := range p.hits {
			e.until(origin + h.At)
			asked := e.now()
			if e.take(costing(r, h.Cost)).Allowed {
				admitted = append(admitted, Hit{e.now(), h.Cost})
				continue
			}
			counted := int64(0)
			for _, a := range admitted {
				if a.At+window > asked {
					counted += a.Cost
				}
			}
			if counted+h.Cost+unused <= n {
				e.Fatalf("a hit counts at most one segment longer than its window: with arrivals %q, cost %d was refused at %v, with %d of %d admitted in the last %v",
					p.name, h.Cost, h.At, counted, n, window)
			}
		}
		e.nextUnit()
	}
}

func sustained(e *env) {
	const n, windows = 60, 150 // long enough for the ragged end not to matter
	model := &Log{Limit: e.limit(n)}
	want := int64(0)
	hits := steady(n, e.Unit, 0, windows*e.Unit, 2)
	for _, h := range hits {
		if model.Take(h) {
			want++
		}
	}
	got := int64(len(e.offer(ask("sustained", e.limit(n)), hits)))
	if got > want || got*100 < want*98 {
		e.Errorf("sustained overload admits at least 98 percent of an exact log: %d of its %d are %.2f percent",
			got, want, 100*float64(got)/float64(want))
	}
}

func statuses(e *env) {
	r := ask("statuses", e.limit(5), e.long(9))
	if d := e.peek(r); d.Windows[0].Remaining != 5 || d.Windows[1].Remaining != 9 || d.Windows[0].Reset != 0 || d.Windows[1].Reset != 0 {
		e.Errorf("an unused window has all of N and no Reset: got %+v", d)
	}
	asked1 := e.now()
	first := e.take(r)
	told1 := e.now()
	e.until(e.Unit / 2)
	asked2 := e.now()
	d := e.take(r)
	told2 := e.now()
	if d.Windows[0].Remaining != 3 || d.Windows[1].Remaining != 7 {
		e.Errorf("Remaining is what is left after the request: got %+v", d)
	}
	// The first hit leaves both windows first.
	for i, window := range []time.Duration{e.Unit, 20 * e.Unit} {
		early, late := window, window+e.Grain*(window/e.Unit)+time.Microsecond
		if got := first.Windows[i].Reset; got < early-e.lag || got > late {
			e.Errorf("Reset is the time until the oldest counted hit leaves: got %v after a hit, want within [%v, %v]", got, early, late)
		}
		was, got := first.Windows[i].Reset, d.Windows[i].Reset
		if least, most := was-(told2-asked1), was-(asked2-told1); got < least || got > most {
			e.Errorf("Reset counts down with the clock: was %v, got %v, want within [%v, %v]", was, got, least, most)
		}
	}
	time.Sleep(d.Windows[0].Reset)
	e.remaining("Remaining grows when Reset has passed", r, 4, 7)
}

func idle(e *env) {
	r := ask("idle", e.limit(5))
	e.admit("an idle subject is as good as new", 5, r)
	time.Sleep(e.Unit + e.Grain + time.Millisecond)
	if d := e.peek(r); !d.Allowed || d.Windows[0].Remaining != 5 || d.Windows[0].Reset != 0 {
		e.Errorf("an idle subject is as good as new: got %+v", d)
	}
	e.admit("an idle subject is as good as new", 5, r)
	e.refuse("a subject that comes back is limited", r)
}
