package apikey_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/apikey"
)

func TestScopeGrants(t *testing.T) {
	for _, c := range []struct {
		granted, required string
		want              bool
	}{
		{"marketplace:read", "marketplace:read", true},
		{"marketplace:read", "marketplace:write", false},
		{"marketplace:read", "marketplace:readonly", false},
		{"marketplace:*", "marketplace:read", true},
		{"marketplace:*", "marketplace:items:read", true},
		{"marketplace:*", "marketplaces:read", false},
		{"marketplace:*", "market:read", false},
		{"*", "marketplace:read", true},
		{"", "marketplace:read", false},
		{"marketplace:rea*", "marketplace:read", true}, // never granted: validScope refuses it
	} {
		if got := apikey.Grants(c.granted, c.required); got != c.want {
			t.Errorf("grants(%q, %q) = %v, want %v", c.granted, c.required, got, c.want)
		}
	}
}

func TestScopeForm(t *testing.T) {
	for scope, want := range map[string][2]bool{ // granted, required
		"a:b": {true, true}, "a:b:c": {true, true}, "a.b:c-d_1": {true, true},
		"a:*": {true, false}, "*": {true, false},
		"": {}, "a": {}, "a:": {}, ":b": {}, "a::b": {}, "a:b*": {}, "a:*:b": {}, "**": {}, "*:read": {},
		"A:b": {}, "a b:c": {}, "a:b\"": {}, "a:é": {}, ":*": {}, strings.Repeat("a", 128) + ":b": {},
	} {
		for i, wildcard := range []bool{true, false} {
			if err := apikey.ValidScope(scope, wildcard); (err == nil) != want[i] {
				t.Errorf("validScope(%q, wildcard %v) = %v", scope, wildcard, err)
			}
		}
	}
}

// A required scope is met exactly when a granted one equals it or is a
// wildcard over its leading segments.
func TestRequirementAgainstItsDefinition(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "aa"})
	scope := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(segment, 2, 3).Draw(t, "segments"), ":")
	})
	grant := rapid.Custom(func(t *rapid.T) string {
		s := scope.Draw(t, "scope")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return s[:strings.LastIndex(s, ":")] + ":*"
		case 1:
			return "*"
		}
		return s
	})
	covers := func(granted, required string) bool {
		g, r := strings.Split(granted, ":"), strings.Split(required, ":")
		for i, part := range g {
			if part == "*" {
				return i < len(r)
			}
			if i >= len(r) || part != r[i] {
				return false
			}
		}
		return len(g) == len(r)
	}
	rapid.Check(t, func(t *rapid.T) {
		granted := rapid.SliceOfN(grant, 0, 3).Draw(t, "granted")
		required := rapid.SliceOfN(scope, 1, 3).Draw(t, "required")
		met := 0
		for _, r := range required {
			for _, g := range granted {
				if covers(g, r) {
					met++
					break
				}
			}
		}
		all, err := apikey.AllOf(required...)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := apikey.AnyOf(required...)
		if got := all.MetBy(granted); got != (met == len(required)) {
			t.Fatalf("all of %v by %v: %v", required, granted, got)
		}
		if got := one.MetBy(granted); got != (met > 0) {
			t.Fatalf("any of %v by %v: %v", required, granted, got)
		}
		if got := len(all.Missing(granted)); got != len(required)-met {
			t.Fatalf("%d of %v are missing from %v, want %d", got, required, granted, len(required)-met)
		}
	})
}

func TestRequirementDeniesByDefault(t *testing.T) {
	if (apikey.Requirement{}).MetBy([]string{"*"}) {
		t.Error("the zero requirement is met: a route that forgot its scopes is open")
	}
	if !apikey.AnyKey().MetBy(nil) {
		t.Error("AnyKey refuses a key without scopes")
	}
	for _, scopes := range [][]string{nil, {"marketplace:*"}, {"*"}, {"nonsense"}} {
		if _, err := apikey.AllOf(scopes...); err == nil {
			t.Errorf("AllOf(%q) was accepted", scopes)
		}
	}
}

