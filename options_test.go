package latchkey_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

func TestNewNamesTheFieldAtFault(t *testing.T) {
	two := func(a, b apikey.Environment) []apikey.Environment { return []apikey.Environment{a, b} }
	for _, c := range []struct {
		field string
		o     latchkey.Options
	}{
		{"Options.Prefix", latchkey.Options{Prefix: "SK"}},
		{"Options.CacheSize", latchkey.Options{CacheSize: -1}},
		{"Options.FlushEvery", latchkey.Options{FlushEvery: -1}},
		{"Options.MaxAge", latchkey.Options{MaxAge: -1}},
		{"Options.Scopes[0]", latchkey.Options{Scopes: []apikey.Scope{{Name: "a:*"}}}},
		{"Options.Plans[0]", latchkey.Options{Plans: []apikey.Plan{{Name: "free"}}}},
		{"Options.Plans[0]", latchkey.Options{Plans: []apikey.Plan{{Name: "x", Limits: []apikey.Limit{{Name: "m", N: 0, Window: time.Minute}}}}}},
		{"Options.Plans[0]", latchkey.Options{Plans: []apikey.Plan{{Name: "x", Limits: []apikey.Limit{{Name: "m", N: 1, Window: 1500 * time.Millisecond}}}}}},
		{"Options.Plans[0]", latchkey.Options{Plans: []apikey.Plan{{Name: "x", Unlimited: true, Limits: []apikey.Limit{apikey.PerDay(1)}}}}},
		{"Options.Plans[1].Name", latchkey.Options{Plans: []apikey.Plan{{Name: "x", Unlimited: true}, {Name: "x", Unlimited: true}}}},
		{"Options.DefaultPlan", latchkey.Options{DefaultPlan: "gold"}},
		{"Options.DefaultPlan", latchkey.Options{PlanSource: plans{}}},
		{"Options.PlanSource", latchkey.Options{PlanSource: plans{}, Plans: apikey.StandardPlans()}},
		{"Options.Environments[0].Name", latchkey.Options{Environments: []apikey.Environment{{Name: "Live"}}}},
		{"Options.Environments[0].BaseURL", latchkey.Options{Environments: []apikey.Environment{{Name: "live", BaseURL: "api.example.com"}}}},
		{"Options.Environments[0].BaseURL", latchkey.Options{Environments: two(apikey.Environment{Name: "live"}, apikey.Environment{Name: "test"})}},
		{"Options.Environments[1].Hosts", latchkey.Options{Environments: apikey.LiveAndTest("https://a.example", "https://A.example")}},
		{"Options.Environments[1].Name", latchkey.Options{Environments: two(apikey.Environment{Name: "live", BaseURL: "https://a.example"}, apikey.Environment{Name: "live", BaseURL: "https://b.example"})}},
		{"Options.Peppers", latchkey.Options{Peppers: []latchkey.Pepper{{Number: 0, Key: make([]byte, 32)}}}},
		{"Options.Peppers", latchkey.Options{Peppers: []latchkey.Pepper{{Number: 1, Key: make([]byte, 31)}}}},
		{"Options.Peppers", latchkey.Options{Peppers: []latchkey.Pepper{{Number: 1, Key: make([]byte, 32)}, {Number: 1, Key: make([]byte, 32)}}}},
	} {
		_, err := latchkey.New(memstore.New(), c.o)
		e, ok := errors.AsType[*apikey.Error](err)
		if !ok || !strings.HasPrefix(e.Field, c.field) {
			t.Errorf("%+v: error %v does not name %s", c.o, err, c.field)
		}
	}
	if _, err := latchkey.New(nil, latchkey.Options{}); err == nil {
		t.Error("a nil store was accepted")
	}
}

func TestAStoreWithoutNoticesMustSayHowStaleItMayBe(t *testing.T) {
	_, err := latchkey.New(silent{memstore.New()}, latchkey.Options{})
	if e, ok := errors.AsType[*apikey.Error](err); !ok || e.Field != "Options.MaxStale" {
		t.Errorf("error %v does not ask for MaxStale", err)
	}
}

// silent hides that a store is a Notifier.
type silent struct{ storage.Store }
