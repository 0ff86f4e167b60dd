package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestListConditions: each condition of a list reaches the service, for the
// actor's own keys alone, and a cursor goes on with them.
func TestListConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRigFlushing(t, memstore.New(), signIn, admin.Options{}, time.Hour)
		tokens := map[string]string{}
		ids := map[string]string{}
		for _, n := range []latchkey.NewKey{
			{Name: "Billing backend", Owner: "acme"},
			{Name: "reports", Owner: "acme", Plan: "pro"},
			{Name: "old", Owner: "acme", Environment: "test", ExpiresAt: time.Now().Add(100 * time.Hour)},
			{Name: "Billing of others", Owner: "evil", Plan: "pro"},
		} {
			k, token, err := g.keys.Create(t.Context(), apikey.Actor{ID: "test"}, n)
			if err != nil {
				t.Fatal(err)
			}
			tokens[n.Name], ids[n.Name] = token.Reveal(), k.ID
			time.Sleep(time.Second)
		}
		if _, err := g.keys.Disable(t.Context(), apikey.Actor{ID: "test"}, ids["old"], ""); err != nil {
			t.Fatal(err)
		}
		if _, _, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, ids["reports"], latchkey.RotateOptions{Grace: 72 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour)
		v, err := engine.Of(g.keys).Verify(t.Context(), tokens["reports"])
		if err != nil {
			t.Fatal(err)
		}
		v.Count(apikey.OK, 0, &engine.Use{Source: netip.MustParseAddr("10.1.2.3"), UserAgent: "curl/8"})
		later := func(hours int) string {
			return time.Now().Add(time.Duration(hours) * time.Hour).UTC().Format(time.RFC3339)
		}
		yesterday := later(-24)
		names := func(user, query string) (all []string) {
			t.Helper()
			for _, k := range g.want(200, user, "GET", "/v1/keys?"+query, "").members(t)["keys"].([]any) {
				all = append(all, k.(map[string]any)["name"].(string))
			}
			return all
		}
		for query, want := range map[string][]string{
			"":                                     {"old", "reports", "Billing backend"},
			"order=newest":                         {"old", "reports", "Billing backend"},
			"order=oldest":                         {"Billing backend", "reports", "old"},
			"order=name":                           {"Billing backend", "old", "reports"},
			"plan=pro":                             {"reports"},
			"state=disabled":                       {"old"},
			"state=active&order=name":              {"Billing backend", "reports"},
			"rotating=true":                        {"reports"},
			"rotating=false&plan=pro":              {"reports"},
			"expires_before=" + later(53):          {"old"},
			"expires_before=" + later(51):          nil,
			"environment=test":                     {"old"},
			"search=bill":                          {"Billing backend"},
			"search=BACK":                          {"Billing backend"},
			"search=" + ids["reports"]:             {"reports"},
			"search=sk_live_" + ids["reports"]:     {"reports"},
			"search=" + ids["Billing of others"]:   nil,
			"unused_since=" + yesterday:            {"old", "Billing backend"},
			"unused_since=" + yesterday + "&plan=": {"old", "Billing backend"},
		} {
			if d := cmp.Diff(want, names("owner", query)); d != "" {
				t.Errorf("?%s (-want +got):\n%s", query, d)
			}
		}
		if got := names("operator", "search=billing&order=name"); !slices.Equal(got, []string{"Billing backend", "Billing of others"}) {
			t.Errorf("an operator searches everywhere: %v", got)
		}
		if got := names("operator", "search=billing&owner=evil"); !slices.Equal(got, []string{"Billing of others"}) {
			t.Errorf("and by owner: %v", got)
		}

		// A cursor is its list's.
		var walked []string
		cursor := ""
		for range 4 {
			m := g.want(200, "owner", "GET", "/v1/keys?order=name&limit=1&cursor="+cursor, "").members(t)
			for _, k := range m["keys"].([]any) {
				walked = append(walked, k.(map[string]any)["name"].(string))
			}
			if cursor, _ = m["next"].(string); cursor == "" {
				break
			}
			g.want(422, "owner", "GET", "/v1/keys?order=oldest&cursor="+cursor, "")
		}
		if !slices.Equal(walked, []string{"Billing backend", "old", "reports"}) {
			t.Errorf("walked %v", walked)
		}

		m := g.want(200, "owner", "GET", "/v1/keys?search=reports&activity_since="+yesterday, "").members(t)
		activity := m["keys"].([]any)[0].(map[string]any)["activity"]
		day := time.Now().UTC().Truncate(24 * time.Hour).Format(time.RFC3339)
		want := map[string]any{
			"days": []any{map[string]any{"day": day, "counts": map[string]any{"total": 1.0, "allowed": 1.0}}},
			"last": map[string]any{"at": time.Now().UTC().Format(time.RFC3339), "network": "10.1.2.0/24", "user_agent": "curl/8"},
		}
		if d := cmp.Diff(want, activity); d != "" {
			t.Errorf("activity (-want +got):\n%s", d)
		}
		if strings.Contains(fmt.Sprint(g.want(200, "owner", "GET", "/v1/keys", "").body), `"activity"`) {
			t.Error("activity comes when it is asked for")
		}
		for query, parameter := range map[string]string{
			"order=random": "order", "state=dead": "state", "unused_since=yesterday": "unused_since", "activity_since=1": "activity_since",
			"rotating=yes": "rotating", "expires_before=soon": "expires_before",
			"search=" + tokens["reports"]: "search", "search=lost%20" + tokens["reports"] + "%20here": "search",
		} {
			a := g.want(422, "owner", "GET", "/v1/keys?"+query, "")
			if p := a.problem(t); len(p.Errors) != 1 || p.Errors[0].Parameter != parameter || strings.Contains(a.body, tokens["reports"][30:]) {
				t.Errorf("?%s: %s", query, a.body)
			}
		}
		// What the rig's cleanup would find outside of the bubble.
		if err := g.keys.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestListsAreOfTheirViewers: a list shows each person their own keys, and of a key
