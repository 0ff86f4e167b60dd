package apikey

import (
	"context"

	"github.com/wontopos/latchkey/internal/redact"
)

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

// PlanLister is an optional ability of a [PlanSource]: it lists its plans, so
// that people can choose one. The list is not asked for by requests.
type PlanLister interface {
	PlanSource
	Plans(ctx context.Context) ([]Plan, error)
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
