package latchotel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// units has every metric that latchotel makes; shared says that it takes a shared store.
var units = map[string]struct {
	unit   string
	shared bool
}{
	"latchkey.authentication.duration": {"s", false},
	"latchkey.rate_limiting.requests":  {"{request}", false},
	"latchkey.requests.cut":            {"{request}", false},
	"latchkey.requests.active":         {"{request}", false},
	"latchkey.cache.keys":              {"{key}", false},
	"latchkey.cache.loads":             {"{read}", false},
	"latchkey.ready":                   {"{instance}", false},
	"latchkey.store.refusing":          {"{instance}", false},
	"latchkey.limiter.degraded":        {"{instance}", false},
	"latchkey.revocation.delay":        {"s", true},
	"latchkey.lease.age":               {"s", true},
	"latchkey.feed.lag":                {"{change}", true},
	"latchkey.feed.push":               {"{instance}", true},
	"latchkey.instances":               {"{instance}", true},
}

// sick is a limiter that can tell that it is degraded.
type sick struct {
	limiter.Limiter
	err error
}

func (s *sick) Degraded() error { return s.err }

// feed makes a memstore look like one that other processes share.
type feed struct {
	storage.Store // hides that it announces changes
	head          atomic.Uint64
}

func (f *feed) Poll(_ context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	head := f.head.Load()
	p := storage.FeedPage{Epoch: "1", Head: head, Acked: min(head, 7), Alive: 3}
	if q.After < head {
		p.Changes = []storage.FeedChange{{Position: head, Age: time.Second, Notice: storage.Notice{ID: "0123456789abcdef", Revision: 2}}}
	}
	return p, nil
}

func (f *feed) Await(context.Context) error { return storage.ErrNoPush }

// TestMetrics: each has its name, its unit and its labels; no label names a key, an owner or a client.
func TestMetrics(t *testing.T) {
	window, err := limiter.New(limiter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	down := &sick{window, errors.New("down")}
	calls, cuts := 0, 0
	r := newRig(t, nil, middleware.Options{
		Limiter:    down,
		OnDecision: func(context.Context, middleware.Outcome) { calls++ },
		OnCut:      func(context.Context, middleware.Outcome) { cuts++ },
	})
	k, token := r.create(t)
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	mux := http.NewServeMux()
	var inFlight float64
	read := r.guard.Require(middleware.AllOf("things:read"))
	mux.Handle("GET /v1/things/{id}", read(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.Handle("GET /v1/other", r.guard.Require(middleware.AllOf("other:read"))(http.NotFoundHandler()))
	mux.Handle("GET /v1/stream", read(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		inFlight = r.collect(t)["latchkey.requests.active"].at()
		if _, err := r.keys.Revoke(t.Context(), apikey.Actor{ID: "ann"}, k.ID, "leaked"); err != nil {
			t.Error(err)
		}
		<-req.Context().Done()
	})))
	get := func(path, token string) {
		ctx, span := tracer.Start(t.Context(), path)
		send(ctx, mux, path, token)
		span.End()
	}
	get("/v1/things/7", "") // a route that nobody was admitted to yet
	for range 59 {          // the plan has 60 a minute
		get("/v1/things/7", token)
	}
	get("/v1/other", token)
	get("/v1/stream", token)
	get("/v1/things/7", token) // revoked
	other, second := r.create(t)
	for range 61 {
		get("/v1/things/8", second)
	}

	got := r.collect(t)
	for name, want := range units {
		m, made := got[name]
		if made == want.shared {
			t.Errorf("%s: made %v on a store that is not shared", name, made)
		} else if made && (m.Unit != want.unit || m.Description == "") {
			t.Errorf("%s: unit %q, want %q; description %q", name, m.Unit, want.unit, m.Description)
		}
	}
	const route = "GET /v1/things/{id}"
	for _, c := range []struct {
		metric string
		labels []string
		want   float64
	}{
		{"latchkey.authentication.duration", []string{"result", "ok", "http.route", route}, 119},
		{"latchkey.authentication.duration", []string{"result", "rate_limited", "http.route", route}, 1},
		{"latchkey.authentication.duration", []string{"result", "revoked_key", "http.route", route}, 1},
		{"latchkey.authentication.duration", []string{"result", "missing_key", "http.route", "_OTHER"}, 1},
		{"latchkey.authentication.duration", []string{"result", "insufficient_scope", "http.route", "_OTHER"}, 1},
		{"latchkey.rate_limiting.requests", []string{"result", "acquired", "policy", "minute", "http.route", route}, 119},
		{"latchkey.rate_limiting.requests", []string{"result", "acquired", "policy", "day", "http.route", route}, 119},
		{"latchkey.rate_limiting.requests", []string{"result", "rejected", "policy", "minute", "http.route", route}, 1},
		{"latchkey.rate_limiting.requests", []string{"result", "rejected", "policy", "day", "http.route", route}, -1},
		{"latchkey.requests.cut", []string{"result", "revoked_key", "http.route", "GET /v1/stream"}, 1},
		{"latchkey.requests.active", nil, 0},
		{"latchkey.cache.keys", nil, 2},
		{"latchkey.ready", nil, 1},
		{"latchkey.store.refusing", nil, 0},
		{"latchkey.limiter.degraded", nil, 1},
	} {
		if n := got[c.metric].at(c.labels...); n != c.want {
			t.Errorf("%s%v is %v, want %v: %+v", c.metric, c.labels, n, c.want, got[c.metric].points)
		}
	}
	if inFlight != 1 {
		t.Errorf("while a request is served, latchkey.requests.active is %v", inFlight)
	}
	if calls != 124 || cuts != 1 {
		t.Errorf("the hooks that were set before see %d decisions and %d cuts, want 124 and 1", calls, cuts)
	}
	text := fmt.Sprintf("%+v", got)
	for what, secret := range map[string]string{"a key's id": k.ID, "another's id": other.ID, "an owner": "acme", "a token": token[len(token)-44:], "a path": "/v1/things/7", "a client": "192.0.2.1"} {
		if strings.Contains(text, secret) {
			t.Errorf("a metric has %s: %s", what, secret)
		}
	}
	testSpans(t, recorder.Ended(), k.ID)

	down.err = nil
	if n := r.collect(t)["latchkey.limiter.degraded"].at(); n != 0 {
		t.Errorf("once the limiter answers, latchkey.limiter.degraded is %v", n)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if m, still := r.collect(t)["latchkey.ready"]; still {
		t.Errorf("after stop there is still latchkey.ready: %+v", m)
	}
}

// testSpans: the span of a request has the result and the key, and says if it was cut.
func testSpans(t *testing.T, spans []sdktrace.ReadOnlySpan, id string) {
	t.Helper()
	attributes := func(s sdktrace.ReadOnlySpan) string {
		var all []string
		for _, a := range s.Attributes() {
			all = append(all, string(a.Key)+"="+a.Value.String())
		}
		for _, e := range s.Events() {
			all = append(all, e.Name, fmt.Sprint(e.Attributes[0].Key, "=", e.Attributes[0].Value.String()))
		}
		return strings.Join(all, " ")
	}
	if got := attributes(spans[0]); got != "latchkey.result=missing_key" {
		t.Errorf("the span of a request without a key has %s", got)
	}
	if got, want := attributes(spans[1]), "latchkey.result=ok latchkey.key.id="+id+" latchkey.plan=free"; got != want {
		t.Errorf("the span of a request with a key has %s, want %s", got, want)
	}
	if got, want := attributes(spans[61]), "latchkey.result=ok latchkey.key.id="+id+" latchkey.plan=free latchkey.cut latchkey.result=revoked_key"; got != want {
		t.Errorf("the span of a request that was cut has %s, want %s", got, want)
	}
}

// TestASharedStoreHasItsOwnMetrics: the lease, the feed, and the delay of changes.
func TestASharedStoreHasItsOwnMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &feed{Store: struct{ storage.Store }{memstore.New()}}
		shared.head.Store(7)
		r := newRig(t, shared, middleware.Options{})
		shared.head.Store(8)
		time.Sleep(10 * time.Second)
		got := r.collect(t)
		for name, want := range units {
			if m, made := got[name]; want.shared && (!made || m.Unit != want.unit) {
				t.Errorf("%s: made %v, unit %q, want %q", name, made, m.Unit, want.unit)
			}
		}
		for name, want := range map[string]float64{
			"latchkey.instances": 3, "latchkey.revocation.delay": 1, "latchkey.feed.lag": 1, "latchkey.feed.push": 0, "latchkey.ready": 1,
		} {
			if n := got[name].at(); n != want {
				t.Errorf("%s is %v, want %v", name, n, want)
			}
		}
		if n := got["latchkey.lease.age"].at(); n < 0 || n > 1 {
			t.Errorf("polled each second, latchkey.lease.age is %v", n)
		}
		_ = r.stop()
		shared.head.Store(9)
		time.Sleep(10 * time.Second)
		if n := r.collect(t)["latchkey.revocation.delay"].at(); n != 1 {
			t.Errorf("after stop, latchkey.revocation.delay has %v", n)
		}
	})
}