// what they may know.
func TestListsAreOfTheirViewers(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	ours, _ := g.key("acme", "production")
	theirs, _ := g.key("evil", "production")
	const create, owners = "Create new key", `data-label="Owner"`
	for user, want := range map[string]struct {
		ours, theirs, create, operator bool
	}{
		"owner":        {ours: true, create: true},
		"owner-reader": {ours: true},
		"stranger":     {theirs: true, create: true},
		"op-reader":    {ours: true, theirs: true, operator: true},
		"operator":     {ours: true, theirs: true, operator: true, create: true},
	} {
		page := g.want(200, user, "GET", "/", "").body
		list := g.want(200, user, "GET", "/v1/keys", "").body
		for text, want := range map[string]bool{ours.ID: want.ours, theirs.ID: want.theirs} {
			if strings.Contains(page, text) != want || strings.Contains(list, text) != want {
				t.Errorf("%s: the key %s is on the page: %v, in the list: %v, want %v", user, text, !want, strings.Contains(list, text), want)
			}
		}
		for text, want := range map[string]bool{create: want.create, owners: want.operator, `placeholder="Owner"`: want.operator, ">" + people[user].ID + " ": true} {
			if strings.Contains(page, text) != want {
				t.Errorf("%s: %q is on the page: %v, want %v", user, text, !want, want)
			}
		}
		if strings.Contains(list, "private-note") != want.operator {
			t.Errorf("%s: the list has what operators know: %v, want %v", user, !want.operator, want.operator)
		}
	}
}

// TestListsShowWhatHasJustHappened: a change is in every list that is asked for
// after it, and a use a second later.
func TestListsShowWhatHasJustHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		since := time.Now().UTC().Format(time.RFC3339)
		shows := func(want bool, page, list string) {
			t.Helper()
			for _, user := range []string{"owner", "operator"} {
				if body := g.want(200, user, "GET", "/", "").body; strings.Contains(body, page) != want {
					t.Errorf("%s: %q is on the page: %v, want %v", user, page, !want, want)
				}
				if body := g.want(200, user, "GET", "/v1/keys?activity_since="+since, "").body; strings.Contains(body, list) != want {
					t.Errorf("%s: %q is in the list: %v, want %v", user, list, !want, want)
				}
			}
		}
		shows(false, ">production<", `"production"`)
		k, token := g.key("acme", "production")
		shows(true, ">production<", `"production"`)
		shows(false, `class="spark"`, `"allowed":1`)
		v, err := engine.Of(g.keys).Verify(t.Context(), token.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		v.Count(apikey.OK, 0, nil)
		time.Sleep(time.Second) // reads share what was collected
		shows(true, `class="spark"`, `"allowed":1`)
		shows(false, ">disabled</span>", `"disabled"`)
		if _, err := g.keys.Disable(t.Context(), apikey.Actor{ID: "test"}, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		shows(true, ">disabled</span>", `"disabled"`)
	})
}

// noActivity is a store that cannot read what keys were used for.
type noActivity struct{ storage.Store }

func (s noActivity) Unwrap() storage.Store { return s.Store }
func (s noActivity) Activity(context.Context, []string, time.Time) ([]apikey.Activity, error) {
	return nil, errors.New("input/output error")
}

// TestListWithoutUsage: a page that cannot tell the use of its keys lists them all
// the same.
func TestListWithoutUsage(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	aged(t, store, apikey.Key{ID: keyID(1), Name: "website", Owner: "acme", Environment: "live", Plan: "free"}, time.Hour, 500)
	g := newRigWith(t, noActivity{store}, signIn, admin.Options{})
	a := g.want(200, "owner", "GET", "/", "")
	if !strings.Contains(a.body, ">website<") || strings.Contains(a.body, `class="spark"`) || !strings.Contains(g.log.String(), "usage left out") {
		t.Errorf("a list without usage:\n%s\n%s", a.body, g.log)
	}
}
