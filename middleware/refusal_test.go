package middleware_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// TestARefusalNeedsNoRequest: it can be made of a code or of the cause of a
// context, and says everything that it can.
func TestARefusalNeedsNoRequest(t *testing.T) {
	for _, code := range apikey.Codes() {
		if code == apikey.OK || code >= apikey.NotFound {
			continue // of no request
		}
		w := httptest.NewRecorder()
		o := middleware.Refusal(code)
		o.ServeHTTP(w, get(""))
		info := code.Info()
		if o.Allowed() || o.Code() != code || w.Code != info.Status || o.Title() != info.Title || !strings.Contains(w.Body.String(), o.Title()) ||
			!strings.Contains(strings.TrimSuffix(o.Detail(), "."), ". ") || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %d %v %s", code, w.Code, w.Header(), w.Body)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(apikey.DisabledKey)
	if o := middleware.Refusal(context.Cause(ctx)); o.Code() != apikey.DisabledKey || !errors.Is(o.Cause(), apikey.DisabledKey) {
		t.Errorf("of a cause: %v, %v", o.Code(), o.Cause())
	}
	var zero middleware.Outcome
	for name, o := range map[string]*middleware.Outcome{
		"the zero Outcome": &zero, "nil": middleware.Refusal(nil), "a client that has gone": middleware.Refusal(context.Canceled), "not found": middleware.Refusal(apikey.NotFound),
	} {
		if o.Allowed() || o.Principal() != nil || o.Status() != 503 || o.RetryAfter() < 1 {
			t.Errorf("%s is a refusal that can be tried again: %d, Retry-After %d", name, o.Status(), o.RetryAfter())
		}
	}
}

// TestARefusalTellsWhatItKnows: as values, not only as text.
func TestARefusalTellsWhatItKnows(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, good := k.key()
	_, test := k.key(func(n *latchkey.NewKey) { n.Environment = "test" })
	at := func(token string) middleware.Request {
		return middleware.Request{Fields: get(token).Header, Host: "api.example.com", Peer: "192.0.2.1:4711"}
	}
	o := decide(k.guard, middleware.AllOf("things:read", "things:write"), at(good))
	if got := o.MissingScopes(); !slices.Equal(got, []string{"things:write"}) || o.Client().String() != "192.0.2.1" || o.BaseURL() != "" || o.Cause() != nil {
		t.Errorf("lacks %v, from %v", got, o.Client())
	}
	o = decide(k.guard, middleware.AllOf("things:read"), at(test))
	if o.BaseURL() != "https://sandbox.example.com" || o.MissingScopes() != nil {
		t.Errorf("belongs to %q", o.BaseURL())
	}
}
