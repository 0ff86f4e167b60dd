package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

type instance struct {
	http.Handler
	keys *latchkey.Service
}

// start is one of the servers that share a store and a billing table.
func start(t *testing.T, store storage.Store, billing table) instance {
	t.Helper()
	keys, err := latchkey.New(store, options(billing))
	if err != nil {
		t.Fatal(err)
	}
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := guard.Shutdown(context.Background(), nil); err != nil {
			t.Error(err)
		}
	})
	return instance{newAPI(guard, billing), keys}
}

func sell(t *testing.T, billing table, plans map[string]string) {
	t.Helper()
	for customer, product := range plans {
		if err := billing.Subscribe(t.Context(), customer, product); err != nil {
			t.Fatal(err)
		}
	}
}

func (in instance) issue(t *testing.T, customer string, scopes ...string) string {
	t.Helper()
	token, err := issue(t.Context(), in.keys, customer, scopes...)
	if err != nil {
		t.Fatal(err)
	}
	return token.Reveal()
}

func (in instance) send(method, path, token, form string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	in.ServeHTTP(w, r)
	return w
}

// want sends a request for reports, and compares its status and the first limit that
// the client is told.
func (in instance) want(t *testing.T, when, token string, status int, policy string) {
	t.Helper()
	w := in.send("GET", "/v1/reports", token, "")
	got, _, _ := strings.Cut(w.Header().Get("RateLimit-Policy"), ",")
	if w.Code != status || got != policy {
		t.Errorf("%s: want %d under %s, got %d under %s: %s", when, status, policy, w.Code, got, w.Body)
	}
}

const (
	free       = `"minute";q=60;w=60`
	pro        = `"minute";q=600;w=60`
	enterprise = `"minute";q=6000;w=60`
)

func TestAChangeIsInForceOnRunningKeysEverywhereWhenItIsAnswered(t *testing.T) {
	billing, store := newTable(), memstore.New()
	sell(t, billing, map[string]string{"house": "free", "acme": "free", "globex": "enterprise"})
	one, two := start(t, store, billing), start(t, store, billing)
	acme, also, globex := one.issue(t, "acme", "reports:read"), one.issue(t, "acme", "reports:read"), one.issue(t, "globex", "reports:read")
	seller := one.issue(t, "house", "billing:write")
	change := func(plan string) {
		t.Helper()
		if w := one.send("PUT", "/v1/subscriptions/acme", seller, "plan="+plan); w.Code != http.StatusNoContent {
			t.Fatalf("the change to %s is answered %d: %s", plan, w.Code, w.Body)
		}
	}

	one.want(t, "acme at first", also, 200, free)
	one.want(t, "globex at first", globex, 200, enterprise)
	for range 60 {
		two.want(t, "acme, within the limit", acme, 200, free)
	}
	two.want(t, "acme, over the limit", acme, 429, free)

	change("pro")
	two.want(t, "acme with a better plan, on another instance", acme, 200, pro)
	one.want(t, "acme's other key", also, 200, pro)
	one.want(t, "globex, which has changed nothing", globex, 200, enterprise)

	change("free")
	two.want(t, "acme with the old plan, and 61 requests in the minute", acme, 429, free)
}

func TestCustomersCannotChangeTheirPlan(t *testing.T) {
	billing := newTable()
	sell(t, billing, map[string]string{"acme": "free"})
	in := start(t, memstore.New(), billing)
	acme := in.issue(t, "acme", "reports:read")
	if w := in.send("PUT", "/v1/subscriptions/acme", acme, "plan=enterprise"); w.Code != http.StatusForbidden {
		t.Errorf("a customer's change of plan is answered %d, want 403", w.Code)
	}
	in.want(t, "afterwards", acme, 200, free)
}

func TestAMistakeChangesNothing(t *testing.T) {
	billing := newTable()
	sell(t, billing, map[string]string{"house": "free", "acme": "free"})
	in := start(t, memstore.New(), billing)
	acme, seller := in.issue(t, "acme", "reports:read"), in.issue(t, "house", "billing:write")
	for _, c := range []struct{ customer, form string }{{"acme", "plan=platinum"}, {"acme", ""}, {"Acme", "plan=pro"}} {
		if w := in.send("PUT", "/v1/subscriptions/"+c.customer, seller, c.form); w.Code != http.StatusBadRequest {
			t.Errorf("%s with %q is answered %d, want 400", c.customer, c.form, w.Code)
		}
	}
	in.want(t, "afterwards", acme, 200, free)
}

func TestACustomerWithoutARowGetsNoKey(t *testing.T) {
	in := start(t, memstore.New(), newTable())
	if _, err := issue(t.Context(), in.keys, "initech", "reports:read"); !errors.Is(err, apikey.InvalidArgument) {
		t.Errorf("want invalid_argument, got %v", err)
	}
}

// down is a billing table that cannot be asked.
type down struct{ table }

func (down) Plan(context.Context, string) (apikey.Plan, error) {
	return apikey.Plan{}, errors.New("no route to host")
}

func TestWithoutTheTableNoKeyIsUnlimited(t *testing.T) {
	billing, store := newTable(), memstore.New()
	sell(t, billing, map[string]string{"acme": "free"})
	acme := start(t, store, billing).issue(t, "acme", "reports:read")
	start(t, store, down{billing}).want(t, "a key whose plan cannot be read", acme, 503, "")
}
