package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// explainRequest describes a request to the API about which somebody asks: with
// a key, or with a token.
type explainRequest struct {
	Host        string   `json:"host" null:"empty" validate:"max=256,text,nokey"`
	Environment string   `json:"environment" null:"empty" validate:"nokey"`
	From        address  `json:"from" null:"empty"`
	Scopes      []string `json:"scopes" null:"empty" validate:"max=64,dive,max=128,nokey"`
	AnyScope    bool     `json:"any_scope"`
	Secret      *int64   `json:"secret" validate:"omitnil,min=1,max=4294967295"` // of a key
	Token       *string  `json:"token" validate:"omitnil,filled"`
}

// address is one address of a client.
type address struct{ netip.Addr }

func (a *address) setJSON(raw []byte) (err error) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return errAddress
	}
	if a.Addr, err = netip.ParseAddr(text); err != nil || a.Zone() != "" {
		return errAddress
	}
	return nil
}

var errAddress = errors.New(`must be an address like "10.0.0.4" or "2001:db8::1"`)

// question reads a question. Without scopes it is about a route open to any
// key.
func (c *call) question() (q *explainRequest, to latchkey.Question, err error) {
	q = new(explainRequest)
	if err := c.body(q); err != nil {
		return q, to, err
	}
	to = latchkey.Question{Host: q.Host, Client: q.From.Addr, Need: apikey.AnyKey()}
	var faults []fieldError
	if q.Environment != "" {
		e, ok := c.h.environment(q.Environment)
		switch {
		case !ok:
			faults = append(faults, fieldError{Pointer: "/environment", Detail: "there is no such environment"})
		case q.Host != "":
			faults = append(faults, fieldError{Pointer: "/environment", Detail: "say the host or the environment, not both"})
		case len(e.Hosts) > 0:
			to.Host = e.Hosts[0]
		default: // it serves any host, so use one that no other environment serves
			to.Host = e.Name + ".invalid"
		}
	}
	if len(q.Scopes) > 0 {
		need := apikey.AllOf
		if q.AnyScope {
			need = apikey.AnyOf
		}
		if to.Need, err = need(q.Scopes...); err != nil {
			faults = append(faults, fieldError{Pointer: "/scopes", Detail: "a route asks for scopes like \"marketplace:read\", without '*'"})
		}
	}
	switch {
	case c.route.namesKey() && q.Token != nil:
		faults = append(faults, fieldError{Pointer: "/token", Detail: "is not known here: the address names the key"})
	case !c.route.namesKey() && q.Token == nil:
		faults = append(faults, fieldError{Pointer: "/token", Detail: "is required"})
	case !c.route.namesKey() && q.Secret != nil:
		faults = append(faults, fieldError{Pointer: "/secret", Detail: "is not known here: the token holds one"})
	}
	return q, to, invalidFields(faults)
}

// explainKey reports how a request with the key would end.
func (c *call) explainKey() error {
	body, q, err := c.question()
	if err != nil {
		return err
	}
	q.KeyID = c.key.ID
	if body.Secret != nil {
		q.Secret = uint32(*body.Secret)
	}
	return c.explain(q)
}

// explainToken does the same for a token that somebody has. As for identify,
// the token comes in the body and is not written anywhere.
func (c *call) explainToken() error {
	body, q, err := c.question()
	if err != nil {
		return err
	}
	q.Token = *body.Token
	return c.explain(q)
}

// checkJSON is one check of an explanation.
type checkJSON struct {
	Check  string `json:"check"`
	Passes bool   `json:"passes"`
	Code   string `json:"code,omitempty"`
	Status int    `json:"status,omitempty"`
	Title  string `json:"title,omitempty"`
}

// limitLeft is one limit and what is left of it.
type limitLeft struct {
	limit
	Remaining int64    `json:"remaining"`
	Reset     duration `json:"reset"`
	Refuses   bool     `json:"refuses,omitempty"` // or would, if it is a shadow
}

// explanationJSON reports how a request would end.
type explanationJSON struct {
	Admitted      bool        `json:"admitted"`
	Status        int         `json:"status"`
	Code          string      `json:"code"`
	Detail        string      `json:"detail,omitempty"`
	RetryAfter    int64       `json:"retry_after,omitempty"`
	KeyID         string      `json:"key_id,omitempty"`
	Secret        uint32      `json:"secret,omitempty"`
	Checks        []checkJSON `json:"checks"`
	MissingScopes []string    `json:"missing_scopes,omitempty"`
	Limits        []limitLeft `json:"limits,omitempty"`
}

// explain answers a question. For an actor who may not see a token's key, the
// key does not exist.
func (c *call) explain(q latchkey.Question) error {
	var (
		e   latchkey.Explanation
		o   middleware.Outcome
		err error
	)
	if g := c.h.o.Guard; g != nil {
		e, o, err = g.Explain(c.r.Context(), q)
	} else {
		e, err = c.h.keys.Explain(c.r.Context(), q)
	}
	if err != nil {
		return err
	}
	who := e.Principal()
	known := who != nil
	if known && !c.actor.sees(who.Owner()) {
		known, o = false, *middleware.Refusal(apikey.InvalidKey)
		e = latchkey.Explanation{Checks: []latchkey.Check{{Step: latchkey.StepForm}, {Step: latchkey.StepSecret, Code: apikey.InvalidKey}}}
	}
	info := e.Code().Info()
	answer := explanationJSON{Admitted: e.Code() == apikey.OK, Status: info.Status, Code: info.Name, Checks: []checkJSON{}}
	if !answer.Admitted {
		answer.Detail = info.Title + "."
		if c.h.o.Guard != nil {
			answer.Detail, answer.RetryAfter = o.Detail(), o.RetryAfter()
		}
	}
	for _, check := range e.Checks {
		x := checkJSON{Check: check.Step.String(), Passes: check.Code == apikey.OK}
		if info := check.Code.Info(); !x.Passes {
			x.Code, x.Status, x.Title = info.Name, info.Status, info.Title
		}
		answer.Checks = append(answer.Checks, x)
	}
	if known {
		answer.KeyID, answer.Secret = who.KeyID(), who.Secret()
		if scopes := who.Scopes(); !q.Need.MetBy(scopes) {
			answer.MissingScopes = q.Need.Missing(scopes)
		}
		for l, left := range o.Limits() {
			answer.Limits = append(answer.Limits, limitLeft{limitJSON(l), left.Remaining, roundUp(left.Reset), left.Violated})
		}
	}
	return c.json(http.StatusOK, answer)
}

// roundUp rounds a wait up to whole seconds, so that it is over when they have
// passed.
func roundUp(d time.Duration) duration {
	return duration((d + time.Second - 1).Truncate(time.Second))
}
