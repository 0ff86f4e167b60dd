package limiter

import (
	"context"
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"
)

// refusals remembers requests that a shared limiter has refused. It is a
// direct-mapped table: a newer refusal may replace one that still holds, which
// costs a call.
type refusals struct {
	seed  maphash.Seed
	all   []atomic.Pointer[refusal]
	freed [freedSlots]atomic.Uint32 // how often something was given back, by subject
}

const (
	refusalSlots = 1 << 14
	freedSlots   = 1 << 14
	// rememberFor bounds how long what other processes give back is not seen.
	rememberFor = time.Second
)

// refusal is immutable, but for the turn.
type refusal struct {
	Decision
	request  uint64
	subject  string // of the first demand, so that no collision refuses another's request
	freed    uint32
	received int64         // when the answer came
	until    int64         // when it must be asked for again
	turn     chan struct{} // holds a token while one request asks again
}

func (f *refusals) init() {
	f.seed, f.all = maphash.MakeSeed(), make([]atomic.Pointer[refusal], refusalSlots)
}

// question is a request as its refusal is found.
type question struct {
	at      *atomic.Pointer[refusal]
	hash    uint64
	subject string
	freed   uint32 // when the question was put
}

// of must be called before the shared limiter is asked: what is given back
// meanwhile then makes the refusal void.
func (f *refusals) of(r *Request) (q question) {
	var h maphash.Hash
	h.SetSeed(f.seed)
	text := func(s string) { number(&h, int64(len(s))); h.WriteString(s) }
	number(&h, r.Cost)
	flag(&h, r.Shadow)
	for i := range r.Amounts {
		text(r.Amounts[i].Unit)
		number(&h, r.Amounts[i].N)
	}
	for i := range r.Demands {
		d := &r.Demands[i]
		if len(d.Limits) > 0 && q.subject == "" {
			q.subject = d.Subject
		}
		q.freed += f.freedOf(d.Subject).Load()
		text(d.Subject)
		number(&h, int64(len(d.Limits)))
		for j := range d.Limits {
			l := &d.Limits[j]
			text(l.Name)
			text(string(l.Period))
			text(l.Zone)
			text(l.Unit)
			number(&h, l.N)
			number(&h, int64(l.Window))
			flag(&h, l.Concurrent)
			flag(&h, l.Shadow)
		}
	}
	q.hash = h.Sum64()
	q.at = &f.all[q.hash%refusalSlots]
	return q
}

func number(h *maphash.Hash, n int64) {
	maphash.WriteComparable(h, n)
}

func flag(h *maphash.Hash, b bool) {
	maphash.WriteComparable(h, b)
}

func (f *refusals) freedOf(subject string) *atomic.Uint32 {
	return &f.freed[maphash.String(f.seed, subject)%freedSlots]
}

// recall returns the refusal of the request, if there is one that still holds.
func (q *question) recall(now int64) (d Decision, ok bool) {
	f := q.known()
	if f == nil || f.freed != q.freed || now >= f.until {
		return d, false
	}
	d = f.Decision
	passed := time.Duration(now - f.received)
	if d.RetryAfter > 0 {
		d.RetryAfter = max(d.RetryAfter-passed, 1)
	}
	for i := range d.N {
		d.Windows[i].Reset = max(d.Windows[i].Reset-passed, 0)
	}
	return d, true
}

// known returns the newest refusal of the request, whether it holds or not.
func (q *question) known() *refusal {
	if f := q.at.Load(); f != nil && f.request == q.hash && f.subject == q.subject {
		return f
	}
	return nil
}

// recent reports whether a refusal, or nil, held a moment ago.
func (f *refusal) recent(now int64) bool { return f != nil && now < f.until+int64(rememberFor) }

// wait lets one request after the other ask about what was refused a moment ago.
// So of a flood that waits for the end of a refusal, only those ask that are
// admitted, and one more. It waits no longer than patience or ctx, and returns
// what ends the turn.
func (f *refusal) wait(ctx context.Context, patience time.Duration) (end func()) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case f.turn <- struct{}{}:
		return func() { <-f.turn }
	case <-late.C:
	case <-ctx.Done():
	}
	return func() {}
}

// remember keeps a refusal for as long as nothing can have changed it. It was
// decided between sent and received: it holds from the earlier, and what is left
// to wait is told from the later.
func (q *question) remember(d Decision, sent, received int64) {
	until := received + int64(rememberFor)
	switch {
	case d.RetryAfter == Unknown:
		return
	case d.RetryAfter > 0:
		until = min(until, sent+int64(d.RetryAfter))
	}
	q.at.Store(&refusal{d, q.hash, strings.Clone(q.subject), q.freed, received, until, make(chan struct{}, 1)})
}

// forget makes all refusals of the request's subjects void.
func (f *refusals) forget(r *Request) {
	for i := range r.Demands {
		f.freedOf(r.Demands[i].Subject).Add(1)
	}
}
