package limitertest

import (
	"math/rand/v2"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

const (
	namesApart  = "limits of one length and other names have counts of their own"
	shapesApart = "limits of one name and another length or kind have counts of their own"
	sameCount   = "a limit keeps its count when its N, unit or shadow changes"
	startsZero  = "a new limit starts from zero"
	passes128   = "a window whose N passes 128 keeps its count"
)

var planRules = []rule{
	{"a raised limit admits at once", always, raised},
	{"a lowered limit refuses until it drains", always, lowered},
	{"a limit that stays keeps its count when another comes or goes", always, stays},
	{"a limit that comes back finds its count", always, returns},
	{startsZero, always, added},
	{namesApart, always, byName},
	{shapesApart, always, byShape},
	{sameCount, always, sameLimit},
	{passes128, always, passing},
}

func raised(e *env) {
	const rule = "a raised limit admits at once"
	e.admit(rule, 5, ask("up", e.limit(5)))
	e.refuse("a full window refuses", ask("up", e.limit(5)))
	e.admit(rule, 2, ask("up", e.limit(7)))
	e.refuse("a raised limit keeps its count", ask("up", e.limit(7)))
	// Wide counters: the count passes every power of two that could be a width.
	for _, n := range []int64{100, 300, 70_000, 1_000_000_000} {
		d := e.take(ask("up", e.limit(n)))
		e.admit(rule, 1, costing(ask("up", e.limit(n)), d.Windows[0].Remaining))
		e.refuse("a raised limit keeps its count", ask("up", e.limit(n)))
	}
	e.sleep(e.Unit / 2)
	e.peek(ask("up", e.limit(1_000_000_000)))
	e.sleep(e.Unit/2 + e.Grain + time.Millisecond + e.jitter())
	e.remaining("all that was counted leaves", ask("up", e.limit(1_000_000_000)), 1_000_000_000)
}

func lowered(e *env) {
	const rule = "a lowered limit refuses until it drains"
	e.admit("an unused window admits N", 4, ask("down", e.limit(10)))
	e.until(e.Unit / 2)
	asked := e.now()
	e.admit("an unused window admits N", 4, ask("down", e.limit(10)))
	d := e.refuse(rule, ask("down", e.limit(3)))
	if d.Windows[0].Remaining != 0 || d.RetryAfter < asked+e.Unit-e.now()-e.jitter() {
		e.Errorf("%s: 6 of 8 must leave before 3 admit one: got %+v", rule, d)
	}
	e.sleep(e.Unit/2 + e.Unit/8) // the first four leave, and four still count
	e.refuse(rule, ask("down", e.limit(3)))
	e.sleep(e.peek(ask("down", e.limit(3))).RetryAfter)
	e.admit(retryHonest, 1, ask("down", e.limit(3)))
}

func stays(e *env) {
	const rule = "a limit that stays keeps its count when another comes or goes"
	e.admit("an unused window admits N", 4, ask("plan", e.long(6)))
	e.admit(rule, 1, ask("plan", e.limit(100), e.long(6)))
	e.remaining(rule, ask("plan", e.long(6), e.limit(100)), 1, 99)
	e.admit(rule, 1, ask("plan", e.long(6)))
	e.refuse(rule, ask("plan", e.long(6), apikey.Limit{Name: "third", N: 100, Window: 2 * e.Unit}))
	e.remaining("Peek with other limits changes nothing", ask("plan", e.limit(1)), 0)
	e.refuse(rule, ask("plan", e.long(6)))
}

// returns uses other limits for a while.
func returns(e *env) {
	const rule = "a limit that comes back finds its count"
	e.admit("an unused window admits N", 6, ask("returns", e.long(6)))
	for i := range 2 {
		for _, name := range []string{"unit", "b", "c", "d"} { // as many as a subject may have in a request
			l := e.limit(50)
			l.Name = name
			e.take(ask("returns", l))
		}
		if i == 0 {
			e.sleep(e.Unit + e.Grain + time.Millisecond)
		}
	}
	e.refuse(rule, ask("returns", e.long(6)))
	if !e.NoQuotas {
		e.admit(rule, 3, ask("returns", e.quota(3, apikey.Ever)))
		e.take(ask("returns", e.long(6), e.limit(50)))
		e.refuse(rule, ask("returns", e.quota(3, apikey.Ever)))
	}
}

// added names new limits beside full ones, of other lengths and of none.
func added(e *env) {
	e.admit("an unused window admits N", 6, ask("new", e.long(6)))
	for _, l := range []apikey.Limit{e.limit(5), {Name: "longer", N: 5, Window: 30 * e.Unit}, {Name: "large", N: 500, Window: 21 * e.Unit}} {
		d := e.peek(ask("new", l))
		if d.Windows[0].Remaining != l.N || d.Windows[0].Reset != 0 {
			e.Errorf("%s: %v has %v", startsZero, l, d)
		}
		e.admit(startsZero, 1, costing(ask("new", l), l.N))
		e.refuse(startsZero, ask("new", l))
	}
	e.refuse("a full window refuses", ask("new", e.long(6)))
}

func byName(e *env) {
	route := e.long(2)
	route.Name = "route"
	none := e.long(3)
	none.Name = ""
	r := ask("names", e.long(5), route, none)
	e.admit(namesApart, 2, r)
	if d := e.refuse(namesApart, r); d.Windows[0].Violated || !d.Windows[1].Violated || d.Windows[2].Violated {
		e.Errorf("%s: 2 of 5, 2 of 2 and 2 of 3: %v", namesApart, d)
	}
	e.admit(namesApart, 1, ask("names", none))
	e.admit(namesApart, 3, ask("names", e.long(5)))
	e.refuse(namesApart, ask("names", e.long(5)))
	e.remaining(namesApart, ask("names", none, route, e.long(5)), 0, 0, 0)
	e.remaining("a limit without a use has all of N", ask("names", apikey.Limit{Name: "other", N: 9, Window: 20 * e.Unit}), 9)
}

func byShape(e *env) {
	all := []apikey.Limit{{Name: "x", N: 2, Window: 20 * e.Unit}, {Name: "x", N: 3, Window: 21 * e.Unit}}
	if !e.NoQuotas {
		all = append(all, e.quota(4, apikey.Monthly))
		all[len(all)-1].Name = "x"
	}
	if !e.NoConcurrent {
		all = append(all, apikey.Limit{Name: "x", N: 5, Concurrent: true})
	}
	for i := range all {
		e.admit(shapesApart, 1, ask("shapes", all[i]))
	}
	for i, l := range all {
		e.remaining(shapesApart, ask("shapes", l), l.N-1)
		e.admit(shapesApart, l.N-1, ask("shapes", all[i]))
		e.refuse(shapesApart, ask("shapes", all[i]))
	}
}

func sameLimit(e *env) {
	e.admit(sameCount, 2, ask("same", e.long(5)))
	if !e.NoShadows {
		l := e.long(4)
		l.Shadow = true
		e.admit(sameCount, 1, ask("same", l))
	}
	if !e.NoUnits {
		l := e.long(50)
		l.Unit = "tokens"
		e.admit(sameCount, 1, of(ask("same", l), "tokens", 10))
	}
	want := int64(98)
	if !e.NoShadows {
		want--
	}
	if !e.NoUnits {
		want -= 10
	}
	e.remaining(sameCount, ask("same", e.long(100)), want)
}

// passing changes N at random, to both sides of 128.
func passing(e *env) {
	rng := rand.New(rand.NewPCG(128, 129))
	o := newOracle(e)
	requests := 3000
	if !e.Virtual {
		requests = 100
	}
	most := []int64{20, mostExact - 1, mostExact, mostExact + 1, 1000}
	n := most[0]
	for range requests {
		e.sleep(time.Duration(rng.Int64N(int64(e.Unit / 25))))
		if rng.IntN(10) == 0 {
			n = most[rng.IntN(len(most))]
		}
		o.take(passes128, costing(ask("passes", e.limit(n)), 1+rng.Int64N(n/10+1)))
	}
}
