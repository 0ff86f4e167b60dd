package limitertest

import (
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

const (
	shadowAdmits   = "a shadow refuses nobody, and is decided and reported as if it did"
	shadowTogether = "shadows are charged together, if the request is allowed and none of them refuses"
	shadowRequest  = "Request.Shadow makes all limits shadows"
	shadowSettles  = "Settle leaves alone the shadows that were not charged"
)

var shadowRules = []rule{
	{shadowAdmits, needsShadows, shadowsAdmit},
	{shadowTogether, needsShadows, shadowsTogether},
	{shadowRequest, needsShadows, requestShadow},
	{shadowSettles, needsShadows, shadowsSettle},
}

func shadow(l apikey.Limit) apikey.Limit {
	l.Name, l.Shadow = "shadow", true
	return l
}

func shadowsAdmit(e *env) {
	r := ask("shadow", shadow(e.long(2)), e.long(4))
	for i := range 4 {
		d := e.admit(shadowAdmits, 1, r)
		if s := d.Windows[0]; s.Violated != (i >= 2) || s.Remaining != int64(max(1-i, 0)) || d.Windows[1].Remaining != int64(3-i) {
			e.Errorf("%s: request %d of 2 in the shadow and 4: %v", shadowAdmits, i+1, d)
		}
		if d := e.peek(r); d.Windows[0].Violated != (i >= 1) || d.Allowed != (i < 3) {
			e.Errorf("%s: Peek after request %d of 2 in the shadow and 4: %v", shadowAdmits, i+1, d)
		}
	}
	if d := e.refuse(shadowAdmits, r); !d.Windows[0].Violated || !d.Windows[1].Violated {
		e.Errorf("%s: both are full: %v", shadowAdmits, d)
	}
	// A shadow is in no one's way, however long one would have to wait for it.
	r = ask("waits", shadow(e.long(1)), e.limit(2))
	e.admit(shadowAdmits, 2, r)
	if d := e.refuse(shadowAdmits, r); d.RetryAfter > e.Unit+e.jitter() {
		e.Errorf("%s: RetryAfter is that of the other limit: %v", shadowAdmits, d)
	}
	if d := e.refuse(shadowAdmits, costing(r, 2)); d.RetryAfter < 0 {
		e.Errorf("%s: RetryAfter is that of the other limit: %v", shadowAdmits, d)
	}
	// What was a shadow refuses as soon as it is none, by the same count.
	hard := e.long(2)
	hard.Name = "shadow"
	e.refuse(shadowAdmits, ask("shadow", hard))
}

func shadowsTogether(e *env) {
	r := with(ask("together", shadow(e.long(2)), e.long(100)), "owner of together", shadow(e.long(3)))
	e.admit(shadowTogether, 2, r)
	e.admit(shadowTogether, 3, r) // the first is full, so the second is not charged
	e.remaining(shadowTogether, r, 0, 95, 1)
	r = with(ask("together", shadow(e.long(2)), e.long(100)), "owner of together", e.long(3))
	e.admit(shadowTogether, 3, r) // of another name, and no shadow
	e.refuse(shadowTogether, r)
	e.remaining(shadowTogether, r, 0, 92, 0)

	refused := ask("refused", shadow(e.long(5)), e.long(1))
	e.admit(shadowTogether, 1, refused)
	for range 3 {
		e.refuse(shadowTogether, refused)
	}
	e.remaining(shadowTogether, refused, 4, 0)
}

func requestShadow(e *env) {
	r := with(ask("all", e.long(2), e.limit(50)), "owner of all", e.long(10))
	r.Shadow = true
	for i := range 6 {
		if d := e.admit(shadowRequest, 1, r); d.Windows[0].Violated != (i >= 2) || d.Windows[1].Violated || d.Windows[2].Violated {
			e.Errorf("%s: request %d of 2: %v", shadowRequest, i+1, d)
		}
	}
	e.remaining(shadowRequest, r, 0, 48, 8)
	r.Shadow = false
	e.refuse(shadowRequest, r)
	if e.NoConcurrent {
		return
	}
	r = ask("all at once", atOnceLimit(1))
	r.Shadow = true
	first := e.admit(shadowRequest, 1, r)
	if d := e.admit(shadowRequest, 1, r); first.Slot == 0 || d.Slot != 0 || !d.Windows[0].Violated {
		e.Errorf("%s: the second of 1 at once has no place: %d and %d: %v", shadowRequest, first.Slot, d.Slot, d)
	}
	e.free(r, first)
	e.remaining(shadowRequest, r, 1)
}

func shadowsSettle(e *env) {
	r := ask("settled", shadow(e.long(5)), e.long(100))
	charged := e.take(costing(r, 4))
	not := e.take(costing(r, 3))
	e.remaining(shadowSettles, r, 1, 93)
	e.left(shadowSettles, e.settle(costing(r, 3), not, 1), 1, 95)
	e.left(shadowSettles, e.settle(r, not, 6), 1, 90)
	e.left(shadowSettles, e.settle(costing(r, 4), charged, 2), 3, 92)
	e.left(shadowSettles, e.settleAs(costing(r, 2), charged, limiter.Settlement{Cost: 9, Over: true}), 0, 85)
}
