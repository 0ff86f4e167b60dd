package admin

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// createRequest is the body that creates a key.
type createRequest struct {
	Name        string             `json:"name" validate:"filled,max=128,text,nokey"`
	Owner       *string            `json:"owner" validate:"omitnil,filled,max=256,text,nokey"` // operators only
	Environment string             `json:"environment" null:"empty" validate:"nokey"`
	Scopes      []string           `json:"scopes" null:"empty" validate:"max=64,dive,max=128,nokey"`
	Plan        string             `json:"plan" null:"empty" validate:"nokey"`
	Limits      []newLimit         `json:"limits" null:"empty" validate:"max=4,dive"` // operators only
	Networks    []network          `json:"networks" null:"empty" validate:"max=64"`
	Metadata    *map[string]string `json:"metadata" null:"empty" validate:"omitnil,dive,keys,nokey,endkeys,nokey"` // operators only
	ExpiresAt   *instant           `json:"expires_at" null:"empty"`
}

// newLimit is one of a key's own limits.
type newLimit struct {
	Name       string   `json:"name" validate:"required,max=32,nokey"`
	N          int64    `json:"n" validate:"min=1,max=1000000000000000"`
	Window     duration `json:"window" validate:"required_without_all=Period Concurrent"`
	Period     string   `json:"period" validate:"nokey"`
	Zone       string   `json:"zone" validate:"max=64,nokey"`
	Concurrent bool     `json:"concurrent"`
	Unit       string   `json:"unit" validate:"max=32,nokey"`
	Shadow     bool     `json:"shadow"`
}

// updateRequest is the body that changes a key: an absent field stays
// unchanged, and null empties a field.
type updateRequest struct {
	Name      *string            `json:"name" validate:"omitnil,filled,max=128,text,nokey"`
	Scopes    *[]string          `json:"scopes" null:"empty" validate:"omitnil,max=64,dive,max=128,nokey"`
	Plan      *string            `json:"plan" null:"empty" validate:"omitnil,nokey"`
	Limits    *[]newLimit        `json:"limits" null:"empty" validate:"omitnil,max=4,dive"`
	Networks  *[]network         `json:"networks" null:"empty" validate:"omitnil,max=64"`
	Metadata  *map[string]string `json:"metadata" null:"empty" validate:"omitnil,dive,keys,nokey,endkeys,nokey"`
	ExpiresAt *instant           `json:"expires_at" null:"empty"`
}

type reasonRequest struct {
	Reason string `json:"reason" null:"empty" validate:"max=512,text,nokey"`
}

type rotateRequest struct {
	Grace           *duration `json:"grace"`
	Immediately     bool      `json:"immediately"`
	StartOnFirstUse bool      `json:"start_on_first_use"`
	Reason          string    `json:"reason" null:"empty" validate:"max=512,text,nokey"`
}

type finishRequest struct {
	Force bool `json:"force"`
}

type identifyRequest struct {
	Token string `json:"token" validate:"required"`
}

type purgeRequest struct {
	Age duration `json:"age" validate:"required"`
}

type emptyRequest struct{}

// operatorFields refuses what a customer may not set: the owner is known from
// their account, limits of a key's own would override the plan's, and metadata
// belongs to the application.
func (c *call) operatorFields(owner, limits, metadata bool) []fieldError {
	var faults []fieldError
	for _, f := range []struct {
		sent          bool
		field, detail string
	}{
		{owner, "/owner", "is always your own account: leave it out"},
		{limits, "/limits", "only operators set limits of a key's own: choose a plan"},
		{metadata, "/metadata", "only operators set metadata"},
	} {
		if f.sent && !c.actor.operator() {
			faults = append(faults, fieldError{Pointer: f.field, Detail: f.detail})
		}
	}
	return faults
}

// plan checks that the actor may give a plan to a key, and fills in the
// default.
func (c *call) plan(name *string) []fieldError {
	allowed := c.actor.plans(c.h.keys)
	if allowed == nil {
		return nil
	}
	if *name == "" {
		*name = allowed[0]
	}
	if !slices.Contains(allowed, *name) {
		return []fieldError{{Pointer: "/plan", Detail: "your account may use: " + strings.Join(allowed, ", ")}}
	}
	return nil
}

// newKey is the key to create, with the owner taken from the actor.
func (c *call) newKey(q *createRequest) (latchkey.NewKey, error) {
	faults := c.operatorFields(q.Owner != nil, len(q.Limits) > 0, q.Metadata != nil)
	faults = append(faults, c.plan(&q.Plan)...)
	owner := c.actor.Owner
	if c.actor.operator() {
		if q.Owner == nil {
			faults = append(faults, fieldError{Pointer: "/owner", Detail: "is required: name the account that the key acts for"})
		} else {
			owner = *q.Owner
		}
	}
	if err := invalidFields(faults); err != nil {
		return latchkey.NewKey{}, err
	}
	n := latchkey.NewKey{
		Name: strings.TrimSpace(q.Name), Owner: owner, Environment: q.Environment, Plan: q.Plan,
		Scopes: q.Scopes, Limits: ownLimits(q.Limits), Networks: prefixes(q.Networks),
	}
	if q.Metadata != nil {
		n.Metadata = *q.Metadata
	}
	if q.ExpiresAt != nil {
		n.ExpiresAt = q.ExpiresAt.Time
	}
	return n, nil
}

// update is the change to make.
func (c *call) update(q *updateRequest) (latchkey.Update, error) {
	faults := c.operatorFields(false, q.Limits != nil, q.Metadata != nil)
	if q.Plan != nil {
		faults = append(faults, c.plan(q.Plan)...)
	}
	if err := invalidFields(faults); err != nil {
		return latchkey.Update{}, err
	}
	u := latchkey.Update{Name: q.Name, Scopes: q.Scopes, Plan: q.Plan, Metadata: q.Metadata}
	if q.Name != nil {
		name := strings.TrimSpace(*q.Name)
		u.Name = &name
	}
	if q.Limits != nil {
		limits := ownLimits(*q.Limits)
		u.Limits = &limits
	}
	if q.Networks != nil {
		networks := prefixes(*q.Networks)
		u.Networks = &networks
	}
	if q.ExpiresAt != nil {
		u.ExpiresAt = &q.ExpiresAt.Time
	}
	return u, nil
}

// options returns how to rotate. An explicit grace of 0 means none; apikey
// treats 0 as its default.
func (q *rotateRequest) options() (latchkey.RotateOptions, error) {
	o := latchkey.RotateOptions{Immediately: q.Immediately, StartOnFirstUse: q.StartOnFirstUse, Reason: q.Reason}
	if q.Grace != nil {
		o.Grace = time.Duration(*q.Grace)
		if o.Grace == 0 && o.StartOnFirstUse {
			return o, invalidFields([]fieldError{{Pointer: "/grace", Detail: "a grace that starts at the first use has to have a length"}})
		}
		o.Immediately = o.Immediately || o.Grace == 0
	}
	return o, nil
}

func ownLimits(limits []newLimit) []apikey.Limit {
	var own []apikey.Limit
	for _, l := range limits {
		own = append(own, apikey.Limit{
			Name: l.Name, N: l.N, Window: time.Duration(l.Window), Period: apikey.Period(l.Period), Zone: l.Zone,
			Concurrent: l.Concurrent, Unit: l.Unit, Shadow: l.Shadow,
		})
	}
	return own
}

func prefixes(networks []network) []netip.Prefix {
	var all []netip.Prefix
	for _, n := range networks {
		all = append(all, n.Prefix)
	}
	return all
}
