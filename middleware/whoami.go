package middleware

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

// WhoAmI returns a handler that tells a key about itself: its scopes, expiry
// and plan, what is left of its limits, and the state of a rotation. Mount it
// beside the API, without a door: it is its own guard.
//
//	mux.Handle("GET /v1/whoami", guard.WhoAmI())
//
// A request to it is treated like a request to any route that needs no scope:
// it is decided, charged, counted and refused in the same way, and it counts as
// a use of the secret. It is deliberately not free. Reading shared limits takes
// a round trip, so a free question would let clients make the server work past
// their limits. Every response to a request with a key already has the numbers
// in its RateLimit field.
//
// Inside a door of the Guard that has decided the request, it does not decide
// again, like any nested door.
//
// The answer is JSON and must not be stored. It contains no secret, nothing
// about the owner's other keys, and no metadata.
func (g *Guard) WhoAmI() http.Handler {
	door := g.Door(Route{Need: AnyKey()})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if outer := g.outermost(r.Context()); outer != nil {
			if _, same := door.serveInner(w, r, outer, g.whoAmIInside); same {
				return
			}
		}
		q, call := Request{}, new(Call)
		q.of(r)
		if g.o.PreflightCORS && isPreflight(&q) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		door.Decide(r.Context(), call, q)
		call.Matched(routeOf(r))
		if !call.Allowed() || call.End(http.StatusOK) != nil {
			g.refuse(w, r, &call.Outcome)
			return
		}
		call.answerWhoAmI(w)
	})
}

// whoAmIInside answers inside a door that has decided the request, so what is
// left of the limits must be looked up.
func (g *Guard) whoAmIInside(w http.ResponseWriter, r *http.Request, p *apikey.Principal) {
	o := g.outermost(r.Context()).outcome()
	o.presented = p
	if o.limited() {
		demand := limiter.Request{Demands: g.demand(new(demands), &o), Shadow: g.o.Shadow}
		d, err := g.limiter.Peek(r.Context(), demand)
		if err = asked(&demand, &d, err); err != nil {
			g.complaint.say(g, err)
		} else {
			o.decision = d
		}
	}
	o.answerWhoAmI(w)
}

func (o *Outcome) answerWhoAmI(w http.ResponseWriter) {
	var answer bytes.Buffer
	_ = json.NewEncoder(&answer).Encode(o.whoAmI()) // strings, numbers and times of this century: cannot fail
	for name, value := range o.ResponseFields() {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(answer.Bytes())
}

type whoAmI struct {
	KeyID       string    `json:"key_id"`
	Name        string    `json:"name"`
	Environment string    `json:"environment"`
	Scopes      []string  `json:"scopes"`
	Plan        string    `json:"plan"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	Secret      whoSecret `json:"secret"` // the one that the request was sent with
	// Limits are the limits as this request leaves them; empty if the key has
	// none.
	Limits []whoLimit `json:"limits"`
}

type whoSecret struct {
	Number    uint32    `json:"number"`
	Newest    bool      `json:"newest"` // false: the key was rotated, and this secret will end
	CreatedAt time.Time `json:"created_at"`
	EndsAt    time.Time `json:"ends_at,omitzero"`
	// Grace is in seconds, counted from the first use of the newest secret.
	Grace int64 `json:"grace,omitempty"`
}

type whoLimit struct {
	Name      string `json:"name"`
	Limit     int64  `json:"limit"`
	Remaining int64  `json:"remaining"`
	// Reset is in how many seconds some of it comes back, rounded up; 0 if nobody
	// knows, or never.
	Reset int64 `json:"reset"`
	whoKind
}

// whoKind says what a limit counts: in a window, in a calendar period, or at the
// same time.
type whoKind struct {
	Window     int64         `json:"window,omitempty"` // seconds
	Period     apikey.Period `json:"period,omitempty"`
	Zone       string        `json:"zone,omitempty"`
	Concurrent bool          `json:"concurrent,omitempty"`
	Unit       string        `json:"unit,omitempty"`
}

func (o *Outcome) whoAmI() whoAmI {
	p := o.presented
	secret, newest := p.PresentedSecret()
	me := whoAmI{
		KeyID: p.KeyID(), Name: p.Name(), Environment: p.Environment(), Scopes: append([]string{}, p.Scopes()...), Plan: p.Plan(), ExpiresAt: p.ExpiresAt(),
		Secret: whoSecret{secret.Number, newest, secret.CreatedAt, secret.EndsAt, ceilSeconds(secret.Grace)},
		Limits: []whoLimit{},
	}
	for l, left := range o.Limits() {
		if l.Shadow { // nothing that the client needs to keep to
			continue
		}
		kind := whoKind{ceilSeconds(l.Window), l.Period, l.Zone, l.Concurrent, l.Unit}
		me.Limits = append(me.Limits, whoLimit{l.Name, l.N, left.Remaining, ceilSeconds(left.Reset), kind})
	}
	return me
}