// TestRoutesAreBounded: neither strangers nor customers make series without end.
func TestRoutesAreBounded(t *testing.T) {
	r := newRig(t, nil, middleware.Options{})
	_, token := r.create(t)
	door := r.guard.Door(middleware.Route{Need: middleware.AnyKey()})
	call := func(path, token string) {
		fields := http.Header{}
		if token != "" {
			fields.Set("Authorization", "Bearer "+token)
		}
		var c middleware.Call
		door.Decide(t.Context(), &c, middleware.Request{Fields: fields, Pattern: path})
		_ = c.End(200)
	}
	for i := range 1000 {
		call(fmt.Sprint("/stranger/", i), "")
	}
	if m := r.collect(t)["latchkey.authentication.duration"]; len(m.points) != 1 || m.at("result", "missing_key", "http.route", "_OTHER") != 1000 {
		t.Errorf("strangers made %d series", len(m.points))
	}
	key2 := token
	for i := range 300 {
		if i%60 == 0 {
			_, key2 = r.create(t)
		}
		call(fmt.Sprint("/customer/", i), key2)
	}
	if m := r.collect(t)["latchkey.authentication.duration"]; len(m.points) != 202 || m.at("result", "ok", "http.route", "_OTHER") != 100 {
		t.Errorf("a customer made %d series", len(m.points))
	}
}

// TestShadowsAreCounted by what they would have done.
func TestShadowsAreCounted(t *testing.T) {
	r := newRig(t, nil, middleware.Options{OwnerLimits: []apikey.Limit{{Name: "trial", N: 2, Window: time.Hour, Shadow: true}}})
	_, token := r.create(t)
	h := r.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 5 {
		if status := send(t.Context(), h, "/", token); status != 200 {
			t.Errorf("got %d", status)
		}
	}
	m := r.collect(t)["latchkey.rate_limiting.requests"]
	for result, want := range map[string]float64{"acquired": 2, "would_reject": 3, "rejected": -1} {
		if got := m.at("result", result, "policy", "owner-trial"); got != want {
			t.Errorf("%s is %v, want %v", result, got, want)
		}
	}
}
