package latchkey

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/internal/foreign"
)

// Options configures a [Service]. The zero value is ready to use for one
// environment, "live", with the standard plans. New copies and checks it; a
// mistake is an error that names the field.
type Options struct {
	// Prefix starts every key; default "sk". It may contain a-z, 0-9 and '_', at
	// most 16 characters, and starts with a letter.
	Prefix string
	// Environments are the separate worlds that keys belong to; default "live"
	// alone, on any host. See [apikey.LiveAndTest].
	Environments []apikey.Environment
	// Plans are the plans that a key may name; default [apikey.StandardPlans].
	Plans []apikey.Plan
	// PlanSource supplies the plans, in place of Plans.
	PlanSource apikey.PlanSource
	// DefaultPlan is the plan of a key created without one; default the first
	// of Plans.
	DefaultPlan string
	// Scopes is the catalogue of scopes that keys may be given; each granted scope
	// must then cover at least one entry. Empty means any well-formed scope.
	Scopes []apikey.Scope
	// Peppers are keys for HMAC-SHA-256 over secrets, kept outside the store, so
	// that a stolen store cannot verify anything. The highest number signs; all
	// verify. Without peppers, secrets are stored as SHA-256, which is safe for
	// 226 bits of randomness, and there is no pepper to lose.
	Peppers []Pepper

	// MaxAge is how old a key's current secret may get before [Service.Due]
	// reports it; default 90 days.
	MaxAge time.Duration
	// OnDue is called when the current secret of a key is due within DueAhead
	// (default 7 days). It is called at most once per secret, by one of the
	// processes that share the store, in a goroutine of its Service that looks
	// every hour. The call is first recorded in the key's audit trail, so a crash
	// at that moment loses the call, and no restart repeats it. Its context ends
	// after a minute, and with Close; from then on nothing waits for the call for
	// more than a second.
	OnDue    func(ctx context.Context, k apikey.Key)
	DueAhead time.Duration
	// Quiet is how long a rotated-out secret must have been unused before
	// [Service.FinishRotation] considers it safe to end; default one hour.
	Quiet time.Duration

	// CacheSize is how many keys are cached, ready to verify; default 100,000
	// (about 1 KiB each). Keys with requests in flight are kept beyond it.
	CacheSize int
	// FlushEvery is how often usage is written, in parts spread over at least half
	// of that time; default five seconds. A crash loses at most the counts of one and a
	// half times FlushEvery, or, if more keys are in use than the store can write
	// in that time, of the time that it takes to write them all. Reading usage
	// does not have to wait for it.
	FlushEvery time.Duration
	// StoreTimeout bounds each call of the store and of the PlanSource, even if
	// the caller's context allows more; default two seconds. A change has five
	// times as long, because the outcome of an abandoned change is unknown. A call
	// that ignores the end of its context keeps nobody waiting for more than a
	// second longer, except that on a store that announces its changes
	// ([storage.Notifier]) the request that reads a key waits for it.
	StoreTimeout time.Duration
	// MaxStale is how long a key may be trusted without asking again, on a store
	// that does not report changes ([storage.Notifier]). It is then the bound on
	// revocation, and is required; other stores ignore it.
	MaxStale time.Duration
	// Lease says how processes that share a store keep up with each other; stores
	// used by only one process ignore it.
	Lease LeaseOptions

	// Logger gets what an operator should know; default [slog.Default].
	Logger *slog.Logger
}

func (o *Options) prepare() error {
	defaultTo(&o.Prefix, "sk")
	defaultTo(&o.MaxAge, 90*24*time.Hour)
	defaultTo(&o.DueAhead, 7*24*time.Hour)
	defaultTo(&o.Quiet, time.Hour)
	defaultTo(&o.CacheSize, 100_000)
	defaultTo(&o.FlushEvery, 5*time.Second)
	defaultTo(&o.StoreTimeout, 2*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"MaxAge", o.MaxAge},
		{"DueAhead", o.DueAhead},
		{"Quiet", o.Quiet},
		{"FlushEvery", o.FlushEvery},
		{"StoreTimeout", o.StoreTimeout},
		{"MaxStale", o.MaxStale},
	} {
		if f.d < 0 {
			return faults.Invalid("Options."+f.name, "%v is negative", f.d)
		}
	}
	if err := o.Lease.prepare(); err != nil {
		return err
	}
	if o.CacheSize < 1 {
		return faults.Invalid("Options.CacheSize", "%d must be at least 1", o.CacheSize)
	}
	if err := o.preparePlans(); err != nil {
		return err
	}
	for i, s := range o.Scopes {
		if err := s.Validate(); err != nil {
			return faults.Renamed(err, "Name", fmt.Sprintf("Options.Scopes[%d]", i))
		}
	}
	o.Scopes = slices.Clone(o.Scopes)

	if len(o.Environments) == 0 {
		o.Environments = []apikey.Environment{{Name: "live", AnyHost: true}}
	}
	o.Environments = slices.Clone(o.Environments)
	for i := range o.Environments {
		e := &o.Environments[i]
		if err := e.Normalize(len(o.Environments) == 1); err != nil {
			return faults.Renamed(err, "", fmt.Sprintf("Options.Environments[%d].", i))
		}
		for _, earlier := range o.Environments[:i] {
			if earlier.Name == e.Name {
				return faults.Invalid(fmt.Sprintf("Options.Environments[%d].Name", i), "%q is duplicated", e.Name)
			}
			for _, h := range e.Hosts {
				if slices.Contains(earlier.Hosts, h) {
					return faults.Invalid(fmt.Sprintf("Options.Environments[%d].Hosts", i), "%q belongs to %q already", h, earlier.Name)
				}
			}
		}
	}
	return nil
}

func (o *Options) preparePlans() error {
	if o.PlanSource != nil {
		if len(o.Plans) > 0 {
			return faults.Invalid("Options.PlanSource", "set Plans or PlanSource, not both")
		}
		if o.DefaultPlan == "" {
			return faults.Invalid("Options.DefaultPlan", "a PlanSource needs a DefaultPlan: the plan of a key created without one")
		}
		o.PlanSource = foreign.Plans(o.PlanSource, "the PlanSource", o.StoreTimeout, o.Logger)
		return nil
	}
	if len(o.Plans) == 0 {
		o.Plans = apikey.StandardPlans()
	}
	o.Plans = slices.Clone(o.Plans)
	table := make(planTable, len(o.Plans))
	for i, p := range o.Plans {
		if err := p.Validate(); err != nil {
			return faults.Invalid(fmt.Sprintf("Options.Plans[%d]", i), "%v", err)
		}
		if _, twice := table[p.Name]; twice {
			return faults.Invalid(fmt.Sprintf("Options.Plans[%d].Name", i), "%q is duplicated", p.Name)
		}
		p.Limits = slices.Clone(p.Limits)
		o.Plans[i], table[p.Name] = p, p
	}
	o.PlanSource = table
	defaultTo(&o.DefaultPlan, o.Plans[0].Name)
	if _, ok := table[o.DefaultPlan]; !ok {
		return faults.Invalid("Options.DefaultPlan", "there is no plan %q in Plans", o.DefaultPlan)
	}
	return nil
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