// Alternatives are what an OpenAPI document has: each a list of scopes, all of
// which are needed, and one of the lists is enough.
func TestOneOfIsMetByAKeyThatMeetsOneAlternative(t *testing.T) {
	scopes := []string{"a:1", "a:2", "b:1"}
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom(scopes), 0, 3), 1, 4).Draw(t, "alternatives")
		granted := rapid.SliceOfNDistinct(rapid.SampledFrom(append(scopes, "a:*", "*")), 0, 3, rapid.ID).Draw(t, "granted")
		slices.Sort(granted)
		var needs []apikey.Requirement
		want, fewest, of := false, 99, []string(nil)
		for _, list := range lists {
			q := apikey.AnyKey()
			if len(list) > 0 {
				q, _ = apikey.AllOf(list...)
			}
			needs = append(needs, q)
			want = want || q.MetBy(granted)
			if missing := q.Missing(granted); len(missing) < fewest {
				fewest, of = len(missing), missing
			}
		}
		if rapid.Bool().Draw(t, "nested") && len(needs) > 1 {
			first, err := apikey.OneOf(needs[:2]...)
			if err != nil {
				t.Fatal(err)
			}
			needs = append([]apikey.Requirement{first}, needs[2:]...)
		}
		one, err := apikey.OneOf(needs...)
		if err != nil {
			t.Fatal(err)
		}
		if got := one.MetBy(granted); got != want {
			t.Fatalf("one of %v by %v: %v", lists, granted, got)
		}
		single := !slices.ContainsFunc(lists, func(list []string) bool { return len(list) != 1 })
		if one.Any() != (single && len(lists) > 1) {
			t.Fatalf("one of %v says of itself that any of its scopes is enough: %v", lists, one.Any())
		}
		if got := one.Missing(granted); !one.Any() && !slices.Equal(got, of) {
			t.Fatalf("%v are missing from %v for one of %v, want %v", got, granted, lists, of)
		}
		if used, _ := one.Used(granted); used>>len(granted) != 0 {
			t.Fatalf("one of %v uses the scopes %b of %v", lists, used, granted)
		}
	})
}

func TestOneOfHasNoMistakesInIt(t *testing.T) {
	either, _ := apikey.AnyOf("a:1", "a:2")
	both, _ := apikey.AllOf("a:2", "b:1")
	one, err := apikey.OneOf(both, either)
	if err != nil || one.String() != "a:2 b:1 a:1" {
		t.Errorf("the scopes of a challenge are named once: %q, %v", one.String(), err)
	}
	for granted, want := range map[string]uint64{"a:1": 1, "a:2 b:1": 3, "a:2": 1, "a:1 b:1": 1, "b:1": 0} {
		if used, met := one.Used(strings.Fields(granted)); used != want || met != (want != 0) {
			t.Errorf("a key with %q uses %b, %v, want %b", granted, used, met, want)
		}
	}
	for _, needs := range [][]apikey.Requirement{{}, {{}}, {both, {}}, {apikey.AnyKey(), {}}} {
		if q, err := apikey.OneOf(needs...); err == nil || q.MetBy([]string{"*"}) {
			t.Errorf("one of %v was accepted", needs)
		}
	}
}

func TestAllocationsOfOneOf(t *testing.T) {
	a, _ := apikey.AllOf("a:1", "b:1")
	b, _ := apikey.AllOf("a:2", "b:2")
	one, err := apikey.OneOf(a, b)
	if err != nil {
		t.Fatal(err)
	}
	granted := []string{"a:2", "b:2"}
	if n := testing.AllocsPerRun(100, func() { one.Used(granted) }); n > 0 {
		t.Errorf("a requirement with alternatives allocates %v times a request", n)
	}
}
