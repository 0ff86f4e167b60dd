package latchkey_test

import (
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// TestOperatorsDisableHolds: a customer takes back what customers did, never
// what those who run the service did; nothing else is taken from them.
func TestOperatorsDisableHolds(t *testing.T) {
	t.Parallel()
	s := newService(t, latchkey.Options{})
	customer := apikey.Actor{ID: "ann@acme.example", Customer: true}
	for rule, tc := range map[string]struct {
		disable []apikey.Actor
		locked  bool
	}{
		"a customer's own":                  {[]apikey.Actor{customer}, false},
		"an operator's":                     {[]apikey.Actor{ops}, true},
		"an operator's after a customer's":  {[]apikey.Actor{customer, ops}, true},
		"a customer's after an operator's":  {[]apikey.Actor{ops, customer}, true},
		"a customer's, twice":               {[]apikey.Actor{customer, customer}, false},
		"an operator's, twice (one writes)": {[]apikey.Actor{ops, ops}, true},
	} {
		k, token := create(t, s)
		for _, by := range tc.disable {
			var err error
			before := k
			if k, err = s.Disable(t.Context(), by, k.ID, "abuse"); err != nil {
				t.Fatal(err)
			}
			if !before.DisabledAt.IsZero() && !k.DisabledAt.Equal(before.DisabledAt) {
				t.Errorf("%s: a disabled key stays disabled since when it was", rule)
			}
		}
		if k.Locked != tc.locked {
			t.Errorf("%s disabling: locked %v, want %v", rule, k.Locked, tc.locked)
		}
		if tc.locked && k.DisabledBy != ops.ID {
			t.Errorf("%s disabling names %q, who can take it back", rule, k.DisabledBy)
		}
		enabled, err := s.Enable(t.Context(), customer, k.ID)
		if !tc.locked {
			want(t, rule+": a customer enables what a customer disabled", err, nil)
			continue
		}
		if apikey.CodeOf(err) != apikey.Forbidden {
			t.Errorf("%s: a customer enables what an operator disabled: got %v %v", rule, enabled.StateAt(k.DisabledAt), err)
		}
		want(t, rule+": still disabled", verify(t, s, token), apikey.DisabledKey)

		// All else is theirs, and opens nothing.
		_, second, err := s.Rotate(t.Context(), customer, k.ID, latchkey.RotateOptions{Immediately: true})
		want(t, rule+": a customer rotates a locked key", err, nil)
		want(t, rule+": its new secret does not work either", verify(t, s, second.Reveal()), apikey.DisabledKey)
		_, err = s.Update(t.Context(), customer, k.ID, latchkey.Update{Name: new("renamed")})
		want(t, rule+": a customer renames a locked key", err, nil)

		k, err = s.Enable(t.Context(), ops, k.ID)
		want(t, rule+": an operator enables it", err, nil)
		if k.Locked || k.DisabledBy != "" {
			t.Errorf("%s: an enabled key is locked no more: %+v", rule, k)
		}
		_, err = s.Disable(t.Context(), customer, k.ID, "")
		want(t, rule+": and is its customer's again", err, nil)
		_, err = s.Enable(t.Context(), customer, k.ID)
		want(t, rule+": and is its customer's again", err, nil)
		want(t, rule+": and works", verify(t, s, second.Reveal()), nil)
	}
}
