package apikey

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wontopos/latchkey/internal/redact"
)

// Limit allows at most N requests in any interval of length Window.
//
// The zero value is invalid. To allow nothing, disable the key; N = 0 is not
// allowed, so that a forgotten field never means "refuse all" or "allow all" by
// accident.
type Limit struct {
	// Name identifies the limit to clients: it is the quoted policy name in the
	// RateLimit headers. 1 to 32 characters of a-z, 0-9, '-' and '_'.
	Name string `json:"name"`
	// N is the number of requests (or cost units) the window admits, 1 to
	// 1e9.
	N int64 `json:"n"`
	// Window is the length of the sliding window, in whole seconds, from one
	// second to 31 days.
	Window time.Duration `json:"window"`
}

// Bounds of a plan. They keep one key's state small and an answer's headers
// short.
const (
	MaxLimits      = 4                   // limits in one plan
	MaxLimitN      = 1_000_000_000       // requests in one window
	MaxLimitWindow = 31 * 24 * time.Hour // length of one window
)

// PerMinute allows n requests in any 60 seconds. It and PerDay are the two
// windows of the plans that people know.
func PerMinute(n int64) Limit { return Limit{Name: "minute", N: n, Window: time.Minute} }

// PerDay allows n requests in any 24 hours.
func PerDay(n int64) Limit { return Limit{Name: "day", N: n, Window: 24 * time.Hour} }

// Plan is a named set of limits. A key names its plan; all limits of the plan
// are decided and charged together. A plan without limits admits every request:
// it must set Unlimited, so that a plan whose limits were forgotten is refused
// instead.
type Plan struct {
	Name      string  `json:"name"`
	Limits    []Limit `json:"limits"`
	Unlimited bool    `json:"unlimited,omitempty"`
}

// StandardPlans returns the plans free (60 a minute, 1,000 a day), pro (600 and
// 50,000) and enterprise (6,000 a minute, no daily limit). The caller owns the
// slice.
func StandardPlans() []Plan {
	return []Plan{
		{Name: "free", Limits: []Limit{PerMinute(60), PerDay(1_000)}},
		{Name: "pro", Limits: []Limit{PerMinute(600), PerDay(50_000)}},
		{Name: "enterprise", Limits: []Limit{PerMinute(6_000)}},
	}
}

// PlanSource supplies the limits of a plan, for services whose plans live
// elsewhere (a billing table). It is asked when a key is first used, and again
// after latchkey.Service.RefreshPlans, which one process calls for all; never once per
// request.
//
// A source returns [NotFound] for a name that it does not have. Any other
// error means that it could not be asked: the key is then answered with
// "unavailable", never as if it were unlimited. It is called concurrently.
type PlanSource interface {
	Plan(ctx context.Context, name string) (Plan, error)
}

// Validate returns an error if the plan is invalid, naming the field.
func (p Plan) Validate() error {
	if err := validName("Plan.Name", p.Name, 64); err != nil {
		return err
	}
	switch {
	case p.Unlimited && len(p.Limits) > 0:
		return invalidf("Plan.Unlimited", "plan %q has limits and says that it is unlimited: keep one of the two", p.Name)
	case !p.Unlimited && len(p.Limits) == 0:
		return invalidf("Plan.Limits", "plan %q has no limits: add one, or set Unlimited", p.Name)
	}
	return validLimits("Plan.Limits", p.Limits)
}

func validLimits(field string, limits []Limit) error {
	if len(limits) > MaxLimits {
		return invalidf(field, "%d limits, at most %d are allowed", len(limits), MaxLimits)
	}
	for i, l := range limits {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := validName(at+".Name", l.Name, 32); err != nil {
			return err
		}
		if l.N < 1 || l.N > MaxLimitN {
			return invalidf(at+".N", "%d is not between 1 and %d", l.N, MaxLimitN)
		}
		if l.Window < time.Second || l.Window > MaxLimitWindow || l.Window%time.Second != 0 {
			return invalidf(at+".Window", "%v is not a whole number of seconds between 1s and %v", l.Window, MaxLimitWindow)
		}
		if slices.ContainsFunc(limits[:i], func(o Limit) bool { return o.Name == l.Name || o.Window == l.Window }) {
			return invalidf(at, "name %s or window %v is duplicated", redact.Quoted(l.Name), l.Window)
		}
	}
	return nil
}

// validName accepts the short lower-case names of plans, limits and
// environments that go into headers and tokens.
func validName(field, s string, most int) error {
	if s == "" || len(s) > most {
		return invalidf(field, "%s must have 1 to %d characters", redact.Quoted(s), most)
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return invalidf(field, "%s may hold a-z, 0-9, '-' and '_' only", redact.Quoted(s))
		}
	}
	return nil
}
