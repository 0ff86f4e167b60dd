package latchkey_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage/memstore"
	"pgregory.net/rapid"
)

// ask makes a request to a route, and reports whether it was admitted.
func ask(t interface{ Fatal(...any) }, s *latchkey.Service, token string, need apikey.Requirement) bool {
	v, err := engine.Of(s).Verify(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	used, code := v.Permits("", netip.Addr{}, &need)
	v.Count(code, used, nil)
	return code == apikey.OK
}

func scopesOf(u apikey.Usage) (names []string) {
	for _, s := range u.Scopes {
		names = append(names, s.Scope)
	}
	return names
}

func allOf(t interface{ Fatal(...any) }, scopes ...string) apikey.Requirement {
	q, err := apikey.AllOf(scopes...)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestWhatIsNotUsedCanBeTakenAway: of the granted scopes, the narrowest that
// does is used, and of alternatives the first. Without all others every request
// that was admitted is still admitted.
func TestWhatIsNotUsedCanBeTakenAway(t *testing.T) {
	s := newService(t, latchkey.Options{})
	names := []string{"a:r", "a:w", "a:r:x", "a:r:y", "a-b:r", "a.b:r", "b:r", "b:w"}
	wide := []string{"*", "a:*", "a:r:*", "b:*", "a-b:*"}
	narrow := func(granted []string, required string) string { // said once more, in other words
		best := ""
		for _, g := range granted {
			prefix, wild := strings.CutSuffix(g, "*")
			if (g == required || wild && strings.HasPrefix(required, prefix)) && (best == "" || !wild || len(g) > len(best) && strings.HasSuffix(best, "*")) {
				best = g
			}
		}
		return best
	}
	rapid.Check(t, func(t *rapid.T) {
		granted := rapid.SliceOfNDistinct(rapid.SampledFrom(slices.Concat(names, wide)), 1, 6, rapid.ID).Draw(t, "granted")
		k, token, err := s.Create(context.Background(), ops, latchkey.NewKey{Name: "n", Owner: "acme", Scopes: granted})
		if err != nil {
			t.Fatal(err)
		}
		want, admitted := map[string]bool{}, []apikey.Requirement(nil)
		for range rapid.IntRange(0, 6).Draw(t, "requests") {
			required := rapid.SliceOfN(rapid.SampledFrom(names), 1, 3).Draw(t, "required")
			any := rapid.Bool().Draw(t, "any")
			need := allOf(t, required...)
			if any {
				need, _ = apikey.AnyOf(required...)
			}
			if !ask(t, s, token.Reveal(), need) {
				continue
			}
			admitted = append(admitted, need)
			for _, r := range required {
				if n := narrow(granted, r); n != "" {
					want[n] = true
					if any {
						break
					}
				}
			}
		}
		u, err := s.Usage(context.Background(), k.ID, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		got := scopesOf(u)
		for _, need := range admitted {
			if !need.MetBy(got) {
				t.Fatalf("%v was admitted with %v, and is not with the used %v", need, granted, got)
			}
		}
		if len(got) != len(want) || slices.ContainsFunc(got, func(g string) bool { return !want[g] }) {
			t.Fatalf("used of %v: %v, want %v", granted, got, want)
		}
	})
}

// A refusal uses nothing, nor does a route for any key.
func TestOnlyAdmittedRequestsUseScopes(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, token := create(t, s, func(n *latchkey.NewKey) { n.Scopes = []string{"orders:read", "orders:write"} })
	ask(t, s, token, allOf(t, "orders:read", "orders:refund"))
	ask(t, s, token, apikey.AnyKey())
	if u := usageOf(t, s, k.ID); u.Scopes != nil || u.Of(1).Counts.Total() != 2 {
		t.Errorf("used %v, want none", u.Scopes)
	}
}

// A handler may decide by scopes itself, long after the request was counted.
func TestAScopeThatAHandlerAsksForIsUsed(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, token := create(t, s, func(n *latchkey.NewKey) { n.Scopes = []string{"orders:*", "orders:read", "things:read"} })
	v, err := engine.Of(s).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	v.Count(apikey.OK, 0, nil)
	usageOf(t, s, k.ID) // a flush
	if !v.Principal().Has("orders:refund") || v.Principal().Has("things:write") {
		t.Error("Has answers wrongly")
	}
	if got := scopesOf(usageOf(t, s, k.ID)); !slices.Equal(got, []string{"orders:*"}) {
		t.Errorf("used %v, want orders:*", got)
	}
}

func TestEachOfTheMostScopesIsToldApart(t *testing.T) {
	s := newService(t, latchkey.Options{})
	var all, want []string
	for i := range apikey.MaxScopes {
		all = append(all, fmt.Sprintf("thing-%02d:read", i))
	}
	k, token := create(t, s, func(n *latchkey.NewKey) { n.Scopes = all })
	for _, i := range []int{63, 0, 31, 32, 40} {
		ask(t, s, token, allOf(t, all[i]))
		want = append(want, all[i])
		slices.Sort(want)
		if got := scopesOf(usageOf(t, s, k.ID)); !slices.Equal(got, want) {
			t.Errorf("used %v, want %v", got, want)
		}
	}
}

func TestScopesAreUsedInTheirNewestHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: memstore.New()}
		s := serviceOn(t, store, latchkey.Options{FlushEvery: 20 * time.Second})
		defer s.Close(t.Context())
		k, token := create(t, s, func(n *latchkey.NewKey) { n.Scopes = []string{"a:r", "b:r"} })
		began := time.Now()
		if u := usageOf(t, s, k.ID); !u.ScopesSince.Equal(began) || u.Scopes != nil {
			t.Errorf("a new key: %+v", u)
		}
		ask(t, s, token, allOf(t, "a:r", "b:r"))
		time.Sleep(26 * time.Hour)
		store.down.Store(true) // what is owed is kept
		ask(t, s, token, allOf(t, "b:r"))
		time.Sleep(time.Minute)
		ask(t, s, token, allOf(t, "a:r"))
		time.Sleep(time.Minute)
		ask(t, s, token, allOf(t, "b:r"))
		time.Sleep(time.Minute)
		store.down.Store(false)
		now := time.Now().UTC().Truncate(time.Hour)
		u := usageOf(t, s, k.ID)
		want := []apikey.ScopeUse{{Scope: "a:r", Hour: now}, {Scope: "b:r", Hour: now}}
		if !slices.Equal(u.Scopes, want) {
			t.Errorf("got %v, want %v", u.Scopes, want)
		}
	})
}
