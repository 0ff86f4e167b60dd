package limitertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const byHistory = "every answer is what the history of all kinds of limits says"

var historyRules = []rule{{byHistory, always, histories}}

// mix makes random requests of all kinds that the limiter knows.
type mix struct {
	*env
	rng    *rand.Rand
	limits map[string][]apikey.Limit
	names  []string
}

func newMix(e *env, seed uint64) *mix {
	m := &mix{env: e, rng: rand.New(rand.NewPCG(seed, 16)), limits: map[string][]apikey.Limit{}}
	for i := range 6 {
		name := fmt.Sprint("mix ", (5*i+2)%6, " ", seed)
		m.names = append(m.names, name)
		all := []apikey.Limit{
			e.limit(int64(8 + i)),
			{Name: "three", N: 20, Window: 3 * e.Unit},
			{Name: "route", N: 4, Window: e.Unit},
			{Name: "large", N: 150, Window: 5 * e.Unit},
		}
		if !e.NoUnits {
			all = append(all, counting(e.limit(60), "tokens"), counting(e.long(400), "images"))
		}
		if !e.NoQuotas {
			ever := e.quota(90, apikey.Ever)
			hour, day, month := e.quota(15, apikey.Hourly), e.quota(60, apikey.Daily), e.quota(500, apikey.Monthly)
			if e.Virtual { // where clocks change
				day.Zone, month.Zone = "America/New_York", "Europe/Berlin"
			}
			if !e.NoUnits {
				month.Unit = "tokens"
			}
			all = append(all, hour, day, month, ever)
		}
		if !e.NoConcurrent {
			all = append(all, atOnceLimit(int64(2+i)), apikey.Limit{Name: "reports", N: 1, Concurrent: true})
		}
		m.limits[name] = all
	}
	return m
}

// request returns one with up to four subjects, and up to two limits of each.
func (m *mix) request() (r limiter.Request) {
	for _, i := range m.rng.Perm(len(m.names))[:1+m.rng.IntN(mostDemands)] {
		all := slices.Clone(m.limits[m.names[i]])
		m.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:1+m.rng.IntN(limiter.MaxWindows/mostDemands)]
		for j := range all {
			all[j].Shadow = !m.NoShadows && m.rng.IntN(12) == 0
			if m.rng.IntN(10) == 0 { // a plan has changed
				all[j].N = max(all[j].N+m.rng.Int64N(5)-2, 1)
			}
		}
		r = with(r, m.names[i], all...)
	}
	if r.Cost = m.rng.Int64N(4); m.rng.IntN(20) == 0 {
		r.Cost = 5 // more than the N of a route
	}
	if !m.NoUnits && m.rng.IntN(3) > 0 {
		r = of(r, "tokens", m.rng.Int64N(15))
	}
	if !m.NoUnits && m.rng.IntN(4) == 0 {
		r = of(r, "images", m.rng.Int64N(3))
	}
	r.Shadow = !m.NoShadows && m.rng.IntN(30) == 0
	return r
}

// settlement of a request: mostly its end.
func (m *mix) settlement(r limiter.Request) (s limiter.Settlement) {
	s = limiter.Settlement{Cost: m.rng.Int64N(6), Over: true}
	if m.rng.IntN(3) == 0 {
		s = limiter.Settlement{Cost: 1 + m.rng.Int64N(5)}
	}
	for _, a := range r.Amounts {
		if m.rng.IntN(2) == 0 {
			s.Amounts = append(s.Amounts, limiter.Amount{Unit: a.Unit, N: m.rng.Int64N(20)})
		}
	}
	return s
}

// pause is short as a rule, and at times goes to where something changes.
func (m *mix) pause(waits []time.Duration) {
	switch k := m.rng.IntN(200); {
	case m.Virtual && k == 0:
		m.sleep(time.Duration(m.rng.Int64N(int64(40 * 24 * time.Hour))))
	case m.Virtual && k < 4:
		m.sleep(time.Duration(m.rng.Int64N(int64(2 * time.Hour))))
	case m.Virtual && k < 40 && len(waits) > 0:
		m.sleep(max(waits[m.rng.IntN(len(waits))]+time.Duration(m.rng.Int64N(3)-1), 0))
	case k < 100:
		m.sleep(time.Duration(m.rng.Int64N(int64(m.Unit / 20))))
	}
}

func histories(e *env) {
	rounds, requests := e.Histories, 2500
	if !e.Virtual {
		rounds, requests = 1, 120
	}
	for seed := range rounds {
		m, o := newMix(e, uint64(seed)), newOracle(e)
		_, settles := e.l.(limiter.Settler)
		processes := []limiter.Limiter{e.l}
		if e.Peer != nil {
			processes = append(processes, e.Peer(e.TB, e.l))
		}
		var open []*taken
		var waits []time.Duration // that the last answer told of
		admitted, refused := 0, 0
		for range requests {
			m.pause(waits)
			e.l = processes[m.rng.IntN(len(processes))]
			if e.Restart != nil && e.Peer == nil && m.rng.IntN(200) == 0 {
				e.l = e.Restart(e.TB, e.l)
				processes[0], open = e.l, nil
				o.past.endAll()
			}
			if i := len(open); i > 0 && settles && m.rng.IntN(3) == 0 {
				i = m.rng.IntN(i)
				s := m.settlement(open[i].r)
				e.l = open[i].by
				o.settle(byHistory, open[i], s)
				if s.Over {
					open = slices.Delete(open, i, i+1)
				}
				continue
			}
			r := m.request()
			if m.rng.IntN(8) == 0 {
				o.peek(byHistory, r)
			}
			t := o.take(byHistory, r)
			if waits = nil; t == nil {
				refused++
				waits = append(waits, max(o.last.RetryAfter, 0))
				continue
			}
			admitted++
			for _, s := range t.d.Windows[:t.d.N] {
				waits = append(waits, s.Reset)
			}
			open = append(open, t)
		}
		if least := requests / 40; admitted < least || refused < least {
			e.Errorf("limitertest: %d admitted and %d refused prove little", admitted, refused)
		}
		for _, t := range open {
			if e.l = t.by; settles {
				o.settle(byHistory, t, limiter.Settlement{Cost: 1, Over: true})
			}
		}
		e.l = processes[0]
	}
}
