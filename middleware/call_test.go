package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

func requestOf(r *http.Request) middleware.Request {
	return middleware.Request{Fields: r.Header, RawQuery: r.URL.RawQuery, Host: r.Host, Peer: r.RemoteAddr, Method: r.Method}
}

// TestACallIsAnsweredLikeNetHTTP: the same requests through Decide and through
// a net/http door have the same status, fields and problem, cost the same and
// count the same.
func TestACallIsAnsweredLikeNetHTTP(t *testing.T) {
	type route = middleware.Route
	read, write := middleware.AllOf("things:read"), middleware.AllOf("things:write")
	for name, c := range map[string]struct {
		route  route
		o      middleware.Options
		change func(r *http.Request, token string)
	}{
		"admitted":            {route: route{Need: read}},
		"costs three":         {route: route{Need: read, Cost: 3}},
		"lacks a scope":       {route: route{Need: write}},
		"limited":             {route: route{Need: read, Cost: 11}},
		"no key":              {route: route{Need: read}, change: func(r *http.Request, _ string) { r.Header.Del("Authorization") }},
		"no key, optional":    {route: route{Need: read, Optional: true}, change: func(r *http.Request, _ string) { r.Header.Del("Authorization") }},
		"a key, optional":     {route: route{Need: read, Optional: true}},
		"a bad key, optional": {route: route{Need: read, Optional: true}, change: func(r *http.Request, _ string) { r.Header.Set("Authorization", "Bearer x") }},
		"not a token":         {route: route{Need: read}, change: func(r *http.Request, _ string) { r.Header.Set("Authorization", "Bearer a b") }},
		"another host":        {route: route{Need: read}, change: func(r *http.Request, _ string) { r.Host = "sandbox.example.com" }},
		"legacy fields":       {route: route{Need: read}, o: middleware.Options{LegacyHeaders: true}},
		"in a cookie": {
			route: route{Need: read, Optional: true}, o: middleware.Options{Extractors: []middleware.Extractor{middleware.Bearer(), middleware.Cookie("key")}},
			change: func(r *http.Request, token string) {
				r.Header.Del("Authorization")
				r.AddCookie(&http.Cookie{Name: "key", Value: token})
			},
		},
		"a preflight": {
			route: route{Need: read}, o: middleware.Options{PreflightCORS: true},
			change: func(r *http.Request, _ string) {
				r.Method = http.MethodOptions
				r.Header = http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"GET"}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string]string{}
			for _, way := range []string{"net/http", "a call"} {
				c.o.RequestID = func(context.Context, middleware.Fields) string { return "id" }
				k := newKit(t, c.o)
				id, token := k.key(limits(apikey.Limit{Name: "minute", N: 10, Window: time.Minute}))
				r, door := get(token), k.guard.Door(c.route)
				if c.change != nil {
					c.change(r, token)
				}
				w := httptest.NewRecorder()
				handler := func(p *apikey.Principal) { _, _ = fmt.Fprintf(w, "served with a key: %t", p != nil) }
				if way == "net/http" {
					door.Serve(w, r, func(_ http.ResponseWriter, _ *http.Request, p *apikey.Principal) { handler(p) })
				} else {
					call := new(middleware.Call)
					door.Decide(r.Context(), call, requestOf(r))
					for name, value := range call.ResponseFields() {
						w.Header().Add(name, value)
					}
					if call.Allowed() {
						handler(call.Principal())
						if err := call.End(http.StatusOK); err != nil {
							t.Fatal(err)
						}
					} else {
						w.WriteHeader(call.Status())
						_, _ = w.Write(call.AppendProblem(nil, call.RequestID(r.Context(), r.Header)))
					}
				}
				header := w.Header().Clone()
				if w.Code == http.StatusOK {
					header.Del("Content-Type") // the handler's
				}
				usage, err := k.keys.Usage(t.Context(), id, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				counts, _ := json.Marshal(usage.Of(1).Counts)
				var lines []string
				for _, name := range slices.Sorted(maps.Keys(header)) {
					lines = append(lines, name+": "+strings.Join(header[name], ", "))
				}
				answers[way] = strings.Join(append(lines, http.StatusText(w.Code), w.Body.String(), string(counts)), "\n")
			}
			if answers["a call"] != answers["net/http"] {
				t.Errorf("a call is answered\n%s\nwant, as over net/http\n%s", answers["a call"], answers["net/http"])
			}
		})
	}
}

// TestACallIsCut: its context ends with the key, and its transport is told once.
func TestACallIsCut(t *testing.T) {
	var cuts []error
	k := newKit(t, middleware.Options{OnCut: func(_ context.Context, o middleware.Outcome) { cuts = append(cuts, o.Cause()) }})
	id, token := k.key()
	call := decide(k.guard, middleware.AnyKey(), requestOf(get(token)))
	told := 0
	ctx := call.Begin(func(cause error) {
		if told++; !errors.Is(cause, apikey.RevokedKey) {
			t.Errorf("onCut was told %v", cause)
		}
	})
	if p, ok := middleware.PrincipalFrom(ctx); !ok || p.KeyID() != id || ctx.Err() != nil {
		t.Fatalf("principal %v, error %v", p, ctx.Err())
	}
	k.revoke(id)
	if cause := context.Cause(ctx); !errors.Is(cause, apikey.RevokedKey) || ctx.Err() == nil || told != 1 {
		t.Errorf("cause %v, told %d times", cause, told)
	}
	for range 2 {
		if err := call.End(http.StatusOK); !errors.Is(err, apikey.RevokedKey) {
			t.Errorf("End returned %v", err)
		}
	}
	if call.Allowed() || call.Status() != 401 || call.Principal() != nil || len(cuts) != 1 || !errors.Is(cuts[0], apikey.RevokedKey) {
		t.Errorf("after the cut: allowed %t, status %d; OnCut saw %v", call.Allowed(), call.Status(), cuts)
	}
}

