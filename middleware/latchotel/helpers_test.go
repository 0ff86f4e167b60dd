package latchotel_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchotel"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// rig is an instrumented service and its guard.
type rig struct {
	keys   *latchkey.Service
	guard  *middleware.Guard
	reader *sdkmetric.ManualReader
	stop   func() error
}

func newRig(t *testing.T, store storage.Store, o middleware.Options) *rig {
	t.Helper()
	if store == nil {
		store = memstore.New()
	}
	keys, err := latchkey.New(store, latchkey.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{keys: keys, reader: sdkmetric.NewManualReader()}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	if r.stop, err = latchotel.Instrument(keys, latchotel.Options{MeterProvider: provider}, &o); err != nil {
		t.Fatal(err)
	}
	if r.guard, err = middleware.New(keys, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.guard.Close(context.Background())
		_ = keys.Close(context.Background())
	})
	return r
}

func (r *rig) create(t *testing.T) (apikey.Key, string) {
	t.Helper()
	k, token, err := r.keys.Create(t.Context(), apikey.Actor{ID: "ann"}, latchkey.NewKey{Name: "n", Owner: "acme", Plan: "free", Scopes: []string{"things:read"}})
	if err != nil {
		t.Fatal(err)
	}
	return k, token.Reveal()
}

// send sends a request through a handler, as net/http would.
func send(ctx context.Context, h http.Handler, path, token string) int {
	r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// point is one series: the value of a sum or gauge, the count of a histogram.
type point struct {
	labels attribute.Set
	value  float64
}

type measured struct {
	metricdata.Metrics
	points []point
}

func (r *rig) collect(t *testing.T) map[string]measured {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]measured{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			one := measured{Metrics: m}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					one.points = append(one.points, point{p.Attributes, float64(p.Value)})
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					one.points = append(one.points, point{p.Attributes, float64(p.Value)})
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					one.points = append(one.points, point{p.Attributes, p.Value})
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					one.points = append(one.points, point{p.Attributes, float64(p.Count)})
				}
			default:
				t.Fatalf("%s is a %T", m.Name, d)
			}
			got[m.Name] = one
		}
	}
	return got
}

// at returns the value of a series, given as key, value, key, value; -1 if it is not there.
func (m measured) at(labels ...string) float64 {
	var all []attribute.KeyValue
	for i := 0; i < len(labels); i += 2 {
		all = append(all, attribute.String(labels[i], labels[i+1]))
	}
	want := attribute.NewSet(all...)
	for _, p := range m.points {
		if p.labels.Equals(&want) {
			return p.value
		}
	}
	return -1
}
