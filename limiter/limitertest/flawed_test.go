package limitertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// flawed is an exact limiter for demands of any number of windows, over a list
// of hits, whose parts can be replaced by wrong ones.
type flawed struct {
	mu   sync.Mutex
	hits map[string][]Hit // by subject and window

	count       func(hits []Hit, now, window time.Duration) int64
	retry       func(time.Duration) time.Duration
	chargeFirst bool // window by window, as they are asked
	chargeDenied,
	chargePeek,
	ignoreOthers,
	oneSubject,
	unlocked bool
	life time.Duration // of what is reserved; an exact log has none
	// back are the ways to give back what a request was charged; nil: exactly that.
	back       func(hits []Hit, at time.Duration, cost int64) []Hit
	backFirst, // of the first demand alone
	keepRefused, // a charge that could not be raised
	raiseBlind bool // without a look at N
}

// Settle implements [limiter.Settler].
func (f *flawed) Settle(_ context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	cost := s.Cost
	was := max(r.Cost, 1)
	back := f.back
	if back == nil {
		back = giveBack
	}
	undo := func(cost int64) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, demand := range r.Demands {
			for _, l := range demand.Limits {
				if id := fmt.Sprintf("%s %v", demand.Subject, l.Window); i == 0 || !f.backFirst {
					f.hits[id] = back(slices.Clone(f.hits[id]), time.Duration(d.At), cost)
				}
			}
		}
	}
	if cost <= was {
		undo(was - cost)
		after, err := f.decide(limiter.Request{Demands: r.Demands}, false)
		after.Allowed, after.RetryAfter, after.At = true, 0, d.At
		for i := range after.Windows {
			after.Windows[i].Violated = false
		}
		return after, err
	}
	if f.raiseBlind {
		r.Cost = cost - was
		for _, demand := range r.Demands {
			for _, l := range demand.Limits {
				id := fmt.Sprintf("%s %v", demand.Subject, l.Window)
				f.put(id, append(f.get(id), Hit{time.Since(epoch), r.Cost}))
			}
		}
		after, err := f.decide(limiter.Request{Demands: r.Demands}, false)
		after.Allowed, after.RetryAfter, after.At = true, 0, d.At
		for i := range after.Windows {
			after.Windows[i].Violated = false
		}
		return after, err
	}
	undo(was)
	r.Cost = cost
	after, err := f.decide(r, true)
	if !after.Allowed && f.keepRefused {
		r.Cost = was
		_, _ = f.decide(r, true)
	}
	return after, err
}

// giveBack takes cost out of the hit of the instant.
func giveBack(hits []Hit, at time.Duration, cost int64) []Hit {
	for i := range hits {
		if hits[i].At == at {
			n := min(cost, hits[i].Cost)
			hits[i].Cost -= n
			cost -= n
		}
	}
	return hits
}

// giveBackNewest takes it out of whatever came last.
func giveBackNewest(hits []Hit, _ time.Duration, cost int64) []Hit {
	for i := len(hits) - 1; i >= 0; i-- {
		n := min(cost, hits[i].Cost)
		hits[i].Cost -= n
		cost -= n
	}
	return hits
}

// epoch is when virtual time begins, a multiple of a minute.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (f *flawed) Peek(_ context.Context, r limiter.Request) (limiter.Decision, error) {
	return f.decide(r, f.chargePeek)
}

func (f *flawed) Take(_ context.Context, r limiter.Request) (limiter.Decision, error) {
	return f.decide(r, true)
}

func (f *flawed) Reserve(_ context.Context, r limiter.Request) (limiter.Decision, time.Duration, error) {
	d, err := f.decide(r, true)
	if err != nil || !d.Allowed {
		return d, 0, err
	}
	return d, f.life, nil
}

