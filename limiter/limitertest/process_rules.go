package limitertest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const (
	peersShare = "processes share what is charged and what is in progress"
	peersRace  = "processes that ask at once admit exactly N"
	deadFree   = "the slots of a process that dies are free after SlotLife"
	livingKeep = "a process that lives keeps its slots as long as it likes"
)

var processRules = []rule{
	{peersShare, needsPeer, peersTake},
	{peersRace, needsPeer, peersAtOnce},
	{livingKeep, allOf(needsPeer, needsConcurrent), peersRenew},
	{deadFree, allOf(needsPeer, needsConcurrent, needsKill), peersDie},
}

func needsPeer(h Harness) string {
	if h.Peer == nil {
		return "processes share nothing (Harness.Peer)"
	}
	return ""
}

func needsKill(h Harness) string {
	if h.Kill == nil {
		return "no instance of it can be killed (Harness.Kill)"
	}
	return ""
}

// shared names limits of the kinds that there are, n of each.
func (e *env) shared(subject string, n int64) limiter.Request {
	all := []apikey.Limit{e.long(n), {Name: "large", N: 1000 * n, Window: 20 * e.Unit}}
	if !e.NoQuotas {
		all = append(all, e.quota(n, apikey.Monthly))
	}
	if !e.NoConcurrent {
		all = append(all, atOnceLimit(n))
	}
	return with(ask(subject, all...), "owner of "+subject, e.long(n+1))
}

func peersTake(e *env) {
	other := e.Peer(e.TB, e.l)
	r := e.shared("peers", 4)
	for i := range int64(4) {
		l := e.l
		if i%2 == 1 {
			l = other
		}
		if d := e.takeFrom(l, r); !d.Allowed || d.Windows[0].Remaining != 3-i {
			e.Errorf("%s: request %d of 4: %v", peersShare, i+1, d)
		}
	}
	for _, l := range []limiter.Limiter{other, e.l} {
		if d := e.takeFrom(l, r); d.Allowed {
			e.Errorf("%s: a fifth of 4 was admitted: %v", peersShare, d)
		}
	}
	if e.NoConcurrent {
		return
	}
	busy := ask("peers", apikey.Limit{Name: "one", N: 1, Concurrent: true})
	d := e.take(busy)
	if got := e.takeFrom(other, busy); got.Allowed || got.RetryAfter != limiter.Unknown {
		e.Errorf("%s: a second of 1 at once: %v", peersShare, got)
	}
	e.free(busy, d)
	if got := e.takeFrom(other, busy); !got.Allowed {
		e.Errorf("%s: the place is free again: %v", peersShare, got)
	}
}

func peersAtOnce(e *env) {
	const n = 24
	all := []limiter.Limiter{e.l, e.Peer(e.TB, e.l), e.Peer(e.TB, e.l)}
	r := e.shared("race", n)
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for range n / 3 {
				d, err := all[i%3].Take(e.Context(), r)
				if err != nil {
					e.Errorf("Take: %v", err)
				}
				if d.Allowed {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := admitted.Load(); got != n {
		e.Errorf("%s: %d of %d", peersRace, got, n)
	}
}

// peersRenew holds a slot for several lives, of a process that does nothing else.
func peersRenew(e *env) {
	other := e.Peer(e.TB, e.l)
	r := ask("living", atOnceLimit(1))
	d := e.takeFrom(other, r)
	for range 5 {
		e.sleep(e.SlotLife / 2)
		e.refuse(livingKeep, r)
	}
	if _, err := other.(limiter.Settler).Settle(e.Context(), r, d, limiter.Settlement{Cost: 1, Over: true}); err != nil {
		e.Errorf("Settle: %v", err)
	}
	e.admit(livingKeep, 1, r)
}

func peersDie(e *env) {
	other := e.Peer(e.TB, e.l)
	r := ask("dead", atOnceLimit(3), e.long(100))
	e.takeFrom(other, r)
	e.sleep(e.SlotLife * 2 / 5) // it has renewed it
	e.takeFrom(other, r)
	e.admit(deadFree, 1, r)
	e.Kill(e.TB, other)
	e.refuse("a process that died keeps its slots for a while", r)
	e.sleep(e.SlotLife + e.jitter() + time.Millisecond)
	e.admit(deadFree, 2, r)
	e.refuse(deadFree, r) // one is still in progress here
}
