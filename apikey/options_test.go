package apikey_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

func TestNewNamesTheFieldAtFault(t *testing.T) {
	two := func(a, b apikey.Environment) []apikey.Environment { return []apikey.Environment{a, b} }
	for _, c := range []struct {
		field string
		o     apikey.Options
	}{
		{"Options.Prefix", apikey.Options{Prefix: "SK"}},
		{"Options.CacheSize", apikey.Options{CacheSize: -1}},
		{"Options.FlushEvery", apikey.Options{FlushEvery: -1}},
		{"Options.MaxAge", apikey.Options{MaxAge: -1}},
		{"Options.Scopes[0]", apikey.Options{Scopes: []apikey.Scope{{Name: "a:*"}}}},
		{"Options.Plans[0]", apikey.Options{Plans: []apikey.Plan{{Name: "free"}}}},
		{"Options.Plans[0]", apikey.Options{Plans: []apikey.Plan{{Name: "x", Limits: []apikey.Limit{{Name: "m", N: 0, Window: time.Minute}}}}}},
		{"Options.Plans[0]", apikey.Options{Plans: []apikey.Plan{{Name: "x", Limits: []apikey.Limit{{Name: "m", N: 1, Window: 1500 * time.Millisecond}}}}}},
		{"Options.Plans[0]", apikey.Options{Plans: []apikey.Plan{{Name: "x", Unlimited: true, Limits: []apikey.Limit{apikey.PerDay(1)}}}}},
		{"Options.Plans[1].Name", apikey.Options{Plans: []apikey.Plan{{Name: "x", Unlimited: true}, {Name: "x", Unlimited: true}}}},
		{"Options.DefaultPlan", apikey.Options{DefaultPlan: "gold"}},
		{"Options.DefaultPlan", apikey.Options{PlanSource: plans{}}},
		{"Options.PlanSource", apikey.Options{PlanSource: plans{}, Plans: apikey.StandardPlans()}},
		{"Options.Environments[0].Name", apikey.Options{Environments: []apikey.Environment{{Name: "Live"}}}},
		{"Options.Environments[0].BaseURL", apikey.Options{Environments: []apikey.Environment{{Name: "live", BaseURL: "api.example.com"}}}},
		{"Options.Environments[0].BaseURL", apikey.Options{Environments: two(apikey.Environment{Name: "live"}, apikey.Environment{Name: "test"})}},
		{"Options.Environments[1].Hosts", apikey.Options{Environments: apikey.LiveAndTest("https://a.example", "https://A.example")}},
		{"Options.Environments[1].Name", apikey.Options{Environments: two(apikey.Environment{Name: "live", BaseURL: "https://a.example"}, apikey.Environment{Name: "live", BaseURL: "https://b.example"})}},
		{"Options.Peppers", apikey.Options{Peppers: []apikey.Pepper{{Number: 0, Key: make([]byte, 32)}}}},
		{"Options.Peppers", apikey.Options{Peppers: []apikey.Pepper{{Number: 1, Key: make([]byte, 31)}}}},
		{"Options.Peppers", apikey.Options{Peppers: []apikey.Pepper{{Number: 1, Key: make([]byte, 32)}, {Number: 1, Key: make([]byte, 32)}}}},
	} {
		_, err := apikey.New(memstore.New(), c.o)
		e, ok := errors.AsType[*apikey.Error](err)
		if !ok || !strings.HasPrefix(e.Field, c.field) {
			t.Errorf("%+v: error %v does not name %s", c.o, err, c.field)
		}
	}
	if _, err := apikey.New(nil, apikey.Options{}); err == nil {
		t.Error("a nil store was accepted")
	}
}

func TestAStoreWithoutNoticesMustSayHowStaleItMayBe(t *testing.T) {
	_, err := apikey.New(silent{memstore.New()}, apikey.Options{})
	if e, ok := errors.AsType[*apikey.Error](err); !ok || e.Field != "Options.MaxStale" {
		t.Errorf("error %v does not ask for MaxStale", err)
	}
}

// silent hides that a store is a Notifier.
type silent struct{ apikey.Store }

func TestAsFindsAnAbilityThroughWrappers(t *testing.T) {
	s := memstore.New()
	if _, ok := apikey.As[apikey.Notifier](wrapper{wrapper{s}}); !ok {
		t.Error("a Notifier behind two wrappers was not found")
	}
	if _, ok := apikey.As[apikey.Notifier](silent{s}); ok {
		t.Error("a wrapper without Unwrap does not pass abilities on")
	}
	if _, ok := apikey.As[apikey.Notifier](nil); ok {
		t.Error("nil has no abilities")
	}
}

type wrapper struct{ apikey.Store }

func (w wrapper) Unwrap() apikey.Store { return w.Store }

func TestEnvironmentServesItsHostsOnly(t *testing.T) {
	e, err := apikey.Environment{Name: "live", BaseURL: "https://api.example.com", Hosts: []string{"API.example.com", "localhost:8080", "[::1]:8080"}}.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"api.example.com": true, "API.EXAMPLE.COM": true, "api.example.com.": true, "api.example.com:443": true, "api.example.com:8443": true,
		"localhost:8080": true, "[::1]:8080": true, "LOCALHOST:8080": true,
		"localhost": false, "localhost:8081": false, "[::1]:8081": false, "sandbox.example.com": false, "example.com": false,
		"api.example.com.evil.com": false, "": false, ":8080": false, "evil.com:api.example.com": false,
	} {
		if got := e.Serves(host); got != want {
			t.Errorf("serves(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestEveryCodeHasItsOwnRow(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range apikey.Codes() {
		info := c.Info()
		if info.Name == "" || info.Title == "" || info.Status < 200 || names[info.Name] {
			t.Errorf("code %d: row %+v is incomplete or is duplicated", c, info)
		}
		names[info.Name] = true
		if c != apikey.OK && (info.GRPC == 0 || info.Connect == "") {
			t.Errorf("%v does not map to gRPC and Connect", c)
		}
		if (info.Status == 401 || info.Status == 403) && info.Connect != map[int]string{401: "unauthenticated", 403: "permission_denied"}[info.Status] {
			t.Errorf("%v is %d but %s", c, info.Status, info.Connect)
		}
	}
	if apikey.Code(250).Info().Status != 500 {
		t.Error("a number outside the set does not answer as internal")
	}
}
