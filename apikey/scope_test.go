package apikey_test

import (
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
