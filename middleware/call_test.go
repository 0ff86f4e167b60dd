package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// TestAnInnerCallThatRefusesGivesBack: if the outermost one ends with an error,
// and not if its handler answers all the same.
func TestAnInnerCallThatRefusesGivesBack(t *testing.T) {
	for status, want := range map[int]struct {
		decision string
		charged  int64
		counts   apikey.Counts
	}{
		403: {"insufficient_scope", 0, apikey.Counts{Scope: 1}},
		200: {"ok", 3, apikey.Counts{Allowed: 1}},
	} {
		n := newNest(t, nil)
		outer, inner := n.guard.Door(middleware.Route{Need: middleware.AnyKey(), Cost: 3}), n.guard.Door(middleware.Route{Need: middleware.AllOf("things:write")})
		r := middleware.Request{Fields: get(n.token).Header, Host: "api.example.com"}
		var out, in middleware.Call
		outer.Decide(t.Context(), &out, r)
		if inner.Decide(out.Begin(nil), &in, r); in.Code() != apikey.InsufficientScope {
			t.Fatalf("the inner door says %v", in.Code())
		}
		out.End(status)
		n.want(want.decision, want.charged, want.counts)
	}
}

// TestACallTellsACutOnce: before Begin, after it, inside another one, and never
// after End.
func TestACallTellsACutOnce(t *testing.T) {
	k := newKit(t, middleware.Options{})
	door := k.guard.Door(middleware.Route{Need: middleware.AnyKey()})
	for name, f := range map[string]func(id string, r middleware.Request, onCut func(error)) error{
		"before Begin": func(id string, r middleware.Request, onCut func(error)) error {
			var call middleware.Call
			door.Decide(t.Context(), &call, r)
			k.revoke(id)
			if ctx := call.Begin(onCut); !errors.Is(context.Cause(ctx), apikey.RevokedKey) {
				t.Errorf("the context has %v", context.Cause(ctx))
			}
			return call.End(200)
		},
		"after Begin": func(id string, r middleware.Request, onCut func(error)) error {
			var call middleware.Call
			door.Decide(t.Context(), &call, r)
			ctx := call.Begin(onCut)
			k.revoke(id)
			if !errors.Is(context.Cause(ctx), apikey.RevokedKey) {
				t.Errorf("the context has %v", context.Cause(ctx))
			}
			if err := call.End(200); call.End(500) != err { //nolint:errorlint // the same one
				t.Error("End says the same again")
			}
			return call.Cause()
		},
		"inside": func(id string, r middleware.Request, onCut func(error)) error {
			var call, inner middleware.Call
			door.Decide(t.Context(), &call, r)
			defer call.End(200)
			door.Decide(call.Begin(nil), &inner, r)
			told := make(chan struct{})
			inner.Begin(func(cause error) { onCut(cause); close(told) })
			k.revoke(id)
			<-told
			return inner.End(200)
		},
	} {
		id, token := k.key()
		var told atomic.Int32
		cause := f(id, middleware.Request{Fields: get(token).Header, Host: "api.example.com"}, func(cause error) {
			if told.Add(1); !errors.Is(cause, apikey.RevokedKey) {
				t.Errorf("%s: told %v", name, cause)
			}
		})
		if told.Load() != 1 || !errors.Is(cause, apikey.RevokedKey) {
			t.Errorf("%s: told %d times, End returns %v", name, told.Load(), cause)
		}
	}
	id, token := k.key()
	var call middleware.Call
	door.Decide(t.Context(), &call, middleware.Request{Fields: get(token).Header, Host: "api.example.com"})
	ctx := call.Begin(func(error) { t.Error("told of a cut after End") })
	if err := call.End(200); err != nil || ctx.Err() == nil {
		t.Errorf("a context ends with its request: %v, %v", err, ctx.Err())
	}
	k.revoke(id)
}

// TestTheCauseIsTheKeysAlsoIfOnCutEndsTheParent, as a transport does that ends the
// call: nobody has asked the context for anything before.
func TestTheCauseIsTheKeysAlsoIfOnCutEndsTheParent(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	parent, end := context.WithCancel(t.Context())
	defer end()
	var call middleware.Call
	k.guard.Door(middleware.Route{Need: middleware.AnyKey()}).Decide(parent, &call, middleware.Request{Fields: get(token).Header, Host: "api.example.com"})
	ctx := call.Begin(func(error) { end() })
	k.revoke(id)
	if cause := context.Cause(ctx); !errors.Is(cause, apikey.RevokedKey) || ctx.Err() == nil {
		t.Errorf("the cause is %v", cause)
	}
	if err := call.End(http.StatusOK); !errors.Is(err, apikey.RevokedKey) {
		t.Errorf("End returned %v", err)
	}
}

// TestARefusedCallBeginsNothing: the context of a caller that did not look has
// ended, and so has that of the zero Call.
func TestARefusedCallBeginsNothing(t *testing.T) {
	k := newKit(t, middleware.Options{})
	var refused, zero middleware.Call
	k.guard.Door(middleware.Route{Need: middleware.AnyKey()}).Decide(t.Context(), &refused, middleware.Request{Fields: http.Header{}})
	for call, want := range map[*middleware.Call]apikey.Code{&refused: apikey.MissingKey, &zero: apikey.Unavailable} {
		if ctx := call.Begin(func(error) { t.Error("cut") }); !errors.Is(context.Cause(ctx), want) || call.Allowed() || call.End(200) != nil {
			t.Errorf("%v: the context has %v", want, context.Cause(ctx))
		}
	}
}

// TestACutIsReportedOnce: for a handler that returns, one that panics, and a
// connection that was taken over, when it is closed.
func TestACutIsReportedOnce(t *testing.T) {
	var cuts atomic.Int32
	k := newKit(t, middleware.Options{OnCut: func(_ context.Context, o middleware.Outcome) {
		if cuts.Add(1); o.Cause() != apikey.RevokedKey || o.Presented() == nil || !o.Client().IsValid() { //nolint:errorlint // bare
			t.Errorf("told %v of %v at %v", o.Cause(), o.Presented(), o.Client())
		}
	}})
	for name, end := range map[string]func(w http.ResponseWriter){
		"returns": func(http.ResponseWriter) {},
		"panics":  func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		id, token := k.key()
		h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			k.revoke(id)
			end(w)
		}))
		cuts.Store(0)
		func() {
			defer func() { _ = recover() }()
			serve(h, get(token))
		}()
		if got := cuts.Load(); got != 1 {
			t.Errorf("a handler that %s is reported %d times", name, got)
		}
	}

	id, token := k.key()
	cuts.Store(0)
	closed := make(chan int32)
	s := httptest.NewServer(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		k.revoke(id)
		before := cuts.Load()
		_ = conn.Close()
		_ = conn.Close()
		closed <- before
	})))
	defer s.Close()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	r.Host = "api.example.com"
	r.Header.Set("Authorization", "Bearer "+token)
	go func() {
		if res, err := s.Client().Do(r); err == nil {
			_ = res.Body.Close()
		}
	}()
	if before := <-closed; before != 0 || cuts.Load() != 1 {
		t.Errorf("a connection is reported %d times before it is closed, and %d times in all", before, cuts.Load())
	}
}
