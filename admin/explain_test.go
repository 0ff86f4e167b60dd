package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// newGuardedRig is a rig whose handler knows the guard of the API.
func newGuardedRig(t *testing.T) (*rig, *middleware.Guard) {
	t.Helper()
	g := newRig(t)
	guard, err := middleware.New(g.keys, middleware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := admin.New(g.keys, signIn, admin.Options{Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	g.h, g.mount = h, http.StripPrefix("/settings/keys", h)
	return g, guard
}

// TestExplain: the answer is the one that the API gives, and asking leaves no
// trace.
func TestExplain(t *testing.T) {
	t.Parallel()
	g, guard := newGuardedRig(t)
	a := g.want(201, "operator", "POST", "/v1/keys", `{"name":"x","owner":"acme","scopes":["orders:read"],"networks":["10.0.0.0/8"],"limits":[{"name":"minute","n":2,"window":60}]}`)
	id, token := idOf(t, a), a.members(t)["token"].(string)
	api := guard.Require(middleware.AnyOf("orders:read", "marketplace:write"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	call := func() int {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example.com/orders", nil)
		r.RemoteAddr = "10.0.0.4:1"
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code
	}
	const question = `"environment":"live","from":"10.0.0.4","scopes":["orders:read","marketplace:write"],"any_scope":true`
	for i := range 4 {
		before := g.want(200, "owner", "GET", "/v1/keys/"+id+"/usage", "").members(t)["secrets"]
		byID := g.want(200, "owner-reader", "POST", "/v1/keys/"+id+"/explain", `{`+question+`}`).members(t)
		byToken := g.want(200, "owner-reader", "POST", "/v1/explain", `{"token":"`+token+`",`+question+`}`).members(t)
		if d := cmp.Diff(byID, byToken); d != "" {
			t.Errorf("by id and by token (-id +token):\n%s", d)
		}
		if after := g.want(200, "owner", "GET", "/v1/keys/"+id+"/usage", "").members(t)["secrets"]; cmp.Diff(before, after) != "" {
			t.Errorf("a question is no use: %v, then %v", before, after)
		}
		if left := byID["limits"].([]any)[0].(map[string]any)["remaining"]; left != float64(max(0, 2-i)) {
			t.Errorf("question %d: %v left", i, left)
		}
		if got := call(); float64(got) != byID["status"] || byID["admitted"] != (got == 200) {
			t.Errorf("request %d: explained %v, the API answers %d", i, byID, got)
		}
	}

	answer := g.want(200, "owner", "POST", "/v1/keys/"+id+"/explain", `{"host":"sandbox.example.com","scopes":["orders:read","marketplace:write"]}`).members(t)
	var failing []string
	for _, c := range answer["checks"].([]any) {
		if c := c.(map[string]any); c["passes"] != true {
			failing = append(failing, fmt.Sprint(c["check"], " ", c["status"], " ", c["code"]))
		}
	}
	want := []string{"environment 401 environment_mismatch", "network 403 network_not_allowed", "scopes 403 insufficient_scope", "limits 429 rate_limited"}
	if d := cmp.Diff(want, failing); d != "" {
		t.Errorf("checks that fail (-want +got):\n%s", d)
	}
	if answer["code"] != "environment_mismatch" || !strings.Contains(answer["detail"].(string), "https://api.example.com") || cmp.Diff([]any{"marketplace:write"}, answer["missing_scopes"]) != "" {
		t.Errorf("the first that fails decides: %v", answer)
	}
	g.want(200, "owner", "DELETE", "/v1/keys/"+id, "")
	if m := g.want(200, "owner", "POST", "/v1/keys/"+id+"/explain", "").members(t); m["code"] != "revoked_key" || m["status"] != 401.0 {
		t.Errorf("a revoked key: %v", m)
	}
}

// TestExplainTells: nobody learns of a key that is not theirs to see.
func TestExplainTells(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*rig{"with a guard": func() *rig { g, _ := newGuardedRig(t); return g }(), "without": newRig(t)} {
		k, token := g.key("acme", "production")
		unknown := newRig(t)
		_, never := unknown.key("acme", "production")
		foreign := g.want(200, "stranger", "POST", "/v1/explain", `{"token":"`+token.Reveal()+`"}`)
		missing := g.want(200, "stranger", "POST", "/v1/explain", `{"token":"`+never.Reveal()+`"}`)
		if foreign.body != missing.body || strings.Contains(foreign.body, k.ID) || foreign.members(t)["code"] != "invalid_key" {
			t.Errorf("%s: another owner's token is explained as one that never was:\n%s%s", name, foreign.body, missing.body)
		}
		for text, code := range map[string]string{"hello": "invalid_key", token.Reveal() + "x": "invalid_key", token.Reveal(): "ok"} {
			m := g.want(200, "owner", "POST", "/v1/explain", `{"token":"`+text+`"}`).members(t)
			if m["code"] != code || m["admitted"] != (code == "ok") || (m["key_id"] != nil) != (code == "ok") {
				t.Errorf("%s: %v", name, m)
			}
		}
		if m := g.want(200, "owner", "POST", "/v1/explain", `{"token":"`+token.Reveal()+`","environment":"test"}`).members(t); m["code"] != "environment_mismatch" || m["detail"] == "" {
			t.Errorf("%s: %v", name, m)
		}
		for body, pointer := range map[string]string{
			`{"environment":"prod"}`:                          "/environment",
			`{"environment":"live","host":"api.example.com"}`: "/environment",
			`{"from":"here"}`:                                 "/from",
			`{"from":7}`:                                      "/from",
			`{"from":"fe80::1%eth0"}`:                         "/from",
			`{"scopes":["*"]}`:                                "/scopes",
			`{"secret":0}`:                                    "/secret",
			`{"secret":7}`:                                    "/secret",
			`{"token":"x"}`:                                   "/token",
			`{"host":"` + token.Reveal() + `"}`:               "/host",
			`{"method":"GET"}`:                                "/method",
			`{"scopes":null,"from":null,"host":null,"any_scope":1}`: "/any_scope",
		} {
			a := g.want(422, "owner", "POST", "/v1/keys/"+k.ID+"/explain", body)
			if p := a.problem(t); len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
				t.Errorf("%s: %s: %s", name, body, a.body)
			}
		}
		for body, pointer := range map[string]string{`{}`: "/token", `{"token":""}`: "/token", `{"token":"` + token.Reveal() + `","secret":1}`: "/secret"} {
			if p := g.want(422, "owner", "POST", "/v1/explain", body).problem(t); p.Errors[0].Pointer != pointer {
				t.Errorf("%s: %s: %+v", name, body, p)
			}
		}
		if strings.Contains(g.log.String(), token.Reveal()[len("sk_live_")+17:]) {
			t.Errorf("%s: a token is in the log", name)
		}
	}
	other := newRig(t)
	guard, err := middleware.New(other.keys, middleware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.New(newRig(t).keys, signIn, admin.Options{Guard: guard}); apikey.CodeOf(err) != apikey.InvalidArgument {
		t.Errorf("the guard of another service: %v", err)
	}
}

// TestServiceRoutes: the operators' view of this instance.
func TestServiceRoutes(t *testing.T) {
	t.Parallel()
	plans := &changing{limits: []apikey.Limit{apikey.PerMinute(1)}}
	keys, err := latchkey.New(memstore.New(), latchkey.Options{PlanSource: plans, DefaultPlan: "basic"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	h, err := admin.New(keys, signIn, admin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, keys: keys, mount: http.StripPrefix("/settings/keys", h), log: new(syncBuffer)}
	if m := g.want(200, "op-reader", "GET", "/v1/health", "").members(t); m["ready"] != true || m["failing"] != false {
		t.Errorf("health: %v", m)
	}
	_, token := g.key("acme", "production")
	limit := func() int64 {
		t.Helper()
		v, err := engine.Of(keys).Verify(t.Context(), token.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		return v.Limits()[0].N
	}
	limit()
	plans.limits = []apikey.Limit{apikey.PerMinute(9)}
	if limit() != 1 {
		t.Error("a plan is looked up once")
	}
	g.want(204, "operator", "POST", "/v1/refresh-plans", "")
	if limit() != 9 {
		t.Error("refreshing looks the plans up again")
	}
}

// changing is a source of plans that a test changes.
type changing struct{ limits []apikey.Limit }

func (c *changing) Plan(_ context.Context, name string) (apikey.Plan, error) {
	return apikey.Plan{Name: name, Limits: c.limits}, nil
}