// TestOnCutSeesEachCutOnce also over net/http, where the handler returns late.
func TestOnCutSeesEachCutOnce(t *testing.T) {
	seen := make(chan middleware.Outcome, 2)
	k := newKit(t, middleware.Options{OnCut: func(_ context.Context, o middleware.Outcome) { seen <- o }})
	id, token := k.key()
	h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		k.revoke(id)
		<-r.Context().Done()
	}))
	if res := serve(h, get(token)); res.StatusCode != 401 {
		t.Errorf("got %d", res.StatusCode)
	}
	if o := <-seen; o.Code() != apikey.RevokedKey || !errors.Is(o.Cause(), apikey.RevokedKey) || o.Presented().KeyID() != id {
		t.Errorf("saw %v because of %v", o.Code(), o.Cause())
	}
	if len(seen) != 0 {
		t.Error("a cut was told of twice")
	}
}

// TestOnCutSeesAHijackedConnectionOnce, however often its handler closes it.
func TestOnCutSeesAHijackedConnectionOnce(t *testing.T) {
	seen := make(chan error, 3)
	k := newKit(t, middleware.Options{OnCut: func(_ context.Context, o middleware.Outcome) { seen <- o.Cause() }})
	id, token := k.key()
	done := make(chan struct{})
	s := httptest.NewServer(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		k.revoke(id)
		<-r.Context().Done()
		_, _ = conn.Close(), conn.Close()
	})))
	defer s.Close()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	r.Host = "api.example.com"
	r.Header.Set("Authorization", "Bearer "+token)
	if res, err := s.Client().Do(r); err == nil {
		_ = res.Body.Close()
	}
	<-done
	if len(seen) != 1 || !errors.Is(<-seen, apikey.RevokedKey) {
		t.Errorf("seen %d more times", len(seen))
	}
}

// TestACallThatWasForgottenAdmitsNothing: nobody has to look at the Outcome.
func TestACallThatWasForgottenAdmitsNothing(t *testing.T) {
	var call middleware.Call
	if call.Allowed() || call.Code() != apikey.Unavailable || call.Begin(nil).Err() == nil || call.End(200) != nil {
		t.Error("the zero Call admits somebody")
	}
	k := newKit(t, middleware.Options{})
	refused := decide(k.guard, middleware.AnyKey(), middleware.Request{Fields: http.Header{}})
	if ctx := refused.Begin(nil); !errors.Is(context.Cause(ctx), apikey.MissingKey) {
		t.Errorf("the context of a refused call: %v", context.Cause(ctx))
	}
}

// TestCallsNest like doors of net/http: one decision, one charge, and an inner
// refusal gives back if the outermost call ends as a refusal.
func TestCallsNest(t *testing.T) {
	for status, want := range map[int]int64{403: 0, 200: 1} {
		n := newNest(t, nil)
		outer := decide(n.guard, middleware.AnyKey(), requestOf(get(n.token)))
		ctx := outer.Begin(nil)
		inner := new(middleware.Call)
		n.guard.Door(middleware.Route{Need: middleware.AllOf("things:write")}).Decide(ctx, inner, requestOf(get(n.token)))
		if inner.Allowed() || inner.Status() != 403 {
			t.Fatalf("the inner door: %v", inner.Code())
		}
		_ = inner.End(403)
		if err := outer.End(status); err != nil {
			t.Fatal(err)
		}
		if key, owner := n.charged(); key != want || owner != want {
			t.Errorf("ended with %d: %d and %d are charged, want %d", status, key, owner, want)
		}
	}
}

// TestARefusalIsMadeWithoutARequest from a code or from the cause of a context.
func TestARefusalIsMadeWithoutARequest(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(apikey.ExpiredKey)
	for cause, want := range map[error]apikey.Code{
		apikey.RevokedKey: apikey.RevokedKey, context.Cause(ctx): apikey.ExpiredKey, apikey.InsufficientScope: apikey.InsufficientScope,
		apikey.EnvironmentMismatch: apikey.EnvironmentMismatch, nil: apikey.Unavailable, context.Canceled: apikey.Unavailable,
	} {
		o := middleware.Refusal(cause)
		w := httptest.NewRecorder()
		o.ServeHTTP(w, get("x"))
		var problem struct{ Code, Title, Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || o.Allowed() || o.Code() != want || w.Code != want.Info().Status || problem.Code != want.String() || problem.Detail == "" {
			t.Errorf("%v: code %v, status %d, %s", cause, o.Code(), w.Code, w.Body)
		}
	}
}

// TestWhatARefusalKnowsCanBeAskedFor, not only parsed out of JSON.
func TestWhatARefusalKnowsCanBeAskedFor(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	_, test := k.key(func(n *latchkey.NewKey) { n.Environment = "test" })
	o := decide(k.guard, middleware.AllOf("things:write", "things:read"), requestOf(get(token)))
	if got := o.MissingScopes(); !slices.Equal(got, []string{"things:write"}) || o.Title() == "" || o.Client().String() != "192.0.2.1" {
		t.Errorf("missing %v, title %q, client %v", got, o.Title(), o.Client())
	}
	if o := decide(k.guard, middleware.AnyKey(), requestOf(get(test))); o.Code() != apikey.EnvironmentMismatch || !strings.HasPrefix(o.BaseURL(), "https://sandbox.") {
		t.Errorf("%v, base URL %q", o.Code(), o.BaseURL())
	}
}
