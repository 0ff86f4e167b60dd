package middleware

import (
	"context"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
)

// Explain reports how the guard would decide a request with one key, and why:
// every check of [latchkey.Service.Explain], and the limits. The Outcome is the
// one that the request would get now. No request is made, so nothing is
// charged, counted or entered, and OnDecision does not see it.
//
// The question's Client is the client itself: it is not looked up among
// TrustedProxies.
func (g *Guard) Explain(ctx context.Context, q latchkey.Question) (latchkey.Explanation, Outcome, error) {
	o := Outcome{guard: g, need: &q.Need}
	if q.KeyID == "" {
		token, code := bearer([]string{"Bearer " + q.Token})
		if code != apikey.OK {
			o.code = code
			return latchkey.Explanation{Checks: []latchkey.Check{{Step: latchkey.StepForm, Code: code}}}, o, nil
		}
		q.Token = token
	}
	e, err := g.keys.Explain(ctx, q)
	if err != nil {
		return e, Outcome{}, err
	}
	if o.verified = engine.InQuestion(&e); o.verified.IsZero() {
		if o.code = e.Code(); o.code == apikey.InvalidKey {
			o.code = invalid(q.Token)
			e.Checks[len(e.Checks)-1].Code = o.code
		}
		return e, o, nil
	}
	o.presented = o.verified.Principal()
	code := (&Door{guard: g}).lookUp(ctx, &o)
	if code == apikey.OK && o.limited() {
		o.decision, err = g.limiter.Peek(ctx, limiter.Request{Demands: g.demand(new(demands), o.verified.KeyID(), &o), Shadow: g.o.Shadow})
		if code = g.decided(ctx, err, &o); err != nil && ctx.Err() != nil {
			return e, Outcome{}, ctx.Err()
		}
	}
	e.Checks = append(e.Checks, latchkey.Check{Step: latchkey.StepLimits, Code: code})
	o.code = e.Code()
	o.unknownHost = o.code == apikey.EnvironmentMismatch && !g.servesHost(q.Host)
	return e, o, nil
}
