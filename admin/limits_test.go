package admin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// everyKind is one limit of each kind, as the API takes and shows it.
const everyKind = `[{"name":"month","n":1000000000000000,"period":"month","zone":"Europe/Berlin","unit":"tokens"},` +
	`{"name":"parallel","n":2,"concurrent":true},{"name":"credit","n":500,"period":"ever"},{"name":"minute","n":60,"window":60,"shadow":true}]`

// TestLimitsOfEveryKind are set, shown, explained, drawn on the page and told in
// the trail.
func TestLimitsOfEveryKind(t *testing.T) {
	t.Parallel()
	g, guard := newGuardedRig(t)
	a := g.want(201, "operator", "POST", "/v1/keys", `{"name":"x","owner":"acme","limits":`+everyKind+`}`)
	id, token := idOf(t, a), a.members(t)["token"].(string)
	want := []any{
		map[string]any{"name": "month", "n": 1e15, "period": "month", "zone": "Europe/Berlin", "unit": "tokens"},
		map[string]any{"name": "parallel", "n": 2.0, "concurrent": true},
		map[string]any{"name": "credit", "n": 500.0, "period": "ever"},
		map[string]any{"name": "minute", "n": 60.0, "window": 60.0, "shadow": true},
	}
	if d := cmp.Diff(want, g.want(200, "owner", "GET", "/v1/keys/"+id, "").members(t)["limits"]); d != "" {
		t.Errorf("limits come back as they were sent (-want +got):\n%s", d)
	}
	door := guard.Door(middleware.Route{Need: middleware.AnyKey(), Cost: 20, Amounts: []limiter.Amount{{Unit: "tokens", N: 1_000_000}}})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example.com/orders", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	door.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		explained := g.want(200, "owner", "POST", "/v1/keys/"+id+"/explain", `{"environment":"live"}`).members(t)
		var left []any
		for _, l := range explained["limits"].([]any) {
			left = append(left, l.(map[string]any)["remaining"])
		}
		if d := cmp.Diff([]any{1e15 - 1e6, 1.0, 480.0, 40.0}, left); d != "" {
			t.Errorf("what is left (-want +got):\n%s", d)
		}
		page := g.want(200, "owner", "GET", "/keys/"+id, "").body
		for _, text := range []string{
			"1,000,000,000,000,000 tokens per calendar month (Europe/Berlin)", "1,000,000 used, 999,999,999,000,000 left until ",
			"2 at the same time", "1 in progress now",
			"500 in all", "20 used, 480 left",
			"60 per minute, not enforced", "40 left now", `(its own)`,
		} {
			if !strings.Contains(page, text) {
				t.Errorf("the page does not say %q", text)
			}
		}
	})).ServeHTTP(httptest.NewRecorder(), r)

	g.want(200, "operator", "PATCH", "/v1/keys/"+id, `{"limits":[{"name":"day","n":7,"period":"day"}]}`)
	trail := g.want(200, "owner", "GET", "/keys/"+id, "").body
	for _, text := range []string{"1,000,000,000,000,000 tokens per calendar month (Europe/Berlin), 2 at the same time, 500 in all, 60 per minute, not enforced → 7 per calendar day"} {
		if !strings.Contains(trail, text) {
			t.Errorf("the trail does not say %q", text)
		}
	}
	for body, pointer := range map[string]string{
		`{"name":"x","n":1}`:                                              "/limits/0/window",
		`{"name":"x","n":1,"period":"week"}`:                              "/limits/0/period",
		`{"name":"x","n":1,"period":"day","zone":"Berlin"}`:               "/limits/0/zone",
		`{"name":"x","n":1,"window":60,"zone":"UTC"}`:                     "/limits/0/zone",
		`{"name":"x","n":1,"window":60,"period":"day"}`:                   "/limits/0",
		`{"name":"x","n":1001,"concurrent":true}`:                         "/limits/0/n",
		`{"name":"x","n":1,"window":60,"unit":"Tokens"}`:                  "/limits/0/unit",
		`{"name":"x","n":1000000001,"window":60}`:                         "/limits/0/n",
		`{"name":"x","n":1,"concurrent":true,"unit":"tokens"}`:            "/limits/0/unit",
		`{"name":"x","n":1,"window":60},{"name":"x","n":1,"window":3600}`: "/limits/1/name",
	} {
		p := g.want(422, "operator", "PATCH", "/v1/keys/"+id, `{"limits":[`+body+`]}`).problem(t)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: errors %+v, want one at %s", body, p.Errors, pointer)
		}
	}
}

// listing is a source of plans that lists them.
type listing struct {
	plans []apikey.Plan
	err   error
	asked int
}

func (l *listing) Plan(_ context.Context, name string) (apikey.Plan, error) {
	for _, p := range l.plans {
		if p.Name == name {
			return p, nil
		}
	}
	return apikey.Plan{}, apikey.NotFound
}

func (l *listing) Plans(context.Context) ([]apikey.Plan, error) {
	l.asked++
	return l.plans, l.err
}

// TestASourceThatListsItsPlans: people choose one, and a page asks once.
func TestASourceThatListsItsPlans(t *testing.T) {
	t.Parallel()
	source := &listing{plans: []apikey.Plan{
		{Name: "team", Limits: []apikey.Limit{{Name: "month", N: 1_000_000, Period: apikey.Monthly, Unit: "tokens"}}},
		{Name: "trial", Limits: []apikey.Limit{apikey.PerDay(5)}},
	}}
	keys, err := latchkey.New(memstore.New(), latchkey.Options{PlanSource: source, DefaultPlan: "team"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	h, err := admin.New(keys, signIn, admin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, log: new(syncBuffer), keys: keys, h: h, mount: http.StripPrefix("/settings/keys", h)}
	for range 3 {
		g.key("acme", "x")
	}
	plans := g.want(200, "operator", "GET", "/v1/plans", "").members(t)["plans"].([]any)
	if len(plans) != 2 || plans[1].(map[string]any)["name"] != "trial" {
		t.Errorf("the API lists %v", plans)
	}
	form := g.want(200, "operator", "GET", "/new", "").body
	for _, text := range []string{`value="team"`, `value="trial"`, "1,000,000 tokens per calendar month", "5 per day"} {
		if !strings.Contains(form, text) {
			t.Errorf("the form does not offer %q", text)
		}
	}
	source.asked = 0
	if list := g.want(200, "operator", "GET", "/", "").body; !strings.Contains(list, "trial") || source.asked != 1 {
		t.Errorf("the list of keys asked %d times for the plans", source.asked)
	}
	source.err = errors.New("down")
	g.want(503, "operator", "GET", "/v1/plans", "")
	g.want(200, "operator", "GET", "/new", "")
	source.err, source.plans = nil, []apikey.Plan{{Name: "team"}}
	if _, err := keys.Plans(t.Context()); apikey.CodeOf(err) != apikey.Unavailable {
		t.Errorf("a plan without limits that does not say Unlimited is listed: %v", err)
	}
}