func (f *flawed) decide(r limiter.Request, charge bool) (d limiter.Decision, err error) {
	if !f.unlocked {
		f.mu.Lock()
		defer f.mu.Unlock()
	}
	now := time.Since(epoch)
	cost := max(r.Cost, 1)
	type window struct {
		id    string
		limit apikey.Limit
	}
	var all []window
	for i, demand := range r.Demands {
		subject := demand.Subject
		if f.oneSubject {
			subject = "all"
		}
		for _, l := range demand.Limits {
			if i == 0 || !f.ignoreOthers {
				all = append(all, window{fmt.Sprintf("%s %v", subject, l.Window), l})
			}
		}
	}
	if d.N = windows(r); d.N > limiter.MaxWindows {
		return limiter.Decision{}, limiter.ErrInvalid
	}
	d.Allowed = true
	var kept [limiter.MaxWindows][]Hit
	for i, w := range all {
		hits := f.get(w.id)
		for len(hits) > 0 && hits[0].At+3*w.limit.Window < now {
			hits = hits[1:] // none of the ways to count looks that far back
		}
		counted := f.count(hits, now, w.limit.Window)
		d.Windows[i].Remaining = max(w.limit.N-counted, 0)
		if counted > 0 {
			for _, h := range hits {
				if left := h.At + w.limit.Window - now; left > 0 {
					d.Windows[i].Reset = left
					break
				}
			}
		}
		kept[i] = hits
		switch {
		case counted+cost <= w.limit.N:
			if f.chargeFirst && charge {
				f.put(w.id, append(hits, Hit{now, cost}))
			}
			continue
		case cost > w.limit.N:
			d.RetryAfter = limiter.Never
		case d.RetryAfter != limiter.Never:
			d.RetryAfter = max(d.RetryAfter, f.wait(hits, now, w.limit, cost))
		}
		d.Allowed, d.Windows[i].Violated = false, true
	}
	if d.RetryAfter > 0 && f.retry != nil {
		d.RetryAfter = f.retry(d.RetryAfter)
	}
	for i, w := range all {
		if charge && !f.chargeFirst && (d.Allowed || f.chargeDenied) {
			f.put(w.id, append(kept[i], Hit{now, cost}))
		}
		if charge && d.Allowed {
			d.At = int64(now)
			d.Windows[i].Remaining -= cost
			if d.Windows[i].Reset == 0 {
				d.Windows[i].Reset = w.limit.Window
			}
		}
	}
	return d, nil
}

// get and put are safe on their own, as commands to a server are.
func (f *flawed) get(id string) []Hit {
	if f.unlocked {
		f.mu.Lock()
		defer f.mu.Unlock()
	}
	return slices.Clip(f.hits[id]) // a stale list must not be appended to in place
}

func (f *flawed) put(id string, hits []Hit) {
	if f.unlocked {
		time.Sleep(time.Nanosecond) // the others get what is about to be replaced
		f.mu.Lock()
		defer f.mu.Unlock()
	}
	f.hits[id] = hits
}

func (f *flawed) wait(hits []Hit, now time.Duration, l apikey.Limit, cost int64) time.Duration {
	for _, h := range hits {
		if at := h.At + l.Window; at > now && f.count(hits, at, l.Window)+cost <= l.N {
			return at - now
		}
	}
	return l.Window
}

// Three ways to count: as one should, and the two usual approximations.
func sliding(hits []Hit, now, window time.Duration) (n int64) {
	for _, h := range hits {
		if h.At+window > now {
			n += h.Cost
		}
	}
	return n
}

func fixed(hits []Hit, now, window time.Duration) (n int64) {
	for _, h := range hits {
		if h.At/window == now/window {
			n += h.Cost
		}
	}
	return n
}

func weighted(hits []Hit, now, window time.Duration) int64 {
	cur, prev := int64(0), int64(0)
	for _, h := range hits {
		switch h.At / window {
		case now / window:
			cur += h.Cost
		case now/window - 1:
			prev += h.Cost
		}
	}
	left := float64(window-now%window) / float64(window)
	return cur + int64(left*float64(prev))
}

func slow(hits []Hit, now, window time.Duration) int64 { return sliding(hits, now, window+window/20) }
