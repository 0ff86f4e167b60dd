package latchotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Options configures [Instrument]. The zero value is ready to use.
type Options struct {
	// MeterProvider makes the instruments; default [otel.GetMeterProvider].
	MeterProvider metric.MeterProvider
}

const scope = "github.com/wontopos/latchkey/middleware/latchotel"

// Instrument measures a service, and the guards that are made with the given
// options afterwards: it sets their OnDecision and OnCut, and still calls those that
// were set before. Call it once for a service, with the options of all its guards.
// stop ends the metrics of the service; those of the guards end with their last
// request.
func Instrument(keys *latchkey.Service, o Options, guards ...*middleware.Options) (stop func() error, err error) {
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	meter := o.MeterProvider.Meter(scope)
	d, err := newDecisions(meter)
	if err != nil {
		return nil, err
	}
	stop, err = watch(keys, meter, limitersOf(guards))
	if err != nil {
		return nil, err
	}
	for _, g := range guards {
		g.OnDecision = both(d.decided, g.OnDecision)
		g.OnCut = both(d.cut, g.OnCut)
	}
	return stop, nil
}

type hook = func(context.Context, middleware.Outcome)

func both(first, second hook) hook {
	if second == nil {
		return first
	}
	return func(ctx context.Context, o middleware.Outcome) {
		first(ctx, o)
		second(ctx, o)
	}
}

// seconds are the boundaries of the duration of decisions: microseconds for a
// cached key, milliseconds for a round trip, seconds for a store that hangs.
var seconds = []float64{5e-6, 1e-5, 2.5e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5}

// decisions are the instruments of what guards decide.
type decisions struct {
	duration metric.Float64Histogram
	limited  metric.Int64Counter
	cuts     metric.Int64Counter
	routes   names
	policies names
}

const (
	mostRoutes   = 200
	mostPolicies = 50
)

func newDecisions(meter metric.Meter) (*decisions, error) {
	d := &decisions{routes: names{most: mostRoutes}, policies: names{most: mostPolicies}}
	var errs [3]error
	d.duration, errs[0] = meter.Float64Histogram("latchkey.authentication.duration", metric.WithUnit("s"),
		metric.WithDescription("How long the decision about a request took."), metric.WithExplicitBucketBoundaries(seconds...))
	d.limited, errs[1] = meter.Int64Counter("latchkey.rate_limiting.requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests by what each limit said: an admitted one counts for each of its limits, a refused one for those that refused it, and any one for those that would have, if they are shadows."))
	d.cuts, errs[2] = meter.Int64Counter("latchkey.requests.cut", metric.WithUnit("{request}"),
		metric.WithDescription("Requests whose key ended while they were served."))
	return d, errors.Join(errs[:]...)
}

// decided counts a decision.
func (d *decisions) decided(ctx context.Context, o middleware.Outcome) {
	result := o.Code().String()
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String("latchkey.result", result))
		if p := o.Presented(); p != nil {
			span.SetAttributes(attribute.String("latchkey.key.id", p.KeyID()), attribute.String("latchkey.plan", p.Plan()))
		}
	}
	route := d.route(&o)
	d.duration.Record(ctx, o.Took().Seconds(), with(route, attribute.String("result", result)))
	switch o.Code() {
	case apikey.OK, apikey.RateLimited:
		for limit, left := range o.Limits() {
			policy := attribute.String("policy", d.policies.bounded(limit.Name, true))
			switch {
			case left.Violated && limit.Shadow:
				d.limited.Add(ctx, 1, with(route, attribute.String("result", "would_reject"), policy))
			case o.Allowed():
				d.limited.Add(ctx, 1, with(route, attribute.String("result", "acquired"), policy))
			case left.Violated:
				d.limited.Add(ctx, 1, with(route, attribute.String("result", "rejected"), policy))
			}
		}
	}
}

// cut counts a request that was cut.
func (d *decisions) cut(ctx context.Context, o middleware.Outcome) {
	result := attribute.String("result", o.Code().String())
	trace.SpanFromContext(ctx).AddEvent("latchkey.cut", trace.WithAttributes(attribute.String("latchkey.result", o.Code().String())))
	d.cuts.Add(ctx, 1, with(d.route(&o), result))
}

// route returns the name under which a request is counted: one that clients
// cannot choose, unless they have keys that work there.
func (d *decisions) route(o *middleware.Outcome) string {
	if o.Route() == "" {
		return ""
	}
	return d.routes.bounded(o.Route(), o.Allowed())
}

func with(route string, all ...attribute.KeyValue) metric.MeasurementOption {
	if route != "" {
		all = append(all, attribute.String("http.route", route))
	}
	return metric.WithAttributeSet(attribute.NewSet(all...))
}
